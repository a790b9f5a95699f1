/* SPDX-License-Identifier: MIT */
/* jq programs over values: what passes, what does not, and what stops. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <slither/json.h>

#include "base/redact.h"
#include "program.h"
#include "sys/clock.h"

static struct sl__jq_watch *the_watch;

static int begin(void **state) {
    (void)state;
    return sl__jq_watch_create(&the_watch, NULL) == SL_OK ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    sl__jq_watch_destroy(the_watch);
    return 0;
}

static struct sl__jq *compile(const char *text, uint32_t timeout_ms) {
    jv vars = jv_object_set(jv_object(), jv_string("n"), jv_number(3));
    const struct sl__jq_options options = {the_watch, text, "stage t (p.yaml:1)", vars, timeout_ms, &sl__redact_usual};
    struct sl__jq *jq = NULL;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = sl__jq_create(&options, &jq, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(code, SL_OK);
    jv_free(vars);
    return jq;
}

/* All results as JSON texts, a space behind each; or the error's message. */
static enum sl_code run(struct sl__jq *jq, struct sl_value item, char *out, size_t out_size, struct sl_writer *writer) {
    struct sl__jq_run *run;
    struct sl_error error = SL_ERROR_INIT;
    out[0] = '\0';
    enum sl_code code = sl__jq_begin(jq, item, &run, &error);
    jv result;
    bool begun = code == SL_OK;
    while (code == SL_OK && (code = sl__jq_next(run, &result, &error)) == SL_OK) {
        struct sl_value value;
        char *text = NULL;
        size_t capacity = 0, size, used = strlen(out);
        sl_writer_reset(writer);
        code = sl__jq_write(run, result, writer, &error);
        if (code == SL_OK) {
            assert_int_equal(sl_writer_end(writer, &value, NULL), SL_OK);
            assert_int_equal(sl_json_print(value, SL_JSON_NAN_AS_NULL, &text, &capacity, &size, NULL), SL_OK);
            snprintf(out + used, out_size - used, "%s ", text);
        }
        free(text);
    }
    if (begun) {
        sl__jq_end(run);
    }
    if (code != SL_E_END) {
        snprintf(out, out_size, "%s", error.message);
    }
    sl_error_finish(&error);
    return code == SL_E_END ? SL_OK : code;
}

struct shown {
    struct sl_writer item, result;
    char text[1024];
};

static const char *show(struct shown *shown, const char *program, const char *item, enum sl_code expected) {
    struct sl__jq *jq = compile(program, 10000);
    struct sl_value value;
    sl_writer_reset(&shown->item);
    assert_int_equal(sl_json_parse(item, strlen(item), &shown->item, NULL), SL_OK);
    assert_int_equal(sl_writer_end(&shown->item, &value, NULL), SL_OK);
    enum sl_code code = run(jq, value, shown->text, sizeof shown->text, &shown->result);
    if (code != expected) {
        fail_msg("%s: %s: %s", program, sl_code_name(code), shown->text);
    }
    sl__jq_destroy(jq);
    return shown->text;
}

static void begin_shown(struct shown *shown) {
    sl_writer_init(&shown->item, NULL);
    sl_writer_init(&shown->result, NULL);
}

static void end_shown(struct shown *shown) {
    sl_writer_finish(&shown->item);
    sl_writer_finish(&shown->result);
}

static void programs_do_what_jq_does(void **state) {
    (void)state;
    struct shown shown;
    begin_shown(&shown);
    assert_string_equal(show(&shown, ".", "{\"b\":[1,2.5,true,null,\"x\\u0000y\"],\"a\":{}}", SL_OK),
                        "{\"b\":[1,2.5,true,null,\"x\\u0000y\"],\"a\":{}} ");
    assert_string_equal(show(&shown, ".[]", "[1,2,3]", SL_OK), "1 2 3 ");
    assert_string_equal(show(&shown, "empty", "1", SL_OK), "");
    assert_string_equal(show(&shown, "inputs", "1", SL_OK), "");
    assert_string_equal(show(&shown, "$n + .", "1", SL_OK), "4 ");
    assert_string_equal(show(&shown, "debug", "1", SL_OK), "1 ");
    assert_string_equal(show(&shown, "-0.0, 1.0, 1e300, 3e15", "0", SL_OK), "-0.0 1 1e+300 3000000000000000 ");
    end_shown(&shown);
}

