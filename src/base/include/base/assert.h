/* SPDX-License-Identifier: MIT */
/*
 * Assertions are for errors of the programmer: what no input, peer or system state can bring about. All else is
 * returned as an error. With NDEBUG the condition is compiled but not evaluated, so that it cannot rot.
 */
#ifndef SL_BASE_ASSERT_H
#define SL_BASE_ASSERT_H

#include <assert.h>

#ifdef NDEBUG
#define SL_ASSERT(condition) ((void)sizeof(condition))
/** Where control cannot come. */
#define SL_UNREACHABLE() __builtin_unreachable()
#else
#define SL_ASSERT(condition) assert(condition)
#define SL_UNREACHABLE() assert(!"control came where it cannot come")
#endif

/** A relation between constants, checked by the compiler. */
#define SL_STATIC_ASSERT(condition, message) _Static_assert(condition, message)

#endif
