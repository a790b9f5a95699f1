/* SPDX-License-Identifier: MIT */
/*
 * Where the outputs of a pipe go: lines of standard output or of files.
 *
 * Items of an ordered run come in the order of the source, so at any time there is a cut: all that came of the first items is written, nothing of the others. The
 * sizes of the files at that cut are what a later run can go on from, whatever has ended this one. Sinks may be called by several threads; everything
 * below may be called by any.
 */
#ifndef SLITHER_CLI_RUN_OUTPUTS_H
#define SLITHER_CLI_RUN_OUTPUTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <slither/pipe.h>

#include "error_log.h"
#include "part_file.h"
#include "resume.h"
#include "run_options.h"
#include "stop.h"

enum run_place {
    PLACE_NOWHERE, /* counted only */
    PLACE_MIXED,   /* standard output, behind its name, with others */
    PLACE_STDOUT,  /* standard output, alone */
    PLACE_FILE
};

struct run_outputs;

struct run_output {
    struct run_outputs *all;
    const char *name;
    enum run_place place;
    struct part_file file;
    struct printer printer;
    uint64_t bytes;               /* written, those of an earlier run that this one goes on from included */
    uint64_t cut;                 /* of them, before the item that is being given out */
    uint64_t safe;                /* of them, at the last cut that is known to be written */
    uint64_t item_count;          /* lines written */
    _Atomic uint64_t unprintable; /* items without a JSON form */
};

struct run_outputs {
    const struct run_options *options;
    struct error_log *errors;
    struct run_output *items; /* NULL: not placed */
    uint32_t count;
    struct output out;     /* standard output; zeroed: not used */
    pthread_mutex_t mutex; /* guards the files and what follows */
    bool flush_each;
    bool ordered;
    bool any_given;
    uint64_t cut_origin;  /* the item that is being given out, when any_given */
    uint64_t safe_origin; /* the last cut that is known to be written */
    void (*given)(void *context);
    void *context;
};

/* Finds out where each output goes. False: `problem`; run_outputs_finish() in either case. */
bool run_outputs_place(struct run_outputs *outputs, const struct run_options *options, const char *const *names,
                       uint32_t name_count, char *problem, size_t problem_size);
/* A file that something else is written to: no output may be the same. */
bool run_outputs_clash(const struct run_outputs *outputs, const char *option, const char *path, char *problem,
                       size_t problem_size);
/* Opens what is to be written. `given` is called after each line. */
bool run_outputs_open(struct run_outputs *outputs, const struct resume *resume, int input_fd, const struct stop *stop,
                      struct error_log *errors, char *problem, size_t problem_size);

/* One for each output; `sinks` has room for them. */
void run_outputs_sinks(struct run_outputs *outputs, struct sl_pipe_sink *sinks);
enum sl_code run_outputs_flush(struct run_outputs *outputs, struct sl_error *error);

/*
 * Writes out what is buffered, and gives the cut at which the first *resume items of this run are written and nothing else, with the sizes of all files there, in the
 * order of the outputs. `through` of the items are finished, as the run says. When not all could be written it is the last cut that was. In runs that are not
 * ordered there is more than that in the files, unless everything is through.
 */
enum sl_code run_outputs_cut(struct run_outputs *outputs, uint64_t through, uint64_t *resume, uint64_t *bytes,
                             struct sl_error *error);

/* `whole`: the run has gone through all of its input; files get their names. */
enum sl_code run_outputs_close(struct run_outputs *outputs, bool whole, struct sl_error *error);
void run_outputs_finish(struct run_outputs *outputs);

uint64_t run_outputs_unprintable(const struct run_outputs *outputs);
bool run_outputs_reader_gone(const struct run_outputs *outputs);

#endif
