/* SPDX-License-Identifier: MIT */
#include "units.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A double holds every whole number up to here. */
#define EXACT_MAX 9007199254740992.0

static int digit_of(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

bool sl__parse_count(const char *text, uint64_t *count) {
    int base = 10;
    uint64_t total = 0;
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'o')) {
        base = text[1] == 'x' ? 16 : 8;
        text += 2;
    }
    if (*text == '\0') {
        return false;
    }
    for (; *text != '\0'; text++) {
        int digit = digit_of(*text);
        if (digit >= base || __builtin_mul_overflow(total, (uint64_t)base, &total) ||
            __builtin_add_overflow(total, (uint64_t)digit, &total)) {
            return false;
        }
    }
    *count = total;
    return true;
}

/* Digits, and a point with digits behind it if there is one. Locales do not matter to it. */
static bool take(const char **text, double *number) {
    const char *at = *text;
    double total = 0, scale = 1;
    if (digit_of(*at) > 9) {
        return false;
    }
    for (; digit_of(*at) <= 9; at++) {
        total = total * 10 + digit_of(*at);
    }
    if (*at == '.' && digit_of(at[1]) <= 9) {
        for (at++; digit_of(*at) <= 9; at++) {
            scale /= 10;
            total += digit_of(*at) * scale;
        }
    }
    *text = at;
    *number = total;
    return total <= EXACT_MAX;
}

/* What is a hair above a whole number only because binary fractions are not decimal ones counts as that number. */
static bool round_up(double total, uint64_t *out) {
    if (!(total <= EXACT_MAX)) {
        return false;
    }
    *out = (uint64_t)ceil(total - 1e-6);
    return true;
}

bool sl__parse_duration(const char *text, uint64_t *duration_ms) {
    /* Longer names stand before those that they begin with. */
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"ms", 1}, {"min", 60e3}, {"m", 60e3}, {"s", 1e3}, {"h", 3600e3}, {"d", 86400e3}};
    double total = 0;
    if (strcmp(text, "0") == 0) {
        *duration_ms = 0;
        return true;
    }
    do {
        double number;
        size_t i = 0, count = sizeof units / sizeof units[0];
        if (!take(&text, &number)) {
            return false;
        }
        while (i < count && strncmp(text, units[i].name, strlen(units[i].name)) != 0) {
            i++;
        }
        if (i == count) {
            return false;
        }
        text += strlen(units[i].name);
        total += number * units[i].ms;
    } while (*text != '\0');
    return round_up(total, duration_ms);
}

bool sl__parse_size(const char *text, uint64_t *size) {
    static const char units[] = "KMGT";
    double number;
    if (!take(&text, &number)) {
        return false;
    }
    const char *unit = *text != '\0' ? strchr(units, *text) : NULL;
    if (unit != NULL) {
        number = ldexp(number, 10 * (int)(unit - units + 1));
        text += strncmp(text + 1, "iB", 2) == 0 ? 3 : 1;
    } else if (*text == 'B') {
        text++;
    }
    return *text == '\0' && round_up(number, size);
}

bool sl__parse_number(const char *text, double *number) {
    /* strtod() asks the locale of the thread for the decimal point; a host may have any. */
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (c == (locale_t)0) {
        return false;
    }
    char *end;
    double value = strtod_l(text, &end, c);
    freelocale(c);
    if (end == text || *end != '\0' || !isfinite(value)) {
        return false;
    }
    *number = value;
    return true;
}
