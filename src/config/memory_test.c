/* SPDX-License-Identifier: MIT */
/*
 * Memory runs out while a pipe file is read, or an environment is made: each allocation fails in turn, alone and with all that follow. That is said, and nothing
 * else is; nothing stays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include <slither/pipe_file.h>

#include "failing_memory.h"
#include "file.h"
#include "requirements.h"
#include "scratch.h"

#define ALLOCATIONS_MAX 200000
#define LARGE_SIZE 65536
#define LARGE_STAGES 150
#define LARGE_TRIES 60  /* of the many allocations that a large file takes */
#define PROGRAM_TRIES 8 /* of one that is compiled */

/* The room's arena serves many texts from one allocation. Here each of them is one. */
void *__real_sl__arena_take(struct sl__arena *arena, size_t size);
char *__real_sl__arena_text(struct sl__arena *arena, const char *text, size_t size);
void *__wrap_sl__arena_take(struct sl__arena *arena, size_t size);
char *__wrap_sl__arena_text(struct sl__arena *arena, const char *text, size_t size);
char *__wrap_sl__arena_format(struct sl__arena *arena, const char *format, ...);

void *__wrap_sl__arena_take(struct sl__arena *arena, size_t size) {
    return memory_fails() ? NULL : __real_sl__arena_take(arena, size);
}

char *__wrap_sl__arena_text(struct sl__arena *arena, const char *text, size_t size) {
    return memory_fails() ? NULL : __real_sl__arena_text(arena, text, size);
}

char *__wrap_sl__arena_format(struct sl__arena *arena, const char *format, ...) {
    char text[16384];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    assert_true(size >= 0 && (size_t)size < sizeof text);
    return __wrap_sl__arena_text(arena, text, (size_t)size);
}

/* ---- files ----------------------------------------------------------------------------------------------------------------- */

/* A file as the test reads it. */
struct source {
    const char *name;
    char *text;
    enum sl__file_depth depth;
};

/* Whether something failed, of the allocations from `after` on. */
static bool try(const struct source *source, uint32_t after, bool lasting) {
    struct sl_pipe_file_problem problems[8];
    struct sl_pipe_file *file = NULL;
    struct sl_error error = SL_ERROR_INIT;
    uint32_t count = 0;
    memory_fail(MEMORY_MINE, after, lasting);
    enum sl_code code = sl__pipe_file_parse(source->text, strlen(source->text), source->name, source->depth, NULL, 0,
                                            &file, problems, 8, &count, &error);
    bool failed = memory_restore();
    if (code != (failed ? SL_E_OUT_OF_MEMORY : SL_OK) || (file != NULL) != (code == SL_OK)) {
        fail_msg("%s, allocation %u%s: %s: %s", source->name, after, lasting ? " and all after" : "",
                 sl_code_name(code), error.message);
    }
    assert_true(code == SL_OK || error.message[0] != '\0');
    sl_pipe_file_destroy(file);
    sl_error_finish(&error);
    return failed;
}

/* How many it takes. */
static uint32_t allocations_of(const struct source *source) {
    uint32_t low = 0, high = ALLOCATIONS_MAX;
    assert_false(try(source, high, false));
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        *(try(source, middle, true) ? &low : &high) = middle;
    }
    printf("%s: %u allocations\n", source->name, high);
    return high;
}

/* Some of the first `count`, evenly. */
static void try_some(const struct source *source, uint32_t count, uint32_t tries) {
    assert_true(count > tries);
    for (uint32_t i = 0; i < tries; i++) {
        assert_true(try(source, (uint32_t)((uint64_t)count * i / tries), i % 2 != 0));
    }
}

static char *read_example(const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/examples/pipes/%s/pipe.yaml", SL_TEST_SOURCE, name);
    FILE *file = fopen(path, "re");
    char *text = calloc(1, LARGE_SIZE);
    assert_non_null(file);
    assert_non_null(text);
    assert_in_range(fread(text, 1, LARGE_SIZE - 1, file), 1, LARGE_SIZE - 2);
    fclose(file);
    return text;
}

static void the_examples(void **state) {
    static const char *const names[] = {"chunks", "lookup", "poison", "scoring", "triage"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct source source = {names[i], read_example(names[i]), SL__FILE_SHALLOW};
        uint32_t count = 0;
        while (try(&source, count, false)) {
            (void)try(&source, count, true);
            count++;
        }
        printf("%s: %u allocations\n", names[i], count);
        assert_true(count > 10);
        free(source.text);
    }
}

