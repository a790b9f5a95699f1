/* SPDX-License-Identifier: MIT */
/* What runs over workers need: options, and what this process takes. */
#ifndef SL_TESTS_DISPATCH_RUNS_H
#define SL_TESTS_DISPATCH_RUNS_H

#include "descriptors.h"
#include "host.h"

/* Options for a function of modules/dispatch_functions.py. */
struct sl_dispatch_options host_options(const char *function);

/* One run over numbers, under the policy skip unless the test says otherwise. */
struct trial {
    struct sl_dispatch_options options;
    struct numbers numbers;
    struct record record;
    struct sl_report report;
};
struct trial trial_of(const char *function, uint64_t count);
void trial_run(struct host *host, struct trial *trial, enum sl_code expected);
void trial_finish(struct trial *trial);

/* kB of VmRSS, VmHWM or another line of /proc/self/status. */
uint64_t status_kb(const char *line);
/* Forgets the peak of this process's memory. */
void forget_peak(void);

#endif
