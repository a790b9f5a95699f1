/* SPDX-License-Identifier: MIT */
#ifndef SLITHER_SYS_CLOCK_H
#define SLITHER_SYS_CLOCK_H

#include <stdint.h>

/** CLOCK_MONOTONIC in nanoseconds; never 0. Cannot fail, any thread, no system call on usual hardware. */
uint64_t sl__clock_now_ns(void);

/**
 * The same clock as it stood at the last tick of the kernel, 1 to 10 ms ago at most: for asking often whether some time has gone by.
 * Compare only with itself.
 */
uint64_t sl__clock_tick_ns(void);

/** Nanoseconds since 1970, as the machine believes: may jump. For what outlives processes. */
uint64_t sl__clock_wall_ns(void);

/** The moment `timeout_ms` from now; 0 (no deadline) when `timeout_ms` is 0. */
uint64_t sl__clock_deadline_ms(uint64_t timeout_ms);

/** Whether `deadline_ns` (0: none) has passed. */
static inline int sl__clock_passed(uint64_t deadline_ns) {
    return deadline_ns != 0 && sl__clock_now_ns() >= deadline_ns;
}

/** Tells the processor that this is a busy loop: saves power, and leaves a sibling hardware thread its share. */
static inline void sl__processor_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory"); /* `yield` does nothing on most cores; isb waits as long as pause does */
#else
    __asm__ __volatile__("" ::: "memory");
#endif
}

#endif
