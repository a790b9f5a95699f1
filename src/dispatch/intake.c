/* SPDX-License-Identifier: MIT */
/*
 * Intake: source -> held item -> filling batch.
 *
 * An item is pulled only when the window has room for the batch that it would go into, so that endless input needs bounded
 * memory. Without keys there is one filling batch, and it is opened only together with a seat: its items are written
 * straight into that seat's lane. With keys there is one filling batch a key, on the heap, because which one is full first decides
 * which one flies; together they hold at most key_window items.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/macros.h"
#include "run.h"
#include "sys/clock.h"

#define TURN_NS 1000000u /* after so long, to the next tick of the clock, intake lets the others have a turn */

enum placed { PLACED, NO_SEAT, NO_BYTES };

/* ---- buckets: filling batches by key, open addressing with linear probing ------------------------------------------ */

static struct sl__batch **bucket_slot(const struct sl__run *run, uint64_t key) {
    uint32_t mask = run->bucket_table_size - 1;
    uint32_t i = (uint32_t)(key * 0x9e3779b97f4a7c15u >> 32) & mask;
    while (run->bucket_table[i] != NULL && run->bucket_table[i]->key != key) {
        i = (i + 1) & mask;
    }
    return &run->bucket_table[i];
}

static bool bucket_table_ready(struct sl__run *run) {
    if (run->bucket_table != NULL) {
        return true;
    }
    uint32_t size = 16;
    while (size < 2 * run->options.key_window) {
        size *= 2; /* at most half full: there are never more buckets than items in them */
    }
    run->bucket_table = calloc(size, sizeof *run->bucket_table);
    run->bucket_table_size = run->bucket_table == NULL ? 0 : size;
    return run->bucket_table != NULL;
}

static void bucket_remove(struct sl__run *run, struct sl__batch *batch) {
    uint32_t mask = run->bucket_table_size - 1;
    uint32_t i = (uint32_t)(bucket_slot(run, batch->key) - run->bucket_table);
    SL_ASSERT(run->bucket_table[i] == batch);
    run->bucket_table[i] = NULL;
    for (uint32_t k = (i + 1) & mask; run->bucket_table[k] != NULL; k = (k + 1) & mask) {
        /* Entries behind the gap are put in again, so that probing still finds them. */
        struct sl__batch *moved = run->bucket_table[k];
        run->bucket_table[k] = NULL;
        *bucket_slot(run, moved->key) = moved;
    }
    sl__list_remove(&run->buckets, &batch->link);
    run->bucket_items -= batch->count;
}

/* ---- closing -------------------------------------------------------------------------------------------------------- */

static void close_open(struct sl__run *run, uint64_t now) {
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = SL_OK;
    if (run->open_seat != NULL && (code = sl__seat_commit(run, run->open_seat, run->open, &error)) != SL_OK) {
        sl__seat_spill_open(run, true);
    }
    struct sl__batch *batch = run->open;
    bool sent = run->open_seat != NULL;
    run->open = NULL;
    run->open_seat = NULL;
    if (code != SL_OK && batch != NULL) {
        sl__settle_unsent(run, batch, &error, now);
    } else if (batch != NULL && !sent) {
        sl__list_push_back(&run->waiting, &batch->link);
    }
    sl_error_finish(&error);
}

static void close_bucket(struct sl__run *run, struct sl__batch *batch) {
    bucket_remove(run, batch);
    sl__list_push_back(&run->waiting, &batch->link);
}

/* Whether one batch more may fly or wait for it: what is closed beyond that would only leave its bucket too early. */
static bool may_close(const struct sl__run *run) {
    return run->flying_count + run->waiting.count < run->options.max_in_flight;
}