static void errors_are_those_of_jq(void **state) {
    (void)state;
    struct shown shown;
    begin_shown(&shown);
    assert_non_null(strstr(show(&shown, ".a", "1", SL_E_ITEM), "stage t (p.yaml:1): jq: Cannot index number with "));
    assert_string_equal(show(&shown, "error(\"mine\")", "1", SL_E_ITEM), "stage t (p.yaml:1): jq: mine");
    assert_string_equal(show(&shown, "error({a: 1})", "1", SL_E_ITEM), "stage t (p.yaml:1): jq: {\"a\":1}");
    assert_string_equal(show(&shown, "\"no\" | halt_error", "1", SL_E_ITEM), "stage t (p.yaml:1): jq: no");
    assert_string_equal(show(&shown, "halt", "1", SL_E_ITEM), "stage t (p.yaml:1): jq: halt is not available here");
    /* A program that has failed works for the next item. */
    struct sl__jq *jq = compile(".a", 1000);
    static const uint8_t one[] = {1}, map[] = {0x81, 0xa1, 'a', 7};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(run(jq, (struct sl_value){one, 1}, shown.text, sizeof shown.text, &shown.result), SL_E_ITEM);
        assert_int_equal(run(jq, (struct sl_value){map, 4}, shown.text, sizeof shown.text, &shown.result), SL_OK);
        assert_string_equal(shown.text, "7 ");
    }
    sl__jq_destroy(jq);
    end_shown(&shown);
}

static void what_jq_cannot_hold_passes_unchanged(void **state) {
    (void)state;
    struct sl_writer item, result;
    struct sl_value value, back;
    struct sl_error error = SL_ERROR_INIT;
    const uint64_t shape[] = {2};
    const float elements[] = {1.5f, 2.5f};
    struct sl__jq *jq = compile("{all: .}", 10000);
    sl_writer_init(&item, NULL);
    sl_writer_init(&result, NULL);
    sl_write_list(&item, 11);
    sl_write_int(&item, INT64_C(9007199254740993));
    sl_write_int(&item, INT64_MIN);
    sl_write_uint(&item, UINT64_MAX);
    sl_write_int(&item, INT64_C(9007199254740992)); /* 2^53 itself is exact */
    sl_write_bytes(&item, "\xff\x00", 2);
    sl_write_timestamp(&item, (struct sl_timestamp){1, 2});
    sl_write_array(&item, SL_DTYPE_F32, 1, shape, elements);
    sl_write_map(&item, 1); /* a key that is no str */
    sl_write_int(&item, 1);
    sl_write_str(&item, "one");
    sl_write_map(&item, 1); /* looks like what stands in */
    sl_write_str(&item, "$value");
    sl_write_int(&item, 0);
    sl_write_float(&item, 0.5);
    sl_write_str(&item, "");
    assert_int_equal(sl_writer_end(&item, &value, NULL), SL_OK);
    struct sl__jq_run *run_;
    jv got;
    assert_int_equal(sl__jq_begin(jq, value, &run_, &error), SL_OK);
    assert_int_equal(sl__jq_next(run_, &got, &error), SL_OK);
    assert_int_equal(sl__jq_write(run_, got, &result, &error), SL_OK);
    sl__jq_end(run_);
    assert_int_equal(sl_writer_end(&result, &back, NULL), SL_OK);
    assert_int_equal(sl_value_get(back, "all", &back), SL_OK);
    assert_int_equal(back.size, value.size);
    assert_memory_equal(back.data, value.data, value.size);
    sl__jq_destroy(jq);
    sl_writer_finish(&item);
    sl_writer_finish(&result);
}

