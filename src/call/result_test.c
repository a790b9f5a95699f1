/* SPDX-License-Identifier: MIT */
/*
 * Results and handles give each ref back once, also without memory. The session is a counter here: result.c, object.c and keeper.c are compiled into this
 * program, what they call of other rooms is below.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "invoke.h"
#include "session/session.h"

#define SESSION 17u
#define OBJECTS 64u

/* ---- the other rooms -------------------------------------------------------------------------------------------------------- */

static struct {
    uint32_t held[OBJECTS]; /* refs that have come and were not given back, by object */
    uint32_t handles;       /* of the session */
    int64_t allocations;    /* that still succeed; below 0: all */
} world;

void sl__session_drop_ref(struct sl_session *session, uint32_t worker, uint32_t generation, uint64_t object,
                          uint32_t count) {
    assert_ptr_equal(session, (struct sl_session *)&world);
    assert_true(worker == 3 && generation == 7 && count == 1 && object < OBJECTS);
    assert_true(world.held[object] > 0);
    world.held[object]--;
}

void sl__session_count_refs(struct sl_session *session, uint64_t count) {
    (void)session, (void)count;
}

uint64_t sl_session_id(const struct sl_session *session) {
    (void)session;
    return SESSION;
}

struct sl_session *sl__session_ref(struct sl_session *session) {
    world.handles++;
    return session;
}

void sl__session_unref(struct sl_session *session) {
    (void)session;
    world.handles--;
}

enum sl_code sl_session_open(struct sl_pool *pool, const struct sl_session_options *options,
                             struct sl_session **session, struct sl_error *error) {
    (void)pool, (void)options, (void)error;
    *session = sl__session_ref((struct sl_session *)&world);
    return SL_OK;
}

void sl_session_close(struct sl_session *session) {
    sl__session_unref(session);
}

void sl_results_finish(struct sl_results *results) {
    free(results->values);
    *results = (struct sl_results){0};
}

/* What these tests never come to. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define UNUSED(name, ...)            \
    enum sl_code name(__VA_ARGS__) { \
        fail();                      \
        return SL_E_SYSTEM;          \
    }
UNUSED(sl__invoke, struct sl__keeper *a, const struct sl_object *b, const struct sl_call_options *c,
       const struct sl__invocation *d, struct sl_result *e, struct sl_error *f)
UNUSED(sl__object_pool, const struct sl_object *a, struct sl_pool **b, struct sl_error *c)
UNUSED(sl__invoke_options, const struct sl_call_options *a, struct sl_call_options *b, const char *c,
       struct sl_error *d)
UNUSED(sl__invoke_check, const char *a, struct sl_value b, struct sl_value c, struct sl_error *d)
UNUSED(sl__invoke_check_name, const char *a, const char *b, bool c, struct sl_error *d)
UNUSED(sl__invocation_add_text, struct sl__invocation *a, const char *b, struct sl_error *c)
UNUSED(sl__async_submit, struct sl_pool *a, struct sl_object *b, const struct sl_call_options *c,
       const struct sl__invocation *d, sl_call_done_fn *e, void *f, struct sl_error *g)
#pragma GCC diagnostic pop

void sl__invocation_init(struct sl__invocation *a, const char *b) {
    (void)a, (void)b;
}
void sl__invocation_finish(struct sl__invocation *a) {
    (void)a;
}
void sl__invocation_label(struct sl__invocation *a, const char *b, const char *c) {
    (void)a, (void)b, (void)c;
}
void sl__invocation_add(struct sl__invocation *a, struct sl_value b) {
    (void)a, (void)b;
}

/* ---- memory that runs out (the linker leads malloc and calloc of those files here) -------------------------------------------- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);

static bool refused(void) {
    return world.allocations >= 0 && world.allocations-- == 0;
}

void *__wrap_malloc(size_t size) {
    return refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    return refused() ? NULL : __real_calloc(count, size);
}

/* ---- tests -------------------------------------------------------------------------------------------------------------------- */

static struct sl_writer writer;
static uint64_t written; /* refs */

static void write_ref(uint32_t object, uint64_t session) {
    struct sl_ref ref = {session, object, 3, 7, "m.T", 3, "T()", 3};
    sl_write_ref(&writer, &ref);
    world.held[object] += session == SESSION;
    written++;
}

/* A random value, at most so deep; its refs are counted as held. */
static void write_random(unsigned *seed, uint32_t depth) {
    uint32_t kind = (uint32_t)rand_r(seed) % (depth > 0 ? 7 : 5);
    uint32_t count = (uint32_t)rand_r(seed) % 5;
    switch (kind) {
    case 0:
        sl_write_int(&writer, rand_r(seed));
        break;
    case 1:
        sl_write_str(&writer, "text");
        break;
    case 2:
        sl_write_bytes(&writer, "\xc7\x1a\x03 looks like a ref, and is none", 33);
        break;
    case 3:
        write_ref((uint32_t)rand_r(seed) % OBJECTS, 18); /* somebody else's */
        break;
    case 4:
        write_ref((uint32_t)rand_r(seed) % OBJECTS, SESSION);
        break;
    case 5:
        sl_write_list(&writer, count);
        for (uint32_t i = 0; i < count; i++) {
            write_random(seed, depth - 1);
        }
        break;
    default:
        sl_write_map(&writer, count);
        for (uint32_t i = 0; i < count; i++) {
            sl_write_int(&writer, (int64_t)i);
            write_random(seed, depth - 1);
        }
    }
}

static struct sl_results results_of(struct sl_value value) {
    struct sl_results results = {.values = __real_malloc(sizeof value), .count = 1};
    assert_non_null(results.values);
    results.values[0] = value;
    return results;
}

