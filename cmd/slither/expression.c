/* SPDX-License-Identifier: MIT */
#include "expression.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secrets.h"

/* Above it a double skips whole numbers. */
#define WEIGHT_MAX 9007199254740992.0

struct expression {
    const char *option;
    const char *text;
    jq_state *jq;
    char message[EXPRESSION_PROBLEM_SIZE]; /* the first that jq gave */
};

/*
 * jq's own messages begin with its name and may end with the line and the text of a program that is always one line
 * here.
 */
static void keep_message(void *context, jv message) {
    struct expression *expression = context;
    jv formatted = jq_format_error(message);
    const char *text = jv_get_kind(formatted) == JV_KIND_STRING ? jv_string_value(formatted) : "unknown error";
    if (strncmp(text, "jq: ", 4) == 0) {
        text += 4;
    }
    if (strncmp(text, "error: ", 7) == 0) {
        text += 7;
    }
    if (expression->message[0] == '\0') {
        size_t size = strcspn(text, "\n");
        static const char *const noise[] = {" (Unix shell quoting issues?)", " at <top-level>, line 1"};
        for (size_t i = 0; i < sizeof(noise) / sizeof(noise[0]); i++) {
            const char *found = strstr(text, noise[i]);
            if (found != NULL && (size_t)(found - text) < size) {
                size = (size_t)(found - text);
            }
        }
        snprintf(expression->message, sizeof(expression->message), "%.*s", (int)size, text);
    }
    jv_free(formatted);
}

struct expression *expression_compile(const char *option, const char *text, char problem[EXPRESSION_PROBLEM_SIZE]) {
    struct expression *expression = calloc(1, sizeof(*expression));
    if (expression != NULL) {
        *expression = (struct expression){.option = option, .text = text, .jq = jq_init()};
    }
    if (expression == NULL || expression->jq == NULL) {
        free(expression);
        snprintf(problem, EXPRESSION_PROBLEM_SIZE, "%s: out of memory", option);
        return NULL;
    }
    jq_set_error_cb(expression->jq, keep_message, expression);
    if (!jq_compile(expression->jq, text)) {
        snprintf(problem, EXPRESSION_PROBLEM_SIZE, "%s '%.120s': %.240s", option, text, expression->message);
        expression_destroy(expression);
        return NULL;
    }
    return expression;
}

void expression_destroy(struct expression *expression) {
    if (expression != NULL) {
        jq_teardown(&expression->jq);
        free(expression);
    }
}

static bool fail(const struct expression *expression, const char *what, char *problem) {
    char shown[512]; /* jq quotes the item */
    snprintf(shown, sizeof(shown), "%s", what);
    shown[secrets_hide(shown, strlen(shown))] = '\0';
    snprintf(problem, EXPRESSION_PROBLEM_SIZE, "%s '%.120s': %.240s", expression->option, expression->text, shown);
    return false;
}

/* The message of an invalid value, which is how jq gives errors and the end of its output. */
static bool fail_with(const struct expression *expression, jv invalid, char *problem) {
    jv message = jv_invalid_get_msg(invalid);
    if (jv_get_kind(message) == JV_KIND_NULL) {
        jv_free(message);
        return fail(expression, "it gave no value for this item: expected one", problem);
    }
    if (jv_get_kind(message) != JV_KIND_STRING) {
        message = jv_dump_string(message, 0);
    }
    bool result = fail(expression, jv_string_value(message), problem);
    jv_free(message);
    return result;
}

bool expression_eval(struct expression *expression, jv document, jv *result, char problem[EXPRESSION_PROBLEM_SIZE]) {
    jq_start(expression->jq, jv_copy(document), 0);
    jv value = jq_next(expression->jq);
    if (!jv_is_valid(value)) {
        return fail_with(expression, value, problem);
    }
    jv more = jq_next(expression->jq);
    bool single = !jv_is_valid(more);
    jv_free(more);
    if (!single) {
        jv_free(value);
        return fail(expression, "it gave more than one value for this item: expected one", problem);
    }
    *result = value;
    return true;
}

bool expression_eval_weight(struct expression *expression, jv document, uint64_t *weight,
                            char problem[EXPRESSION_PROBLEM_SIZE]) {
    jv value;
    if (!expression_eval(expression, document, &value, problem)) {
        return false;
    }
    char what[160];
    if (jv_get_kind(value) != JV_KIND_NUMBER) {
        snprintf(what, sizeof(what), "it gave a %s as the weight of this item: expected a number",
                 jv_kind_name(jv_get_kind(value)));
        jv_free(value);
        return fail(expression, what, problem);
    }
    double number = jv_number_value(value);
    jv_free(value);
    if (!(number >= 0 && number <= WEIGHT_MAX)) {
        snprintf(what, sizeof(what), "it gave %g as the weight of this item: expected a number from 0 to 2^53", number);
        return fail(expression, what, problem);
    }
    *weight = (uint64_t)ceil(number);
    return true;
}