static void what_stands_in_cannot_be_changed(void **state) {
    (void)state;
    struct shown shown;
    begin_shown(&shown);
    static const char large[] = "{\"id\":9007199254740993}";
    assert_string_equal(show(&shown, ".", large, SL_OK), "{\"id\":9007199254740993} ");
    assert_string_equal(show(&shown, ".id.text, .id.type", large, SL_OK), "\"9007199254740993\" \"int\" ");
    assert_non_null(strstr(show(&shown, ".id + 1", large, SL_E_ITEM), "cannot be added"));
    assert_string_equal(
        show(&shown, ".id.text = \"5\"", large, SL_E_TYPE),
        "stage t (p.yaml:1): the program changed the object that stands for a int: jq can pass such a value on or drop "
        "it, not change it");
    assert_string_equal(show(&shown, "{\"$value\": 0}", "{}", SL_E_TYPE),
                        "stage t (p.yaml:1): the program made an object with the key \"$value\", which is for what "
                        "stands in for a value");
    end_shown(&shown);
}

static void a_program_without_end_is_stopped(void **state) {
    (void)state;
    static const uint8_t nil[] = {0xc0};
    const struct sl_value item = {nil, 1};
    struct sl_writer writer;
    char text[256];
    sl_writer_init(&writer, NULL);
    struct sl__jq *jq = compile("if . == null then def f: f; f else . end", 100);
    for (int i = 0; i < 2; i++) {
        uint64_t start_ns = sl__clock_now_ns();
        assert_int_equal(run(jq, item, text, sizeof text, &writer), SL_E_TIMEOUT);
        assert_string_equal(text, "stage t (p.yaml:1): the jq program ran for more than 100 ms");
        assert_true(sl__clock_now_ns() - start_ns >= 100000000);
        static const uint8_t one[] = {1};
        assert_int_equal(run(jq, (struct sl_value){one, 1}, text, sizeof text, &writer), SL_OK);
        assert_string_equal(text, "1 ");
    }
    sl__jq_destroy(jq);
    /* One that gives something out again and again ends by number. */
    jq = compile("repeat(1) | empty, 1", 60000);
    struct sl__jq_run *run_;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = sl__jq_begin(jq, item, &run_, &error);
    uint32_t count = 0;
    for (jv value; code == SL_OK && (code = sl__jq_next(run_, &value, &error)) == SL_OK;) {
        count++;
    }
    assert_int_equal(code, SL_E_LIMIT);
    assert_int_equal(count, SL__JQ_RESULTS_MAX);
    sl__jq_end(run_);
    sl__jq_destroy(jq);
    sl_error_finish(&error);
    sl_writer_finish(&writer);
}

static void results_too_deep_are_refused(void **state) {
    (void)state;
    struct shown shown;
    begin_shown(&shown);
    assert_string_equal(show(&shown, "reduce range(200) as $i (1; [.])", "null", SL_E_LIMIT),
                        "stage t (p.yaml:1): what the program gave cannot be written: containers are nested deeper "
                        "than depth_max; raise it in sl_limits");
    end_shown(&shown);
}

/* ---- one result -------------------------------------------------------------------------------------------------- */

static void conditions_are_true_as_in_jq(void **state) {
    (void)state;
    static const struct {
        const char *program;
        bool taken;
    } cases[] = {{"true", true},   {"false", false},      {"null", false},  {"0", true},
                 {"empty", false}, {"true, false", true}, {". == 1", true}, {"$n > 3", false}};
    static const uint8_t one[] = {1};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sl__jq *jq = compile(cases[i].program, 1000);
        bool taken = !cases[i].taken;
        assert_int_equal(sl__jq_test(jq, (struct sl_value){one, 1}, &taken, NULL), SL_OK);
        assert_int_equal(taken, cases[i].taken);
        sl__jq_destroy(jq);
    }
}

