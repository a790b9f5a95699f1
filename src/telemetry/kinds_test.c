/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kinds.h"

static void every_kind_is_whole_and_no_name_is_there_twice(void **state) {
    (void)state;
    assert_int_equal(sl_event_kind_count(), SL__TELEMETRY_COUNT);
    for (uint32_t i = 0; i < sl_event_kind_count(); i++) {
        const struct sl_event_kind *kind = sl_event_kind_at(i);
        assert_int_equal(kind->size, sizeof *kind);
        assert_int_equal(strncmp(kind->name, "slither.", 8), 0);
        assert_in_range(strlen(kind->name), 9, SL__EVENT_NAME_MAX - 1);
        assert_true(kind->text[0] != '\0');
        assert_in_range(kind->field_count, 1, SL_EVENT_FIELDS_MAX);
        for (uint32_t k = 0; k < i; k++) {
            assert_string_not_equal(kind->name, sl_event_kind_at(k)->name);
        }
        for (uint32_t k = 0; k < kind->field_count; k++) {
            assert_true(kind->fields[k].name[0] != '\0' && kind->fields[k].text[0] != '\0');
            assert_string_not_equal(sl_field_type_name(kind->fields[k].type), "unknown");
        }
    }
    assert_null(sl_event_kind_at(sl_event_kind_count()));
    assert_string_equal(sl_field_type_name((enum sl_field_type)99), "unknown");
}

/* Wants of the end of a span are found at its start by their distance. */
static void a_span_is_three_kinds_in_a_row(void **state) {
    (void)state;
    static const char *const ends[] = {".start", ".stop", ".exception"};
    for (uint32_t i = 0; i < sl_event_kind_count(); i++) {
        const struct sl_event_kind *kind = sl_event_kind_at(i);
        const char *last = strrchr(kind->name, '.');
        bool named = strcmp(last, ends[0]) == 0 || strcmp(last, ends[1]) == 0 || strcmp(last, ends[2]) == 0;
        assert_int_equal(kind->phase != SL_EVENT_SINGLE, named);
        if (kind->phase != SL_EVENT_START) {
            continue;
        }
        for (uint32_t k = 0; k < 3; k++) {
            const struct sl_event_kind *of = sl_event_kind_at(i + k);
            assert_int_equal(of->phase, SL_EVENT_START + k);
            assert_int_equal(strncmp(of->name, kind->name, (size_t)(last - kind->name)), 0);
            assert_string_equal(of->name + (last - kind->name), ends[k]);
        }
        const struct sl_event_kind *exception = sl_event_kind_at(i + 2);
        bool has_code = false;
        for (uint32_t k = 0; k < exception->field_count; k++) {
            has_code |= exception->fields[k].type == SL_FIELD_CODE && strcmp(exception->fields[k].name, "code") == 0;
        }
        assert_true(has_code);
    }
}

static uint64_t bit(enum sl__telemetry_event event) {
    return (uint64_t)1 << event;
}

static void a_prefix_ends_at_a_dot(void **state) {
    (void)state;
    uint64_t all = ((uint64_t)1 << (SL__TELEMETRY_COUNT - 1) << 1) - 1;
    assert_int_equal(sl__event_matches(""), all);
    assert_int_equal(sl__event_matches("slither"), all);
    assert_int_equal(sl__event_matches("slither."), all);
    uint64_t batch = bit(SL__TELEMETRY_DISPATCH_BATCH_START) | bit(SL__TELEMETRY_DISPATCH_BATCH_STOP) |
                     bit(SL__TELEMETRY_DISPATCH_BATCH_EXCEPTION);
    assert_int_equal(sl__event_matches("slither.dispatch"), batch);
    assert_int_equal(sl__event_matches("slither.dispatch.batch."), batch);
    assert_int_equal(sl__event_matches("slither.dispatch.batch.stop"), bit(SL__TELEMETRY_DISPATCH_BATCH_STOP));
    assert_int_equal(sl__event_matches("slither.disp"), 0);
    assert_int_equal(sl__event_matches("slither.dispatch.batch.stop.more"), 0);
    assert_int_equal(sl__event_matches("dispatch"), 0);
    assert_int_equal(sl__event_matches("."), all); /* the dot that may stand at the end, of nothing */
}

static void assert_nearest(const char *given, const char *expected) {
    const char *nearest = NULL;
    size_t size = sl__event_nearest(given, &nearest);
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(nearest, expected, size);
}

static void the_nearest_name_is_found(void **state) {
    (void)state;
    assert_nearest("slither.disp", "slither.dispatch");
    assert_nearest("slither.dispach.batch.stop", "slither.dispatch.batch.stop");
    assert_nearest("slither.workers", "slither.worker");
    assert_nearest("slither.store.writes", "slither.store.write");
    char longer[1000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    const char *nearest = NULL;
    assert_in_range(sl__event_nearest(longer, &nearest), 1, SL__EVENT_NAME_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_is_whole_and_no_name_is_there_twice),
        cmocka_unit_test(a_span_is_three_kinds_in_a_row),
        cmocka_unit_test(a_prefix_ends_at_a_dot),
        cmocka_unit_test(the_nearest_name_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
