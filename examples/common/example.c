/* SPDX-License-Identifier: MIT */
#include "example.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double now_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void die(const char *format, ...) SL_PRINTF(1, 2);
static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(2);
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static const char *value_of(int argc, char **argv, int *index) {
    if (*index + 1 >= argc) {
        die("%s: option '%s' wants a value", argv[0], argv[*index]);
    }
    return argv[++*index];
}

void example_begin(struct example *example, const char *name, int argc, char **argv) {
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    *example = (struct example){.name = name, .workers = processors > 2 ? (uint32_t)processors : 2};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--data") == 0) {
            example->data = value_of(argc, argv, &i);
        } else if (strcmp(argv[i], "--modules") == 0) {
            example->modules = value_of(argc, argv, &i);
        } else if (strcmp(argv[i], "--python") == 0) {
            example->python = value_of(argc, argv, &i);
        } else if (strcmp(argv[i], "--scale") == 0) {
            const char *scale = value_of(argc, argv, &i);
            example->full = strcmp(scale, "full") == 0;
            if (!example->full && strcmp(scale, "small") != 0) {
                die("%s: --scale is small or full, not '%s'", argv[0], scale);
            }
        } else if (strcmp(argv[i], "--workers") == 0) {
            const char *text = value_of(argc, argv, &i);
            char *end;
            errno = 0;
            long workers = strtol(text, &end, 10);
            if (errno != 0 || *end != '\0' || workers < 1 || workers > 256) {
                die("%s: --workers is a number from 1 to 256, not '%s'", argv[0], text);
            }
            example->workers = (uint32_t)workers;
        } else if (strcmp(argv[i], "--json") == 0) {
            example->json = true;
        } else {
            die("%s: unknown option '%s'\nusage: %s --data DIRECTORY [--modules DIRECTORY] [--python PATH] "
                "[--scale small|full] [--workers N] [--json]",
                argv[0], argv[i], argv[0]);
        }
    }
    if (example->data == NULL) {
        die("%s: --data is missing: the directory that data.py of this example has filled", argv[0]);
    }
    example->began = now_seconds();
}

/* ---- printing ---------------------------------------------------------------------------------------------------- */

