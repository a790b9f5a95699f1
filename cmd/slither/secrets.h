/* SPDX-License-Identifier: MIT */
/* --redact: the keys whose values no message shows. Set while the command line is read, and only read from then on, by any thread. */
#ifndef SLITHER_CLI_SECRETS_H
#define SLITHER_CLI_SECRETS_H

#include <stdbool.h>

#include "options.h"

/* For option tables: LIST is "none", or patterns separated by commas, "default" among them. `options` is not used. */
bool secrets_take(void *options, const char *text, char problem[OPTION_PROBLEM_SIZE]);
/* What was taken; NULL: nothing. Valid until secrets_finish(). */
const char *const *secrets_given(void);
/* What stands where nothing was taken; borrowed, and no bad pattern among them. */
void secrets_else(const char *const *patterns);
/* For struct sl_pool_options: what was taken, or stands for it; NULL: the usual ones. */
const char *const *secrets_patterns(void);
/* In place; the new size. Where that is smaller a NUL follows. */
size_t secrets_hide(char *text, size_t size);
void secrets_finish(void);

/* `without` says what is meant without it. */
#define OPTION_REDACT_ELSE(without)                                                                                   \
    {                                                                                                                 \
        "redact", 0, OPTION_CUSTOM, "LIST",                                                                           \
            "Leave the values of these keys out of messages: patterns such as 'pin,*_code', 'default' for the usual " \
            "ones, or 'none' to show all (default: " without ")",                                                     \
            0, 0, 0, secrets_choices, secrets_take                                                                    \
    }
#define OPTION_REDACT OPTION_REDACT_ELSE("the usual ones")
extern const char *const secrets_choices[];

#endif
