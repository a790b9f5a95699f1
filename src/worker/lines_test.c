/* SPDX-License-Identifier: MIT */
#include "lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"

#define GIVEN_MAX 4096

struct heard {
    char *lines[GIVEN_MAX];
    size_t sizes[GIVEN_MAX];
    size_t count;
};

static void hear(void *context, const char *text, size_t size) {
    struct heard *heard = context;
    assert_true(heard->count < GIVEN_MAX);
    assert_int_equal(strlen(text), size);
    assert_true(size <= SL__LOG_PIECE_SIZE);
    assert_int_equal(sl__utf8_valid_size(text, size), size);
    heard->lines[heard->count] = strdup(text);
    heard->sizes[heard->count++] = size;
}

static void forget(struct heard *heard) {
    for (size_t i = 0; i < heard->count; i++) {
        free(heard->lines[i]);
    }
    heard->count = 0;
}

struct expectation {
    const char *bytes;
    size_t size;
    const char *lines[6];
};

#define BYTES(text) (text), sizeof(text) - 1

static const struct expectation expectations[] = {
    {BYTES("one\ntwo\n"), {"one", "two"}},
    {BYTES("no newline"), {"no newline"}},
    {BYTES("a\r\nb\r\n"), {"a", "b"}},
    {BYTES("\n\nx\n"), {"", "", "x"}},
    {BYTES("10%\r20%\r30%\n"), {"10%", "20%", "30%"}},
    {BYTES("gr\xc3\xbc\xc3\x9f"
           "e \xe2\x82\xac \xf0\x9f\x90\x8d\n"),
     {"gr\xc3\xbc\xc3\x9f"
      "e \xe2\x82\xac \xf0\x9f\x90\x8d"}},
    {BYTES("bad \xff byte\n"), {"bad \\xff byte"}},
    {BYTES("cut \xe2\x82\n"), {"cut \\xe2\\x82"}},
    {BYTES("cut at end \xf0\x9f"), {"cut at end \\xf0\\x9f"}},
    {BYTES("overlong \xc0\xaf \xe0\x80\x80.\n"), {"overlong \\xc0\\xaf \\xe0\\x80\\x80."}},
    {BYTES("surrogate \xed\xa0\x80\n"), {"surrogate \\xed\\xa0\\x80"}},
    {BYTES("nul \0 byte\n"), {"nul \\x00 byte"}},
    {BYTES("restart \xe2\xe2\x82\xac\n"), {"restart \\xe2\xe2\x82\xac"}},
};

static void check(const struct expectation *expected, size_t step) {
    static struct sl__lines lines;
    struct heard heard = {.count = 0};
    sl__lines_init(&lines, false, NULL, hear, &heard);
    for (size_t at = 0; at < expected->size; at += step) {
        sl__lines_feed(&lines, expected->bytes + at, step < expected->size - at ? step : expected->size - at);
    }
    sl__lines_flush(&lines);
    for (size_t i = 0; i < heard.count; i++) {
        assert_non_null(expected->lines[i]);
        assert_string_equal(heard.lines[i], expected->lines[i]);
    }
    assert_null(expected->lines[heard.count]);
    forget(&heard);
    sl__lines_finish(&lines);
}

static void bytes_become_lines_of_text(void **unused) {
    (void)unused;
    for (size_t i = 0; i < sizeof(expectations) / sizeof(expectations[0]); i++) {
        check(&expectations[i], expectations[i].size);
    }
}

static void it_does_not_matter_how_the_bytes_arrive(void **unused) {
    (void)unused;
    for (size_t i = 0; i < sizeof(expectations) / sizeof(expectations[0]); i++) {
        for (size_t step = 1; step < 6; step++) {
            /* A carriage return that is the last byte of a read cannot know its newline: an empty line may be seen. */
            if (memchr(expectations[i].bytes, '\r', expectations[i].size) == NULL) {
                check(&expectations[i], step);
            }
        }
    }
}

static void a_long_line_comes_in_pieces_cut_between_characters(void **unused) {
    (void)unused;
    static struct sl__lines lines;
    struct heard heard = {.count = 0};
    sl__lines_init(&lines, false, NULL, hear, &heard);
    const size_t characters = 10000;
    for (size_t i = 0; i < characters; i++) {
        sl__lines_feed(&lines, "\xe2\x82\xac", 3);
    }
    sl__lines_feed(&lines, "\n", 1);
    size_t total = 0;
    for (size_t i = 0; i < heard.count; i++) {
        total += heard.sizes[i];
    }
    assert_int_equal(total, characters * 3);
    assert_int_equal(heard.count, characters * 3 / SL__LOG_PIECE_SIZE + 1);
    forget(&heard);
    sl__lines_finish(&lines);
}

