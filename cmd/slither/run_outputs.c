/* SPDX-License-Identifier: MIT */
#include "run_outputs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "console.h"
#include "nearest.h"

/* ---- places ---- */

static struct run_output *find(struct run_outputs *outputs, const char *name) {
    for (uint32_t i = 0; i < outputs->count; i++) {
        if (strcmp(outputs->items[i].name, name) == 0) {
            return &outputs->items[i];
        }
    }
    return NULL;
}

static void name_outputs(const struct run_outputs *outputs, const char *name, char *problem, size_t problem_size) {
    struct nearest nearest = {.typed = name};
    char names[240] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < outputs->count; i++) {
        nearest_offer(&nearest, outputs->items[i].name);
        if (used < sizeof(names)) {
            used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", i == 0 ? "" : ", ",
                                     outputs->items[i].name);
        }
    }
    snprintf(problem, problem_size, "--output: the pipe has no output '%.60s'%s%s%s; it has %s", name,
             nearest.name != NULL ? "; did you mean '" : "", nearest.name != NULL ? nearest.name : "",
             nearest.name != NULL ? "'?" : "", names);
}

static bool place_file(struct run_output *output, const char *path, char *problem, size_t problem_size) {
    output->place = PLACE_FILE;
    return part_file_place(&output->file, path, problem, problem_size);
}

/* No two of them in one file. */
static bool check_apart(const struct run_outputs *outputs, char *problem, size_t problem_size) {
    for (uint32_t i = 0; i < outputs->count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            const struct run_output *a = &outputs->items[k], *b = &outputs->items[i];
            bool same = a->place == b->place &&
                        (a->place == PLACE_STDOUT || (a->place == PLACE_FILE && part_file_same(&a->file, &b->file)));
            if (same) {
                snprintf(problem, problem_size,
                         "--output: '%.60s' and '%.60s' would both be written to %.200s: two "
                         "outputs need two files",
                         a->name, b->name, a->place == PLACE_FILE ? a->file.path : "standard output");
                return false;
            }
        }
    }
    return true;
}

static bool place_in_directory(struct run_outputs *outputs, char *problem, size_t problem_size) {
    const char *directory = outputs->options->directory;
    struct stat status;
    if (stat(directory, &status) != 0 &&
        (errno != ENOENT || outputs->options->dry_run || (mkdir(directory, 0777) != 0 && errno != EEXIST))) {
        if (outputs->options->dry_run && errno == ENOENT) {
            return true; /* it would be made */
        }
        snprintf(problem, problem_size, "--output: cannot make the directory %.200s: %s", directory, strerror(errno));
        return false;
    }
    for (uint32_t i = 0; i < outputs->count; i++) {
        char *path = NULL;
        if (outputs->items[i].place != PLACE_NOWHERE) {
            continue;
        }
        if (asprintf(&path, "%s/%s.ndjson", directory, outputs->items[i].name) < 0) {
            snprintf(problem, problem_size, "out of memory");
            return false;
        }
        bool placed = place_file(&outputs->items[i], path, problem, problem_size);
        free(path);
        if (!placed) {
            return false;
        }
    }
    return true;
}

bool run_outputs_place(struct run_outputs *outputs, const struct run_options *options, const char *const *names,
                       uint32_t name_count, char *problem, size_t problem_size) {
    *outputs = (struct run_outputs){.options = options, .out = {.fd = -1}};
    pthread_mutex_init(&outputs->mutex, NULL);
    outputs->items = calloc(name_count, sizeof(*outputs->items));
    if (outputs->items == NULL) {
        snprintf(problem, problem_size, "out of memory");
        return false;
    }
    outputs->count = name_count;
    for (uint32_t i = 0; i < name_count; i++) {
        struct run_output *output = &outputs->items[i];
        *output = (struct run_output){.all = outputs, .name = names[i], .file = {.output = {.fd = -1}}};
        printer_init(&output->printer);
        if (options->directory == NULL && options->output_count == 0) {
            output->place = PLACE_MIXED;
        }
    }
    for (size_t i = 0; i < options->output_count; i++) {
        const struct output_option *option = &options->outputs[i];
        struct run_output *output = find(outputs, option->name);
        if (output == NULL) {
            name_outputs(outputs, option->name, problem, problem_size);
            return false;
        }
        if (strcmp(option->path, "-") == 0) {
            output->place = PLACE_STDOUT;
        } else if (!place_file(output, option->path, problem, problem_size)) {
            return false;
        }
    }
    if (options->directory != NULL && !place_in_directory(outputs, problem, problem_size)) {
        return false;
    }
    return check_apart(outputs, problem, problem_size);
}

