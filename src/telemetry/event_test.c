/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <slither/value.h>

#include "telemetry/telemetry.h"

static const struct sl_event_field fields[] = {
    SL__UINT("items", 18446744073709551615u),
    SL__INT("signal", -9),
    SL__FLOAT("done", 0.5),
    SL__BOOL("wanted", true),
    SL__TEXT("pool", "fast\xff!"),
    SL__CODE("code", SL_E_TIMEOUT),
};

static struct sl_event event_of(enum sl_event_phase phase) {
    return (struct sl_event){
        .size = sizeof(struct sl_event),
        .name = "slither.test.event",
        .phase = phase,
        .time_ns = 10,
        .wall_ns = 20,
        .fields = fields,
        .field_count = SL_COUNT_OF(fields),
    };
}

static void a_field_is_found_by_its_name(void **state) {
    (void)state;
    struct sl_event event = event_of(SL_EVENT_SINGLE);
    assert_ptr_equal(sl_event_get(&event, "signal"), &fields[1]);
    assert_null(sl_event_get(&event, "sign"));
}

static struct sl_value member(struct sl_value map, const char *name) {
    struct sl_value value;
    assert_int_equal(sl_value_get(map, name, &value), SL_OK);
    return value;
}

static uint64_t number(struct sl_value map, const char *name) {
    uint64_t found = 0;
    assert_int_equal(sl_value_uint(member(map, name), &found), SL_OK);
    return found;
}

static void assert_text(struct sl_value map, const char *name, const char *expected) {
    const char *text;
    size_t size;
    assert_int_equal(sl_value_str(member(map, name), &text, &size), SL_OK);
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(text, expected, size);
}

static void an_event_is_written_as_a_map(void **state) {
    (void)state;
    struct sl_event event = event_of(SL_EVENT_STOP);
    struct sl_writer writer;
    struct sl_value map;
    uint32_t count;
    event.span = 3;
    event.parent = 2;
    sl_writer_init(&writer, NULL);
    sl_event_write(&event, &writer);
    assert_int_equal(sl_writer_end(&writer, &map, NULL), SL_OK);
    assert_int_equal(sl_value_count(map, &count), SL_OK);
    assert_int_equal(count, 7);
    assert_text(map, "name", "slither.test.event");
    assert_int_equal(number(map, "time_ns"), 10);
    assert_int_equal(number(map, "wall_ns"), 20);
    assert_int_equal(number(map, "span"), 3);
    assert_int_equal(number(map, "parent"), 2);
    assert_int_equal(number(map, "duration_ns"), 0);
    struct sl_value inner = member(map, "fields");
    int64_t negative;
    double half;
    bool yes;
    assert_true(number(inner, "items") == UINT64_MAX);
    assert_int_equal(sl_value_int(member(inner, "signal"), &negative), SL_OK);
    assert_int_equal(negative, -9);
    assert_int_equal(sl_value_float(member(inner, "done"), &half), SL_OK);
    assert_true(half == 0.5);
    assert_int_equal(sl_value_bool(member(inner, "wanted"), &yes), SL_OK);
    assert_true(yes);
    assert_text(inner, "pool", "fast?!");
    assert_text(inner, "code", "timeout");
    sl_writer_finish(&writer);
}

static void what_an_event_does_not_have_is_not_written(void **state) {
    (void)state;
    struct sl_event event = event_of(SL_EVENT_SINGLE);
    struct sl_writer writer;
    struct sl_value map, none;
    uint32_t count;
    event.field_count = 0;
    sl_writer_init(&writer, NULL);
    sl_event_write(&event, &writer);
    assert_int_equal(sl_writer_end(&writer, &map, NULL), SL_OK);
    assert_int_equal(sl_value_count(map, &count), SL_OK);
    assert_int_equal(count, 4);
    assert_int_equal(sl_value_get(map, "span", &none), SL_E_NOT_FOUND);
    assert_int_equal(sl_value_count(member(map, "fields"), &count), SL_OK);
    assert_int_equal(count, 0);
    sl_writer_finish(&writer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_field_is_found_by_its_name),
        cmocka_unit_test(an_event_is_written_as_a_map),
        cmocka_unit_test(what_an_event_does_not_have_is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
