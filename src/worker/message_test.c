/* SPDX-License-Identifier: MIT */
#include "message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <slither/value.h>

#include "lane/handshake.h"

static const char python[] = "/opt/python/bin/python3";

static void the_configuration_says_what_the_protocol_asks_for(void **unused) {
    (void)unused;
    char one[] = "json", two[] = "math:sqrt";
    char *preload[] = {one, two, NULL};
    const struct sl__spec spec = {.preload = preload, .preload_count = 2};
    const struct sl__lane_config lane = {
        .segment_bytes = 4096, .payload_bytes_max = 1 << 20, .limits = SL_LIMITS_INIT, .generation = 7};
    uint8_t *bytes;
    size_t size;
    assert_int_equal(sl__message_config(&spec, 3, &lane, 77, &bytes, &size, NULL), SL_OK);
    struct sl_value config, field;
    const char *text;
    size_t text_size;
    uint64_t number;
    assert_int_equal(sl_value_check(bytes, size, NULL, &config, NULL), SL_OK);
    assert_int_equal(sl_value_get(config, "type", &field), SL_OK);
    assert_int_equal(sl_value_str(field, &text, &text_size), SL_OK);
    assert_memory_equal(text, "config", text_size);
    const struct {
        const char *key;
        uint64_t value;
    } numbers[] = {
        {"protocol", SL__PROTOCOL},
        {"layout", sl__lane_layout()},
        {"worker", 3},
        {"generation", 7},
        {"segment_bytes", 4096},
        {"payload_bytes_max", 1 << 20},
        {"depth_max", SL_DEPTH_MAX_DEFAULT},
        {"memory_max", 77},
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        assert_int_equal(sl_value_get(config, numbers[i].key, &field), SL_OK);
        assert_int_equal(sl_value_uint(field, &number), SL_OK);
        assert_int_equal(number, numbers[i].value);
    }
    uint32_t count;
    assert_int_equal(sl_value_get(config, "preload", &field), SL_OK);
    assert_int_equal(sl_value_count(field, &count), SL_OK);
    assert_int_equal(count, 2);
    free(bytes);
}

struct said {
    struct sl_writer writer;
    struct sl_value value;
};

static void say(struct said *said, const char *const *pairs) {
    uint32_t count = 0;
    while (pairs[count] != NULL) {
        count++;
    }
    sl_writer_init(&said->writer, NULL);
    sl_write_map(&said->writer, count / 2);
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(pairs[i], "false") == 0) {
            sl_write_bool(&said->writer, false);
        } else {
            sl_write_str(&said->writer, pairs[i]);
        }
    }
    assert_int_equal(sl_writer_end(&said->writer, &said->value, NULL), SL_OK);
}

static enum sl__heard understand(const char *const *pairs, struct sl_error *why) {
    struct said said;
    say(&said, pairs);
    enum sl__heard heard = sl__message_understand(said.value.data, said.value.size, python, "worker 5", why);
    sl_writer_finish(&said.writer);
    return heard;
}

static void ready_is_believed_from_the_right_interpreters_only(void **unused) {
    (void)unused;
    struct sl_error why = SL_ERROR_INIT;
    const char *const good[] = {"3.11.2", "3.11.0rc1", "3.12.0", "3.14.0a1+", "3.100.1"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(understand((const char *[]){"type", "ready", "python", good[i], NULL}, &why), SL__HEARD_READY);
        assert_int_equal(why.code, SL_OK);
    }
    const char *const bad[] = {"3.10.13", "2.7.18", "4.0.0", "3.1.15"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(understand((const char *[]){"type", "ready", "python", bad[i], NULL}, &why), SL__HEARD_FAILED);
        assert_int_equal(why.code, SL_E_UNSUPPORTED);
        assert_non_null(strstr(why.message, bad[i]));
        assert_non_null(strstr(why.message, python));
        assert_non_null(strstr(why.message, "3.11"));
    }
    assert_int_equal(understand((const char *[]){"type", "ready", "python", "3.13.0", "gil", "false", NULL}, &why),
                     SL__HEARD_FAILED);
    assert_int_equal(why.code, SL_E_UNSUPPORTED);
    assert_non_null(strstr(why.message, "GIL"));
    sl_error_finish(&why);
}

