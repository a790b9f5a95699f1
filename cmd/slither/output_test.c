/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output.h"
#include "scratch.h"

static void writes_lines(void **state) {
    (void)state;
    int ends[2];
    char text[64] = "";
    struct output output;
    assert_int_equal(pipe(ends), 0);
    assert_true(output_init(&output, ends[1], "pipe"));
    assert_int_equal(output_line(&output, "one", 3, NULL), SL_OK);
    assert_int_equal(output_line(&output, "", 0, NULL), SL_OK);
    assert_int_equal(output_flush(&output, NULL), SL_OK);
    assert_int_equal(read(ends[0], text, sizeof(text)), 5);
    assert_string_equal(text, "one\n\n");
    assert_int_equal(output_line(&output, "two", 3, NULL), SL_OK);
    assert_int_equal(output_close(&output, NULL), SL_OK);
    assert_int_equal(read(ends[0], text, sizeof(text)), 4);
    assert_int_equal(output_close(&output, NULL), SL_OK);
    close(ends[0]);
    close(ends[1]);
}

static void larger_than_the_buffer(void **state) {
    (void)state;
    char path[SCRATCH_SIZE];
    char problem[200];
    int fd = scratch_file(path, "slither-output");
    assert_int_equal(write(fd, "old", 3), 3);
    size_t size = (size_t)3 << 20;
    char *text = malloc(size);
    memset(text, 'x', size);
    struct output output;
    assert_true(output_open(&output, path, 0, STDIN_FILENO, problem, sizeof(problem)));
    assert_int_equal(output_line(&output, "first", 5, NULL), SL_OK);
    assert_int_equal(output_line(&output, text, size, NULL), SL_OK);
    assert_int_equal(output_close(&output, NULL), SL_OK);
    assert_int_equal(lseek(fd, 0, SEEK_END), 6 + size + 1);
    /* Writing what is being read is refused before anything is lost. */
    assert_false(output_open(&output, path, 0, fd, problem, sizeof(problem)));
    assert_non_null(strstr(problem, "is the input"));
    assert_int_equal(lseek(fd, 0, SEEK_END), 6 + size + 1);
    free(text);
    close(fd);
    unlink(path);
}

static void reader_gone(void **state) {
    (void)state;
    int ends[2];
    struct output output;
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    assert_true(output_init(&output, ends[1], "pipe"));
    assert_int_equal(output_line(&output, "one", 3, NULL), SL_OK);
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(output_flush(&output, &error), SL_E_END);
    assert_true(output.reader_gone);
    assert_int_equal(output_line(&output, "two", 3, NULL), SL_OK);
    assert_int_equal(output_flush(&output, NULL), SL_E_END);
    sl_error_finish(&error);
    (void)output_close(&output, NULL);
    close(ends[1]);
}

static void *say(void *stop) {
    stop_say(stop);
    return NULL;
}

/* Nobody reads: the pipe is full, and the write waits until somebody says stop, in whichever thread it is. */
static void a_write_that_waits_can_be_ended(void **state) {
    (void)state;
    int ends[2];
    struct output output;
    struct stop stop;
    struct sl_error error = SL_ERROR_INIT;
    size_t size = (size_t)1 << 20;
    char *text = malloc(size);
    pthread_t thread;
    memset(text, 'x', size);
    assert_int_equal(pipe(ends), 0);
    assert_true(stop_init(&stop));
    assert_true(output_init(&output, ends[1], "pipe"));
    output.stop = &stop;
    assert_int_equal(pthread_create(&thread, NULL, say, &stop), 0);
    assert_int_equal(output_line(&output, text, size, &error), SL_E_CANCELLED);
    pthread_join(thread, NULL);
    sl_error_finish(&error);
    (void)output_close(&output, NULL);
    stop_finish(&stop);
    free(text);
    close(ends[0]);
    close(ends[1]);
}

static void lines_go_behind_what_is_kept(void **state) {
    (void)state;
    char path[SCRATCH_SIZE];
    char problem[200], text[32] = "";
    int fd = scratch_file(path, "slither-output");
    struct output output;
    assert_int_equal(write(fd, "one\ntwo\nthr", 11), 11);
    assert_true(output_open(&output, path, 8, STDIN_FILENO, problem, sizeof(problem)));
    assert_int_equal(output_line(&output, "3", 1, NULL), SL_OK);
    assert_int_equal(output_close(&output, NULL), SL_OK);
    assert_true(output_open(&output, path, OUTPUT_KEEP, STDIN_FILENO, problem, sizeof(problem)));
    assert_int_equal(output_line(&output, "4", 1, NULL), SL_OK);
    assert_int_equal(output_close(&output, NULL), SL_OK);
    assert_int_equal(pread(fd, text, sizeof(text) - 1, 0), 12);
    assert_string_equal(text, "one\ntwo\n3\n4\n");
    close(fd);
    unlink(path);
}

static void disk_full(void **state) {
    (void)state;
    char problem[200];
    struct output output;
    if (access("/dev/full", W_OK) != 0) {
        skip();
    }
    assert_true(output_open(&output, "/dev/full", 0, STDIN_FILENO, problem, sizeof(problem)));
    assert_int_equal(output_line(&output, "one", 3, NULL), SL_OK);
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(output_flush(&output, &error), SL_E_SYSTEM);
    assert_int_equal(error.system_errno, ENOSPC);
    assert_non_null(strstr(error.message, "/dev/full: No space left on device"));
    sl_error_finish(&error);
    (void)output_close(&output, NULL);
}

static void refusals(void **state) {
    (void)state;
    char problem[200];
    struct output output;
    assert_false(output_open(&output, "-", 0, STDIN_FILENO, problem, sizeof(problem)));
    assert_non_null(strstr(problem, "/dev/stderr"));
    assert_false(output_open(&output, "/nonexistent/file", 0, STDIN_FILENO, problem, sizeof(problem)));
    assert_non_null(strstr(problem, "cannot write /nonexistent/file: No such file"));
    assert_int_equal(output_close(&output, NULL), SL_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_lines),
        cmocka_unit_test(larger_than_the_buffer),
        cmocka_unit_test(reader_gone),
        cmocka_unit_test(disk_full),
        cmocka_unit_test(a_write_that_waits_can_be_ended),
        cmocka_unit_test(lines_go_behind_what_is_kept),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("output", tests, NULL, NULL);
}
