/* SPDX-License-Identifier: MIT */
/* A pipe file, read; and what was started of it. */
#ifndef SLITHER_CONFIG_FILE_H
#define SLITHER_CONFIG_FILE_H

#include <slither/pipe_file.h>

#include "base/redact.h"
#include "parts.h"
#include "plugin.h"
#include "problems.h"
#include "program.h"
#include "reader.h"

/* What a file is read for. */
enum sl__file_depth {
    SL__FILE_WHOLE = 0,
    /* jq programs are not compiled and plugins not loaded: for fuzzing, where a compiler in each round would be all that is measured */
    SL__FILE_SHALLOW = 1,
};

/* One native stage, one route or one strategy: the context of its function. */
struct sl__native {
    struct sl__native *next;
    struct sl_pipe_file *file;
    const struct sl__stage_part *said;
    const char *where; /* "stage prepare (pipe.yaml:7:9)" */
    struct sl__jq *jq; /* the program; of a lookup its key; of a route its condition; of a strategy the key, or NULL */
    struct sl__jq *weight;
    struct sl__plugin plugin;
    void *plugin_context;
    bool plugin_ready;
    struct sl_table *table; /* of a lookup, while the file is started */
};

struct sl__store_state {
    struct sl_store *store;
};

struct sl_pipe_file {
    struct sl__arena arena;
    const char *path;
    const char *directory; /* "" is the process's */
    struct sl__file_part said;
    struct sl__redact redact; /* of texts that quote an item; while it is started, what was said then */
    struct sl__jq_watch *watch;
    jv vars;
    struct sl__native *natives;
    struct sl_writer metadata;
    struct sl_value metadata_value;
    const char **outputs;
    uint32_t output_count;
    struct sl_stage *stages;
    struct sl_pipe *pipe;

    /* started */
    bool started;
    struct sl_runtime *runtime;
    struct sl_pipe_pool *pools; /* as many as said.pools */
    uint32_t pool_count;
    struct sl_pipe_store *stores; /* as many as said.stores */
};

/* As sl_pipe_file_parse(). */
enum sl_code sl__pipe_file_parse(const char *text, size_t size, const char *name, enum sl__file_depth depth,
                                 const struct sl_pipe_setting *settings, uint32_t setting_count,
                                 struct sl_pipe_file **file, struct sl_pipe_file_problem *problems,
                                 uint32_t problem_max, uint32_t *problem_count, struct sl_error *error);

/* Variables and settings: before the tree is read (settings.c). */
void sl__apply_settings(struct sl__reader *reader, struct sl__yaml *root, const struct sl_pipe_setting *settings,
                        uint32_t setting_count);
/* `*vars` is an object of jq. */
void sl__fill_variables(struct sl__reader *reader, struct sl__yaml *root, jv *vars);
/* Writes any value of the file. */
void sl__yaml_write(const struct sl__yaml *node, struct sl_writer *writer);

/* Makes the pipe of what the file says (stages.c). */
void sl__make_pipe(struct sl__reader *reader, struct sl_pipe_file *file, enum sl__file_depth depth);

/* Functions of native stages (native.c). */
sl_stage_fn sl__call_jq, sl__call_lookup, sl__call_plugin;
sl_route_fn sl__take_route;
enum sl_code sl__place_weighted(void *context, const struct sl_item *item, struct sl_placement *placement,
                                struct sl_error *error);
enum sl_code sl__place_key(void *context, const struct sl_item *item, struct sl_placement *placement,
                           struct sl_error *error);

#endif