/* The filling batch whose first item came first, or NULL. */
static struct sl__batch *oldest_filling(const struct sl__run *run) {
    struct sl__link *link = sl__list_first(&run->buckets);
    struct sl__batch *bucket = link == NULL ? NULL : SL_CONTAINER_OF(link, struct sl__batch, link);
    if (run->open == NULL || (bucket != NULL && bucket->entries[0].sequence < run->open->entries[0].sequence)) {
        return bucket;
    }
    return run->open;
}

/* Closes the oldest filling batch. False when there is none, or none may be closed. */
static bool close_oldest(struct sl__run *run, uint64_t now) {
    struct sl__batch *batch = may_close(run) ? oldest_filling(run) : NULL;
    if (batch == NULL) {
        return false;
    }
    if (batch == run->open) {
        close_open(run, now);
    } else {
        close_bucket(run, batch);
    }
    sl__run_send_waiting(run, now);
    return true;
}

static uint64_t oldest_deadline(const struct sl__run *run) {
    const struct sl__batch *batch = run->options.max_delay_ms == 0 ? NULL : oldest_filling(run);
    return batch == NULL ? 0 : batch->first_ns + (uint64_t)run->options.max_delay_ms * 1000000;
}

static void close_overdue(struct sl__run *run, uint64_t now) {
    uint64_t deadline;
    while ((deadline = oldest_deadline(run)) != 0 && now >= deadline && close_oldest(run, now)) {
    }
}

uint64_t sl__run_intake_deadline(const struct sl__run *run) {
    return may_close(run) ? oldest_deadline(run) : 0; /* else a reply comes first */
}

void sl__run_cancel_unsent(struct sl__run *run) {
    struct sl__link *link;
    if (run->open != NULL) {
        struct sl__batch *batch = run->open;
        if (run->open_seat != NULL) {
            sl__lane_abort(run->open_seat->lease->lane);
        }
        run->open = NULL;
        run->open_seat = NULL;
        sl__settle_all(run, batch, SL_STATUS_CANCELLED, &run->end_error);
    }
    while ((link = sl__list_first(&run->buckets)) != NULL) {
        struct sl__batch *batch = SL_CONTAINER_OF(link, struct sl__batch, link);
        bucket_remove(run, batch);
        sl__settle_all(run, batch, SL_STATUS_CANCELLED, &run->end_error);
    }
    while ((link = sl__list_pop_front(&run->waiting)) != NULL) {
        sl__settle_all(run, SL_CONTAINER_OF(link, struct sl__batch, link), SL_STATUS_CANCELLED, &run->end_error);
    }
    if (run->has_held) {
        run->has_held = false;
        sl__settle_single(run, &run->held, SL_STATUS_CANCELLED, &run->end_error);
    }
}

/* ---- pulling -------------------------------------------------------------------------------------------------------- */

static enum sl_code check_item(const struct sl__run *run, const struct sl_item *item, struct sl_error *error) {
    if (item->value.size == 0) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "the source gave an item without a value; write nil for none");
    }
    if (item->value.size > UINT32_MAX || item->value.size > run->options.max_in_flight_bytes) {
        return sl_error_set(error, SL_E_LIMIT,
                            "the item has %zu bytes, more than max_in_flight_bytes (%llu) lets in; raise it or put the "
                            "payload into a shared buffer",
                            item->value.size, (unsigned long long)run->options.max_in_flight_bytes);
    }
    if (item->meta.size > SL__RUN_META_MAX) {
        return sl_error_set(error, SL_E_LIMIT, "the item's meta has %zu bytes, at most %u are carried", item->meta.size,
                            SL__RUN_META_MAX);
    }
    if (item->buffer_count > SL__RUN_ITEM_BUFFER_MAX) {
        return sl_error_set(error, SL_E_LIMIT, "the item names %u shared buffers, at most %u are possible",
                            item->buffer_count, SL__RUN_ITEM_BUFFER_MAX);
    }
    return SL_OK;
}