void example_say(const struct example *example, const char *format, ...) {
    if (example->json) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

void example_prove(struct example *example, bool holds, const char *format, ...) {
    if (example->proof_count == EXAMPLE_PROOFS_MAX) {
        die("%s has more than %d proofs", example->name, EXAMPLE_PROOFS_MAX);
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(example->proofs[example->proof_count].text, sizeof example->proofs[0].text, format, arguments);
    va_end(arguments);
    example->proofs[example->proof_count++].holds = holds;
}

void example_figure(struct example *example, const char *name, double value) {
    if (example->figure_count == EXAMPLE_FIGURES_MAX) {
        die("%s has more than %d figures", example->name, EXAMPLE_FIGURES_MAX);
    }
    snprintf(example->figures[example->figure_count].name, sizeof example->figures[0].name, "%s", name);
    example->figures[example->figure_count++].value = value;
}

void example_must(enum sl_code code, const struct sl_error *error, const char *what) {
    if (code != SL_OK) {
        die("%s: %s: %s%s%s", what, sl_code_name(code), error->message, error->traceback != NULL ? "\n" : "",
            error->traceback != NULL ? error->traceback : "");
    }
}

static void print_json(const struct example *example, bool all_hold) {
    struct sl_writer writer;
    sl_writer_init(&writer, NULL);
    sl_write_map(&writer, 5);
    sl_write_str(&writer, "name");
    sl_write_str(&writer, example->name);
    sl_write_str(&writer, "correct");
    sl_write_bool(&writer, all_hold);
    sl_write_str(&writer, "work_seconds");
    sl_write_float(&writer, example->work_seconds);
    sl_write_str(&writer, "proofs");
    sl_write_list(&writer, example->proof_count);
    for (uint32_t i = 0; i < example->proof_count; i++) {
        sl_write_map(&writer, 2);
        sl_write_str(&writer, "claim");
        sl_write_str(&writer, example->proofs[i].text);
        sl_write_str(&writer, "holds");
        sl_write_bool(&writer, example->proofs[i].holds);
    }
    sl_write_str(&writer, "figures");
    sl_write_map(&writer, example->figure_count);
    for (uint32_t i = 0; i < example->figure_count; i++) {
        sl_write_str(&writer, example->figures[i].name);
        sl_write_float(&writer, example->figures[i].value);
    }
    struct sl_error error = SL_ERROR_INIT;
    struct sl_value value;
    char *text = NULL;
    size_t capacity = 0, size = 0;
    example_must(sl_writer_end(&writer, &value, &error), &error, "the result");
    example_must(sl_json_print(value, 0, &text, &capacity, &size, &error), &error, "the result");
    printf("%.*s\n", (int)size, text);
    free(text);
    sl_writer_finish(&writer);
}

int example_end(struct example *example) {
    bool all_hold = example->proof_count > 0;
    example_say(example, "\nproofs:");
    for (uint32_t i = 0; i < example->proof_count; i++) {
        example_say(example, "  %s  %s", example->proofs[i].holds ? "yes" : "NO ", example->proofs[i].text);
        all_hold = all_hold && example->proofs[i].holds;
    }
    if (example->json) {
        print_json(example, all_hold);
    }
    return all_hold ? 0 : 1;
}

void example_work_begin(struct example *example) {
    example->work_seconds -= now_seconds();
}

void example_work_end(struct example *example) {
    example->work_seconds += now_seconds();
}

/* ---- runtime and pool -------------------------------------------------------------------------------------------- */

/* What goes wrong in a worker is for people to see; a script reads stdout alone. */
static void print_log(void *context, const struct sl_log_record *record) {
    (void)context;
    if (record->level >= SL_LOG_WARN || record->origin != SL_LOG_HOST) {
        fprintf(stderr, "%s\n", record->text);
    }
}

struct sl_runtime *example_runtime(struct example *example) {
    struct sl_runtime_options options = SL_RUNTIME_OPTIONS_INIT;
    struct sl_runtime *runtime = NULL;
    struct sl_error error = SL_ERROR_INIT;
    options.log = print_log;
    (void)example;
    example_must(sl_runtime_create(&options, &runtime, &error), &error, "the runtime");
    return runtime;
}

struct sl_pool *example_pool(struct example *example, struct sl_runtime *runtime, const char *const *preload) {
    const char *const path[] = {example->modules, NULL};
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    struct sl_pool *pool = NULL;
    struct sl_error error = SL_ERROR_INIT;
    options.name = example->name;
    options.worker_count = example->workers;
    options.preload = preload;
    options.python = example->python;
    options.python_path = example->modules != NULL ? path : NULL;
    example_must(sl_pool_create(runtime, &options, &pool, &error), &error, "the pool");
    return pool;
}

/* ---- input ------------------------------------------------------------------------------------------------------- */

void example_lines_open(struct example_lines *lines, const struct example *example, const char *file_name) {
    *lines = (struct example_lines){0};
    snprintf(lines->path, sizeof lines->path, "%s/%s", example->data, file_name);
    lines->file = fopen(lines->path, "r");
    if (lines->file == NULL) {
        die("%s: %s", lines->path, strerror(errno));
    }
    sl_writer_init(&lines->writer, NULL);
}

static enum sl_code next_line(void *context, struct sl_item *item, struct sl_error *error) {
    struct example_lines *lines = context;
    ssize_t size = getline(&lines->line, &lines->capacity, lines->file);
    if (size < 0) {
        return ferror(lines->file) ? sl_error_set(error, SL_E_SYSTEM, "%s: %s", lines->path, strerror(errno))
                                   : SL_E_END;
    }
    sl_writer_reset(&lines->writer);
    enum sl_code code = sl_json_parse(lines->line, (size_t)size, &lines->writer, error);
    if (code == SL_OK) {
        code = sl_writer_end(&lines->writer, &item->value, error);
    }
    item->id = lines->number++;
    return code;
}

struct sl_source example_lines_source(struct example_lines *lines) {
    return (struct sl_source){next_line, lines};
}

void example_lines_close(struct example_lines *lines) {
    fclose(lines->file);
    free(lines->line);
    sl_writer_finish(&lines->writer);
}

struct sl_value example_member(struct sl_value map, const char *key) {
    struct sl_value value;
    if (sl_value_get(map, key, &value) != SL_OK) {
        die("a map has no '%s'", key);
    }
    return value;
}

int64_t example_int(struct sl_value map, const char *key) {
    int64_t number;
    if (sl_value_int(example_member(map, key), &number) != SL_OK) {
        die("'%s' is no int", key);
    }
    return number;
}

double example_float(struct sl_value map, const char *key) {
    double number;
    if (sl_value_float(example_member(map, key), &number) != SL_OK) {
        die("'%s' is no number", key);
    }
    return number;
}

const char *example_text(struct sl_value map, const char *key, size_t *size) {
    const char *text;
    if (sl_value_str(example_member(map, key), &text, size) != SL_OK) {
        die("'%s' is no str", key);
    }
    return text;
}
