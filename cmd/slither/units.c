/* SPDX-License-Identifier: MIT */
#include "units.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Beyond this a double no longer holds every whole number; nothing that we measure comes near. */
#define NUMBER_MAX 9007199254740992.0

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool parse_count(const char *text, uint64_t *count) {
    if (!is_digit(*text)) {
        return false;
    }
    uint64_t total = 0;
    for (; is_digit(*text); text++) {
        uint64_t digit = (uint64_t)(*text - '0');
        if (total > (UINT64_MAX - digit) / 10) {
            return false;
        }
        total = total * 10 + digit;
    }
    if (*text != '\0') {
        return false;
    }
    *count = total;
    return true;
}

/* Digits with at most one point; strtod would also take exponents, hexadecimal, "inf" and the locale's comma. */
static bool take_number(const char **text, double *number) {
    const char *at = *text;
    if (!is_digit(*at)) {
        return false;
    }
    double value = 0;
    for (; is_digit(*at); at++) {
        value = value * 10 + (*at - '0');
    }
    if (*at == '.') {
        at++;
        if (!is_digit(*at)) {
            return false;
        }
        double place = 0.1;
        for (; is_digit(*at); at++, place /= 10) {
            value += (*at - '0') * place;
        }
    }
    *text = at;
    *number = value;
    return value <= NUMBER_MAX;
}

/* The longest unit that `text` starts with; "m" must not win over "ms". */
static double take_duration_unit(const char **text) {
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}};
    size_t best_size = 0;
    double best = 0;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        size_t size = strlen(units[i].name);
        if (size > best_size && strncmp(*text, units[i].name, size) == 0) {
            best_size = size;
            best = units[i].ms;
        }
    }
    *text += best_size;
    return best;
}

bool parse_duration_ms(const char *text, uint64_t *duration_ms) {
    if (strcmp(text, "0") == 0) {
        *duration_ms = 0;
        return true;
    }
    double total = 0;
    do {
        double number;
        if (!take_number(&text, &number)) {
            return false;
        }
        double unit = take_duration_unit(&text);
        if (unit == 0) {
            return false;
        }
        total += number * unit;
    } while (*text != '\0');
    if (total > NUMBER_MAX) {
        return false;
    }
    /* 0.3 s is 299.99999999999994 ms or 300.00000000000006 ms in binary: neither is a reason to say 301. */
    *duration_ms = (uint64_t)ceil(total - 1e-6);
    return true;
}

bool parse_size(const char *text, uint64_t *size) {
    double number;
    if (!take_number(&text, &number)) {
        return false;
    }
    double unit = 1;
    static const char units[] = "KMGT";
    const char *found = *text == '\0' ? NULL : strchr(units, *text >= 'a' && *text <= 'z' ? *text - 'a' + 'A' : *text);
    if (found != NULL) {
        unit = (double)((uint64_t)1 << (10 * (unsigned)(found - units + 1)));
        text++;
        if (*text == 'i' && text[1] == 'B') {
            text++;
        }
    }
    if (*text == 'B') {
        text++;
    }
    double total = number * unit;
    if (*text != '\0' || total > NUMBER_MAX) {
        return false;
    }
    *size = (uint64_t)ceil(total - 1e-6);
    return true;
}

bool parse_fraction(const char *text, double *fraction) {
    double number;
    if (!take_number(&text, &number) || *text != '\0' || number > 1) {
        return false;
    }
    *fraction = number;
    return true;
}

void format_clock(uint64_t duration_ns, char text[UNIT_TEXT_SIZE]) {
    uint64_t seconds = duration_ns / 1000000000;
    uint64_t minutes = seconds / 60;
    uint64_t hours = minutes / 60;
    if (hours >= 24) {
        snprintf(text, UNIT_TEXT_SIZE, "%" PRIu64 "d %02u:%02u", hours / 24, (unsigned)(hours % 24),
                 (unsigned)(minutes % 60));
    } else if (hours > 0) {
        snprintf(text, UNIT_TEXT_SIZE, "%u:%02u:%02u", (unsigned)hours, (unsigned)(minutes % 60),
                 (unsigned)(seconds % 60));
    } else {
        snprintf(text, UNIT_TEXT_SIZE, "%02u:%02u", (unsigned)minutes, (unsigned)(seconds % 60));
    }
}

void format_duration(uint64_t duration_ns, char text[UNIT_TEXT_SIZE]) {
    double seconds = (double)duration_ns / 1e9;
    if (seconds < 0.00995) {
        snprintf(text, UNIT_TEXT_SIZE, "%.1f ms", seconds * 1000);
    } else if (seconds < 0.9995) {
        snprintf(text, UNIT_TEXT_SIZE, "%.0f ms", seconds * 1000);
    } else if (seconds < 120) {
        snprintf(text, UNIT_TEXT_SIZE, "%.2f s", seconds);
    } else {
        uint64_t whole = (uint64_t)(seconds + 0.5);
        snprintf(text, UNIT_TEXT_SIZE, "%" PRIu64 " min %u s", whole / 60, (unsigned)(whole % 60));
    }
}

void format_short(double number, char text[UNIT_TEXT_SIZE]) {
    static const char suffixes[] = {'k', 'M', 'G', 'T', 'P'};
    if (number < 9.95 && number != floor(number)) {
        snprintf(text, UNIT_TEXT_SIZE, "%.1f", number);
        return;
    }
    if (number < 9999.5) {
        snprintf(text, UNIT_TEXT_SIZE, "%.0f", number);
        return;
    }
    size_t i = 0;
    number /= 1000;
    while (number >= 999.5 && i + 1 < sizeof(suffixes)) {
        number /= 1000;
        i++;
    }
    snprintf(text, UNIT_TEXT_SIZE, "%.*f%c", number < 9.995 ? 2 : number < 99.95 ? 1 : 0, number, suffixes[i]);
}

void format_size(uint64_t size, char text[UNIT_TEXT_SIZE]) {
    static const char *const suffixes[] = {"KiB", "MiB", "GiB", "TiB"};
    if (size < 1024) {
        snprintf(text, UNIT_TEXT_SIZE, "%" PRIu64 " B", size);
        return;
    }
    double number = (double)size / 1024;
    size_t i = 0;
    while (number >= 1023.95 && i + 1 < sizeof(suffixes) / sizeof(suffixes[0])) {
        number /= 1024;
        i++;
    }
    snprintf(text, UNIT_TEXT_SIZE, "%.1f %s", number, suffixes[i]);
}