/* Pulls the next item into `held`, unless it fails at once. False when there is none now. */
static bool pull(struct sl__run *run) {
    if (run->has_held) {
        return true;
    }
    if (run->source_over || run->source_dry || run->ending != SL__RUNNING) {
        return false;
    }
    struct sl_error error;
    sl__error_init(&error);
    run->held = (struct sl_item){0};
    enum sl_code code = run->source.next(run->source.context, &run->held, &error);
    if (code == SL_E_AGAIN) {
        run->source_dry = true;
        return false;
    }
    if (code == SL_E_END) {
        run->source_over = true;
        sl__run_end(run, SL__DRAINING, NULL);
        return false;
    }
    if (code != SL_OK) {
        run->source_over = true;
        sl_error_set(&error, SL_E_SOURCE, "the source failed after %llu items with %s: %.400s",
                     (unsigned long long)run->report->input, sl_code_name(code),
                     error.message[0] != '\0' ? error.message : sl_code_text(code));
        sl__run_end(run, SL__DRAINING, &error);
        sl_error_finish(&error);
        return false;
    }
    run->report->input++;
    run->held_placement = (struct sl_placement){0};
    code = check_item(run, &run->held, &error);
    if (code == SL_OK && run->options.strategy.place != NULL) {
        code = run->options.strategy.place(run->options.strategy.context, &run->held, &run->held_placement, &error);
        if (code != SL_OK) {
            sl_error_set(&error, SL_E_STRATEGY, "strategy %s cannot place the item: %.400s",
                         run->options.strategy.name != NULL ? run->options.strategy.name : "(unnamed)",
                         error.message[0] != '\0' ? error.message : sl_code_text(code));
        } else if (run->held_placement.key != 0) {
            sl__run_count_key(run, run->held_placement.key, run->held_placement.key_value);
        }
    }
    run->has_held = code == SL_OK;
    if (code != SL_OK) {
        sl__settle_single(run, &run->held, SL_STATUS_FAILED, &error);
    }
    if (SL_UNLIKELY(error.code != SL_OK)) {
        sl_error_finish(&error);
    }
    return true;
}

/* ---- placing -------------------------------------------------------------------------------------------------------- */

/* Writes the held item to the end of the batch. On failure the batch is as it was. */
static enum sl_code append(struct sl__run *run, struct sl__batch *batch, struct sl__seat *seat,
                           struct sl_error *error) {
    const struct sl_item *item = &run->held;
    struct sl__entry entry = {.sequence = run->next_sequence, .id = item->id, .size = (uint32_t)item->value.size};
    uint8_t *memory;
    enum sl_code code = SL_OK;
    uint64_t size_before = 0;
    if (seat != NULL) {
        struct sl__lane *lane = seat->lease->lane;
        size_before = batch->lane_size;
        for (uint32_t i = 0; i < item->buffer_count && code == SL_OK; i++) {
            code = sl__lane_attach_buffer(lane, item->buffers[i], error);
        }
        if (code == SL_OK) {
            code = sl__lane_extend(lane, item->value.size, &memory, &entry.offset, error);
        }
        if (code != SL_OK) {
            return code;
        }
        batch->lane_size = entry.offset + item->value.size;
    } else {
        size_before = batch->data_size;
        memory = sl__batch_extend(batch, item->value.size, &entry.offset);
        if (memory == NULL) {
            return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for an item of %zu bytes", item->value.size);
        }
    }
    memcpy(memory, item->value.data, item->value.size);
    struct sl__entry *added = NULL;
    if (sl__batch_add_buffers(batch, item->buffers, item->buffer_count)) {
        added = sl__batch_add(batch);
    }
    if (added != NULL) {
        *added = entry;
        if (!sl__batch_add_meta(batch, added, item->meta)) {
            batch->count--;
            added = NULL;
        }
    }
    if (added == NULL) {
        if (seat != NULL) {
            sl__lane_truncate(seat->lease->lane, size_before);
            batch->lane_size = size_before;
        } else {
            batch->data_size = size_before;
        }
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for an item of %zu bytes", item->value.size);
    }
    run->next_sequence++;
    run->has_held = false;
    run->bytes_in_use += item->value.size;
    run->report->bytes_peak = SL_MAX(run->report->bytes_peak, run->bytes_in_use);
    batch->weight += run->held_placement.weight;
    return SL_OK;
}

