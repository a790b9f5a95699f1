/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/utf8.h"

struct heard {
    unsigned count;
    unsigned inside; /* guarded by nothing but the log's own lock: that is what is tested */
    enum sl_log_level level;
    uint32_t worker;
    size_t text_size;
    char text[SL__LOG_TEXT_SIZE];
};

static void hear(void *context, const struct sl_log_record *record) {
    struct heard *heard = context;
    assert_int_equal(heard->inside, 0);
    heard->inside = 1;
    heard->count++;
    heard->level = record->level;
    heard->worker = record->worker;
    heard->text_size = record->text_size;
    snprintf(heard->text, sizeof(heard->text), "%s", record->text);
    heard->inside = 0;
}

static void lines_below_the_level_are_dropped(void **state) {
    (void)state;
    struct heard heard = {0};
    struct sl__log log;
    assert_true(sl__log_init(&log, hear, &heard, SL_LOG_WARN));
    assert_false(sl__log_wants(&log, SL_LOG_INFO));
    sl__log_host(&log, SL_LOG_INFO, NULL, UINT32_MAX, 0, "quiet");
    assert_int_equal(heard.count, 0);
    sl__log_host(&log, SL_LOG_WARN, "pool", 3, 2, "worker %d died", 3);
    assert_int_equal(heard.count, 1);
    assert_int_equal(heard.level, SL_LOG_WARN);
    assert_int_equal(heard.worker, 3);
    assert_string_equal(heard.text, "worker 3 died");
    sl__log_finish(&log);
}

static void nobody_listening_is_fine(void **state) {
    (void)state;
    struct sl__log log;
    assert_true(sl__log_init(&log, NULL, NULL, SL_LOG_DEBUG));
    assert_false(sl__log_wants(&log, SL_LOG_ERROR));
    sl__log_host(&log, SL_LOG_ERROR, NULL, UINT32_MAX, 0, "unheard");
    sl__log_give(&log, &(struct sl_log_record){.text = "unheard", .text_size = 7});
    sl__log_finish(&log);
}

static void a_record_is_one_line_of_whole_characters(void **state) {
    (void)state;
    struct heard heard = {0};
    struct sl__log log;
    assert_true(sl__log_init(&log, hear, &heard, SL_LOG_DEBUG));
    sl__log_host(&log, SL_LOG_INFO, NULL, UINT32_MAX, 0, "one\ntwo\r\nthree");
    assert_string_equal(heard.text, "one two  three");
    char text[2 * SL__LOG_TEXT_SIZE];
    for (size_t i = 0; i + 2 < sizeof(text); i += 2) {
        memcpy(text + i, "\xC3\xA9", 3);
    }
    sl__log_host(&log, SL_LOG_INFO, NULL, UINT32_MAX, 0, "%s", text);
    assert_true(heard.text_size >= SL__LOG_TEXT_SIZE - 3);
    assert_int_equal(heard.text_size, strlen(heard.text));
    assert_int_equal(sl__utf8_valid_size(heard.text, heard.text_size), heard.text_size);
    sl__log_finish(&log);
}

enum { THREAD_COUNT = 4, LINE_COUNT = 2000 };

static void *talk(void *argument) {
    for (int i = 0; i < LINE_COUNT; i++) {
        sl__log_host(argument, SL_LOG_INFO, NULL, UINT32_MAX, 0, "line %d", i);
    }
    return NULL;
}

static void threads_are_heard_one_at_a_time(void **state) {
    (void)state;
    struct heard heard = {0};
    struct sl__log log;
    assert_true(sl__log_init(&log, hear, &heard, SL_LOG_DEBUG));
    pthread_t threads[THREAD_COUNT];
    for (int i = 0; i < THREAD_COUNT; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, talk, &log), 0);
    }
    for (int i = 0; i < THREAD_COUNT; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(heard.count, THREAD_COUNT * LINE_COUNT);
    sl__log_finish(&log);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_below_the_level_are_dropped),
        cmocka_unit_test(nobody_listening_is_fine),
        cmocka_unit_test(a_record_is_one_line_of_whole_characters),
        cmocka_unit_test(threads_are_heard_one_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
