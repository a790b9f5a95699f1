/* SPDX-License-Identifier: MIT */
#include "on_error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nearest.h"
#include "units.h"

#define SETTING_SIZE 256
#define ATTEMPTS_MAX 1000
#define BACKOFF_MAX_MS (3600 * 1000)

struct on_error_reader {
    struct sl_error_policy *policy;
    char **route;
    char *problem;
    size_t problem_size;
};

static bool refuse(struct on_error_reader *reader, const char *what, const char *text, const char *expected) {
    snprintf(reader->problem, reader->problem_size, "%s '%.60s': expected %s", what, text, expected);
    return false;
}

static bool take_kinds(struct on_error_reader *reader, char *names) {
    char *rest = names;
    uint64_t kinds = 0;
    for (char *name; (name = strsep(&rest, "+")) != NULL;) {
        int code = sl_code_from_name(name);
        if (code <= 0 || code >= 64) {
            struct nearest nearest = {.typed = name};
#define OFFER(enumerator, number, code_name, retryable, sentence) nearest_offer(&nearest, code_name);
            SL_CODE_LIST(OFFER)
#undef OFFER
            snprintf(reader->problem, reader->problem_size, "'%.60s' is not a kind of error%s%s%s", name,
                     nearest.name != NULL ? "; did you mean '"
                                          : ": expected names such as worker_crashed+python_exception",
                     nearest.name != NULL ? nearest.name : "", nearest.name != NULL ? "'?" : "");
            return false;
        }
        kinds |= (uint64_t)1 << code;
    }
    reader->policy->retry_kinds = kinds;
    return true;
}

static bool take_backoff(struct on_error_reader *reader, const char *name, const char *value, uint32_t *out) {
    uint64_t duration_ms;
    if (!parse_duration_ms(value, &duration_ms) || duration_ms < 1 || duration_ms > BACKOFF_MAX_MS) {
        return refuse(reader, name, value, "a duration from 1ms to 1h");
    }
    *out = (uint32_t)duration_ms;
    return true;
}

static bool take_attempts(struct on_error_reader *reader, const char *name, const char *value) {
    uint64_t count;
    if (!parse_count(value, &count) || count < 1 || count > ATTEMPTS_MAX) {
        return refuse(reader, name, value, "a number of attempts from 1 to 1000");
    }
    reader->policy->max_attempts = (uint32_t)count;
    return true;
}

static bool take_retry_setting(struct on_error_reader *reader, const char *name, char *value) {
    struct sl_error_policy *policy = reader->policy;
    if (strcmp(name, "max") == 0) {
        return take_attempts(reader, name, value);
    }
    if (strcmp(name, "backoff") == 0) {
        return take_backoff(reader, name, value, &policy->backoff_ms);
    }
    if (strcmp(name, "backoff-max") == 0) {
        return take_backoff(reader, name, value, &policy->backoff_max_ms);
    }
    if (strcmp(name, "jitter") == 0) {
        if (!parse_fraction(value, &policy->jitter)) {
            return refuse(reader, name, value, "a fraction from 0 to 1");
        }
        return true;
    }
    if (strcmp(name, "kinds") == 0) {
        return take_kinds(reader, value);
    }
    return refuse(reader, "retry has no setting", name, "max, backoff, backoff-max, jitter or kinds");
}

static bool take_isolate_setting(struct on_error_reader *reader, const char *name, char *value) {
    if (strcmp(name, "max") == 0) {
        return take_attempts(reader, name, value);
    }
    if (strcmp(name, "route") != 0 || *value == '\0') {
        return refuse(reader, "isolate has no setting", name, "route=NAME or max=N");
    }
    free(*reader->route);
    *reader->route = strdup(value);
    return true;
}

static bool take_settings(struct on_error_reader *reader, char *settings) {
    char *rest = settings;
    for (char *setting; (setting = strsep(&rest, ",")) != NULL;) {
        char *value = strchr(setting, '=');
        if (value == NULL) {
            return refuse(reader, "setting", setting, "NAME=VALUE");
        }
        *value++ = '\0';
        bool retry = reader->policy->on_error == SL_ON_ERROR_RETRY;
        if (!(retry ? take_retry_setting : take_isolate_setting)(reader, setting, value)) {
            return false;
        }
    }
    return true;
}

bool parse_on_error(const char *text, struct sl_error_policy *policy, char **route, char *problem,
                    size_t problem_size) {
    static const struct {
        const char *name;
        enum sl_on_error on_error;
        bool takes_settings;
    } policies[] = {
        {"skip", SL_ON_ERROR_SKIP, false},      {"halt", SL_ON_ERROR_HALT, false},  {"retry", SL_ON_ERROR_RETRY, true},
        {"isolate", SL_ON_ERROR_ISOLATE, true}, {"route", SL_ON_ERROR_ROUTE, true},
    };
    *policy = (struct sl_error_policy){.on_error = SL_ON_ERROR_DEFAULT};
    *route = NULL;
    struct on_error_reader reader = {policy, route, problem, problem_size};

    char words[SETTING_SIZE];
    if (strlen(text) >= sizeof(words)) {
        return refuse(&reader, "policy", text, "fewer than 256 characters");
    }
    strcpy(words, text);
    char *settings = strchr(words, ':');
    if (settings != NULL) {
        *settings++ = '\0';
    }
    bool takes_settings = false;
    for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
        if (strcmp(policies[i].name, words) == 0) {
            policy->on_error = policies[i].on_error;
            takes_settings = policies[i].takes_settings;
        }
    }
    if (policy->on_error == SL_ON_ERROR_DEFAULT) {
        return refuse(&reader, "policy", words, "skip, halt, retry, isolate or route:NAME");
    }
    if (settings != NULL && !takes_settings) {
        return refuse(&reader, words, settings, "no settings after it");
    }
    if (policy->on_error == SL_ON_ERROR_ROUTE) {
        if (settings == NULL || *settings == '\0') {
            return refuse(&reader, "policy", text, "the name of a route, as in route:NAME");
        }
        *route = strdup(settings);
    } else if (settings != NULL && !take_settings(&reader, settings)) {
        free(*route);
        *route = NULL;
        return false;
    }
    return true;
}
