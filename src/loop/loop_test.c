/* SPDX-License-Identifier: MIT */
#include "loop/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/macros.h"

#define TASKS 1000
#define POSTERS 4

struct numbered {
    struct sl__task task;
    struct record *record;
    int number;
    int poster;
};

struct record {
    int last[POSTERS];
    int count;
    bool in_order;
    bool inside;
    struct sl__loop *loop;
};

static void note(struct sl__task *task) {
    struct numbered *numbered = SL_CONTAINER_OF(task, struct numbered, task);
    struct record *record = numbered->record;
    record->in_order = record->in_order && numbered->number == record->last[numbered->poster] + 1;
    record->inside = record->inside && sl__loop_inside(record->loop);
    record->last[numbered->poster] = numbered->number;
    record->count++;
}

struct poster {
    pthread_t thread;
    struct sl__loop *loop;
    struct numbered tasks[TASKS];
};

static void *post_all(void *argument) {
    struct poster *poster = argument;
    for (int i = 0; i < TASKS; i++) {
        sl__loop_post(poster->loop, &poster->tasks[i].task);
    }
    return NULL;
}

static void tasks_of_many_threads_run_in_the_order_of_each(void **state) {
    (void)state;
    static struct poster posters[POSTERS];
    struct record record = {.in_order = true, .inside = true};
    assert_int_equal(sl__loop_create(&record.loop, NULL), SL_OK);
    for (int p = 0; p < POSTERS; p++) {
        record.last[p] = -1;
        posters[p].loop = record.loop;
        for (int i = 0; i < TASKS; i++) {
            posters[p].tasks[i] = (struct numbered){.task = {.run = note}, .record = &record, .number = i, .poster = p};
        }
    }
    for (int p = 0; p < POSTERS; p++) {
        assert_int_equal(pthread_create(&posters[p].thread, NULL, post_all, &posters[p]), 0);
    }
    for (int p = 0; p < POSTERS; p++) {
        pthread_join(posters[p].thread, NULL);
    }
    assert_false(sl__loop_inside(record.loop));
    /* What was posted before is run before the loop is gone. */
    sl__loop_destroy(record.loop);
    assert_int_equal(record.count, TASKS * POSTERS);
    assert_true(record.in_order);
    assert_true(record.inside);
}

struct pipe_case {
    struct sl__loop *loop;
    int fds[2];
    struct sl__watch *watch;
    struct sl__timer *timer;
    sem_t done;
    int calls;
    char byte;
    enum sl_code code;
};

static void read_byte(void *context) {
    struct pipe_case *c = context;
    c->calls++;
    assert_int_equal(read(c->fds[0], &c->byte, 1), 1);
    sl__watch_destroy(c->watch); /* from within its own function */
    sem_post(&c->done);
}

static void make_watch(void *context) {
    struct pipe_case *c = context;
    c->code = sl__watch_create(c->loop, c->fds[0], read_byte, c, &c->watch, NULL);
}

static void a_watch_calls_when_there_is_something_to_read(void **state) {
    (void)state;
    struct pipe_case c = {0};
    sem_init(&c.done, 0, 0);
    assert_int_equal(pipe(c.fds), 0);
    assert_int_equal(sl__loop_create(&c.loop, NULL), SL_OK);
    sl__loop_call(c.loop, make_watch, &c);
    assert_int_equal(c.code, SL_OK);
    assert_int_equal(write(c.fds[1], "xy", 2), 2);
    sem_wait(&c.done);
    sl__loop_destroy(c.loop);
    assert_int_equal(c.calls, 1);
    assert_int_equal(c.byte, 'x');
    close(c.fds[0]);
    close(c.fds[1]);
    sem_destroy(&c.done);
}

static void watch_a_file(void *context) {
    struct pipe_case *c = context;
    struct sl_error error = SL_ERROR_INIT;
    c->code = sl__watch_create(c->loop, c->fds[0], read_byte, c, &c->watch, &error);
    assert_int_not_equal(error.system_errno, 0);
    assert_true(error.message[0] != '\0');
}

static void what_cannot_be_watched_is_an_error(void **state) {
    (void)state;
    struct pipe_case c = {.fds = {-1, -1}};
    assert_int_equal(sl__loop_create(&c.loop, NULL), SL_OK);
    sl__loop_call(c.loop, watch_a_file, &c);
    assert_int_equal(c.code, SL_E_SYSTEM);
    sl__loop_destroy(c.loop);
}

static void due(void *context) {
    struct pipe_case *c = context;
    c->calls++;
    sl__timer_destroy(c->timer);
    sem_post(&c->done);
}

static void set_timer(void *context) {
    struct pipe_case *c = context;
    assert_int_equal(sl__timer_create(c->loop, due, c, &c->timer, NULL), SL_OK);
    sl__timer_set(c->timer, 3600 * 1000);
    sl__timer_cancel(c->timer);
    sl__timer_set(c->timer, 1);
}

static void a_timer_calls_once(void **state) {
    (void)state;
    struct pipe_case c = {0};
    sem_init(&c.done, 0, 0);
    assert_int_equal(sl__loop_create(&c.loop, NULL), SL_OK);
    sl__loop_call(c.loop, set_timer, &c);
    sem_wait(&c.done);
    sl__loop_destroy(c.loop);
    assert_int_equal(c.calls, 1);
    sem_destroy(&c.done);
}

static void look_at_mask(void *context) {
    sigset_t *mask = context;
    pthread_sigmask(SIG_BLOCK, NULL, mask);
}

static void the_thread_blocks_signals_and_the_creator_keeps_its_mask(void **state) {
    (void)state;
    struct sl__loop *loop;
    sigset_t before, after, inside;
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    assert_int_equal(sl__loop_create(&loop, NULL), SL_OK);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    sl__loop_call(loop, look_at_mask, &inside);
    sl__loop_destroy(loop);
    const int numbers[] = {SIGINT, SIGTERM, SIGCHLD, SIGPIPE, SIGUSR1, SIGHUP};
    for (size_t i = 0; i < SL_COUNT_OF(numbers); i++) {
        assert_true(sigismember(&inside, numbers[i]));
        assert_int_equal(sigismember(&before, numbers[i]), sigismember(&after, numbers[i]));
    }
}

static double cpu_seconds(void) {
    struct timespec spent;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return (double)spent.tv_sec + (double)spent.tv_nsec * 1e-9;
}

static void an_idle_loop_uses_no_processor_time(void **state) {
    (void)state;
    struct sl__loop *loop;
    assert_int_equal(sl__loop_create(&loop, NULL), SL_OK);
    double before = cpu_seconds();
    nanosleep(&(struct timespec){.tv_nsec = 300 * 1000 * 1000}, NULL); /* the time that is measured */
    double spent = cpu_seconds() - before;
    sl__loop_destroy(loop);
    assert_true(spent < 0.02);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tasks_of_many_threads_run_in_the_order_of_each),
        cmocka_unit_test(a_watch_calls_when_there_is_something_to_read),
        cmocka_unit_test(what_cannot_be_watched_is_an_error),
        cmocka_unit_test(a_timer_calls_once),
        cmocka_unit_test(the_thread_blocks_signals_and_the_creator_keeps_its_mask),
        cmocka_unit_test(an_idle_loop_uses_no_processor_time),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