bool run_outputs_clash(const struct run_outputs *outputs, const char *option, const char *path, char *problem,
                       size_t problem_size) {
    struct part_file other;
    char unused[256];
    bool clash = false;
    if (path != NULL && part_file_place(&other, path, unused, sizeof(unused))) {
        for (uint32_t i = 0; i < outputs->count && !clash; i++) {
            const struct run_output *output = &outputs->items[i];
            clash = output->place == PLACE_FILE && part_file_same(&output->file, &other);
            if (clash) {
                snprintf(problem, problem_size, "%s and the output '%.60s' would both be written to %.200s", option,
                         output->name, other.path);
            }
        }
        part_file_finish(&other);
    }
    return clash;
}

/* ---- opening ---- */

static bool open_file(struct run_output *output, const struct resume *resume, int input_fd, char *problem,
                      size_t problem_size) {
    const struct resume_file *before = resume_find(resume, output->file.path);
    if (before != NULL) {
        output->bytes = output->cut = output->safe = before->bytes;
        return part_file_go_on(&output->file, before->bytes, input_fd, problem, problem_size);
    }
    if (resume->given && part_file_exists(&output->file)) {
        snprintf(problem, problem_size,
                 "%.200s is there already, and --resume-from does not say what it holds: give another name, or go on "
                 "from the report of the run that wrote it",
                 output->file.path);
        return false;
    }
    return part_file_open(&output->file, input_fd, problem, problem_size);
}

bool run_outputs_open(struct run_outputs *outputs, const struct resume *resume, int input_fd, const struct stop *stop,
                      struct error_log *errors, char *problem, size_t problem_size) {
    outputs->errors = errors;
    for (uint32_t i = 0; i < outputs->count; i++) {
        struct run_output *output = &outputs->items[i];
        if (output->place == PLACE_FILE) {
            if (!open_file(output, resume, input_fd, problem, problem_size)) {
                return false;
            }
            output->file.output.stop = stop;
        } else if (output->place != PLACE_NOWHERE && outputs->out.buffer == NULL) {
            if (is_same_file(input_fd, STDOUT_FILENO)) {
                snprintf(problem, problem_size, "standard output is the input: its lines would be read as items");
                return false;
            }
            if (!output_init(&outputs->out, STDOUT_FILENO, "standard output")) {
                snprintf(problem, problem_size, "out of memory");
                return false;
            }
            outputs->out.stop = stop;
            outputs->flush_each = isatty(STDOUT_FILENO) == 1;
            outputs->out.before_write = outputs->flush_each ? console_hide : NULL;
        }
    }
    return true;
}

/* ---- giving out ---- */

/* An item as it is, or in a map that says more of it. One that failed and was sent on has its error beside it. */
static enum sl_code print_item(struct run_output *output, const struct sl_pipe_outcome *outcome,
                               struct sl_error *error) {
    const struct run_options *options = output->all->options;
    uint32_t flags = options->nan == NAN_NULL ? SL_JSON_NAN_AS_NULL : 0;
    bool named = output->place == PLACE_MIXED, failed = outcome->error != NULL;
    if (!named && !failed && !options->with_id) {
        return printer_print(&output->printer, outcome->value, flags, error);
    }
    struct sl_writer *writer = &output->printer.writer;
    sl_writer_reset(writer);
    sl_write_map(writer, 1u + named + (options->with_id != 0) + 2u * failed);
    if (named) {
        write_text(writer, "output", output->name);
    }
    if (options->with_id) {
        write_count(writer, "id", outcome->id);
    }
    sl_write_str(writer, "item");
    sl_write_value(writer, outcome->value);
    if (failed) {
        write_text(writer, "stage", outcome->stage);
        sl_write_str(writer, "error");
        write_error(writer, outcome->error);
    }
    return printer_print_built(&output->printer, flags, error);
}

static enum sl_code tell_unprintable(struct run_output *output, const struct sl_pipe_outcome *outcome,
                                     struct sl_error *error) {
    struct sl_error failure = SL_ERROR_INIT;
    sl_error_copy(&failure, error);
    snprintf(failure.message, sizeof(failure.message), "output %.64s: the item is not JSON: %.300s%s", output->name,
             error->message, output->all->options->nan == NAN_ERROR ? " (--nan null prints null for NaN)" : "");
    const struct failed_item item = {
        .line = outcome->id, .status = SL_STATUS_FAILED, .stage = outcome->stage, .failure = &failure};
    enum sl_code code = error_log_item(output->all->errors, &item, error);
    sl_error_finish(&failure);
    return code;
}

/* The item begins: what was written up to here came of those before it. */
static void move_cut(struct run_outputs *outputs, uint64_t origin) {
    if (outputs->any_given && outputs->cut_origin == origin) {
        return;
    }
    outputs->any_given = true;
    outputs->cut_origin = origin;
    for (uint32_t i = 0; i < outputs->count; i++) {
        outputs->items[i].cut = outputs->items[i].bytes;
    }
}

