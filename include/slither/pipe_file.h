/* SPDX-License-Identifier: MIT */
/*
 * Pipe files: a pipe with its pools and stores, described in YAML, so that it needs no compiler. The format is in slither-pipe(5).
 *
 *     struct sl_pipe_file_problem problems[16];
 *     uint32_t problem_count;
 *     struct sl_pipe_file *file;
 *     if (sl_pipe_file_read("pipe.yaml", NULL, 0, &file, problems, 16, &problem_count, &error) == SL_OK &&
 *         sl_pipe_file_start(file, runtime, NULL, &error) == SL_OK) {
 *         struct sl_pipe_options options;
 *         sl_pipe_file_options(file, &options);
 *         options.sinks = ...
 *         code = sl_pipe_run(sl_pipe_file_pipe(file), &options, source, &report, &error);
 *     }
 *     sl_pipe_file_stop(file, 0);
 *     sl_pipe_file_destroy(file);
 *
 * Reading checks everything that can be known without starting anything: the YAML, each key and its value, the graph of the stages, jq programs
 * (compiled), plugins (loaded, which runs their constructors). What is wrong is found in one go. Starting makes the Python environment where the file lists
 * requirements, opens the stores, loads their tables, and starts the pools, which import the functions of the stages.
 *
 * jq programs and plugins run inside the host. A jq program is stopped at its stage's timeout, but the memory that it takes is not bounded, and
 * a plugin that crashes takes the host with it.
 */
#ifndef SLITHER_PIPE_FILE_H
#define SLITHER_PIPE_FILE_H

#include <slither/base.h>
#include <slither/error.h>
#include <slither/pipe.h>

SL_BEGIN_DECLS

struct sl_runtime;
struct sl_pipe_file;

#define SL_PIPE_FILE_SIZE_MAX ((size_t)1 << 20) /**< bytes of a file */
#define SL_PIPE_FILE_DEPTH_MAX 32               /**< maps and lists in one another */
#define SL_PIPE_FILE_ENTRIES_MAX 65536          /**< values of a file, those behind an alias counted again */
#define SL_PIPE_FILE_POOLS_MAX 64
#define SL_PIPE_FILE_STORES_MAX 64
#define SL_PIPE_FILE_TABLES_MAX 1024 /**< of one store */

/** One thing that is wrong. Lines and columns count from 1, columns in characters. */
struct sl_pipe_file_problem {
    char file[256];    /**< as it was given; of a setting: its key; cut at the front when it is longer */
    uint32_t line;     /**< 0: of the file as a whole, or of a setting */
    uint32_t column;   /**< 0 where line is 0 */
    char place[160];   /**< "stages.predict.batch_size"; may be empty */
    char message[352]; /**< what is wrong, what was expected, what to do */
};

/** Bytes that sl_pipe_file_problem_text() writes at most, NUL included. */
#define SL_PIPE_FILE_PROBLEM_TEXT_SIZE 832

/** One line for people: "pipe.yaml:7:5: stages.predict.batch_sise: unknown key: did you mean batch_size?" */
SL_API void sl_pipe_file_problem_text(const struct sl_pipe_file_problem *problem,
                                      char text[SL_PIPE_FILE_PROBLEM_TEXT_SIZE]);

/**
 * Changes the file before it is checked. `key` is the name of a variable that the file declares under `vars`, or a path: "stages.predict.batch_size",
 * "pools.main.workers", "stores.features.path", "options.in_flight_max"; `value` is YAML, as it would stand in the file ("64", "30s", "[a, b]").
 * Stages, pools and stores that a path goes through must be in the file; the last key need not be. A variable takes its
 * value as one scalar.
 */
struct sl_pipe_setting {
    const char *key;
    const char *value;
};

/**
 * Reads and checks a file. `problems` gets the first `problem_max` of what is wrong, in the order of the file, `*problem_count` how much there is; both may be
 * NULL. On success the caller owns `*file`. Strings are copied. Blocks for the file system.
 * Errors: invalid_argument with the first problem as a line of text; system (the file cannot be read: a problem of line 0 too), out_of_memory.
 */
SL_API SL_MUST_CHECK enum sl_code sl_pipe_file_read(const char *path, const struct sl_pipe_setting *settings,
                                                    uint32_t setting_count, struct sl_pipe_file **file,
                                                    struct sl_pipe_file_problem *problems, uint32_t problem_max,
                                                    uint32_t *problem_count, struct sl_error *error);

