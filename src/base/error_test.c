/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <slither/error.h>
#include <slither/version.h>

#include "base/utf8.h"

static const int all_codes[] = {
#define CODE(enumerator, number, name, retryable, text) number,
    SL_CODE_LIST(CODE)
#undef CODE
};

static void names_lead_back_to_their_code(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(all_codes) / sizeof(all_codes[0]); i++) {
        const char *name = sl_code_name((enum sl_code)all_codes[i]);
        assert_string_not_equal(name, "unknown");
        assert_int_equal(sl_code_from_name(name), all_codes[i]);
        assert_true(strlen(sl_code_text((enum sl_code)all_codes[i])) > 0);
    }
}

/* These numbers and names are stored and sent by others: a change of one is a broken promise. */
static void numbers_and_names_are_stable(void **state) {
    (void)state;
    assert_int_equal(SL_OK, 0);
    assert_int_equal(sl_code_from_name("invalid_argument"), 1);
    assert_int_equal(sl_code_from_name("cancelled"), 13);
    assert_int_equal(sl_code_from_name("end"), 16);
    assert_int_equal(sl_code_from_name("python_exception"), 20);
    assert_int_equal(sl_code_from_name("worker_crashed"), 21);
    assert_int_equal(sl_code_from_name("worker_killed_timeout"), 22);
    assert_int_equal(sl_code_from_name("executor_failed"), 39);
}

static void numbers_that_are_no_codes_have_answers(void **state) {
    (void)state;
    assert_string_equal(sl_code_name((enum sl_code)17), "unknown");
    assert_string_equal(sl_code_name((enum sl_code)9999), "unknown");
    assert_non_null(sl_code_text((enum sl_code)9999));
    assert_false(sl_code_retryable((enum sl_code)9999));
    assert_int_equal(sl_code_from_name("unknown"), -1);
    assert_int_equal(sl_code_from_name(""), -1);
    assert_int_equal(sl_code_from_name(NULL), -1);
}

static void crashes_are_retryable_and_exceptions_are_not(void **state) {
    (void)state;
    assert_true(sl_code_retryable(SL_E_WORKER_CRASHED));
    assert_true(sl_code_retryable(SL_E_WORKER_TIMEOUT));
    assert_false(sl_code_retryable(SL_E_PYTHON));
    assert_false(sl_code_retryable(SL_OK));
}

static void set_formats_and_returns_the_code(void **state) {
    (void)state;
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(sl_error_set(&error, SL_E_TYPE, "expected %s, found %d", "str", 7), SL_E_TYPE);
    assert_int_equal(error.code, SL_E_TYPE);
    assert_string_equal(error.message, "expected str, found 7");
    assert_int_equal(sl_error_set(NULL, SL_E_RANGE, "nobody %s", "listens"), SL_E_RANGE);
    sl_error_finish(&error);
}

static void set_clears_what_an_earlier_error_left(void **state) {
    (void)state;
    struct sl_error error = SL_ERROR_INIT;
    error.traceback = strdup("Traceback");
    error.stderr_tail = strdup("last words");
    error.term_signal = 9;
    error.worker = 3;
    error.generation = 2;
    sl_error_set(&error, SL_E_LIMIT, "full");
    assert_null(error.traceback);
    assert_null(error.stderr_tail);
    assert_int_equal(error.term_signal, 0);
    assert_int_equal(error.exit_status, -1);
    assert_true(error.worker == UINT32_MAX);
    assert_int_equal(error.generation, 0);
    assert_int_equal(error.size, sizeof(error));
    sl_error_finish(&error);
}

static void arguments_may_point_into_the_error(void **state) {
    (void)state;
    struct sl_error error = SL_ERROR_INIT;
    sl_error_set(&error, SL_E_SYSTEM, "disk full");
    error.traceback = strdup("line 1");
    sl_error_set(&error, SL_E_SOURCE, "source: %s (%s)", error.message, error.traceback);
    assert_string_equal(error.message, "source: disk full (line 1)");
    sl_error_finish(&error);
}

