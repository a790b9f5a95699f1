/* SPDX-License-Identifier: MIT */
#include "sys/entropy.h"

#include <sys/random.h>
#include <unistd.h>

#include "sys/clock.h"
#include "sys/fault.h"

uint64_t sl__random_seed(void) {
    uint64_t seed = 0;
    if (!sl__sys_fails(SL__CALL_RANDOM) && getrandom(&seed, sizeof seed, GRND_NONBLOCK) == (ssize_t)sizeof seed) {
        return seed;
    }
    /* Early at boot the kernel's pool is not ready. Spread clock and pid over all bits (a 64-bit finalizer by multiply and shift). */
    seed = sl__clock_now_ns() ^ ((uint64_t)getpid() << 32) ^ (uintptr_t)&seed;
    seed = (seed ^ (seed >> 32)) * 0xd6e8feb86659fd93u;
    seed = (seed ^ (seed >> 32)) * 0xd6e8feb86659fd93u;
    return seed ^ (seed >> 32);
}
