/* SPDX-License-Identifier: MIT */
/* Views and watches of a session, what its code tells about its progress, and its context. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"

struct answer {
    int64_t number;
    _Atomic uint64_t calls, session;
    struct sl_session *closes; /* the view closes that */
    _Atomic bool *entered, *leave;
};

static enum sl_code answer(void *context, const struct sl_view_call *call, struct sl_writer *result,
                           struct sl_error *error) {
    struct answer *own = context;
    (void)error;
    own->calls++;
    own->session = call->session;
    if (own->entered != NULL) {
        *own->entered = true;
        while (!*own->leave) {
            usleep(1000);
        }
    }
    if (own->closes != NULL) {
        sl_session_close(own->closes);
        own->closes = NULL;
    }
    sl_write_int(result, own->number);
    return SL_OK;
}

static struct sl_view_options view_of(const char *name, struct answer *context) {
    struct sl_view_options options = SL_VIEW_OPTIONS_INIT;
    options.name = name;
    options.call = answer;
    options.context = context;
    return options;
}

static int64_t call_view(struct host *host, struct sl_session *session, const char *name) {
    const struct call call = {.host = host, .session = session, .function = "call_view", .text = name};
    int64_t result = 0;
    (void)call_in(&call, &result, NULL);
    return result;
}

static void a_view_of_a_session_is_its_own(void **state) {
    (void)state;
    struct host host;
    struct sl_error error = SL_ERROR_INIT;
    struct answer global = {.number = 1}, first = {.number = 2}, second = {.number = 3};
    struct sl_view *view = NULL;
    host_open(&host, 2, NULL);
    struct sl_session *a = session_open(&host, NULL), *b = session_open(&host, NULL), *c = session_open(&host, NULL);
    struct sl_view_options options = view_of("who", &first);
    assert_int_equal(sl_session_view(a, &options, NULL, &error), SL_OK);
    assert_int_equal(sl_session_view(a, &options, NULL, &error), SL_E_INVALID_ARGUMENT); /* taken */
    options = view_of("who", &second);
    assert_int_equal(sl_session_view(b, &options, &view, &error), SL_OK);
    assert_int_equal(call_view(&host, a, "who"), 2);
    assert_int_equal(first.session, sl_session_id(a));
    assert_int_equal(call_view(&host, b, "who"), 3);
    assert_int_equal(call_view(&host, c, "who"), -1);
    assert_int_equal(call_view(&host, NULL, "who"), -1);
    options = view_of("who", &global);
    assert_int_equal(sl_view_register(host.runtime, &options, NULL, &error), SL_OK);
    assert_int_equal(call_view(&host, a, "who"), 2); /* before the global one */
    assert_int_equal(call_view(&host, c, "who"), 1);
    sl_view_unregister(view); /* by hand, before its session ends */
    assert_int_equal(call_view(&host, b, "who"), 1);
    sl_session_close(a);
    assert_int_equal(first.calls, 2);
    sl_session_close(b);
    sl_session_close(c);
    sl_error_finish(&error);
    host_close(&host);
}

static void a_session_has_so_many_views(void **state) {
    (void)state;
    struct host host;
    struct sl_error error = SL_ERROR_INIT;
    struct answer context = {0};
    host_open(&host, 1, NULL);
    struct sl_session *session = session_open(&host, NULL);
    for (int i = 0; i <= SL_SESSION_VIEW_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "view%d", i);
        struct sl_view_options options = view_of(name, &context);
        assert_int_equal(sl_session_view(session, &options, NULL, &error),
                         i < SL_SESSION_VIEW_MAX ? SL_OK : SL_E_LIMIT);
    }
    sl_session_close(session);
    sl_error_finish(&error);
    host_close(&host);
}

static void a_view_may_close_its_session(void **state) {
    (void)state;
    struct host host;
    struct sl_error error = SL_ERROR_INIT;
    host_open(&host, 1, NULL);
    struct answer context = {.number = 7, .closes = session_open(&host, NULL)};
    struct sl_session *session = context.closes;
    struct sl_view_options options = view_of("close", &context);
    assert_int_equal(sl_session_view(session, &options, NULL, &error), SL_OK);
    assert_int_equal(call_view(&host, session, "close"), 7);
    assert_int_equal(host_stats(&host).session_count, 0);
    sl_error_finish(&error);
    host_close(&host);
}

