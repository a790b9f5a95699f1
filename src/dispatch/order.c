/* SPDX-License-Identifier: MIT */
/*
 * Order: from settled batches to one outcome after the other.
 *
 * With ordering `preserve` a ring indexed by sequence says for each item that was settled where its outcome is; the item whose
 * turn it is either is there or is not. A batch whose outcomes are given out in one call, as a row, stands there once, at its first. The ring is as long as the span from the oldest item that is not out to the
 * youngest that is settled, which the window and reorder_max bound. With `as_completed` batches are given out in the
 * order in which they were settled.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "run.h"

static bool keeps_order(const struct sl__run *run) {
    return run->options.ordering == SL_ORDERING_PRESERVE && !run->order_lost;
}

static struct sl__pending *pending_place(const struct sl__run *run, uint64_t sequence) {
    return &run->pending[sequence & (run->pending_size - 1)];
}

static bool ring_reserve(struct sl__run *run, uint64_t sequence) {
    uint64_t span = sequence - run->deliver_sequence + 1;
    if (span <= run->pending_size) {
        return true;
    }
    size_t size = run->pending_size == 0 ? 256 : run->pending_size;
    while (size < span) {
        size *= 2;
    }
    struct sl__pending *grown = calloc(size, sizeof *grown);
    if (grown == NULL) {
        return false;
    }
    for (uint64_t i = run->deliver_sequence; i < run->deliver_sequence + run->pending_size; i++) {
        grown[i & (size - 1)] = run->pending[i & (run->pending_size - 1)];
    }
    free(run->pending);
    run->pending = grown;
    run->pending_size = size;
    return true;
}

/* Copies results out for sl_call_batch: the blob lives on in them. */
static void collect(struct sl__run *run, struct sl__batch *batch) {
    struct sl_results *results = run->results;
    if (batch->error != NULL) {
        sl__run_end(run, SL__STOPPING, batch->error);
    } else if (batch->blob == NULL && batch->count > 0) {
        struct sl_error error = SL_ERROR_INIT;
        (void)sl_error_set(&error, SL_E_OUT_OF_MEMORY, "the call has failed, and no memory was left to keep its error");
        sl__run_end(run, SL__STOPPING, &error);
    } else if ((results->values = malloc(batch->count * sizeof *results->values)) == NULL) {
        struct sl_error error = SL_ERROR_INIT;
        (void)sl_error_set(&error, SL_E_OUT_OF_MEMORY, "no memory for %u results", batch->count);
        sl__run_end(run, SL__STOPPING, &error);
    } else {
        results->count = batch->count;
        results->owner = batch->blob;
        for (uint32_t i = 0; i < batch->count; i++) {
            results->values[i] =
                (struct sl_value){batch->blob->data + batch->entries[i].value_offset, batch->entries[i].value_size};
        }
        batch->blob = NULL;
    }
    for (uint32_t i = 0; i < batch->count; i++) {
        run->report->count[batch->entries[i].status]++;
        run->bytes_in_use -= batch->entries[i].size;
    }
    sl__batch_put(run, batch);
}

/* Whether the sink wants the outcomes in one call. Ascending as they were numbered, they follow each other when the last is as far from the first as there are. */
static bool is_row(const struct sl__run *run, const struct sl__batch *batch) {
    const struct sl__entry *entries = batch->entries;
    uint32_t last = batch->count - 1;
    return run->wants_rows && batch->all_ok && entries[last].sequence - entries[0].sequence == last;
}

void sl__order_done(struct sl__run *run, struct sl__batch *batch) {
    SL_ASSERT(batch->undelivered > 0);
    if (run->results != NULL) {
        collect(run, batch);
        return;
    }
    batch->row = is_row(run, batch);
    if (keeps_order(run)) {
        uint32_t count = batch->row ? 1 : batch->count; /* it is found by its first */
        for (uint32_t i = 0; i < count; i++) {
            if (batch->entries[i].moved) {
                continue;
            }
            uint64_t sequence = batch->entries[i].sequence;
            if (!ring_reserve(run, sequence)) {
                /* No memory to keep the order: what is left comes as it is settled, and the run ends. */
                struct sl_error error = SL_ERROR_INIT;
                (void)sl_error_set(&error, SL_E_OUT_OF_MEMORY, "no memory to keep %llu outcomes in order",
                                   (unsigned long long)(sequence - run->deliver_sequence));
                run->order_lost = true;
                sl__run_end(run, SL__STOPPING, &error);
                break;
            }
            *pending_place(run, sequence) = (struct sl__pending){batch, i};
        }
    }
    sl__list_push_back(&run->done, &batch->link);
    run->done_count++;
}

/* Next settled item, or NULL. With `take` it is taken. */
static struct sl__batch *next(struct sl__run *run, uint32_t *index, bool take) {
    if (keeps_order(run)) {
        if (run->pending_size == 0) {
            return NULL;
        }
        struct sl__pending *pending = pending_place(run, run->deliver_sequence);
        struct sl__batch *batch = pending->batch;
        if (batch != NULL && take) {
            *index = pending->index;
            pending->batch = NULL;
            run->deliver_sequence++;
        }
        return batch;
    }
    struct sl__link *link = sl__list_first(&run->done);
    if (link == NULL) {
        return NULL;
    }
    struct sl__batch *batch = SL_CONTAINER_OF(link, struct sl__batch, link);
    if (take) {
        while (batch->entries[batch->cursor].moved || batch->entries[batch->cursor].delivered) {
            batch->cursor++;
        }
        *index = batch->cursor++;
    }
    return batch;
}

