/* SPDX-License-Identifier: MIT */
/* The cut: which items are in the files, and how long the files were then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run_outputs.h"
#include "scratch.h"

static const char *const names[] = {"a", "b"};

struct fixture {
    char folder[SCRATCH_SIZE], path_a[SCRATCH_SIZE + 8], path_b[SCRATCH_SIZE + 8];
    struct output_option places[2];
    struct run_options options;
    struct resume resume;
    struct run_outputs outputs;
    struct error_log errors;
    struct sl_pipe_sink sinks[2];
};

static void begin(struct fixture *fixture, bool ordered) {
    char problem[512] = "";
    *fixture = (struct fixture){0};
    scratch_folder(fixture->folder, "slither-outputs");
    snprintf(fixture->path_a, sizeof(fixture->path_a), "%s/a", fixture->folder);
    snprintf(fixture->path_b, sizeof(fixture->path_b), "%s/b", fixture->folder);
    fixture->places[0] = (struct output_option){(char *)"a", fixture->path_a};
    fixture->places[1] = (struct output_option){(char *)"b", fixture->path_b};
    fixture->options = (struct run_options){.outputs = fixture->places, .output_count = 2};
    assert_true(error_log_open(&fixture->errors, NULL, false, true, -1, problem, sizeof(problem)));
    assert_true(run_outputs_place(&fixture->outputs, &fixture->options, names, 2, problem, sizeof(problem)));
    assert_true(
        run_outputs_open(&fixture->outputs, &fixture->resume, -1, NULL, &fixture->errors, problem, sizeof(problem)));
    fixture->outputs.ordered = ordered;
    run_outputs_sinks(&fixture->outputs, fixture->sinks);
}

static void end(struct fixture *fixture, bool whole) {
    assert_int_equal(run_outputs_close(&fixture->outputs, whole, NULL), SL_OK);
    assert_int_equal(access(fixture->path_a, F_OK) == 0, whole);
    run_outputs_finish(&fixture->outputs);
    error_log_finish(&fixture->errors);
    static const char *const files[] = {"a", "b", "a.part", "b.part"};
    for (size_t i = 0; i < 4; i++) {
        char path[SCRATCH_SIZE + 16];
        snprintf(path, sizeof(path), "%s/%s", fixture->folder, files[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(fixture->folder), 0);
}

/* A line of two bytes: a digit, and its end. */
static void give(struct fixture *fixture, int output, uint64_t origin) {
    const uint8_t value[] = {(uint8_t)(origin % 10)};
    const struct sl_pipe_outcome outcome = {
        .size = sizeof(outcome), .output = names[output], .origin = origin, .value = {value, 1}};
    assert_int_equal(fixture->sinks[output].put(fixture->sinks[output].context, &outcome, NULL), SL_OK);
}

static void expect_cut(struct fixture *fixture, uint64_t through, uint64_t resume, uint64_t a, uint64_t b) {
    uint64_t found = 99, bytes[2] = {99, 99};
    struct stat status;
    assert_int_equal(run_outputs_cut(&fixture->outputs, through, &found, bytes, NULL), SL_OK);
    assert_int_equal(found, resume);
    assert_int_equal(bytes[0], a);
    assert_int_equal(bytes[1], b);
    /* All that it tells of is there. */
    assert_int_equal(fstat(fixture->outputs.items[0].file.output.fd, &status), 0);
    assert_true((uint64_t)status.st_size >= a);
    assert_int_equal(fstat(fixture->outputs.items[1].file.output.fd, &status), 0);
    assert_true((uint64_t)status.st_size >= b);
}

static void an_item_that_is_being_given_out_is_behind_the_cut(void **state) {
    (void)state;
    struct fixture fixture;
    begin(&fixture, true);
    expect_cut(&fixture, 0, 0, 0, 0);
    give(&fixture, 0, 0);
    give(&fixture, 0, 1);
    give(&fixture, 1, 1);
    expect_cut(&fixture, 1, 1, 2, 0); /* 1 may have more to come */
    expect_cut(&fixture, 2, 2, 4, 2); /* it has not */
    expect_cut(&fixture, 5, 5, 4, 2); /* nothing came of the next three */
    give(&fixture, 1, 7);
    expect_cut(&fixture, 5, 7, 4, 2); /* the count was taken before: 5 and 6 are through, since 7 is at its turn */
    give(&fixture, 1, 7);
    give(&fixture, 0, 7);
    expect_cut(&fixture, 7, 7, 4, 2);
    expect_cut(&fixture, 8, 8, 6, 6);
    end(&fixture, true);
}

static void without_order_it_is_what_the_run_says(void **state) {
    (void)state;
    struct fixture fixture;
    begin(&fixture, false);
    give(&fixture, 0, 5);
    give(&fixture, 1, 2);
    expect_cut(&fixture, 0, 0, 2, 2);
    expect_cut(&fixture, 6, 6, 2, 2);
    end(&fixture, false);
}

static void what_could_not_be_written_is_behind_the_cut(void **state) {
    (void)state;
    struct fixture fixture;
    uint64_t resume = 99, bytes[2];
    begin(&fixture, true);
    give(&fixture, 0, 0);
    expect_cut(&fixture, 1, 1, 2, 0);
    give(&fixture, 0, 1);
    give(&fixture, 0, 2);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (full < 0) {
        skip();
    }
    int kept = dup(fixture.outputs.items[0].file.output.fd);
    assert_true(kept >= 0 && dup2(full, fixture.outputs.items[0].file.output.fd) >= 0);
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(run_outputs_cut(&fixture.outputs, 2, &resume, bytes, &error), SL_E_SYSTEM);
    assert_int_equal(resume, 1);
    assert_int_equal(bytes[0], 2);
    assert_int_equal(bytes[1], 0);
    sl_error_finish(&error);
    close(kept);
    close(full);
    end(&fixture, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_that_is_being_given_out_is_behind_the_cut),
        cmocka_unit_test(without_order_it_is_what_the_run_says),
        cmocka_unit_test(what_could_not_be_written_is_behind_the_cut),
    };
    return cmocka_run_group_tests_name("run_outputs", tests, NULL, NULL);
}
