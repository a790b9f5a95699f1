/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"

static size_t encode(uint32_t point, char *out) {
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (char)(0xC0 | point >> 6);
        out[1] = (char)(0x80 | (point & 0x3F));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (char)(0xE0 | point >> 12);
        out[1] = (char)(0x80 | (point >> 6 & 0x3F));
        out[2] = (char)(0x80 | (point & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | point >> 18);
    out[1] = (char)(0x80 | (point >> 12 & 0x3F));
    out[2] = (char)(0x80 | (point >> 6 & 0x3F));
    out[3] = (char)(0x80 | (point & 0x3F));
    return 4;
}

static void every_code_point_is_judged_rightly(void **state) {
    (void)state;
    for (uint32_t point = 0; point < 0x120000; point++) {
        char text[5];
        size_t size = encode(point, text);
        int valid = point <= 0x10FFFF && (point < 0xD800 || point > 0xDFFF);
        if (sl__utf8_valid_size(text, size) != (valid ? size : 0)) {
            fail_msg("U+%04X judged wrongly", (unsigned)point);
        }
        /* Cut off anywhere, it is not valid, also where more bytes follow. */
        for (size_t cut = 1; cut < size; cut++) {
            char follow[5];
            memcpy(follow, text, cut);
            follow[cut] = 'x';
            if (sl__utf8_valid_size(text, cut) != 0 || sl__utf8_valid_size(follow, cut + 1) != 0) {
                fail_msg("U+%04X cut after %zu bytes was accepted", (unsigned)point, cut);
            }
        }
    }
}

static void overlong_forms_are_refused(void **state) {
    (void)state;
    assert_int_equal(sl__utf8_valid_size("\xC0\x80", 2), 0);
    assert_int_equal(sl__utf8_valid_size("\xC1\xBF", 2), 0);
    assert_int_equal(sl__utf8_valid_size("\xE0\x9F\xBF", 3), 0);
    assert_int_equal(sl__utf8_valid_size("\xF0\x8F\xBF\xBF", 4), 0);
    assert_int_equal(sl__utf8_valid_size("\xF8\x88\x80\x80\x80", 5), 0);
}

static void the_offset_of_the_first_fault_is_found_at_any_alignment(void **state) {
    (void)state;
    char text[64];
    for (size_t fault = 0; fault < sizeof(text); fault++) {
        memset(text, 'a', sizeof(text));
        text[fault] = '\xFF';
        assert_int_equal(sl__utf8_valid_size(text, sizeof(text)), fault);
    }
    memset(text, 0, sizeof(text));
    assert_int_equal(sl__utf8_valid_size(text, sizeof(text)), sizeof(text));
    assert_int_equal(sl__utf8_valid_size(text, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_is_judged_rightly),
        cmocka_unit_test(overlong_forms_are_refused),
        cmocka_unit_test(the_offset_of_the_first_fault_is_found_at_any_alignment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