static bool is_full(const struct sl__run *run, const struct sl__batch *batch) {
    return batch->count >= run->options.batch_size || batch->weight >= run->options.max_weight ||
           run->held_placement.close_after;
}

static bool must_close_before(const struct sl__run *run, const struct sl__batch *batch) {
    const struct sl_placement *placement = &run->held_placement;
    return placement->close_before ||
           (placement->weight > 0 && batch->count > 0 &&
            (batch->weight >= run->options.max_weight || placement->weight > run->options.max_weight - batch->weight));
}

static void fail_held(struct sl__run *run, const struct sl_error *error) {
    run->has_held = false;
    sl__settle_single(run, &run->held, SL_STATUS_FAILED, error);
}

/* The filling batch got no item: no worker is to see it. */
static void drop_open(struct sl__run *run) {
    struct sl__batch *batch = run->open;
    SL_ASSERT(batch->count == 0);
    if (run->open_seat != NULL) {
        sl__lane_abort(run->open_seat->lease->lane);
    }
    run->open = NULL;
    run->open_seat = NULL;
    sl__batch_put(run, batch);
}

/* When the held item came: the source may have taken its time since the turn began. */
static uint64_t arrival(const struct sl__run *run, uint64_t now) {
    return run->options.max_delay_ms == 0 ? now : sl__clock_now_ns();
}

static enum placed place_unkeyed(struct sl__run *run, uint64_t now) {
    struct sl_error error;
    sl__error_init(&error);
    if (run->open != NULL && must_close_before(run, run->open)) {
        close_open(run, now);
        return PLACED; /* the item is still held; the window may be full now */
    }
    if (run->open == NULL) {
        struct sl__seat *seat = NULL;
        if (run->pool != NULL) {
            seat = sl__run_choose_seat(run, SL__ANY_WORKER, now);
            if (seat == NULL) {
                return NO_SEAT;
            }
        } else if (!sl__task_room(run)) {
            return NO_SEAT;
        }
        struct sl__batch *batch = sl__batch_get(run);
        enum sl_code code = batch == NULL ? sl_error_set(&error, SL_E_OUT_OF_MEMORY, "no memory for a batch") : SL_OK;
        if (code == SL_OK && seat != NULL) {
            code = sl__seat_open(run, seat, &error);
        }
        if (code != SL_OK) {
            sl__batch_destroy(batch);
            fail_held(run, &error);
            sl_error_finish(&error);
            return PLACED;
        }
        batch->first_ns = arrival(run, now);
        batch->lane_size = seat != NULL ? run->head_size : 0;
        run->open = batch;
        run->open_seat = seat;
    }
    enum sl_code code = append(run, run->open, run->open_seat, &error);
    if (code != SL_OK) {
        if (run->open->count > 0 && code == SL_E_LIMIT && run->results == NULL) {
            close_open(run, now); /* what is in it goes; the item gets a payload of its own */
        } else {
            if (run->open->count == 0) {
                drop_open(run);
            }
            fail_held(run, &error);
        }
        sl_error_finish(&error);
        return PLACED;
    }
    if (is_full(run, run->open)) {
        close_open(run, now);
    }
    return PLACED;
}

static uint32_t worker_of_key(const struct sl__run *run, uint64_t key) {
    if (run->pool == NULL) {
        return SL__ANY_WORKER;
    }
    /* The same in each run and after each restart: it depends on the key and the pool's worker_max only. Keys of a strategy of
     * the user's may be small numbers, hence the mixing. */
    return (uint32_t)((key * 0x9e3779b97f4a7c15u >> 32) * run->key_capacity >> 32);
}