/** The same from memory. `name` stands for the path in messages, and its directory is where the file's relative paths begin. */
SL_API SL_MUST_CHECK enum sl_code sl_pipe_file_parse(const char *text, size_t size, const char *name,
                                                     const struct sl_pipe_setting *settings, uint32_t setting_count,
                                                     struct sl_pipe_file **file, struct sl_pipe_file_problem *problems,
                                                     uint32_t problem_max, uint32_t *problem_count,
                                                     struct sl_error *error);

/** Stops what was started, as sl_pipe_file_stop() with 0. No run of its pipe may be left. NULL is fine. */
SL_API void sl_pipe_file_destroy(struct sl_pipe_file *file);

/* ---- what it says: all of it valid as long as the file; any thread ------------------------------------------------- */

/** The pipe, ready to run once the file was started. It belongs to the file. */
SL_API struct sl_pipe *sl_pipe_file_pipe(const struct sl_pipe_file *file);
SL_API const char *sl_pipe_file_name(const struct sl_pipe_file *file);
/** "" where the file has none. */
SL_API const char *sl_pipe_file_description(const struct sl_pipe_file *file);
/** Its outputs by name, `default` last; `*count` of them. */
SL_API const char *const *sl_pipe_file_outputs(const struct sl_pipe_file *file, uint32_t *count);
/** Its `redact`, for sl_redact() of what the host shows of items; NULL where the file has none. */
SL_API const char *const *sl_pipe_file_redact(const struct sl_pipe_file *file);

/* ---- starting ------------------------------------------------------------------------------------------------------ */

struct sl_pipe_file_start_options {
    size_t size; /**< sizeof(struct sl_pipe_file_start_options) */
    /** told, on the calling thread, what is about to take time or to be installed: one line without a newline; may be NULL */
    void (*announce)(void *context, const char *text);
    void *announce_context;
    /** for making the Python environment of `requirements`; default 600000 */
    uint32_t requirements_timeout_ms;
    /**
     * as in struct sl_pool_options, in place of `redact` in the file and in its pools; NULL: those. Copied.
     */
    const char *const *redact;
};

#define SL_PIPE_FILE_START_OPTIONS_INIT \
    { sizeof(struct sl_pipe_file_start_options), NULL, NULL, 600000, NULL }

/**
 * Makes the Python environment, opens the stores, loads the tables and starts the pools, all of them at once. `options` NULL: the defaults. Blocks until all
 * is ready. On failure nothing is left running. The runtime must outlive what was started.
 * Errors: those of sl_pool_create(), sl_store_create(), sl_table_open(), sl_table_reload() and the loaders, with the file and the line of what failed;
 * invalid_argument (it is started already); unsupported (the requirements cannot be installed: what to do).
 */
SL_API SL_MUST_CHECK enum sl_code sl_pipe_file_start(struct sl_pipe_file *file, struct sl_runtime *runtime,
                                                     const struct sl_pipe_file_start_options *options,
                                                     struct sl_error *error);

/** The pools that were started, as sl_pipe_options.pools wants them; `*count` is 0 before. Valid until sl_pipe_file_stop(). */
SL_API const struct sl_pipe_pool *sl_pipe_file_pools(const struct sl_pipe_file *file, uint32_t *count);

/**
 * Sets up `*options` with what the file says of a run (its `options`) and with the pools that were started. The sinks are the caller's to fill in.
 * Borrowed parts are valid until sl_pipe_file_stop().
 */
SL_API void sl_pipe_file_options(const struct sl_pipe_file *file, struct sl_pipe_options *options);

/** How many tables the file loads from somewhere (`load`), and so how many sl_pipe_file_reload() can load again. Any thread. */
SL_API uint32_t sl_pipe_file_load_count(const struct sl_pipe_file *file);

/**
 * Loads these tables again, one after another, while runs go on: whoever reads a table sees all of its old rows or all of its new ones. A table
 * whose load fails keeps its rows, and the others are loaded all the same; the first failure is returned, with the file and the line of its
 * `load`. Blocks. Any thread, several at once; not while sl_pipe_file_stop() is called. invalid_argument: the file is not started.
 */
SL_API SL_MUST_CHECK enum sl_code sl_pipe_file_reload(struct sl_pipe_file *file, struct sl_error *error);

/**
 * Drains the pools within timeout_ms, stops their workers, and closes the stores. No run may be left. It can be started again. Idempotent; NULL is
 * fine. Blocks.
 */
SL_API void sl_pipe_file_stop(struct sl_pipe_file *file, uint32_t timeout_ms);

/* ---- the format ---------------------------------------------------------------------------------------------------- */

/** The JSON Schema (draft 2020-12) of pipe files, for editors. The caller frees it with free(); NULL: no memory. */
SL_API char *sl_pipe_file_schema(void);

SL_END_DECLS

#endif
