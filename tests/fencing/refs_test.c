/* SPDX-License-Identifier: MIT */
/*
 * Refs that are not the worker's to give: below the public interface is a worker that gives each item back as it came, so that a test says what the reply
 * holds. A reply to a request for refs may name only its own session, worker and generation; in all others a ref is a name like any other value.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <slither/slither.h>

static struct sl_runtime *runtime;
static struct sl_pool *pool;
static struct sl_session *session;
static struct sl_ref own; /* what a ref of that session from that worker names */

static int open_all(void **state) {
    (void)state;
    static const char *const environment[] = {"FAKE_SCRIPT=config;ready;echo", NULL};
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    struct sl_error error = SL_ERROR_INIT;
    options.worker_count = 1;
    options.python = getenv("SLITHER_FAKE_WORKER");
    options.environment = environment;
    options.stop_timeout_ms = 500;
    options.stack_timeout_ms = 0;
    if (sl_runtime_create(NULL, &runtime, &error) != SL_OK ||
        sl_pool_create(runtime, &options, &pool, &error) != SL_OK ||
        sl_session_open(pool, NULL, &session, &error) != SL_OK) {
        print_error("%s\n", error.message);
        sl_error_finish(&error);
        return -1;
    }
    own = (struct sl_ref){
        .session = sl_session_id(session),
        .object = 5,
        .worker = 0,
        .generation = 1,
        .type_name = "m.Thing",
        .type_name_size = 7,
        .repr = "a thing",
        .repr_size = 7,
    };
    return 0;
}

static int close_all(void **state) {
    (void)state;
    sl_session_close(session);
    sl_pool_destroy(pool);
    sl_runtime_destroy(runtime);
    return 0;
}

/* Where in an item the ref stands. */
enum place { BARE, IN_A_LIST, IN_A_MAP, IN_A_ROUTE, PLACES };

/* slither.route("x", payload): only Python makes marks. In memory that the next one overwrites. */
static struct sl_value route_with(struct sl_value payload) {
    static uint8_t bytes[256];
    struct sl_value value;
    const uint8_t head[] = {0xc7, (uint8_t)(3 + payload.size), 4, SL_MARK_ROUTE, 0xa1, 'x'};
    assert_true(payload.size < 200);
    memcpy(bytes, head, sizeof head);
    memcpy(bytes + sizeof head, payload.data, payload.size);
    assert_int_equal(sl_value_check(bytes, sizeof head + payload.size, NULL, &value, NULL), SL_OK);
    return value;
}

static struct sl_value put(struct sl_writer *writer, const struct sl_ref *ref, enum place place) {
    struct sl_value value;
    switch (place) {
    case IN_A_LIST:
        sl_write_list(writer, 3);
        sl_write_int(writer, -7);
        sl_write_list(writer, 1);
        sl_write_ref(writer, ref);
        sl_write_str(writer, "after");
        break;
    case IN_A_MAP:
        sl_write_map(writer, 2);
        sl_write_str(writer, "bytes");
        sl_write_bytes(writer, "\xc7\x1a\x03", 3);
        sl_write_str(writer, "ref");
        sl_write_ref(writer, ref);
        break;
    case IN_A_ROUTE:
        sl_write_map(writer, 1);
        sl_write_int(writer, 1);
        sl_write_ref(writer, ref);
        assert_int_equal(sl_writer_end(writer, &value, NULL), SL_OK);
        return route_with(value);
    default:
        sl_write_ref(writer, ref);
        break;
    }
    assert_int_equal(sl_writer_end(writer, &value, NULL), SL_OK);
    return value;
}

/* A number and then the ref, with and without asking for refs. */
static enum sl_code ask(const struct sl_ref *ref, enum place place, bool refs, struct sl_error *error) {
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    struct sl_results results = {0};
    struct sl_writer writers[2];
    struct sl_item items[2] = {{0}};
    options.function = "any:thing";
    options.session = session;
    options.refs = refs;
    sl_writer_init(&writers[0], NULL);
    sl_writer_init(&writers[1], NULL);
    sl_write_int(&writers[0], 4);
    assert_int_equal(sl_writer_end(&writers[0], &items[0].value, NULL), SL_OK);
    items[1].value = put(&writers[1], ref, place);
    enum sl_code code = sl_call_batch(pool, &options, items, 2, &results, error);
    if (code == SL_OK) {
        assert_int_equal(results.count, 2);
        assert_int_equal(sl_value_compare(results.values[1], items[1].value), 0);
    }
    sl_results_finish(&results);
    sl_writer_finish(&writers[0]);
    sl_writer_finish(&writers[1]);
    return code;
}