static void long_messages_are_cut_between_characters(void **state) {
    (void)state;
    char text[2 * SL_ERROR_MESSAGE_SIZE];
    /* Two-byte characters behind one byte of ASCII or none: one of the two ends in the middle of a character. */
    for (size_t shift = 0; shift < 2; shift++) {
        memset(text, 'x', shift);
        for (size_t i = shift; i + 2 < sizeof(text); i += 2) {
            memcpy(text + i, "\xC3\xA9", 3);
        }
        struct sl_error error = SL_ERROR_INIT;
        sl_error_set(&error, SL_E_PYTHON, "%s", text);
        size_t length = strlen(error.message);
        assert_true(length >= SL_ERROR_MESSAGE_SIZE - 2);
        assert_int_equal(sl__utf8_valid_size(error.message, length), length);
        assert_null(strchr(error.message, '?'));
        sl_error_finish(&error);
    }
}

static void bytes_that_are_not_utf8_become_question_marks(void **state) {
    (void)state;
    struct sl_error error = SL_ERROR_INIT;
    sl_error_set(&error, SL_E_IMPORT, "path /tmp/%s/x",
                 "\xFF\xC3"
                 "caf\xC3\xA9");
    assert_string_equal(error.message, "path /tmp/?\?caf\xC3\xA9/x");
    sl_error_finish(&error);
}

static void copy_owns_its_own_texts(void **state) {
    (void)state;
    struct sl_error from = SL_ERROR_INIT;
    struct sl_error to = SL_ERROR_INIT;
    sl_error_set(&from, SL_E_WORKER_CRASHED, "died");
    from.traceback = strdup("tb");
    from.stderr_tail = strdup("tail");
    from.term_signal = 11;
    to.traceback = strdup("replaced");
    sl_error_copy(&to, &from);
    sl_error_finish(&from);
    assert_int_equal(to.code, SL_E_WORKER_CRASHED);
    assert_string_equal(to.message, "died");
    assert_string_equal(to.traceback, "tb");
    assert_string_equal(to.stderr_tail, "tail");
    assert_int_equal(to.term_signal, 11);
    sl_error_copy(&to, &to);
    assert_string_equal(to.traceback, "tb");
    sl_error_copy(NULL, &to);
    sl_error_copy(&to, NULL);
    assert_int_equal(to.code, SL_OK);
    assert_null(to.traceback);
    sl_error_finish(&to);
}

static void finish_is_idempotent_and_takes_null_and_zeroes(void **state) {
    (void)state;
    struct sl_error zeroed;
    memset(&zeroed, 0, sizeof(zeroed));
    sl_error_finish(&zeroed);
    sl_error_finish(&zeroed);
    sl_error_finish(NULL);
    assert_int_equal(zeroed.code, SL_OK);
    assert_int_equal(zeroed.exit_status, -1);
}

static void version_is_the_header_s(void **state) {
    (void)state;
    assert_string_equal(sl_version(), SL_VERSION_STRING);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_lead_back_to_their_code),
        cmocka_unit_test(numbers_and_names_are_stable),
        cmocka_unit_test(numbers_that_are_no_codes_have_answers),
        cmocka_unit_test(crashes_are_retryable_and_exceptions_are_not),
        cmocka_unit_test(set_formats_and_returns_the_code),
        cmocka_unit_test(set_clears_what_an_earlier_error_left),
        cmocka_unit_test(arguments_may_point_into_the_error),
        cmocka_unit_test(long_messages_are_cut_between_characters),
        cmocka_unit_test(bytes_that_are_not_utf8_become_question_marks),
        cmocka_unit_test(copy_owns_its_own_texts),
        cmocka_unit_test(finish_is_idempotent_and_takes_null_and_zeroes),
        cmocka_unit_test(version_is_the_header_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
