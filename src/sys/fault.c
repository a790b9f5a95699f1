/* SPDX-License-Identifier: MIT */
#include "sys/fault.h"

#include <errno.h>
#include <stdatomic.h>

#include "base/assert.h"

/* Only the tests' variant of the room has this state. */

static struct {
    _Atomic uint32_t calls; /* since the last clear */
    _Atomic uint32_t first; /* number of the first call that fails, from 1; 0: none */
    _Atomic uint32_t last;  /* and of the last */
    _Atomic int number;
} orders[SL__CALL_COUNT_];

static void order(enum sl__sys_call call, int number, uint32_t after_count, bool forever) {
    SL_ASSERT(call < SL__CALL_COUNT_);
    uint32_t first = atomic_load(&orders[call].calls) + after_count + 1;
    atomic_store(&orders[call].first, 0);
    atomic_store(&orders[call].number, number);
    atomic_store(&orders[call].last, forever ? UINT32_MAX : first);
    atomic_store(&orders[call].first, number != 0 ? first : 0);
}

void sl__sys_fail_next(enum sl__sys_call call, int number, uint32_t after_count) {
    order(call, number, after_count, false);
}

void sl__sys_fail_from(enum sl__sys_call call, int number, uint32_t after_count) {
    order(call, number, after_count, true);
}

void sl__sys_fail_clear(void) {
    for (int i = 0; i < SL__CALL_COUNT_; i++) {
        atomic_store(&orders[i].first, 0);
        atomic_store(&orders[i].calls, 0);
    }
}

uint32_t sl__sys_call_count(enum sl__sys_call call) {
    SL_ASSERT(call < SL__CALL_COUNT_);
    return atomic_load(&orders[call].calls);
}

/* The order for this call: an errno, SL__FAULT_SHORT, or 0. */
static int take(enum sl__sys_call call) {
    uint32_t now = atomic_fetch_add(&orders[call].calls, 1) + 1;
    uint32_t first = atomic_load(&orders[call].first);
    if (first == 0 || now < first || now > atomic_load(&orders[call].last)) {
        return 0;
    }
    return atomic_load(&orders[call].number);
}

bool sl__sys_fails(enum sl__sys_call call) {
    int number = take(call);
    if (number > 0) {
        errno = number;
    }
    return number > 0;
}

bool sl__sys_fails_or_cuts(enum sl__sys_call call, size_t *size) {
    int number = take(call);
    if (number == SL__FAULT_SHORT && *size > 1) {
        *size = 1;
    } else if (number > 0) {
        errno = number;
    }
    return number > 0;
}
