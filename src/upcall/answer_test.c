/* SPDX-License-Identifier: MIT */
/* What a worker hears: results, of one call or of many keys, large ones, late ones, and what a view does wrong. */
#include "testing/callers.h"

#include <stdlib.h>

#include "sys/fault.h"

static void a_call_is_answered(void **state) {
    (void)state;
    struct worker worker = {0};
    worker_open(&worker);
    view_of("echo", echo, NULL, 5000, 0);
    for (int i = 0; i < 100; i++) {
        uint64_t number = ask(&worker, "echo");
        hear_outcome(&worker, number, SL__CALL_RESULT, SL_OK, "");
        assert_memory_equal(answer.value.data, "\x92\x91\x05\x80", 4);
    }
    assert_int_equal(stats().call_count, 100);
    assert_int_equal(stats().failure_count + stats().refusal_count + stats().timeout_count + stats().dropped_count, 0);
    assert_true(stats().thread_count <= SL__LISTENERS_KEPT + 1);
    worker_close(&worker);
}

static void without_a_view_there_is_no_thread(void **state) {
    (void)state;
    struct worker worker = {0};
    worker_open(&worker);
    for (int i = 0; i < 3; i++) {
        uint64_t number = ask(&worker, "nothing");
        hear_outcome(&worker, number, SL__CALL_UNKNOWN, SL_E_NOT_FOUND, "the host has registered none");
    }
    assert_int_equal(stats().thread_count, 0);
    struct sl_view *view = view_of("echo", echo, NULL, 5000, 0);
    assert_true(stats().thread_count >= 1);
    hear_outcome(&worker, ask(&worker, "echo"), SL__CALL_RESULT, SL_OK, "");
    sl_view_unregister(view);
    hear_outcome(&worker, ask(&worker, "echo"), SL__CALL_UNKNOWN, SL_E_NOT_FOUND, "\"echo\"");
    view_of("b", echo, NULL, 5000, 0);
    view_of("a", echo, NULL, 5000, 0);
    hear_outcome(&worker, ask(&worker, "c"), SL__CALL_UNKNOWN, SL_E_NOT_FOUND, "registered: a, b");
    worker_close(&worker);
}

static enum sl_code key_only(void *context, const struct sl_view_call *call, struct sl_writer *result,
                             struct sl_error *error) {
    struct sl_value key;
    uint32_t count, keywords;
    int64_t number = 0;
    assert_int_equal(sl_value_count(call->positional, &count), SL_OK);
    assert_int_equal(sl_value_count(call->keywords, &keywords), SL_OK);
    assert_int_equal(count, 1);
    assert_int_equal(keywords, 0);
    assert_int_equal(sl_value_at(call->positional, 0, &key), SL_OK);
    if (sl_value_int(key, &number) != SL_OK || number == *(_Atomic int64_t *)context) {
        return sl_error_set(error, SL_E_RANGE, "not %d", (int)number);
    }
    sl_write_int(result, number * 10);
    return SL_OK;
}

static void many_keys_are_one_call(void **state) {
    (void)state;
    struct worker worker = {0};
    _Atomic int64_t bad = 0;
    worker_open(&worker);
    view_of("twice", NULL, twice, 5000, 0);
    struct sl_view_options options = SL_VIEW_OPTIONS_INIT;
    options.name = "each", options.call = key_only, options.context = &bad;
    assert_int_equal(sl_view_register(runtime, &options, NULL, NULL), SL_OK);

    hear_outcome(&worker, ask_as(&worker, "twice", SL__CALL_MANY, 0), SL__CALL_RESULT, SL_OK, "");
    assert_memory_equal(answer.value.data, "\x93\x02\x04\x06", 4);
    hear_outcome(&worker, ask(&worker, "twice"), SL__CALL_RESULT, SL_OK, ""); /* one key */
    assert_memory_equal(answer.value.data, "\x0a", 1);
    hear_outcome(&worker, ask_as(&worker, "each", SL__CALL_MANY, 0), SL__CALL_RESULT, SL_OK, "");
    assert_memory_equal(answer.value.data, "\x93\x0a\x14\x1e", 4);
    bad = 2;
    hear_outcome(&worker, ask_as(&worker, "each", SL__CALL_MANY, 0), SL__CALL_FAILED, SL_E_RANGE, "key 1 of 3: not 2");
    assert_int_equal(stats().call_count, 4);
    assert_int_equal(stats().failure_count, 1);
    worker_close(&worker);
}

static enum sl_code misbehave(void *context, const struct sl_view_call *call, struct sl_writer *result,
                              struct sl_error *error) {
    switch (*(const char *)context) {
    case '0': /* nothing is written */
        return SL_OK;
    case '2':
        sl_write_nil(result);
        sl_write_nil(result);
        return SL_OK;
    case 'u':
        sl_write_strn(result, "\xff", 1);
        return SL_OK;
    case 'o': /* half a container */
        sl_write_list(result, 3);
        return SL_OK;
    case 'c': /* a list of the wrong size, of mode many */
        sl_write_list(result, 1);
        sl_write_nil(result);
        return SL_OK;
    case 'e': /* a code, and no text */
        return SL_E_CANCELLED;
    case 't':
        sl_error_set(error, SL_E_PYTHON, "it raised");
        error->traceback = strdup("Traceback: here");
        return SL_E_PYTHON;
    case 'x': /* a text that is not UTF-8 */
        sl_error_set(error, SL_E_RANGE, "%s", "x");
        error->message[0] = (char)0xff;
        return SL_E_RANGE;
    case 'y': /* one that was cut in a character */
        sl_error_set(error, SL_E_RANGE, "half \xc3");
        memcpy(error->message, "half \xc3", 7);
        return SL_E_RANGE;
    default:
        (void)call;
        return SL_E_UNSUPPORTED;
    }
}

