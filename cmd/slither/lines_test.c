/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lines.h"

/*
 * What the reader makes of a stream, as "LINE|LINE|", a too long one as "<N>"; the stream is handed over `piece`
 * bytes at a time.
 */
static char *read_pieces(const char *bytes, size_t size, size_t piece, size_t line_max) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct line_reader reader;
    line_reader_init(&reader, ends[0], -1, line_max);
    char *text = calloc(1, 2 * size + 1024);
    size_t used = 0;
    size_t given = 0;
    uint64_t number = 0;
    for (;;) {
        struct line line;
        enum line_result result = line_reader_next(&reader, &line);
        if (result == LINE_END) {
            break;
        }
        if (result == LINE_MORE) {
            if (given < size) {
                size_t part = size - given < piece ? size - given : piece;
                assert_int_equal(write(ends[1], bytes + given, part), part);
                given += part;
            } else if (ends[1] >= 0) {
                close(ends[1]);
                ends[1] = -1;
            }
            assert_int_equal(line_reader_fill(&reader), LINE_OK);
            continue;
        }
        assert_int_equal(line.number, ++number);
        if (line.overlong > 0) {
            used += (size_t)sprintf(text + used, "<%zu>|", (size_t)line.overlong);
        } else {
            memcpy(text + used, line.text, line.size);
            used += line.size;
            text[used++] = '|';
        }
    }
    assert_int_equal(reader.offset, size);
    line_reader_finish(&reader);
    close(ends[0]);
    if (ends[1] >= 0) {
        close(ends[1]);
    }
    return text;
}

static void check(const char *bytes, size_t size, size_t line_max, const char *expected) {
    for (size_t piece = 1; piece <= size + 1; piece++) {
        char *text = read_pieces(bytes, size, piece, line_max);
        assert_string_equal(text, expected);
        free(text);
    }
}

static void ends_of_lines(void **state) {
    (void)state;
    check("a\nb\n", 4, 100, "a|b|");
    check("a\nb", 3, 100, "a|b|");
    check("a\r\nb\r\n", 6, 100, "a|b|");
    check("\n\n", 2, 100, "||");
    check("", 0, 100, "");
    check("\r", 1, 100, "|");
    check("a\rb\n", 4, 100, "a\rb|");
}

static void byte_order_mark(void **state) {
    (void)state;
    check("\xef\xbb\xbf"
          "1\n2\n",
          7, 100, "1|2|");
    check("\xef\xbb\xbf", 3, 100, "");
    check("\xef\xbb", 2, 100, "\xef\xbb|");
    check("1\n\xef\xbb\xbf"
          "2\n",
          7, 100,
          "1|\xef\xbb\xbf"
          "2|");
}

static void too_long(void **state) {
    (void)state;
    check("12345\n123456\n12\n", 16, 5, "12345|<6>|12|");
    check("12345\r\n12\n", 10, 5, "12345|12|");
    check("123456789", 9, 5, "<9>|");
    check("1234567890123456789012345678901234567890\nx", 42, 1, "<40>|x|");
}

/* The length of a line that is dropped as it comes does not show in memory. */
static void too_long_is_not_kept(void **state) {
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    char *block = malloc(1 << 20);
    memset(block, 'x', 1 << 20);
    for (int i = 0; i < 64; i++) {
        assert_int_equal(fwrite(block, 1, 1 << 20, file), 1 << 20);
    }
    fputs("\nshort\n", file);
    rewind(file);
    struct line_reader reader;
    struct line line;
    line_reader_init(&reader, fileno(file), -1, 1 << 20);
    enum line_result result;
    while ((result = line_reader_next(&reader, &line)) == LINE_MORE) {
        assert_int_equal(line_reader_fill(&reader), LINE_OK);
        assert_true(reader.capacity <= 4 << 20);
    }
    assert_int_equal(result, LINE_OK);
    assert_int_equal(line.overlong, 64 << 20);
    while ((result = line_reader_next(&reader, &line)) == LINE_MORE) {
        assert_int_equal(line_reader_fill(&reader), LINE_OK);
    }
    assert_int_equal(result, LINE_OK);
    assert_int_equal(line.size, 5);
    assert_memory_equal(line.text, "short", 5);
    line_reader_finish(&reader);
    free(block);
    fclose(file);
}

static void stops(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    int stop = eventfd(1, 0);
    struct line_reader reader;
    line_reader_init(&reader, ends[0], stop, 100);
    assert_int_equal(line_reader_fill(&reader), LINE_STOPPED);
    line_reader_finish(&reader);
    close(stop);
    close(ends[0]);
    close(ends[1]);
}

static void sniffs(void **state) {
    (void)state;
    assert_non_null(strstr(lines_sniff("\x1f\x8b\x08", 3), "gzip"));
    assert_non_null(strstr(lines_sniff("\xff\xfe{", 3), "UTF-16"));
    assert_non_null(strstr(lines_sniff("[", 1), "jq -c"));
    assert_non_null(strstr(lines_sniff("{ ", 2), "jq -c"));
    assert_null(lines_sniff("hello", 5));
    assert_null(lines_sniff("{\"a\": tru}", 10));
    assert_null(lines_sniff("\x1f", 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_of_lines),        cmocka_unit_test(byte_order_mark), cmocka_unit_test(too_long),
        cmocka_unit_test(too_long_is_not_kept), cmocka_unit_test(stops),           cmocka_unit_test(sniffs),
    };
    return cmocka_run_group_tests_name("lines", tests, NULL, NULL);
}
