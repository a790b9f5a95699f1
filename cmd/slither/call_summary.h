/* SPDX-License-Identifier: MIT */
/* What `slither call` says on standard error when it is over. */
#ifndef SLITHER_CLI_CALL_SUMMARY_H
#define SLITHER_CLI_CALL_SUMMARY_H

#include "call_report.h"

/* With --quiet, only what ended the run. */
void call_summary_print(const struct call_report *report);

#endif