static void a_failure_keeps_code_traceback_and_interpreter(void **unused) {
    (void)unused;
    struct sl_error why = SL_ERROR_INIT;
    const char *const failed[] = {"type",      "failed",          "code",   "import_failed", "message", "no module x",
                                  "traceback", "Traceback: here", "python", "3.11.2",        NULL};
    assert_int_equal(understand(failed, &why), SL__HEARD_FAILED);
    assert_int_equal(why.code, SL_E_IMPORT);
    assert_non_null(strstr(why.message, "no module x"));
    assert_non_null(strstr(why.message, python));
    assert_non_null(strstr(why.message, "worker 5"));
    assert_string_equal(why.traceback, "Traceback: here");

    char message[4096];
    memset(message, 'm', sizeof(message) - 1);
    message[sizeof(message) - 1] = '\0';
    const char *const long_one[] = {"type", "failed", "code", "import_failed", "message", message, NULL};
    assert_int_equal(understand(long_one, &why), SL__HEARD_FAILED);
    assert_non_null(strstr(why.message, python)); /* is not crowded out */
    assert_non_null(strstr(why.message, "..."));
    sl_error_finish(&why);
}

static void an_unknown_or_absurd_code_is_a_failed_start(void **unused) {
    (void)unused;
    struct sl_error why = SL_ERROR_INIT;
    const char *const codes[] = {"ok", "no_such_code", ""};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        const char *const failed[] = {"type", "failed", "code", codes[i], "message", "m", NULL};
        assert_int_equal(understand(failed, &why), SL__HEARD_FAILED);
        assert_int_equal(why.code, SL_E_WORKER_START);
    }
    sl_error_finish(&why);
}

static void what_is_no_message_is_noise(void **unused) {
    (void)unused;
    struct sl_error why = SL_ERROR_INIT;
    assert_int_equal(understand((const char *[]){"type", "hello", NULL}, &why), SL__HEARD_NOISE);
    assert_int_equal(understand((const char *[]){"kind", "ready", NULL}, &why), SL__HEARD_NOISE);
    assert_int_equal(understand((const char *[]){"type", "ready", NULL}, &why), SL__HEARD_NOISE);
    assert_int_equal(understand((const char *[]){"type", "ready", "python", "three", NULL}, &why), SL__HEARD_NOISE);
    const uint8_t others[][4] = {{0xc0}, {0x93, 1, 2, 3}, {0xc1}, {0x81, 0xa4, 't', 'y'}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(sl__message_understand(others[i], i == 0 ? 1 : 4, python, "worker 5", &why), SL__HEARD_NOISE);
        assert_int_equal(why.code, SL_E_WORKER_START);
        assert_non_null(strstr(why.message, "protocol"));
    }
    sl_error_finish(&why);
}

/* Damaged in any way, a message is understood as something, and nothing is read outside of it (under ASan). */
static void damaged_messages_do_no_harm(void **unused) {
    (void)unused;
    const char *given = getenv("SLITHER_TEST_SEED");
    unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    const char *const failed[] = {"type",      "failed",          "code",   "import_failed", "message", "no module x",
                                  "traceback", "Traceback: here", "python", "3.11.2",        NULL};
    struct said said;
    say(&said, failed);
    for (int round = 0; round < 20000; round++) {
        size_t size = (size_t)rand_r(&seed) % (said.value.size + 1);
        uint8_t *bytes = malloc(size + 1);
        memcpy(bytes, said.value.data, size);
        for (int i = rand_r(&seed) % 4; i > 0 && size > 0; i--) {
            bytes[(size_t)rand_r(&seed) % size] = (uint8_t)rand_r(&seed);
        }
        uint8_t *exact = realloc(bytes, size > 0 ? size : 1);
        struct sl_error why = SL_ERROR_INIT;
        enum sl__heard heard = sl__message_understand(exact, size, python, "worker 0", &why);
        assert_true(heard == SL__HEARD_READY || why.code != SL_OK);
        sl_error_finish(&why);
        struct sl__news news;
        sl__message_news(exact, size, &news);
        assert_int_equal(news.kind, SL__NEWS_NONE);
        free(exact);
    }
    sl_writer_finish(&said.writer);
}

static struct sl__news news_of(const char *type, const char *const *keys, const int64_t *numbers, uint32_t count) {
    struct sl_writer writer;
    struct sl_value value;
    sl_writer_init(&writer, NULL);
    sl_write_map(&writer, count + 3);
    sl_write_str(&writer, "type");
    sl_write_str(&writer, type);
    sl_write_str(&writer, "core");
    sl_write_bool(&writer, true);
    sl_write_str(&writer, "fork");
    sl_write_bool(&writer, true);
    for (uint32_t i = 0; i < count; i++) {
        sl_write_str(&writer, keys[i]);
        sl_write_int(&writer, numbers[i]);
    }
    assert_int_equal(sl_writer_end(&writer, &value, NULL), SL_OK);
    struct sl__news news;
    sl__message_news(value.data, value.size, &news);
    sl_writer_finish(&writer);
    return news;
}

