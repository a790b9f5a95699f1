/* SPDX-License-Identifier: MIT */
/* Following a ring as another process does: by a control file that it has mapped for itself. What hosts see is in watch_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"
#include "store/changes.h"

#define CHANGE_BYTES 4096

static char directory[SCRATCH_SIZE];
static struct sl__control *writer;
static size_t writer_size, reader_size;
static const struct sl__control *reader;
static struct sl__change_list list;
static uint64_t version;
static uint32_t followed;
static unsigned firsts;

static int open_ring(void **state) {
    (void)state;
    scratch_folder(directory, "changes-test");
    assert_int_equal(sl__control_create(directory, 8, CHANGE_BYTES, &writer, &writer_size, NULL), SL_OK);
    assert_int_equal(sl__control_attach(directory, &reader, &reader_size, NULL), SL_OK);
    version = 0;
    firsts = 0;
    followed = 1;
    return 0;
}

static int close_ring(void **state) {
    char path[SCRATCH_SIZE + 16];
    (void)state;
    sl__change_list_finish(&list);
    sl__control_detach(reader, reader_size);
    sl__control_destroy(writer, writer_size);
    snprintf(path, sizeof path, "%s/control", directory);
    unlink(path);
    rmdir(directory);
    return 0;
}

/* Keys are one byte that is no encoding; nothing here decodes them. */
static void publish(enum sl_change_kind kind, uint32_t number, int key) {
    const uint8_t byte = (uint8_t)key;
    sl__change_list_add(&list, writer, kind, number, &byte, key < 0 ? 0 : 1);
    sl__control_publish(writer, ++version, &list);
}

static uint32_t number_of(void *context, bool first) {
    assert_ptr_equal(context, &followed);
    firsts += first;
    return followed;
}

static void expect(struct sl__changes *changes, enum sl_change_kind kind, int key, uint64_t at) {
    struct sl__change_record record;
    assert_int_equal(sl__changes_take(changes, &record), SL_OK);
    assert_int_equal(record.kind, kind);
    assert_int_equal(record.key_size, key < 0 ? 0 : 1);
    if (key >= 0) {
        assert_int_equal(record.key[0], key);
    }
    assert_int_equal(record.version, at);
}

static void expect_nothing(struct sl__changes *changes) {
    struct sl__change_record record;
    assert_int_equal(sl__changes_take(changes, &record), SL_E_AGAIN);
}

static void changes_of_a_key_are_one(void **state) {
    struct sl__changes changes;
    const struct sl__key_range all = {.low_size = 0};
    (void)state;
    publish(SL_CHANGE_PUT, 1, 1); /* before */
    assert_int_equal(sl__changes_init(&changes, reader, &all, 10, number_of, &followed, NULL), SL_OK);
    expect_nothing(&changes);
    assert_int_equal(firsts, 0);
    publish(SL_CHANGE_PUT, 1, 7);
    publish(SL_CHANGE_PUT, 2, 8);
    publish(SL_CHANGE_PUT, 1, 9);
    publish(SL_CHANGE_DELETE, 1, 7);
    publish(SL_CHANGE_TABLE, 1, -1);
    expect(&changes, SL_CHANGE_DELETE, 7, 5);
    assert_int_equal(firsts, 1);
    expect(&changes, SL_CHANGE_PUT, 9, 4);
    publish(SL_CHANGE_PUT, 1, 9); /* again, after it was taken */
    expect(&changes, SL_CHANGE_TABLE, -1, 6);
    expect(&changes, SL_CHANGE_PUT, 9, 7);
    expect_nothing(&changes);
    sl__changes_finish(&changes);
}

static void a_range_keeps_what_lies_within(void **state) {
    struct sl__changes changes;
    const struct sl__key_range range = {.low = {5}, .low_size = 1, .high = {7}, .high_size = 1};
    (void)state;
    assert_int_equal(sl__changes_init(&changes, reader, &range, 10, number_of, &followed, NULL), SL_OK);
    for (int key = 0; key < 10; key++) {
        publish(SL_CHANGE_PUT, 1, key);
    }
    publish(SL_CHANGE_TABLE, 1, -1);
    expect(&changes, SL_CHANGE_PUT, 5, 6);
    expect(&changes, SL_CHANGE_PUT, 6, 7);
    expect(&changes, SL_CHANGE_TABLE, -1, 11);
    expect_nothing(&changes);
    sl__changes_finish(&changes);
}

static void what_was_lost_is_one_notice(void **state) {
    struct sl__changes few, slow;
    const struct sl__key_range all = {.low_size = 0};
    (void)state;
    assert_int_equal(sl__changes_init(&few, reader, &all, 2, NULL, NULL, NULL), SL_OK);
    assert_int_equal(sl__changes_init(&slow, reader, &all, 200, NULL, NULL, NULL), SL_OK);
    publish(SL_CHANGE_PUT, 1, 1);
    publish(SL_CHANGE_PUT, 1, 1);
    publish(SL_CHANGE_PUT, 2, 1); /* of another table: another key */
    expect(&few, SL_CHANGE_PUT, 1, 2);
    publish(SL_CHANGE_PUT, 1, 2);
    publish(SL_CHANGE_PUT, 1, 3);
    expect(&few, SL_CHANGE_OVERFLOW, -1, version);
    expect_nothing(&few);
    for (int key = 0; key < CHANGE_BYTES / 32; key++) {
        publish(SL_CHANGE_PUT, 1, key);
    }
    expect(&slow, SL_CHANGE_OVERFLOW, -1, version);
    expect_nothing(&slow);
    publish(SL_CHANGE_PUT, 1, 4);
    expect(&slow, SL_CHANGE_PUT, 4, version);
    publish(SL_CHANGE_PUT, 1, 5);
    sl__changes_lose(&slow);
    expect(&slow, SL_CHANGE_OVERFLOW, -1, version);
    expect_nothing(&slow);
    sl__changes_finish(&few);
    sl__changes_finish(&slow);
    sl__changes_finish(&slow); /* twice is fine */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(changes_of_a_key_are_one, open_ring, close_ring),
        cmocka_unit_test_setup_teardown(a_range_keeps_what_lies_within, open_ring, close_ring),
        cmocka_unit_test_setup_teardown(what_was_lost_is_one_notice, open_ring, close_ring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
