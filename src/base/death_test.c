/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <slither/death.h>
#include <slither/error.h>

static void every_cause_has_a_name_of_its_own(void **state) {
    (void)state;
    for (int i = 0; i < SL_DEATH_CAUSE_COUNT; i++) {
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(sl_death_cause_name((enum sl_death_cause)i),
                                    sl_death_cause_name((enum sl_death_cause)j));
        }
    }
    assert_string_equal(sl_death_cause_name((enum sl_death_cause)SL_DEATH_CAUSE_COUNT), "unknown");
    assert_string_equal(sl_activity_name(SL_ACTIVITY_NATIVE), "native");
    assert_string_equal(sl_activity_name((enum sl_activity)99), "unknown");
}

static void a_copy_owns_its_texts(void **state) {
    (void)state;
    struct sl_death death = {.size = sizeof(death), .cause = SL_DEATH_SIGNAL, .worker = 3, .term_signal = 11};
    death.traceback = strdup("File \"a.py\", line 1 in f");
    death.item_ids[63] = 7;
    struct sl_death *copy = sl_death_copy(&death);
    assert_non_null(copy);
    assert_ptr_not_equal(copy->traceback, death.traceback);
    free(death.traceback);
    assert_string_equal(copy->traceback, "File \"a.py\", line 1 in f");
    assert_null(copy->evidence);
    assert_int_equal(copy->worker, 3);
    assert_int_equal(copy->item_ids[63], 7);
    sl_death_destroy(copy);
    assert_null(sl_death_copy(NULL));
    sl_death_destroy(NULL);
}

static void an_error_owns_its_certificate(void **state) {
    (void)state;
    const struct sl_death death = {.size = sizeof(death), .cause = SL_DEATH_TIMEOUT, .generation = 2};
    struct sl_error error = SL_ERROR_INIT, other = SL_ERROR_INIT;
    sl_error_set(&error, SL_E_WORKER_TIMEOUT, "late");
    error.death = sl_death_copy(&death);
    sl_error_copy(&other, &error);
    assert_non_null(other.death);
    assert_ptr_not_equal(other.death, error.death);
    assert_int_equal(other.death->generation, 2);
    sl_error_set(&error, SL_E_TYPE, "another");
    assert_null(error.death);
    sl_error_finish(&other);
    assert_null(other.death);
    sl_error_finish(&error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cause_has_a_name_of_its_own),
        cmocka_unit_test(a_copy_owns_its_texts),
        cmocka_unit_test(an_error_owns_its_certificate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
