/* SPDX-License-Identifier: MIT */
#include "black_box.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "lane/handshake.h"

static void nothing_was_written(void **unused) {
    (void)unused;
    struct sl__black_box box = {.fd = -1};
    assert_null(sl__black_box_text(&box));
    assert_int_equal(sl__black_box_open(&box, NULL), SL_OK);
    assert_null(sl__black_box_text(&box));
    sl__black_box_close(&box);
    sl__black_box_close(&box);
    assert_null(sl__black_box_text(&box));
}

static void what_was_written_is_read(void **unused) {
    (void)unused;
    struct sl__black_box box;
    assert_int_equal(sl__black_box_open(&box, NULL), SL_OK);
    assert_int_equal(write(box.fd, "Fatal\n  in f\n", 13), 13);
    char *text = sl__black_box_text(&box);
    assert_string_equal(text, "Fatal\n  in f\n");
    free(text);
    sl__black_box_close(&box);
}

static void it_does_not_grow_and_is_read_to_a_bound(void **unused) {
    (void)unused;
    struct sl__black_box box;
    static char bytes[2 * SL__BLACK_BOX_SIZE];
    memset(bytes, 'x', sizeof(bytes));
    assert_int_equal(sl__black_box_open(&box, NULL), SL_OK);
    assert_true(write(box.fd, bytes, sizeof(bytes)) <= SL__BLACK_BOX_SIZE);
    assert_int_not_equal(ftruncate(box.fd, 0), 0);
    assert_int_not_equal(ftruncate(box.fd, sizeof(bytes)), 0);
    (void)pwrite(box.fd, bytes, SL__BLACK_BOX_SIZE, 0);
    char *text = sl__black_box_text(&box);
    assert_int_equal(strlen(text), SL__BLACK_BOX_TEXT_MAX);
    free(text);
    sl__black_box_close(&box);
}

static void what_is_no_text_is_made_text(void **unused) {
    (void)unused;
    struct sl__black_box box;
    assert_int_equal(sl__black_box_open(&box, NULL), SL_OK);
    static const char bytes[] = "a\x1b[2J\xff\xfe \xc3\xa4\x7f\n";
    assert_int_equal(write(box.fd, bytes, sizeof(bytes) - 1), sizeof(bytes) - 1);
    char *text = sl__black_box_text(&box);
    assert_string_equal(text, "a?[2J?? \xc3\xa4?\n");
    assert_int_equal(sl__utf8_valid_size(text, strlen(text)), strlen(text));
    free(text);
    sl__black_box_close(&box);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_was_written),
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(it_does_not_grow_and_is_read_to_a_bound),
        cmocka_unit_test(what_is_no_text_is_made_text),
    };
    return cmocka_run_group_tests_name("black_box", tests, NULL, NULL);
}