static void weights_are_numbers_that_can_be_weights(void **state) {
    (void)state;
    static const uint8_t one[] = {1};
    const struct sl_value item = {one, 1};
    static const struct {
        const char *program;
        uint64_t weight;
        const char *message;
    } cases[] = {
        {". * 2.2", 3, NULL},
        {"\"x\"", 0, "stage t (p.yaml:1): expected a weight from 0 to 2^53, the jq program gave a string"},
        {"-1", 0,
         "stage t (p.yaml:1): expected a weight from 0 to 2^53, the jq program gave a number out of that range"},
        {"empty", 0, "stage t (p.yaml:1): the jq program gives no weight for the item: expected one"},
        {"1, 2", 0, "stage t (p.yaml:1): the jq program gives more than one weight for the item: expected one"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sl__jq *jq = compile(cases[i].program, 1000);
        struct sl_error error = SL_ERROR_INIT;
        uint64_t weight = 0;
        enum sl_code code = sl__jq_weight(jq, item, &weight, &error);
        assert_int_equal(code == SL_OK, cases[i].message == NULL);
        assert_string_equal(error.message, cases[i].message != NULL ? cases[i].message : "");
        assert_int_equal(weight, cases[i].weight);
        sl_error_finish(&error);
        sl__jq_destroy(jq);
    }
}

/* A path of names gives the item's own bytes, and what jq gives otherwise. */
static void paths_are_followed_without_jq(void **state) {
    (void)state;
    static const char *const items[] = {"{\"a\":{\"b\":5}}", "{\"a\":null}", "{}", "null", "{\"a\":3}", "[1]",
                                        "{\"a\":{\"b\":[]}}"};
    struct sl_writer item, memory;
    sl_writer_init(&item, NULL);
    sl_writer_init(&memory, NULL);
    struct sl__jq *path = compile(" .a.b ", 1000), *program = compile("(.a).b", 1000);
    for (size_t i = 0; i < sizeof items / sizeof items[0]; i++) {
        struct sl_value value, a, b;
        sl_writer_reset(&item);
        assert_int_equal(sl_json_parse(items[i], strlen(items[i]), &item, NULL), SL_OK);
        assert_int_equal(sl_writer_end(&item, &value, NULL), SL_OK);
        enum sl_code code = sl__jq_one(path, value, &memory, &a, NULL);
        struct sl_value kept = a;
        uint8_t copy[64];
        if (code == SL_OK) {
            memcpy(copy, a.data, a.size);
            kept.data = copy;
        }
        assert_int_equal(code, sl__jq_one(program, value, &memory, &b, NULL));
        if (code == SL_OK) {
            assert_true(sl_value_equal(kept, b));
        }
    }
    static const uint8_t large[] = {0x81, 0xa1, 'a',  0x81, 0xa1, 'b',  0xcf, 0xff,
                                    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct sl_value got;
    assert_int_equal(sl__jq_one(path, (struct sl_value){large, sizeof large}, &memory, &got, NULL), SL_OK);
    assert_ptr_equal(got.data, large + 6);
    sl__jq_destroy(path);
    sl__jq_destroy(program);
    sl_writer_finish(&item);
    sl_writer_finish(&memory);
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

#define THREADS 4
#define ROUNDS 300

static void *work(void *context) {
    struct sl__jq *jq = context;
    struct sl_writer writer, memory;
    bool good = true;
    sl_writer_init(&writer, NULL);
    sl_writer_init(&memory, NULL);
    for (int64_t i = 0; i < ROUNDS; i++) {
        struct sl_value item, value;
        int64_t number = -1;
        sl_writer_reset(&writer);
        sl_write_int(&writer, i);
        good = good && sl_writer_end(&writer, &item, NULL) == SL_OK &&
               sl__jq_one(jq, item, &memory, &value, NULL) == SL_OK && sl_value_int(value, &number) == SL_OK &&
               number == 2 * i;
    }
    sl_writer_finish(&writer);
    sl_writer_finish(&memory);
    return good ? context : NULL;
}

static void many_threads_run_one_program(void **state) {
    (void)state;
    struct sl__jq *jq = compile(". * 2", 10000);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work, jq), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *result;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_ptr_equal(result, jq);
    }
    sl__jq_destroy(jq);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_do_what_jq_does),
        cmocka_unit_test(errors_are_those_of_jq),
        cmocka_unit_test(what_jq_cannot_hold_passes_unchanged),
        cmocka_unit_test(what_stands_in_cannot_be_changed),
        cmocka_unit_test(a_program_without_end_is_stopped),
        cmocka_unit_test(results_too_deep_are_refused),
        cmocka_unit_test(conditions_are_true_as_in_jq),
        cmocka_unit_test(weights_are_numbers_that_can_be_weights),
        cmocka_unit_test(paths_are_followed_without_jq),
        cmocka_unit_test(many_threads_run_one_program),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