static void what_a_template_says_is_taken_when_it_is_whole(void **unused) {
    (void)unused;
    const char *const answer[] = {"worker", "generation", "pid"};
    struct sl__news news = news_of("started", answer, (int64_t[]){3, 7, 4711}, 3);
    assert_int_equal(news.kind, SL__NEWS_STARTED);
    assert_int_equal(news.worker, 3);
    assert_int_equal(news.generation, 7);
    assert_int_equal(news.pid, 4711);
    const char *const refusal[] = {"worker", "generation", "errno"};
    news = news_of("start_failed", refusal, (int64_t[]){3, 7, 11}, 3);
    assert_int_equal(news.kind, SL__NEWS_START_FAILED);
    assert_int_equal(news.system_errno, 11);
    const char *const end[] = {"pid", "status", "signal"};
    news = news_of("ended", end, (int64_t[]){4711, -1, 11}, 3);
    assert_int_equal(news.kind, SL__NEWS_ENDED);
    assert_int_equal(news.end.exit_status, -1);
    assert_int_equal(news.end.term_signal, 11);
    assert_true(news.end.core_dumped);

    /* A number that nothing can have, above all a pid that would be a group's. */
    const int64_t wrong[][3] = {
        {3, 7, 0}, {3, 7, -1}, {-1, 7, 4711}, {3, (int64_t)1 << 40, 4711}, {3, 7, (int64_t)1 << 33}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(news_of("started", answer, wrong[i], 3).kind, SL__NEWS_NONE);
    }
    assert_int_equal(news_of("started", answer, (int64_t[]){3, 7}, 2).kind, SL__NEWS_NONE);
    assert_int_equal(news_of("ended", end, (int64_t[]){-5, 0, 0}, 3).kind, SL__NEWS_NONE);
    assert_int_equal(news_of("ended", end, (int64_t[]){5, 256, 0}, 3).kind, SL__NEWS_NONE);
    assert_int_equal(news_of("ended", end, (int64_t[]){5, 0, 65}, 3).kind, SL__NEWS_NONE);
    news = news_of("ready", NULL, NULL, 0);
    assert_int_equal(news.kind, SL__NEWS_READY);
    assert_true(news.forks);
    assert_string_equal(news.reason, "");
    assert_int_equal(news_of("ready", (const char *const[]){"fork"}, (int64_t[]){1}, 1).kind, SL__NEWS_NONE);
    assert_int_equal(news_of("unheard", NULL, NULL, 0).kind, SL__NEWS_NONE);
}

static void an_answer_is_understood_only_when_it_is_whole(void **unused) {
    (void)unused;
    struct sl__told told;
    const char *const keys[] = {"type", "number", "activity", "stuck_ms", "stack"};
    for (int absent = -1; absent < 5; absent++) {
        struct sl_writer writer;
        struct sl_value message;
        sl_writer_init(&writer, NULL);
        sl_write_map(&writer, absent < 0 ? 5 : 4);
        for (int i = 0; i < 5; i++) {
            if (i == absent) {
                continue;
            }
            sl_write_str(&writer, keys[i]);
            i == 0   ? sl_write_str(&writer, "state")
            : i == 2 ? sl_write_str(&writer, "native")
            : i == 4 ? sl_write_bool(&writer, true)
                     : sl_write_uint(&writer, (uint64_t)i * 10);
        }
        assert_int_equal(sl_writer_end(&writer, &message, NULL), SL_OK);
        /* A worker of another build may know an activity that this one does not. */
        assert_int_equal(sl__message_told(message.data, message.size, &told), absent < 0 || absent == 2);
        if (absent < 0) {
            assert_true(told.number == 10 && told.activity == SL_ACTIVITY_NATIVE && told.stuck_ms == 30 && told.stack);
        } else if (absent == 2) {
            assert_int_equal(told.activity, SL_ACTIVITY_UNKNOWN);
        }
        sl_writer_finish(&writer);
    }
    assert_false(sl__message_told((const uint8_t *)"\xc1", 1, &told));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_understood_only_when_it_is_whole),
        cmocka_unit_test(the_configuration_says_what_the_protocol_asks_for),
        cmocka_unit_test(ready_is_believed_from_the_right_interpreters_only),
        cmocka_unit_test(a_failure_keeps_code_traceback_and_interpreter),
        cmocka_unit_test(an_unknown_or_absurd_code_is_a_failed_start),
        cmocka_unit_test(what_is_no_message_is_noise),
        cmocka_unit_test(damaged_messages_do_no_harm),
        cmocka_unit_test(what_a_template_says_is_taken_when_it_is_whole),
    };
    return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
