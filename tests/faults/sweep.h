/* SPDX-License-Identifier: MIT */
/*
 * Sweep: a scenario is run again and again, and each time another system call of this process fails in it (sys/fault.h). A scenario asserts what has
 * to hold whether or not something failed; the sweep sees to it that nothing is left and nothing hangs.
 */
#ifndef SL_TESTS_FAULTS_SWEEP_H
#define SL_TESTS_FAULTS_SWEEP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <slither/error.h>

#include "sys/fault.h"

/* One way to fail. */
struct fault {
    enum sl__sys_call call;
    int number;
    uint32_t after; /* so many calls of the kind that succeed before */
    bool lasting;   /* all further ones fail, too */
};

/*
 * Runs `scenario` with each fault in turn, or with as many as `budget_ms` allows, drawn with a seed that is printed; with all of them when
 * $SLITHER_FAULT_SWEEP is "all". With $SLITHER_FAULT_SCENARIO only the one of that name is run; with $SLITHER_FAULT_TRACE each fault is written to stderr.
 */
void sweep(const char *name, void (*scenario)(void), uint32_t budget_ms);

/* For scenarios: the fault has happened; and all calls from now on succeed. */
bool fault_has_come(void);
bool fault_is_over(void);
/* A failure has a code, and says something. `error` is finished. */
void expect_clear_error(enum sl_code code, struct sl_error *error);

#endif
