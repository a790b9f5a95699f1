/* SPDX-License-Identifier: MIT */
#include "secrets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <slither/redact.h>

const char *const secrets_choices[] = {"default", "none", NULL};

static struct {
    struct text_list patterns; /* of `list`; an empty one is a list, too */
    char *list;
    const char *const *others; /* where there is no list */
} secrets;

static const char *const nothing[] = {NULL};

bool secrets_take(void *options, const char *text, char problem[OPTION_PROBLEM_SIZE]) {
    (void)options;
    secrets_finish();
    secrets.list = strdup(text);
    bool fits = secrets.list != NULL;
    char *rest = NULL;
    const char *word = fits && strcmp(text, "none") != 0 ? strtok_r(secrets.list, ",", &rest) : NULL;
    for (; word != NULL && fits; word = strtok_r(NULL, ",", &rest)) {
        fits = text_list_add(&secrets.patterns, word);
    }
    if (!fits) {
        snprintf(problem, OPTION_PROBLEM_SIZE, "--redact: out of memory");
        return false;
    }
    /* The library knows what a pattern is. */
    struct sl_error error = SL_ERROR_INIT;
    char empty[1] = "";
    size_t size = 0;
    bool good = sl_redact(secrets_given(), empty, &size, &error) == SL_OK;
    if (!good) {
        snprintf(problem, OPTION_PROBLEM_SIZE, "--redact: %.300s", error.message);
    } else if (secrets.patterns.count == 0 && strcmp(text, "none") != 0) {
        good = false;
        snprintf(problem, OPTION_PROBLEM_SIZE,
                 "--redact: '%.60s' names nothing: expected patterns separated by commas, or none", text);
    }
    sl_error_finish(&error);
    return good;
}

const char *const *secrets_given(void) {
    return secrets.list == NULL ? NULL : secrets.patterns.count == 0 ? nothing : secrets.patterns.texts;
}

void secrets_else(const char *const *patterns) {
    secrets.others = patterns;
}

const char *const *secrets_patterns(void) {
    return secrets.list != NULL ? secrets_given() : secrets.others;
}

size_t secrets_hide(char *text, size_t size) {
    /* The patterns have been checked: if they were no good, nothing would be shown. */
    return sl_redact(secrets_patterns(), text, &size, NULL) == SL_OK ? size : 0;
}

void secrets_finish(void) {
    text_list_finish(&secrets.patterns);
    free(secrets.list);
    secrets.list = NULL;
    secrets.others = NULL;
}