/* Nobody reads any more: that the workers are stopped now is no news. */
static enum sl_code note_end(const struct run_outputs *outputs, enum sl_code code) {
    if (code == SL_E_END) {
        console_show_host(outputs->options->verbose > 0);
    }
    return code;
}

static enum sl_code put(void *context, const struct sl_pipe_outcome *outcome, struct sl_error *error) {
    struct run_output *output = context;
    struct run_outputs *outputs = output->all;
    if (output->place == PLACE_NOWHERE) {
        return SL_OK;
    }
    enum sl_code code = print_item(output, outcome, error);
    pthread_mutex_lock(&outputs->mutex);
    if (code == SL_E_NOT_SERIALIZABLE) {
        output->unprintable++;
        code = tell_unprintable(output, outcome, error);
    } else if (code == SL_OK) {
        struct output *to = output->place == PLACE_FILE ? &output->file.output : &outputs->out;
        move_cut(outputs, outcome->origin);
        code = output_line(to, output->printer.text, output->printer.size, error);
        if (code == SL_OK) {
            output->bytes += output->printer.size + 1;
            output->item_count++;
        }
        if (code == SL_OK && outputs->flush_each && to == &outputs->out) {
            code = output_flush(to, error);
        }
    }
    pthread_mutex_unlock(&outputs->mutex);
    if (outputs->given != NULL) {
        outputs->given(outputs->context);
    }
    return note_end(outputs, code);
}

void run_outputs_sinks(struct run_outputs *outputs, struct sl_pipe_sink *sinks) {
    for (uint32_t i = 0; i < outputs->count; i++) {
        sinks[i] = (struct sl_pipe_sink){outputs->items[i].name, put, &outputs->items[i]};
    }
}

/* With the mutex held. The first trouble is kept. */
static enum sl_code flush(struct run_outputs *outputs, struct sl_error *error) {
    enum sl_code first = outputs->out.buffer != NULL ? output_flush(&outputs->out, error) : SL_OK;
    for (uint32_t i = 0; i < outputs->count; i++) {
        struct output *output = &outputs->items[i].file.output;
        if (output->buffer != NULL) {
            enum sl_code code = output_flush(output, first == SL_OK ? error : NULL);
            first = first == SL_OK ? code : first;
        }
    }
    return note_end(outputs, first);
}

enum sl_code run_outputs_flush(struct run_outputs *outputs, struct sl_error *error) {
    pthread_mutex_lock(&outputs->mutex);
    enum sl_code code = flush(outputs, error);
    pthread_mutex_unlock(&outputs->mutex);
    return code;
}

enum sl_code run_outputs_cut(struct run_outputs *outputs, uint64_t through, uint64_t *resume, uint64_t *bytes,
                             struct sl_error *error) {
    pthread_mutex_lock(&outputs->mutex);
    enum sl_code code = flush(outputs, error);
    bool failed = code != SL_OK || outputs->out.failed;
    for (uint32_t i = 0; i < outputs->count; i++) {
        failed = failed || outputs->items[i].file.output.failed;
    }
    if (!failed) {
        /* An item that is being given out is not through, whatever the count of those that are says by now. */
        bool within = outputs->ordered && outputs->any_given && outputs->cut_origin >= through;
        outputs->safe_origin = within ? outputs->cut_origin : through;
        for (uint32_t i = 0; i < outputs->count; i++) {
            outputs->items[i].safe = within ? outputs->items[i].cut : outputs->items[i].bytes;
        }
    }
    *resume = outputs->safe_origin;
    for (uint32_t i = 0; i < outputs->count; i++) {
        bytes[i] = outputs->items[i].safe;
    }
    pthread_mutex_unlock(&outputs->mutex);
    return code;
}

/* ---- the end ---- */

enum sl_code run_outputs_close(struct run_outputs *outputs, bool whole, struct sl_error *error) {
    enum sl_code first = outputs->out.buffer != NULL ? output_close(&outputs->out, error) : SL_OK;
    for (uint32_t i = 0; i < outputs->count; i++) {
        struct run_output *output = &outputs->items[i];
        if (output->place == PLACE_FILE) {
            enum sl_code code = part_file_close(&output->file, whole && first == SL_OK, first == SL_OK ? error : NULL);
            first = first == SL_OK ? code : first;
        }
    }
    return first;
}

void run_outputs_finish(struct run_outputs *outputs) {
    (void)output_close(&outputs->out, NULL);
    for (uint32_t i = 0; i < outputs->count; i++) {
        part_file_finish(&outputs->items[i].file);
        printer_finish(&outputs->items[i].printer);
    }
    free(outputs->items);
    *outputs = (struct run_outputs){0};
}

uint64_t run_outputs_unprintable(const struct run_outputs *outputs) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < outputs->count; i++) {
        count += outputs->items[i].unprintable;
    }
    return count;
}

bool run_outputs_reader_gone(const struct run_outputs *outputs) {
    return outputs->out.reader_gone;
}
