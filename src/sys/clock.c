/* SPDX-License-Identifier: MIT */
#include "sys/clock.h"

#include <time.h>

uint64_t sl__clock_now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC,
                        &now); /* cannot fail: the clock exists on every Linux and the pointer is good */
    uint64_t ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    return ns != 0 ? ns : 1;
}

uint64_t sl__clock_tick_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now); /* cannot fail, as above */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t sl__clock_deadline_ms(uint64_t timeout_ms) {
    if (timeout_ms == 0) {
        return 0;
    }
    uint64_t now = sl__clock_now_ns();
    if (timeout_ms > (UINT64_MAX - now) / 1000000u) {
        return UINT64_MAX;
    }
    return now + timeout_ms * 1000000u;
}

uint64_t sl__clock_wall_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail, as above */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
