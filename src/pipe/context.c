/* SPDX-License-Identifier: MIT */
/* Context: what handlers see of the run that they work in, native ones as a struct and Python as a value. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "run.h"

enum sl_code sl__context_check(const struct sl_pipe *pipe, const struct sl_pipe_options *options,
                               struct sl_error *error) {
    for (uint32_t i = 0; i < options->store_count; i++) {
        const struct sl_pipe_store *store = &options->stores[i];
        if (store->name == NULL || store->name[0] == '\0' || store->store == NULL) {
            return sl_error_set(error, SL_E_INVALID_ARGUMENT, "pipe %s: store %u has no %s", pipe->name, i,
                                store->store == NULL ? "store" : "name");
        }
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(options->stores[j].name, store->name) == 0) {
                return sl_error_set(error, SL_E_INVALID_ARGUMENT, "pipe %s: two stores are named %.64s", pipe->name,
                                    store->name);
            }
        }
    }
    return SL_OK;
}

/* The session of a stage's calls: the one that was given, or one for all stages of the run on this pool. */
static enum sl_code find_session(struct sl__stage_run *stage, uint32_t pool, struct sl_error *error) {
    struct sl_pipe_run *run = stage->run;
    stage->session = run->options.session;
    if (stage->session != NULL) {
        return SL_OK;
    }
    if (run->sessions[pool] == NULL) {
        struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
        char name[SL_SESSION_NAME_MAX + 1];
        snprintf(name, sizeof name, "%s", run->pipe->name);
        options.name = name;
        options.affinity = SL_AFFINITY_SPREAD; /* as a dispatch without a session has it: on all workers */
        enum sl_code code = sl_session_open(run->options.pools[pool].pool, &options, &run->sessions[pool], error);
        if (code != SL_OK) {
            return code;
        }
    }
    stage->session = run->sessions[pool];
    return SL_OK;
}

enum sl_code sl__context_prepare(struct sl__stage_run *stage, uint32_t pool, struct sl_error *error) {
    const struct sl_pipe_options *options = &stage->run->options;
    struct sl_writer *writer = &stage->context_writer;
    enum sl_code code = find_session(stage, pool, error);
    if (code != SL_OK) {
        return code;
    }
    sl_write_map(writer, 2u + (options->metadata.size > 0) + (options->store_count > 0));
    sl_write_str(writer, "pipe");
    sl_write_str(writer, stage->run->pipe->name);
    sl_write_str(writer, "stage");
    sl_write_str(writer, stage->node->stage.name);
    if (options->metadata.size > 0) {
        sl_write_str(writer, "metadata");
        sl_write_value(writer, options->metadata);
    }
    if (options->store_count > 0) {
        sl_write_str(writer, "stores");
        sl_write_list(writer, options->store_count);
        for (uint32_t i = 0; i < options->store_count; i++) {
            sl_write_str(writer, options->stores[i].name);
        }
    }
    code = sl_writer_end(writer, &stage->options.context, error);
    if (code == SL_OK && stage->options.context.size > SL_CONTEXT_MAX) {
        code =
            sl_error_set(error, SL_E_LIMIT,
                         "stage %s: what its calls get along (names, metadata, stores) has %zu bytes; at most %d are "
                         "possible, so make the metadata smaller",
                         stage->node->stage.name, stage->options.context.size, SL_CONTEXT_MAX);
    }
    return code;
}

void sl__context_share(struct sl_pipe_run *run) {
    const struct sl_session *first = run->options.session;
    for (uint32_t i = 0; first == NULL && i < run->pipe->node_count; i++) {
        first = run->stages[i].session;
    }
    for (uint32_t i = 0; i < run->pipe->node_count; i++) {
        struct sl__stage_run *stage = &run->stages[i];
        const struct sl_session *own = stage->session != NULL ? stage->session : first;
        stage->context.session = own != NULL ? sl_session_id(own) : 0;
    }
}

void sl__context_finish(struct sl_pipe_run *run) {
    for (uint32_t i = 0; run->sessions != NULL && i < run->options.pool_count; i++) {
        sl_session_close(run->sessions[i]);
    }
}

struct sl_store *sl_pipe_context_store(const struct sl_pipe_context *context, const char *name) {
    for (uint32_t i = 0; i < context->store_count; i++) {
        if (strcmp(context->stores[i].name, name) == 0) {
            return context->stores[i].store;
        }
    }
    return NULL;
}
