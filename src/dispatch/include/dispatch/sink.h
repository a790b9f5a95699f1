/* SPDX-License-Identifier: MIT */
/* For sinks of the library's own: what an outcome's value lies in, so that it need not be copied to be kept, and the outcomes of a batch in one call. */
#ifndef SL_DISPATCH_SINK_H
#define SL_DISPATCH_SINK_H

#include <slither/dispatch.h>

#include "lane/lane.h"

struct sl__entry {
    uint64_t sequence;
    uint64_t id;
    uint64_t offset;       /* of the encoded item in the request's payload (flying) or in the batch's `data` */
    uint64_t value_offset; /* of the result in the reply */
    uint32_t size;
    uint32_t value_size;
    uint32_t meta_offset; /* in the batch's `meta` */
    uint32_t meta_size;
    uint32_t attempts;
    uint8_t status;    /* enum sl_status, once done */
    uint8_t moved;     /* 1: another batch has this item now */
    uint8_t delivered; /* 1: its outcome was given out */
};

/* Outcomes that follow each other, all of them ok. Valid while the sink is called. */
struct sl__outcome_row {
    uint64_t sequence; /* of the first */
    uint32_t count;
    const struct sl__entry *entries;
    struct sl__blob *reply; /* that the values lie in; no reference: who keeps it takes one */
};
static inline struct sl_value sl__outcome_row_value(const struct sl__outcome_row *row, uint32_t index) {
    const struct sl__entry *entry = &row->entries[index];
    return (struct sl_value){row->reply->data + entry->value_offset, entry->value_size};
}

/* `one.put` returns ok, always: rows come nevertheless when it does not. */
struct sl__sink {
    struct sl_sink one; /* put: for the other outcomes */
    /* Instead of `one.put` for each, in the same order; or NULL. */
    void (*put_row)(void *context, const struct sl__outcome_row *row);
};

/* As sl_dispatch_run(). */
enum sl_code sl__dispatch_run(struct sl_pool *pool, const struct sl_dispatch_options *options, struct sl_source source,
                              const struct sl__sink *sink, struct sl_report *report, struct sl_error *error);

/*
 * The reply that the value of an outcome lies in, results of other items beside it; NULL: none. No reference: who keeps it takes one. Only of an outcome that
 * a dispatch gives to a sink's `put`, while it does.
 */
struct sl__blob *sl__outcome_reply(const struct sl_outcome *outcome);

#endif