static enum placed place_keyed(struct sl__run *run, uint64_t now) {
    struct sl_error error;
    sl__error_init(&error);
    uint64_t key = run->held_placement.key;
    struct sl__batch *batch = NULL;
    if (bucket_table_ready(run)) {
        batch = *bucket_slot(run, key);
        if (batch != NULL && must_close_before(run, batch)) {
            close_bucket(run, batch);
            return PLACED; /* the item is still held; the window may be full now */
        }
        if (batch == NULL && (batch = sl__batch_get(run)) != NULL) {
            batch->key = key;
            batch->worker = worker_of_key(run, key);
            batch->first_ns = arrival(run, now);
            *bucket_slot(run, key) = batch;
            sl__list_push_back(&run->buckets, &batch->link);
        }
    }
    enum sl_code code = batch == NULL ? sl_error_set(&error, SL_E_OUT_OF_MEMORY, "no memory for a batch")
                                      : append(run, batch, NULL, &error);
    if (code != SL_OK) {
        if (batch != NULL && batch->count == 0) {
            bucket_remove(run, batch);
            sl__batch_put(run, batch);
        }
        fail_held(run, &error);
        sl_error_finish(&error);
        return PLACED;
    }
    run->bucket_items++;
    if (is_full(run, batch)) {
        close_bucket(run, batch);
    } else if (run->bucket_items >= run->options.key_window) {
        close_bucket(run, SL_CONTAINER_OF(sl__list_first(&run->buckets), struct sl__batch, link));
    }
    return PLACED;
}

static enum placed place_held(struct sl__run *run, uint64_t now) {
    if (run->held.value.size > run->options.max_in_flight_bytes - run->bytes_in_use) {
        return NO_BYTES;
    }
    return run->held_placement.key != 0 ? place_keyed(run, now) : place_unkeyed(run, now);
}

static bool window_open(const struct sl__run *run) {
    /* As many as could be finished while one of those that fly, or one that is still filling, keeps them all waiting. */
    uint64_t going = run->flying_count + run->waiting.count;
    return may_close(run) && run->done_count + going < run->options.reorder_max + (uint64_t)(going > 0);
}

/* Whether the turn has lasted. The source's time counts too, it may block. */
static bool has_lasted(uint64_t start_tick_ns) {
    return sl__clock_tick_ns() - start_tick_ns > TURN_NS;
}

/* Batches that have left intake: closed, or failed there. */
static uint64_t closed_count(const struct sl__run *run) {
    return run->report->batch_count + run->flying_count + run->waiting.count + run->done_count;
}

bool sl__run_intake(struct sl__run *run, uint64_t now) {
    enum placed placed = PLACED;
    uint64_t closed = closed_count(run);
    uint64_t start_tick_ns = sl__clock_tick_ns();
    run->source_slow = false;
    close_overdue(run, now);
    while (placed == PLACED && run->ending < SL__STOPPING && window_open(run) && pull(run)) {
        if (run->has_held) {
            placed = place_held(run, now);
        }
        if (run->waiting.count > 0) {
            sl__run_send_waiting(run, now);
        }
        bool waited_for = run->options.max_delay_ms != 0 || sl__order_ready(run);
        if (waited_for && has_lasted(start_tick_ns)) {
            run->source_slow = true;
            return true;
        }
        if (closed_count(run) != closed && window_open(run)) {
            return true; /* one batch a turn: where the next one flies depends on the replies that have come meanwhile */
        }
    }
    if (run->ending >= SL__STOPPING) {
        return false;
    }
    if (placed == NO_BYTES || (run->ending == SL__DRAINING && !run->has_held)) {
        /* Filling batches will not grow any more, or hold the bytes that the next item needs: out with them. */
        while (close_oldest(run, now)) {
        }
    } else if (run->flying_count + run->waiting.count == 0 && !window_open(run)) {
        (void)close_oldest(run, now); /* what is finished waits for an item in there, and nothing else will move it */
    }
    return false;
}
