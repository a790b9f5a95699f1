/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "console.h"

static void of_a_file(void **state) {
    (void)state;
    struct progress progress = {.items = 1200,
                                .ok = 1000,
                                .failed = 3,
                                .in_flight = 197,
                                .elapsed_ns = 10000000000u,
                                .position = 420,
                                .size = 1000};
    char text[PROGRESS_TEXT_SIZE];
    progress_format(&progress, 120, text);
    assert_string_equal(text,
                        "[==========>             ]  42%  1000 ok  3 failed  197 in flight  100/s  00:10  00:13 left");
}

static void of_a_pipe(void **state) {
    (void)state;
    struct progress progress = {.items = 12345, .ok = 12345, .elapsed_ns = 65000000000u, .position = 99999};
    char text[PROGRESS_TEXT_SIZE];
    progress_format(&progress, 120, text);
    assert_string_equal(text, "12.3k ok  0 in flight  190/s  01:05");
}

/* Whatever the numbers and the width: it fits, and no part of it is cut. */
static void fits(void **state) {
    (void)state;
    struct progress progress = {.items = 123456789,
                                .ok = 100000000,
                                .failed = 2345678,
                                .skipped = 1111111,
                                .in_flight = 20000000,
                                .elapsed_ns = (uint64_t)90000 * 1000000000,
                                .position = 999999999,
                                .size = 1000000000};
    char whole[PROGRESS_TEXT_SIZE];
    progress_format(&progress, 250, whole);
    for (unsigned width = 0; width < 200; width++) {
        char text[PROGRESS_TEXT_SIZE];
        size_t size = progress_format(&progress, width, text);
        assert_int_equal(size, strlen(text));
        assert_true(size <= width);
        const char *part = text[0] == '[' ? strchr(text, ']') + 1 : text;
        while (*part != '\0') {
            part += strspn(part, " ");
            const char *gap = strstr(part, "  ");
            size_t part_size = gap != NULL ? (size_t)(gap - part) : strlen(part);
            assert_non_null(memmem(whole, strlen(whole), part, part_size));
            part += part_size;
        }
    }
}

static void nothing_yet(void **state) {
    (void)state;
    struct progress progress = {.size = 100};
    char text[PROGRESS_TEXT_SIZE];
    progress_format(&progress, 80, text);
    assert_non_null(strstr(text, "]   0%  0 ok  0 in flight  00:00"));
    assert_null(strstr(text, "left"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_a_file),
        cmocka_unit_test(of_a_pipe),
        cmocka_unit_test(fits),
        cmocka_unit_test(nothing_yet),
    };
    return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
