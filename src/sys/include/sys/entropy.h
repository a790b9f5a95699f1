/* SPDX-License-Identifier: MIT */
#ifndef SLITHER_SYS_ENTROPY_H
#define SLITHER_SYS_ENTROPY_H

#include <stdint.h>

/** A seed that differs between processes and calls. Never blocks, never fails: mixes in clock and pid where the kernel gives nothing. */
uint64_t sl__random_seed(void);

#endif
