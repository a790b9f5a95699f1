/* SPDX-License-Identifier: MIT */
/*
 * Memory that runs out. In a program that depends on sl_failing_memory_dep the allocations of the library's rooms come here first, and one of them fails, or all
 * from one on. Those of shared libraries and of libc itself do not come here.
 */
#ifndef SLITHER_FAILING_MEMORY_H
#define SLITHER_FAILING_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

enum memory_whose {
    MEMORY_MINE,   /* of the thread that asks for the failure */
    MEMORY_OTHERS, /* of all other threads */
    MEMORY_ALL
};

/* The allocation after `after` further ones fails, and with `lasting` all that follow. Replaces what was asked for before. */
void memory_fail(enum memory_whose whose, uint32_t after, bool lasting);
/* Counts as an allocation of this thread: whether it is to fail. For wraps of a program's own. */
bool memory_fails(void);
/* Nothing fails any more. True: something has failed since memory_fail(). */
bool memory_restore(void);

#endif
