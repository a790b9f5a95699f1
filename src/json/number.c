/* SPDX-License-Identifier: MIT */
/*
 * Numbers as text.
 *
 * Doubles that people write have few digits. For those, `value * 10^k` is a whole number m for a small k. When m is at most
 * 10^15 it is exact as a double, 10^k is too for k <= 22, so m / 10^k is the double nearest to that decimal: if it is `value`
 * again, m and k are a decimal that reads back. No two decimals of 15 digits share a double, so the first k that works has the
 * fewest digits. All others go through the C library, with 15, 16, then 17 digits; its decimal point depends on the
 * locale, so only the digits and the exponent are taken from what it prints.
 */
#include "number.h"

#include "base/assert.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

SL_STATIC_ASSERT(DBL_DIG == 15 && DBL_MANT_DIG == 53, "doubles are IEEE 754 binary64");

#define DIGITS_MAX 17
#define EXACT_MAX 1e15

size_t sl__print_uint(char *out, uint64_t value) {
    static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                                "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                                "8081828384858687888990919293949596979899";
    char digits[20];
    size_t at = sizeof(digits);
    while (value >= 100) {
        at -= 2;
        memcpy(digits + at, pairs + 2 * (value % 100), 2);
        value /= 100;
    }
    if (value >= 10) {
        at -= 2;
        memcpy(digits + at, pairs + 2 * value, 2);
    } else {
        digits[--at] = (char)('0' + value);
    }
    memcpy(out, digits + at, sizeof(digits) - at);
    return sizeof(digits) - at;
}

size_t sl__print_int(char *out, int64_t value) {
    if (value >= 0) {
        return sl__print_uint(out, (uint64_t)value);
    }
    *out = '-';
    return 1 + sl__print_uint(out + 1, -(uint64_t)value);
}

/* 0.d1d2d3... times 10^point */
struct decimal {
    char digits[DIGITS_MAX + 1];
    int count;
    int point;
};

/* The digits of `value`, and whether they read back as it. */
static bool take_digits(double value, int count, struct decimal *decimal) {
    char text[48];
    snprintf(text, sizeof(text), "%.*e", count - 1, value);
    bool reads_back = strtod(text, NULL) == value;
    decimal->count = 0;
    const char *at = text;
    for (; *at != 'e'; at++) {
        if (*at >= '0' && *at <= '9') {
            decimal->digits[decimal->count++] = *at;
        }
    }
    decimal->point = (int)strtol(at + 1, NULL, 10) + 1;
    return reads_back;
}

/*
 * Below a power of two doubles are twice as dense as above it, so that the nearest decimal of 16 digits may read back as
 * the neighbour below while the next one up still reads back as `value`.
 */
static bool take_digits_above(double value, struct decimal *decimal) {
    int exponent;
    char text[48];
    if (frexp(value, &exponent) != 0.5) {
        return false;
    }
    struct decimal next;
    (void)take_digits(value, 16, &next);
    int at = next.count - 1;
    for (; at >= 0 && next.digits[at] == '9'; at--) {
        next.digits[at] = '0';
    }
    if (at < 0) {
        return false;
    }
    next.digits[at]++;
    /* An integer and an exponent: no decimal point that a locale could want. */
    snprintf(text, sizeof(text), "%.*se%d", next.count, next.digits, next.point - next.count);
    if (strtod(text, NULL) != value) {
        return false;
    }
    *decimal = next;
    return true;
}

static void shortest(double value, struct decimal *decimal) {
    bool found = false;
    /* Subnormals have less precision than 15 digits. */
    for (int count = value < DBL_MIN ? 1 : DBL_DIG; !found && count < DIGITS_MAX; count++) {
        found = take_digits(value, count, decimal);
    }
    if (!found && !take_digits_above(value, decimal)) {
        (void)take_digits(value, DIGITS_MAX, decimal);
    }
    while (decimal->count > 1 && decimal->digits[decimal->count - 1] == '0') {
        decimal->count--;
    }
}

static size_t print_decimal(char *out, const struct decimal *decimal) {
    char *at = out;
    int count = decimal->count;
    int point = decimal->point;
    if (point > -4 && point <= 0) {
        *at++ = '0';
        *at++ = '.';
        memset(at, '0', (size_t)-point);
        at += -point;
        memcpy(at, decimal->digits, (size_t)count);
        return (size_t)(at + count - out);
    }
    if (point > 0 && point <= 16) {
        int whole = count < point ? count : point;
        memcpy(at, decimal->digits, (size_t)whole);
        at += whole;
        memset(at, '0', (size_t)(point - whole));
        at += point - whole;
        *at++ = '.';
        if (count > point) {
            memcpy(at, decimal->digits + point, (size_t)(count - point));
            at += count - point;
        } else {
            *at++ = '0';
        }
        return (size_t)(at - out);
    }
    *at++ = decimal->digits[0];
    if (count > 1) {
        *at++ = '.';
        memcpy(at, decimal->digits + 1, (size_t)count - 1);
        at += count - 1;
    }
    int exponent = point - 1;
    *at++ = 'e';
    *at++ = exponent < 0 ? '-' : '+';
    exponent = abs(exponent);
    if (exponent < 10) {
        *at++ = '0';
    }
    return (size_t)(at - out) + sl__print_uint(at, (uint64_t)exponent);
}

/* The way of the few digits, for 1e-4 <= value < 1e15. Returns 0 when it takes more. */
static size_t print_few_digits(char *out, double value) {
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,
                                    1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19};
    if (!(value >= 1e-4 && value < EXACT_MAX)) {
        return 0;
    }
    for (size_t k = 0; k < sizeof(powers) / sizeof(powers[0]); k++) {
        double scaled = value * powers[k];
        if (scaled > EXACT_MAX) {
            return 0;
        }
        uint64_t whole = (uint64_t)(scaled + 0.5);
        if ((double)whole / powers[k] != value) {
            continue;
        }
        if (k == 0) {
            size_t size = sl__print_uint(out, whole);
            memcpy(out + size, ".0", 2);
            return size + 2;
        }
        char digits[20];
        size_t count = sl__print_uint(digits, whole);
        size_t zeros = count > k ? 0 : k + 1 - count;
        memset(out, '0', zeros);
        memcpy(out + zeros, digits, count);
        size_t point = zeros + count - k;
        memmove(out + point + 1, out + point, k);
        out[point] = '.';
        return zeros + count + 1;
    }
    return 0;
}

size_t sl__print_double(char *out, double value) {
    size_t sign = 0;
    if (signbit(value)) {
        *out++ = '-';
        value = -value;
        sign = 1;
    }
    if (value == 0) {
        memcpy(out, "0.0", 3);
        return sign + 3;
    }
    size_t size = print_few_digits(out, value);
    if (size == 0) {
        struct decimal decimal;
        shortest(value, &decimal);
        size = print_decimal(out, &decimal);
    }
    return sign + size;
}