bool sl__order_ready(struct sl__run *run) {
    uint32_t index;
    return next(run, &index, false) != NULL;
}

static const char *keep_text(struct sl__run *run, const char *text, size_t size) {
    if (size + 1 > run->text_capacity) {
        char *grown = realloc(run->text, size + 64);
        if (grown == NULL) {
            return "";
        }
        run->text = grown;
        run->text_capacity = size + 64;
    }
    memcpy(run->text, text, size);
    run->text[size] = '\0';
    return run->text;
}

/* What was sent, when it is still at hand. */
static struct sl_value input_of(const struct sl__batch *batch, const struct sl__entry *entry) {
    bool there = entry->size > 0 && entry->offset + entry->size <= batch->data_size;
    return there ? (struct sl_value){batch->data + entry->offset, entry->size} : (struct sl_value){NULL, 0};
}

static void describe(struct sl__run *run, const struct sl__batch *batch, const struct sl__entry *entry,
                     struct sl_outcome *outcome) {
    struct sl_value value = {NULL, 0};
    struct sl_mark mark;
    if (batch->blob != NULL) {
        value = (struct sl_value){batch->blob->data + entry->value_offset, entry->value_size};
    }
    *outcome = (struct sl_outcome){
        .size = sizeof *outcome,
        .sequence = entry->sequence,
        .id = entry->id,
        .status = (enum sl_status)entry->status,
        .attempts = entry->attempts,
        .meta = {entry->meta_size > 0 ? batch->meta + entry->meta_offset : NULL, entry->meta_size},
    };
    switch (outcome->status) {
    case SL_STATUS_OK:
        outcome->value = value;
        break;
    case SL_STATUS_SKIPPED:
    case SL_STATUS_ROUTED:
        outcome->route = "";
        if (sl_value_mark(value, &mark) == SL_OK) {
            outcome->route = keep_text(run, mark.text, mark.text_size);
            if (outcome->status == SL_STATUS_ROUTED) {
                outcome->value = mark.payload;
                outcome->input = input_of(batch, entry);
            }
        }
        break;
    case SL_STATUS_FAILED:
    case SL_STATUS_CANCELLED:
        if (batch->error != NULL) {
            outcome->error = batch->error;
        } else {
            if (batch->blob != NULL && sl_value_mark(value, &mark) == SL_OK) {
                sl__settle_mark_error(run, &mark, &run->item_error);
            } else {
                (void)sl_error_set(&run->item_error, SL_E_OUT_OF_MEMORY, "no memory was left to keep the error");
            }
            outcome->error = &run->item_error;
        }
        outcome->input = input_of(batch, entry);
        break;
    }
}

void sl__order_release(struct sl__run *run) {
    sl__batch_put(run, run->delivered);
    run->delivered = NULL;
}

bool sl__order_give_row(struct sl__run *run) {
    uint32_t index;
    struct sl__batch *batch = next(run, &index, false);
    if (batch == NULL || !batch->row) {
        return false;
    }
    if (keeps_order(run)) {
        *pending_place(run, run->deliver_sequence) = (struct sl__pending){NULL, 0};
        run->deliver_sequence += batch->count;
    }
    run->report->count[SL_STATUS_OK] += batch->count;
    for (uint32_t i = 0; i < batch->count; i++) {
        run->bytes_in_use -= batch->entries[i].size;
    }
    sl__list_remove(&run->done, &batch->link);
    run->done_count--;
    run->turn_due = !run->source_slow;
    const struct sl__outcome_row row = {batch->entries[0].sequence, batch->count, batch->entries, batch->blob};
    run->sink->put_row(run->sink->one.context, &row);
    sl__batch_put(run, batch);
    return true;
}

bool sl__order_next(struct sl__run *run, struct sl_outcome *outcome) {
    uint32_t index = 0;
    struct sl__batch *batch = next(run, &index, true);
    if (batch == NULL) {
        return false;
    }
    struct sl__entry *entry = &batch->entries[index];
    entry->delivered = 1;
    run->reply = batch->blob;
    describe(run, batch, entry, outcome);
    const struct sl_error_policy *policy = &run->options.policy;
    if (outcome->status == SL_STATUS_FAILED && policy->handler != NULL) {
        const char *route = "";
        if (policy->handler(policy->handler_context, outcome, &route) == SL_OK) {
            outcome->status = SL_STATUS_ROUTED;
            outcome->route = route != NULL ? route : "";
            outcome->value = outcome->input;
        }
    }
    run->report->count[outcome->status]++;
    run->bytes_in_use -= entry->size;
    if (--batch->undelivered == 0) {
        run->turn_due = !run->source_slow;
        sl__list_remove(&run->done, &batch->link);
        run->done_count--;
        run->delivered = batch;
    }
    return true;
}