static void expect_refused(const struct sl_ref *ref, enum place place) {
    struct sl_error error = SL_ERROR_INIT;
    char named[128];
    assert_int_equal(ask(ref, place, true, &error), SL_E_BAD_RESULT);
    snprintf(named, sizeof named, "of session %llu, worker %u, generation %u", (unsigned long long)ref->session,
             (unsigned)ref->worker, (unsigned)ref->generation);
    if (strstr(error.message, named) == NULL || strstr(error.message, "any:thing: result 1 ") == NULL) {
        fail_msg("%s", error.message);
    }
    assert_true(error.worker == 0 && error.generation == 1);
    sl_error_finish(&error);
}

static void refs_of_its_own_are_taken(void **state) {
    (void)state;
    struct sl_error error = SL_ERROR_INIT;
    for (enum place place = 0; place < PLACES; place++) {
        if (ask(&own, place, true, &error) != SL_OK) {
            fail_msg("%s", error.message);
        }
    }
}

static void refs_of_others_are_refused_by_name(void **state) {
    (void)state;
    struct sl_ref ref;
    for (enum place place = 0; place < PLACES; place++) {
        ref = own;
        ref.session++;
        expect_refused(&ref, place);
        ref = own;
        ref.worker = 1;
        expect_refused(&ref, place);
        ref = own;
        ref.generation = UINT32_MAX;
        expect_refused(&ref, place);
    }
}

static void elsewhere_a_ref_is_only_a_name(void **state) {
    (void)state;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_ref ref = own;
    ref.session += 3;
    ref.worker = 9;
    for (enum place place = 0; place < PLACES; place++) {
        if (ask(&ref, place, false, &error) != SL_OK) {
            fail_msg("%s", error.message);
        }
    }
}

static uint64_t refs_held(void) {
    struct sl_session_info info = SL_SESSION_INFO_INIT;
    sl_session_info(session, &info);
    return info.ref_count;
}

/* The answer of a call is its first result; what a worker hides in the others is looked at all the same. */
static void a_call_says_whose_ref_came(void **state) {
    (void)state;
    struct sl_call_options options = SL_CALL_OPTIONS_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_result result;
    struct sl_writer writer;
    struct sl_value args;
    struct sl_ref ref = own;
    options.session = session;
    ref.generation++;
    sl_writer_init(&writer, NULL);
    sl_write_list(&writer, 1);
    sl_write_ref(&writer, &ref);
    assert_int_equal(sl_writer_end(&writer, &args, NULL), SL_OK);
    assert_int_equal(sl_call(pool, &options, "some:where", args, (struct sl_value){NULL, 0}, &result, &error),
                     SL_E_BAD_RESULT);
    assert_non_null(strstr(error.message, "some:where: result 1 "));
    assert_non_null(strstr(error.message, "generation 2"));
    assert_null(result.owner);
    assert_int_equal(refs_held(), 0);
    sl_error_finish(&error);
    sl_writer_finish(&writer);
}

/* Like any other result that is none: it costs the batch, not the worker. */
static void the_worker_goes_on(void **state) {
    (void)state;
    struct sl_pool_stats stats = SL_POOL_STATS_INIT;
    struct sl_ref ref = own;
    struct sl_error error = SL_ERROR_INIT;
    ref.session = 0;
    expect_refused(&ref, BARE);
    assert_int_equal(ask(&own, BARE, true, &error), SL_OK);
    sl_pool_stats(pool, &stats);
    assert_int_equal(stats.death_count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refs_of_its_own_are_taken),
        cmocka_unit_test(refs_of_others_are_refused_by_name),
        cmocka_unit_test(elsewhere_a_ref_is_only_a_name),
        cmocka_unit_test(a_call_says_whose_ref_came),
        cmocka_unit_test(the_worker_goes_on),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