struct late {
    struct host *host;
    struct sl_session *session;
    int64_t result;
};

static void *call_late(void *argument) {
    struct late *late = argument;
    late->result = call_view(late->host, late->session, "slow");
    return NULL;
}

static void *close_it(void *argument) {
    sl_session_close(argument);
    return NULL;
}

static void closing_waits_for_a_view_that_runs(void **state) {
    (void)state;
    struct host host;
    struct sl_error error = SL_ERROR_INIT;
    _Atomic bool entered = false, leave = false;
    struct answer context = {.number = 9, .entered = &entered, .leave = &leave};
    pthread_t caller, closer;
    host_open(&host, 1, NULL);
    struct sl_session *session = session_open(&host, NULL);
    struct sl_view_options options = view_of("slow", &context);
    assert_int_equal(sl_session_view(session, &options, NULL, &error), SL_OK);
    struct late late = {.host = &host, .session = session};
    assert_int_equal(pthread_create(&caller, NULL, call_late, &late), 0);
    while (!entered) {
        usleep(1000);
    }
    assert_int_equal(pthread_create(&closer, NULL, close_it, session), 0);
    while (host_stats(&host).session_end_count == 0) {
        usleep(1000);
    }
    leave = true; /* the context lives until the close has returned */
    pthread_join(closer, NULL);
    context.number = -9;
    pthread_join(caller, NULL);
    assert_int_equal(late.result, 9);
    sl_error_finish(&error);
    host_close(&host);
}

/* ---- watches ------------------------------------------------------------------------------------------------------- */

struct watching {
    struct sl_watch *watch;
    enum sl_code code;
};

static void *watch_next(void *argument) {
    struct watching *watching = argument;
    struct sl_change change = SL_CHANGE_INIT;
    struct sl_error error = SL_ERROR_INIT;
    watching->code = sl_watch_next(watching->watch, UINT64_MAX, &change, &error);
    sl_error_finish(&error);
    return NULL;
}

static void count_change(void *context, const struct sl_change *change) {
    (void)change;
    (*(_Atomic int *)context)++;
}

static pid_t owner_pid;

static void of_a_process(struct sl_session_options *options) {
    options->owner = SL_OWNER_PROCESS;
    options->owner_pid = owner_pid;
}

static void a_watch_ends_with_its_session(void **state) {
    (void)state;
    struct host host;
    struct sl_store *store = NULL;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_store_options store_options = SL_STORE_OPTIONS_INIT;
    struct sl_table_options table_options = SL_TABLE_OPTIONS_INIT;
    struct sl_table *table = NULL;
    _Atomic int changes = 0;
    pthread_t thread;
    owner_pid = fork();
    if (owner_pid == 0) {
        for (;;) {
            pause();
        }
    }
    assert_true(owner_pid > 0);
    host_open(&host, 1, NULL);
    assert_int_equal(sl_store_create(host.runtime, &store_options, &store, &error), SL_OK);
    assert_int_equal(sl_table_open(store, "t", &table_options, &table, &error), SL_OK);
    struct sl_session *session = session_open(&host, of_a_process);
    struct watching waits = {0};
    struct sl_watch *called = NULL, *early = NULL;
    struct sl_watch_options options = SL_WATCH_OPTIONS_INIT;
    assert_int_equal(sl_session_watch(session, store, &options, &waits.watch, &error), SL_OK);
    assert_int_equal(sl_session_watch(session, store, &options, &early, &error), SL_OK);
    sl_watch_destroy(early); /* by hand, before its session ends */
    options.function = count_change;
    options.context = (void *)&changes;
    assert_int_equal(sl_session_watch(session, store, &options, &called, &error), SL_OK);
    const struct sl_value one = {(const uint8_t *)"\x01", 1}, two = {(const uint8_t *)"\x02", 1};
    assert_int_equal(sl_table_put(table, one, one, NULL, &error), SL_OK);
    while (changes == 0) {
        usleep(1000);
    }
    struct sl_change change = SL_CHANGE_INIT;
    assert_int_equal(sl_watch_next(waits.watch, 5000, &change, &error), SL_OK);
    assert_int_equal(pthread_create(&thread, NULL, watch_next, &waits), 0);
    assert_int_equal(kill(owner_pid, SIGKILL), 0);
    while (info_of(session).state == SL_SESSION_OPEN) {
        usleep(1000);
    }
    pthread_join(thread, NULL);
    assert_int_equal(waits.code, SL_E_CLOSED);
    int before = changes;
    assert_int_equal(sl_table_put(table, two, two, NULL, &error), SL_OK);
    assert_int_equal(sl_watch_next(waits.watch, 0, &change, &error), SL_E_CLOSED);
    assert_int_equal(sl_session_watch(session, store, &options, &early, &error), SL_E_SESSION_LOST);
    sl_session_close(session);
    assert_int_equal(changes, before);
    assert_int_equal(waitpid(owner_pid, NULL, 0), owner_pid);
    sl_store_destroy(store);
    sl_error_finish(&error);
    host_close(&host);
}

