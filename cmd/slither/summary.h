/* SPDX-License-Identifier: MIT */
/* What is said on standard error when a run is over: the parts that all commands share. */
#ifndef SLITHER_CLI_SUMMARY_H
#define SLITHER_CLI_SUMMARY_H

#include <stdbool.h>
#include <stdint.h>

#include <slither/error.h>

/* What ended the run. `known`: its traceback was shown among the failures. */
void summary_print_error(const struct sl_error *error, bool known);
/* Whether who is told of it does not know it already: that it was cancelled is no news to who sent the signal, nor that nobody reads to who stopped reading. */
bool summary_is_news(const struct sl_error *error, bool interrupted);
/* "12 items in 1.2 s (10/s): TEXT" */
void summary_print_line(uint64_t items, uint64_t elapsed_ns, const char *text);
const char *plural(uint64_t count);

#endif