static void the_tail_is_the_last_lines(void **unused) {
    (void)unused;
    static struct sl__lines lines;
    struct heard heard = {.count = 0};
    sl__lines_init(&lines, true, NULL, hear, &heard);
    assert_null(sl__lines_tail(&lines));
    assert_null(sl__lines_last(&lines));
    for (int i = 0; i < 100; i++) {
        char line[32];
        int size = snprintf(line, sizeof(line), "line %d\n", i);
        sl__lines_feed(&lines, line, (size_t)size);
    }
    char *tail = sl__lines_tail(&lines);
    assert_non_null(tail);
    assert_true(strncmp(tail, "line 80\nline 81\n", 16) == 0);
    assert_string_equal(tail + strlen(tail) - 7, "line 99");
    assert_string_equal(sl__lines_last(&lines), "line 99");
    free(tail);
    forget(&heard);
    sl__lines_finish(&lines);
    assert_null(sl__lines_last(&lines));
}

static void the_line_that_tells_of_a_crash_is_found(void **unused) {
    (void)unused;
    static struct sl__lines lines;
    struct heard heard = {.count = 0};
    static const char crash[] = "loading\nFatal Python error: Aborted\n\n  File \"model.py\", line 4 in <module>\n";
    sl__lines_init(&lines, true, NULL, hear, &heard);
    assert_null(sl__lines_fatal(&lines));
    sl__lines_feed(&lines, crash, sizeof(crash) - 1);
    assert_string_equal(sl__lines_fatal(&lines), "Fatal Python error: Aborted");
    for (int i = 0; i < SL__TAIL_LINES; i++) {
        sl__lines_feed(&lines, "more\n", 5);
    }
    assert_null(sl__lines_fatal(&lines)); /* it is not kept any more */
    forget(&heard);
    sl__lines_finish(&lines);
    assert_null(sl__lines_fatal(&lines));
}

static void a_line_of_the_tail_is_bounded(void **unused) {
    (void)unused;
    static struct sl__lines lines;
    struct heard heard = {.count = 0};
    sl__lines_init(&lines, true, NULL, hear, &heard);
    for (int i = 0; i < 1000; i++) {
        sl__lines_feed(&lines, "\xe2\x82\xac", 3);
    }
    sl__lines_flush(&lines);
    const char *last = sl__lines_last(&lines);
    assert_true(strlen(last) <= SL__TAIL_LINE_SIZE && strlen(last) > SL__TAIL_LINE_SIZE - 4);
    assert_int_equal(sl__utf8_valid_size(last, strlen(last)), strlen(last));
    forget(&heard);
    sl__lines_finish(&lines);
}

/* Whatever comes in: what goes out is text within the bounds, which `hear` checks. */
static void noise_becomes_text(void **unused) {
    (void)unused;
    static struct sl__lines lines;
    const char *given = getenv("SLITHER_TEST_SEED");
    unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    struct heard heard = {.count = 0};
    sl__lines_init(&lines, true, NULL, hear, &heard);
    for (int round = 0; round < 200; round++) {
        char bytes[512];
        size_t size = (size_t)(rand_r(&seed) % (int)sizeof(bytes)) + 1;
        for (size_t i = 0; i < size; i++) {
            int kind = rand_r(&seed) % 8;
            bytes[i] = (char)(kind == 0  ? "\n\r\0\xff"[rand_r(&seed) % 4]
                              : kind < 5 ? 0x80 | rand_r(&seed)
                                         : rand_r(&seed));
        }
        sl__lines_feed(&lines, bytes, size);
        if (heard.count > GIVEN_MAX / 2) {
            forget(&heard);
        }
    }
    sl__lines_flush(&lines);
    forget(&heard);
    sl__lines_finish(&lines);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_become_lines_of_text),
        cmocka_unit_test(it_does_not_matter_how_the_bytes_arrive),
        cmocka_unit_test(a_long_line_comes_in_pieces_cut_between_characters),
        cmocka_unit_test(the_tail_is_the_last_lines),
        cmocka_unit_test(the_line_that_tells_of_a_crash_is_found),
        cmocka_unit_test(a_line_of_the_tail_is_bounded),
        cmocka_unit_test(noise_becomes_text),
    };
    return cmocka_run_group_tests_name("lines", tests, NULL, NULL);
}
