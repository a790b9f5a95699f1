/* SPDX-License-Identifier: MIT */
/* The thread that reads: what it does when the run that it wakes is over. */
#include <fcntl.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "input.h"
#include "scratch.h"

struct run {
    sem_t entered;
    _Atomic bool left;
    _Atomic uint32_t wakes;
};

static void wake(void *context) {
    struct run *run = context;
    atomic_fetch_add(&run->wakes, 1);
    sem_post(&run->entered);
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* for input_leave to come back too early */
    atomic_store(&run->left, true);
}

static void idle(void *context) {
    (void)context;
}

/* Nothing of the run is touched once input_leave has returned. */
static void a_wake_under_way_is_waited_for_and_none_follows(void **state) {
    (void)state;
    char path[SCRATCH_SIZE], problem[200];
    scratch_place(path, "slither-input");
    assert_int_equal(mkfifo(path, 0600), 0);
    int fd = open(path, O_RDWR);
    struct run run = {0};
    sem_init(&run.entered, 0, 0);
    struct input *input =
        input_open(&(struct input_options){.path = path, .line_max = 100, .idle = idle}, problem, sizeof problem);
    assert_non_null(input);
    assert_int_equal(input_start(input, wake, &run, NULL), SL_OK);
    struct sl_source source = input_source(input);
    struct sl_item item = {0};
    assert_int_equal(source.next(source.context, &item, NULL), SL_E_AGAIN);
    assert_int_equal(write(fd, "1\n", 2), 2);
    sem_wait(&run.entered);
    input_leave(input);
    assert_true(atomic_load(&run.left));
    while (source.next(source.context, &item, NULL) == SL_OK) { /* the last time it says again, and would be woken */
    }
    assert_int_equal(write(fd, "2\n", 2), 2);
    while (source.next(source.context, &item, NULL) != SL_OK) {
    }
    assert_int_equal(atomic_load(&run.wakes), 1);
    input_close(input);
    close(fd);
    unlink(path);
    sem_destroy(&run.entered);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_wake_under_way_is_waited_for_and_none_follows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