/* ---- progress and context ------------------------------------------------------------------------------------------- */

static void note_progress(void *context, const struct sl_report *report) {
    struct sl_progress *last = context;
    if (report->progress.count > 0) {
        *last = report->progress;
    }
}

static void progress_reaches_the_report(void **state) {
    (void)state;
    struct host host;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    struct sl_report report = SL_REPORT_INIT;
    struct sl_progress last = {0};
    host_open(&host, 1, NULL);
    options.function = "session_functions:report";
    options.mode = SL_CALL_EACH;
    options.progress = note_progress;
    options.progress_context = &last;
    struct sl_value hundred = {(const uint8_t *)"\x64", 1};
    struct sl_array_source items = {&hundred, 1, 0};
    assert_int_equal(sl_dispatch_run(host.pool, &options, sl_source_from_array(&items), NULL, &report, &error), SL_OK);
    assert_true(report.progress.count >= 1 && report.progress.count <= 100);
    assert_true(report.progress.done == 100 && report.progress.total == 100);
    assert_string_equal(report.progress.text, "step 100");
    sl_report_finish(&report);
    sl_error_finish(&error);
    host_close(&host);
}

static void a_context_travels_in_the_head(void **state) {
    (void)state;
    struct host host;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    struct sl_results results = {0};
    struct sl_item item = {.value = {(const uint8_t *)"\x01", 1}};
    struct sl_writer writer;
    char text[SL_CONTEXT_MAX];
    memset(text, 'x', sizeof text);
    host_open(&host, 1, NULL);
    options.function = "session_functions:context_is";
    options.mode = SL_CALL_EACH;
    for (size_t size = 1; size <= sizeof text; size = size < 1000 ? size * 10 : size + 3096) {
        sl_writer_init(&writer, NULL);
        sl_write_strn(&writer, text, size);
        assert_int_equal(sl_writer_end(&writer, &options.context, &error), SL_OK);
        enum sl_code code = sl_call_batch(host.pool, &options, &item, 1, &results, &error);
        assert_int_equal(code, options.context.size <= SL_CONTEXT_MAX ? SL_OK : SL_E_LIMIT);
        assert_true(code != SL_OK || sl_value_equal(results.values[0], options.context));
        sl_results_finish(&results);
        sl_writer_finish(&writer);
    }
    options.context = (struct sl_value){(const uint8_t *)"\x92\x01", 2};
    assert_int_equal(sl_call_batch(host.pool, &options, &item, 1, &results, &error), SL_E_INVALID_ARGUMENT);
    sl_error_finish(&error);
    host_close(&host);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_view_of_a_session_is_its_own), cmocka_unit_test(a_session_has_so_many_views),
        cmocka_unit_test(a_view_may_close_its_session),   cmocka_unit_test(closing_waits_for_a_view_that_runs),
        cmocka_unit_test(a_watch_ends_with_its_session),  cmocka_unit_test(progress_reaches_the_report),
        cmocka_unit_test(a_context_travels_in_the_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
