/* SPDX-License-Identifier: MIT */
/* jq expressions over items. One thread at a time may use an expression. */
#ifndef SLITHER_CLI_EXPRESSION_H
#define SLITHER_CLI_EXPRESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jq.h>

#define EXPRESSION_PROBLEM_SIZE 512

struct expression;

/*
 * `option` is the option that it was given with ("--key"), for messages; both texts must outlive the expression.
 * NULL: `problem` says why.
 */
struct expression *expression_compile(const char *option, const char *text, char problem[EXPRESSION_PROBLEM_SIZE]);
void expression_destroy(struct expression *expression);

/*
 * The one value that the expression makes of `document` (borrowed). No value, several values and errors of jq are
 * problems. *result is the caller's to jv_free() when true is returned.
 */
bool expression_eval(struct expression *expression, jv document, jv *result, char problem[EXPRESSION_PROBLEM_SIZE]);

/* The same, and the value must be a number that can be a weight: finite, not below 0; fractions are rounded up. */
bool expression_eval_weight(struct expression *expression, jv document, uint64_t *weight,
                            char problem[EXPRESSION_PROBLEM_SIZE]);

#endif
