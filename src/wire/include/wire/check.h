/* SPDX-License-Identifier: MIT */
/* Validation of encoded values: all that a reader may rely on afterwards is established here. */
#ifndef SL_WIRE_CHECK_H
#define SL_WIRE_CHECK_H

#include <slither/value.h>

/** struct sl_limits with every member known and in range. */
struct sl__bounds {
    uint32_t depth_max;
    uint64_t size_max;
};

#define SL__BOUNDS_WANTED \
    "limits must have a depth_max of 1 to 1024 and a size_max of 1 byte to 1 GiB; start from SL_LIMITS_INIT"

/** Reads limits of any version (NULL: the defaults). False, with everything 0, when they are out of range. */
bool sl__bounds_take(const struct sl_limits *limits, struct sl__bounds *bounds);

/** Why bytes are not a value. */
struct sl__fault {
    size_t offset;    /**< of the token that is wrong, from the start of the bytes */
    const char *what; /**< static storage */
    int ext_type;     /**< of an extension that is not ours; 0 in every other case, and also one that is not ours */
};

/**
 * Checks the value at the start of `data`, not NULL, and says in `*used` how many bytes it takes. It may be followed by others, and only
 * what it needs is looked at. `mark_allowed`: whether the value may be a mark; nested marks never are.
 * On failure returns invalid_data, invalid_utf8 or limit_exceeded, and `*fault` is set.
 */
enum sl_code sl__check(const uint8_t *data, size_t size, const struct sl__bounds *bounds, bool mark_allowed,
                       size_t *used, struct sl__fault *fault);

#endif