static void nothing_is_held(void) {
    for (uint32_t i = 0; i < OBJECTS; i++) {
        assert_int_equal(world.held[i], 0);
    }
    assert_int_equal(world.handles, 0);
}

/* Takes some of the refs of our session in the value, some twice. */
static uint32_t take_some(struct sl_result *result, struct sl_value value, unsigned *seed, struct sl_object **objects,
                          uint32_t count, uint32_t max) {
    struct sl_iter iter;
    struct sl_value entry;
    struct sl_ref ref;
    if (sl_value_ref(value, &ref) == SL_OK && ref.session == SESSION) {
        for (int times = rand_r(seed) % 3; times > 0 && count < max; times--) {
            if (sl_object_take(result, value, &objects[count], NULL) == SL_OK) {
                count++;
            }
        }
    }
    if (sl_iter_init(&iter, value) == SL_OK) {
        while (sl_iter_next(&iter, NULL, &entry)) {
            count = take_some(result, entry, seed, objects, count, max);
        }
    }
    return count;
}

static void each_ref_goes_back_once_whatever_fails(void **state) {
    const char *given = getenv("SLITHER_TEST_SEED");
    unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    (void)state;
    printf("SLITHER_TEST_SEED=%u\n", seed);
    for (int round = 0; round < 3000; round++) {
        struct sl__keeper *keeper = NULL;
        struct sl_result result = SL_RESULT_INIT;
        struct sl_object *objects[256];
        struct sl_value value;
        uint32_t count = 0;
        world.allocations = -1;
        written = 0;
        sl_writer_reset(&writer);
        write_random(&seed, 5);
        assert_int_equal(sl_writer_end(&writer, &value, NULL), SL_OK);
        assert_int_equal(sl__keeper_make(NULL, NULL, &keeper, NULL), SL_OK);
        struct sl_results results = results_of(value);
        world.allocations = rand_r(&seed) % 2 != 0 ? rand_r(&seed) % 12 : -1;
        struct sl_error error = SL_ERROR_INIT;
        enum sl_code code = sl__answer_make(keeper, &results, written, &result, &error);
        sl__keeper_unref(keeper);
        if (code == SL_OK) {
            count = take_some(&result, value, &seed, objects, 0, 256);
            if (rand_r(&seed) % 2 != 0) {
                sl_result_finish(&result);
            }
        } else {
            assert_int_equal(code, SL_E_OUT_OF_MEMORY);
            assert_null(result.owner);
        }
        for (uint32_t i = 0; i < count; i++) {
            sl_object_unref(objects[i]);
        }
        sl_result_finish(&result);
        nothing_is_held();
    }
}

static void a_route_may_carry_refs(void **state) {
    struct sl__keeper *keeper = NULL;
    struct sl_result result = SL_RESULT_INIT;
    struct sl_value inner;
    uint8_t mark[256];
    (void)state;
    world.allocations = -1;
    sl_writer_reset(&writer);
    sl_write_list(&writer, 2);
    write_ref(1, SESSION);
    write_ref(2, SESSION);
    assert_int_equal(sl_writer_end(&writer, &inner, NULL), SL_OK);
    /* ext 8 of type 4: a route "r" with that payload */
    const uint8_t head[] = {0xc7, (uint8_t)(3 + inner.size), 0x04, SL_MARK_ROUTE, 0xa1, 'r'};
    memcpy(mark, head, sizeof head);
    memcpy(mark + sizeof head, inner.data, inner.size);
    assert_int_equal(sl__keeper_make(NULL, NULL, &keeper, NULL), SL_OK);
    struct sl_results results = results_of((struct sl_value){mark, sizeof head + inner.size});
    assert_int_equal(sl_value_type(results.values[0]), SL_TYPE_MARK);
    assert_int_equal(sl__answer_make(keeper, &results, 2, &result, NULL), SL_OK);
    sl__keeper_unref(keeper);
    sl_result_finish(&result);
    nothing_is_held();
}

static void what_is_no_part_of_the_result_cannot_be_taken(void **state) {
    struct sl__keeper *keeper = NULL;
    struct sl_result result = SL_RESULT_INIT;
    struct sl_object *object = NULL;
    struct sl_value value;
    struct sl_error error = SL_ERROR_INIT;
    uint8_t copy[64];
    (void)state;
    world.allocations = -1;
    sl_writer_reset(&writer);
    write_ref(1, SESSION);
    assert_int_equal(sl_writer_end(&writer, &value, NULL), SL_OK);
    memcpy(copy, value.data, value.size);
    assert_int_equal(sl_object_take(&result, value, &object, &error), SL_E_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "the result is empty"));
    assert_int_equal(sl__keeper_make(NULL, NULL, &keeper, NULL), SL_OK);
    struct sl_results results = results_of(value);
    assert_int_equal(sl__answer_make(keeper, &results, 2, &result, NULL), SL_OK);
    sl__keeper_unref(keeper);
    assert_int_equal(sl_object_take(&result, (struct sl_value){copy, value.size}, &object, &error),
                     SL_E_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "a part of result->value"));
    assert_null(object);
    sl_result_finish(&result);
    sl_result_finish(NULL);
    nothing_is_held();
}

static int finish(void **state) {
    (void)state;
    sl_writer_finish(&writer);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_ref_goes_back_once_whatever_fails),
        cmocka_unit_test(a_route_may_carry_refs),
        cmocka_unit_test(what_is_no_part_of_the_result_cannot_be_taken),
    };
    sl_writer_init(&writer, NULL);
    return cmocka_run_group_tests(tests, NULL, finish);
}
