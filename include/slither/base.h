/* SPDX-License-Identifier: MIT */
/* What every other public header needs: linkage and attributes. */
#ifndef SLITHER_BASE_H
#define SLITHER_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define SL_BEGIN_DECLS extern "C" {
#define SL_END_DECLS }
#else
#define SL_BEGIN_DECLS
#define SL_END_DECLS
#endif

#if defined(__GNUC__) || defined(__clang__)
#define SL_API __attribute__((visibility("default")))
#define SL_MUST_CHECK __attribute__((warn_unused_result))
#define SL_PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))
#else
#define SL_API
#define SL_MUST_CHECK
#define SL_PRINTF(text, first)
#endif

#endif
