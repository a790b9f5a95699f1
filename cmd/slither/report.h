/* SPDX-License-Identifier: MIT */
/* What the reports of all commands that run items have in common. */
#ifndef SLITHER_CLI_REPORT_H
#define SLITHER_CLI_REPORT_H

#include <slither/pool.h>

#include "printer.h"

/* The name of an exit status in a report. */
const char *report_outcome(int status);
/* A pool as a map. `python` may be NULL. */
void report_write_pool(struct sl_writer *writer, const struct sl_pool_stats *stats, const char *python);

#endif