static void what_a_view_does_wrong_has_a_name(void **state) {
    (void)state;
    struct worker worker = {0};
    worker_open(&worker);
    const struct {
        const char *kind;
        enum sl__call_mode mode;
        enum sl_code code;
        const char *part;
    } wrong[] = {
        {"0", SL__CALL_ONE, SL_E_BAD_RESULT, "the result of view 0 cannot be sent"},
        {"2", SL__CALL_ONE, SL_E_BAD_RESULT, "cannot be sent"},
        {"u", SL__CALL_ONE, SL_E_INVALID_UTF8, "cannot be sent"},
        {"o", SL__CALL_ONE, SL_E_BAD_RESULT, "cannot be sent"},
        {"c", SL__CALL_MANY, SL_E_BAD_RESULT, "a list of 1 entries for 3 keys"},
        {"e", SL__CALL_ONE, SL_E_CANCELLED, "cancelled by the caller"},
        {"t", SL__CALL_ONE, SL_E_PYTHON, "it raised"},
        {"x", SL__CALL_ONE, SL_E_RANGE, "does not fit"},
        {"y", SL__CALL_ONE, SL_E_RANGE, "half"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct sl_view_options options = SL_VIEW_OPTIONS_INIT;
        options.name = wrong[i].kind;
        options.call = options.call_many = misbehave;
        options.context = (void *)(uintptr_t)wrong[i].kind;
        assert_int_equal(sl_view_register(runtime, &options, NULL, NULL), SL_OK);
        uint64_t number = ask_as(&worker, wrong[i].kind, wrong[i].mode, 0);
        hear_outcome(&worker, number, SL__CALL_FAILED, wrong[i].code, wrong[i].part);
        struct sl_value traceback;
        assert_int_equal(sl_value_get(answer.value, "traceback", &traceback) == SL_OK, wrong[i].kind[0] == 't');
    }
    worker_close(&worker);
}

static enum sl_code large(void *context, const struct sl_view_call *call, struct sl_writer *result,
                          struct sl_error *error) {
    (void)call, (void)error;
    size_t size = *(size_t *)context;
    void *bytes = calloc(1, size);
    sl_write_bytes(result, bytes, size);
    free(bytes);
    return SL_OK;
}

static void a_large_result_travels_in_a_file(void **state) {
    (void)state;
    struct worker worker = {0};
    static size_t sizes[] = {0, 1, SL__CALL_PACKET_MAX - sizeof(struct sl__call_reply) - 3,
                             SL__CALL_PACKET_MAX - sizeof(struct sl__call_reply) - 2, 3 << 20};
    worker_open(&worker);
    uint32_t before = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct sl_view_options options = SL_VIEW_OPTIONS_INIT;
        char name[] = {(char)('a' + i), '\0'};
        options.name = name, options.call = large, options.context = &sizes[i];
        assert_int_equal(sl_view_register(runtime, &options, NULL, NULL), SL_OK);
        before = before == 0 ? open_count() : before;
        hear_outcome(&worker, ask(&worker, name), SL__CALL_RESULT, SL_OK, "");
        assert_int_equal(answer.head.flags, i < 3 ? 0 : SL__CALL_IN_FILE);
        assert_true(answer.head.size >= sizes[i]);
    }
    await_stat(open_count, before); /* the thread closes the last after it has sent it */
    /* Without a file the worker still hears something. */
    sl__sys_fail_from(SL__CALL_MEMFD_CREATE, 24, 0);
    hear_outcome(&worker, ask(&worker, "e"), SL__CALL_FAILED, SL_E_SYSTEM, "");
    sl__sys_fail_clear();
    hear_outcome(&worker, ask(&worker, "a"), SL__CALL_RESULT, SL_OK, "");
    worker_close(&worker);
}

static void a_late_result_is_dropped(void **state) {
    (void)state;
    struct worker worker = {0};
    worker_open(&worker);
    view_of("slow", gated, NULL, 30, 0);
    view_of("echo", echo, NULL, 5000, 0);
    uint64_t slow = ask(&worker, "slow");
    hear_outcome(&worker, slow, SL__CALL_TIMED_OUT, SL_E_TIMEOUT, "view slow took longer than 30 ms");
    assert_int_equal(stats().timeout_count, 1);
    /* The view still runs; the same worker can call others meanwhile. */
    hear_outcome(&worker, ask(&worker, "echo"), SL__CALL_RESULT, SL_OK, "");
    gate_open(true);
    await_stat(running_count, 0);
    assert_int_equal(stats().dropped_count, 1);
    /* What comes next is for the next call. */
    uint64_t echoed = ask(&worker, "echo");
    hear_outcome(&worker, echoed, SL__CALL_RESULT, SL_OK, "");
    /* The worker may want less time than the view has. */
    gate_open(false);
    view_of("slower", gated, NULL, 3600000, 0);
    uint64_t hasty = ask_as(&worker, "slower", SL__CALL_ONE, 20);
    hear_outcome(&worker, hasty, SL__CALL_TIMED_OUT, SL_E_TIMEOUT, "");
    gate_open(true);
    worker_close(&worker);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH(a_call_is_answered, open_runtime),
        WITH(without_a_view_there_is_no_thread, open_runtime),
        WITH(many_keys_are_one_call, open_runtime),
        WITH(what_a_view_does_wrong_has_a_name, open_runtime),
        WITH(a_large_result_travels_in_a_file, open_runtime),
        WITH(a_late_result_is_dropped, open_runtime),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