/* Compiling is slow. */
static void one_with_its_programs(void **state) {
    (void)state;
    struct source source = {"scoring", read_example("scoring"), SL__FILE_SHALLOW};
    uint32_t count = allocations_of(&source); /* a few more with the programs */
    source.depth = SL__FILE_WHOLE;
    try_some(&source, count, PROGRAM_TRIES);
    free(source.text);
}

static char *large_file(void) {
    char *text = malloc(LARGE_SIZE);
    assert_non_null(text);
    size_t used =
        (size_t)snprintf(text, LARGE_SIZE, "pipe: large\nenv: {A: b, C: null}\nredact: [one, '*two']\npools:\n");
    for (int i = 0; i < 20; i++) {
        used += (size_t)snprintf(text + used, LARGE_SIZE - used, "  p%d: {workers: 2, env: {NUMBER: '%d'}}\n", i, i);
    }
    used += (size_t)snprintf(text + used, LARGE_SIZE - used, "stages:\n");
    for (int i = 0; i < LARGE_STAGES; i++) {
        used += (size_t)snprintf(text + used, LARGE_SIZE - used,
                                 "  - {name: s%d, python: 'm:f%d', pool: p%d, batch_size: %d, on_error: skip}\n", i, i,
                                 i % 20, i + 1);
    }
    used += (size_t)snprintf(text + used, LARGE_SIZE - used,
                             "  - name: last\n    router:\n      - {when: .x, to: some}\noutputs: [some]\n");
    assert_true(used < LARGE_SIZE - 1);
    return text;
}

static void a_large_file(void **state) {
    (void)state;
    struct source source = {"large", large_file(), SL__FILE_SHALLOW};
    try_some(&source, allocations_of(&source), LARGE_TRIES);
    free(source.text);
}

/* ---- environments ---------------------------------------------------------------------------------------------------------- */

static void write_program(const char *path, const char *text) {
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0700), 0);
}

static bool try_to_provide(const char *folder, const char *interpreter, uint32_t after, bool lasting) {
    static const char *const wanted[] = {"second", "first>=1", NULL};
    const struct sl__requirements requirements = {
        .interpreter = interpreter, .wanted = wanted, .directory = "", .timeout_ms = 60000};
    struct sl__arena arena = {0};
    struct sl_error error = SL_ERROR_INIT;
    const char *python = NULL;
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s/slither'", folder);
    assert_int_equal(system(command), 0);
    memory_fail(MEMORY_MINE, after, lasting);
    enum sl_code code = sl__requirements_provide(&requirements, &arena, &python, &error);
    bool failed = memory_restore();
    if (code != (failed ? SL_E_OUT_OF_MEMORY : SL_OK)) {
        fail_msg("allocation %u%s: %s: %s", after, lasting ? " and all after" : "", sl_code_name(code), error.message);
    }
    sl_error_finish(&error);
    sl__arena_finish(&arena);
    return failed;
}

static void an_environment(void **state) {
    (void)state;
    char folder[SCRATCH_SIZE], uv[SCRATCH_SIZE + 8], python[SCRATCH_SIZE + 8], path[2048], command[SCRATCH_SIZE + 16];
    scratch_folder(folder, "slither-memory");
    snprintf(uv, sizeof uv, "%s/uv", folder);
    snprintf(python, sizeof python, "%s/python", folder);
    write_program(uv, "#!/bin/sh\ntest $1 = pip || { mkdir -p \"$5/bin\" && ln -s /bin/sh \"$5/bin/python\"; }\n");
    write_program(python, "#!/bin/sh\n");
    char *old_path = strdup(getenv("PATH"));
    snprintf(path, sizeof path, "%s:%s", folder, old_path);
    setenv("PATH", path, 1);
    setenv("XDG_CACHE_HOME", folder, 1);
    uint32_t count = 0;
    while (try_to_provide(folder, python, count, false)) {
        (void)try_to_provide(folder, python, count, true);
        count++;
    }
    printf("environment: %u allocations\n", count);
    assert_true(count > 10);
    setenv("PATH", old_path, 1);
    unsetenv("XDG_CACHE_HOME");
    free(old_path);
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    assert_int_equal(system(command), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples),
        cmocka_unit_test(one_with_its_programs),
        cmocka_unit_test(a_large_file),
        cmocka_unit_test(an_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
