/* SPDX-License-Identifier: MIT */
/* The three faces of a run: run to a sink, stream, call. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/macros.h"
#include "dispatch/call.h"
#include "dispatch/sink.h"
#include "run.h"

/* ---- a source over an array ------------------------------------------------------------------------------------------- */

static enum sl_code next_value(void *context, struct sl_item *item, struct sl_error *error) {
    struct sl_array_source *array = context;
    (void)error;
    if (array->position >= array->count) {
        return SL_E_END;
    }
    item->id = array->position;
    item->value = array->values[array->position++];
    return SL_OK;
}

struct sl_source sl_source_from_array(struct sl_array_source *array) {
    return (struct sl_source){.next = next_value, .context = array};
}

/* ---- run -------------------------------------------------------------------------------------------------------------- */

/* What a sink is shown, and where it comes from. */
struct shown {
    struct sl_outcome outcome;
    struct sl__blob *reply;
};

struct sl__blob *sl__outcome_reply(const struct sl_outcome *outcome) {
    return SL_CONTAINER_OF(outcome, const struct shown, outcome)->reply;
}

/* Gives an outcome to the sink, and ends the run when the sink has had enough. False: it wants no more. */
static bool put(struct sl__run *run, const struct sl_sink *sink, const struct sl_outcome *outcome) {
    struct sl_error error;
    sl__error_init(&error);
    enum sl_code code = sink->put(sink->context, outcome, &error);
    if (code == SL_OK) {
        return true;
    }
    if (code == SL_E_END) {
        sl__run_end(run, SL__STOPPING, NULL);
    } else {
        char cause[SL_ERROR_MESSAGE_SIZE];
        memcpy(cause, error.message, sizeof cause);
        (void)sl_error_set(&error, SL_E_SINK, "the sink failed at item %llu with %s: %.400s",
                           (unsigned long long)outcome->sequence, sl_code_name(code),
                           cause[0] != '\0' ? cause : sl_code_text(code));
        sl__run_end(run, SL__STOPPING, &error);
    }
    sl_error_finish(&error);
    return false;
}

static enum sl_code ended(const struct sl__run *run, struct sl_error *error) {
    if (error != NULL) {
        sl_error_copy(error, &run->end_error);
    }
    return run->end_error.code;
}

enum sl_code sl__dispatch_run(struct sl_pool *pool, const struct sl_dispatch_options *options, struct sl_source source,
                              const struct sl__sink *sink, struct sl_report *report, struct sl_error *error) {
    struct sl__run run;
    struct shown shown;
    enum sl_code code = sl__run_init(&run, pool, options, source, false, report, error);
    if (code != SL_OK) {
        return code;
    }
    bool wants_more = sink->one.put != NULL;
    run.sink = wants_more ? sink : NULL;
    run.wants_rows = wants_more && sink->put_row != NULL;
    while (sl__run_next(&run, &shown.outcome) == SL_OK) {
        shown.reply = run.reply;
        wants_more = wants_more && put(&run, &sink->one, &shown.outcome);
    }
    code = ended(&run, error);
    sl__run_finish(&run);
    return code;
}

enum sl_code sl_dispatch_run(struct sl_pool *pool, const struct sl_dispatch_options *options, struct sl_source source,
                             const struct sl_sink *sink, struct sl_report *report, struct sl_error *error) {
    const struct sl__sink whole = {.one = sink != NULL ? *sink : (struct sl_sink){0}};
    return sl__dispatch_run(pool, options, source, &whole, report, error);
}

/* ---- stream ------------------------------------------------------------------------------------------------------------ */

struct sl_stream {
    struct sl__run run;
};

enum sl_code sl_stream_open(struct sl_pool *pool, const struct sl_dispatch_options *options, struct sl_source source,
                            struct sl_stream **stream, struct sl_error *error) {
    *stream = NULL;
    struct sl_stream *made = malloc(sizeof *made);
    if (made == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a stream");
    }
    enum sl_code code = sl__run_init(&made->run, pool, options, source, true, NULL, error);
    if (code != SL_OK) {
        free(made);
        return code;
    }
    sl__visit_inside(&made->run.visit, false);
    *stream = made;
    return SL_OK;
}

enum sl_code sl_stream_next(struct sl_stream *stream, struct sl_outcome *outcome, struct sl_error *error) {
    sl__visit_inside(&stream->run.visit, true);
    enum sl_code next = sl__run_next(&stream->run, outcome);
    sl__visit_inside(&stream->run.visit, false);
    if (next == SL_OK) {
        return SL_OK;
    }
    sl__report_complete(&stream->run);
    enum sl_code code = ended(&stream->run, error);
    return code == SL_OK ? SL_E_END : code;
}

const struct sl_report *sl_stream_report(const struct sl_stream *stream) {
    return stream->run.report;
}

void sl_stream_close(struct sl_stream *stream) {
    if (stream != NULL) {
        sl__visit_inside(&stream->run.visit, true);
        sl__run_finish(&stream->run);
        free(stream);
    }
}

/* ---- call -------------------------------------------------------------------------------------------------------------- */

struct item_array {
    const struct sl_item *items;
    uint32_t count, position;
};

static enum sl_code next_item(void *context, struct sl_item *item, struct sl_error *error) {
    struct item_array *array = context;
    (void)error;
    if (array->position >= array->count) {
        return SL_E_END;
    }
    *item = array->items[array->position++];
    return SL_OK;
}

void sl_results_finish(struct sl_results *results) {
    if (results != NULL) {
        free(results->values);
        sl__blob_unref(results->owner);
        *results = (struct sl_results){0};
    }
}

enum sl_code sl__call_batch(struct sl_pool *pool, const struct sl_dispatch_options *options,
                            const struct sl_item *items, uint32_t count, struct sl_results *results,
                            uint64_t *ref_count, struct sl_error *error) {
    struct sl__run run;
    struct sl_outcome outcome;
    struct sl_dispatch_options own = SL_DISPATCH_OPTIONS_INIT;
    struct item_array array = {items, count, 0};
    *results = (struct sl_results){0};
    *ref_count = 0;
    if (count == 0 || count > 65536) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_call_batch: %u values, expected 1 to 65536", count);
    }
    if (options != NULL) {
        memcpy(&own, options, SL_MIN(options->size, sizeof own));
    }
    /* One batch whatever the options say, so that what goes in together comes back together. */
    own.strategy = sl_strategy_fixed();
    own.batch_size = count;
    own.max_in_flight = 1;
    own.max_in_flight_bytes = UINT64_MAX;
    own.max_delay_ms = 0;
    own.error_list_max = 0;
    if (own.policy.on_error != SL_ON_ERROR_RETRY) {
        own.policy.on_error = SL_ON_ERROR_SKIP;
    }
    enum sl_code code = sl__run_init(&run, pool, &own, (struct sl_source){next_item, &array}, false, NULL, error);
    if (code != SL_OK) {
        return code;
    }
    run.results = results;
    while (sl__run_next(&run, &outcome) == SL_OK) {
    }
    code = ended(&run, error);
    if (code == SL_OK && results->count != count) {
        code = sl_error_set(error, SL_E_CANCELLED, "the call was drained before it ran");
    }
    if (code != SL_OK) {
        sl_results_finish(results);
    }
    *ref_count = run.ref_count;
    sl__run_finish(&run);
    return code;
}

enum sl_code sl_call_batch(struct sl_pool *pool, const struct sl_dispatch_options *options, const struct sl_item *items,
                           uint32_t count, struct sl_results *results, struct sl_error *error) {
    uint64_t ref_count;
    return sl__call_batch(pool, options, items, count, results, &ref_count, error);
}
