/* SPDX-License-Identifier: MIT */
/*
 * Settling: what becomes of the items of a batch that came back, or did not.
 *
 * Here is the one place where an item gets its final status, and where the error policy decides that it does not get one yet. An
 * item is either settled (its batch goes to order.c) or moved into a batch that waits; never both, never neither.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "base/utf8.h"
#include "run.h"
#include "wire/batch.h"

#define REQUEUE_STEP_NS 1000000u

/* ---- policy --------------------------------------------------------------------------------------------------------- */

static bool retries(const struct sl__run *run, enum sl_code kind, uint32_t attempts) {
    const struct sl_error_policy *policy = &run->options.policy;
    bool isolates = policy->on_error == SL_ON_ERROR_ISOLATE;
    if ((policy->on_error != SL_ON_ERROR_RETRY && !isolates) || run->ending >= SL__STOPPING ||
        attempts >= policy->max_attempts) {
        return false;
    }
    if (policy->retry_kinds != 0) {
        return (policy->retry_kinds >> (unsigned)kind & 1) != 0;
    }
    return (kind == SL_E_PYTHON && !isolates) || sl_code_retryable(kind);
}

/* How many attempts count against max_attempts: under isolate, those that the item had alone. */
static uint32_t counted_attempts(const struct sl__run *run, struct sl__batch *batch) {
    if (run->options.policy.on_error != SL_ON_ERROR_ISOLATE) {
        return batch->count > 0 ? batch->entries[0].attempts : 0;
    }
    return batch->count == 1 ? ++batch->alone : UINT32_MAX;
}

/* xorshift64: delays only need to differ from each other. */
static double random_part(struct sl__run *run) {
    run->random ^= run->random << 13;
    run->random ^= run->random >> 7;
    run->random ^= run->random << 17;
    return (double)(run->random >> 11) / 9007199254740992.0;
}

static uint64_t backoff_ns(struct sl__run *run, uint32_t attempts) {
    const struct sl_error_policy *policy = &run->options.policy;
    uint64_t ms = policy->backoff_ms;
    for (uint32_t i = 1; i < attempts && ms < policy->backoff_max_ms; i++) {
        ms *= 2;
    }
    ms = SL_MIN(ms, (uint64_t)policy->backoff_max_ms);
    return (uint64_t)((double)ms * 1e6 * (1.0 - policy->jitter * random_part(run)));
}

/* A failure that nothing will mend: under halt it ends the run. */
static void final_failure(struct sl__run *run, const struct sl__entry *entry, const struct sl_error *error,
                          uint32_t item_count) {
    if (run->options.policy.on_error != SL_ON_ERROR_HALT || run->ending >= SL__STOPPING) {
        return;
    }
    struct sl_error halt = SL_ERROR_INIT;
    sl_error_copy(&halt, error);
    halt.code = SL_E_HALTED;
    snprintf(halt.message, sizeof halt.message, "halted at item %llu (id %llu%s): %s: %.380s",
             (unsigned long long)entry->sequence, (unsigned long long)entry->id,
             item_count > 1 ? ", first of a failed batch" : "", sl_code_name(error->code), error->message);
    halt.message[sl__utf8_valid_size(halt.message, strlen(halt.message))] = '\0'; /* it may have been cut */
    sl__run_end(run, SL__STOPPING, &halt);
    sl_error_finish(&halt);
}

/* ---- settled -------------------------------------------------------------------------------------------------------- */

static void finish(struct sl__run *run, struct sl__batch *batch) {
    batch->undelivered = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        batch->undelivered += !batch->entries[i].moved;
    }
    if (batch->undelivered == 0) {
        sl__batch_put(run, batch);
    } else {
        sl__order_done(run, batch);
    }
}

void sl__settle_all(struct sl__run *run, struct sl__batch *batch, enum sl_status status, const struct sl_error *error) {
    if (sl__span_open(&batch->told.span)) {
        sl__batch_tell_exception(run, batch, error->code, sl_status_name(status));
    }
    sl__batch_set_error(batch, error);
    for (uint32_t i = 0; i < batch->count; i++) {
        batch->entries[i].status = (uint8_t)status;
    }
    if (status == SL_STATUS_FAILED && batch->count > 0) {
        sl__report_add_error(run, batch, error, true);
        final_failure(run, &batch->entries[0], error, batch->count);
    }
    finish(run, batch);
}

void sl__settle_single(struct sl__run *run, const struct sl_item *item, enum sl_status status,
                       const struct sl_error *error) {
    struct sl__batch *batch = sl__batch_get(run);
    struct sl__entry *entry = batch == NULL ? NULL : sl__batch_add(batch);
    if (entry == NULL) {
        /* Nothing to carry the outcome in: it is counted here, and the run cannot go on. */
        struct sl_error fatal = SL_ERROR_INIT;
        sl__batch_destroy(batch);
        run->report->count[status]++;
        run->next_sequence++;
        run->lost_sequences++;
        (void)sl_error_set(&fatal, SL_E_OUT_OF_MEMORY, "no memory for the outcome of an item");
        sl__run_end(run, SL__CANCELLING, &fatal);
        return;
    }
    entry->sequence = run->next_sequence++;
    entry->id = item->id;
    uint64_t offset;
    uint8_t *memory = NULL;
    if (item->value.size > 0 && item->value.size <= run->options.max_in_flight_bytes - run->bytes_in_use) {
        memory = sl__batch_extend(batch, item->value.size, &offset);
    }
    if (memory != NULL) {
        memcpy(memory, item->value.data, item->value.size);
        entry->offset = offset;
        entry->size = (uint32_t)item->value.size;
        run->bytes_in_use += entry->size;
        run->report->bytes_peak = SL_MAX(run->report->bytes_peak, run->bytes_in_use);
    }
    if (item->meta.size <= SL__RUN_META_MAX) {
        (void)sl__batch_add_meta(batch, entry, item->meta);
    }
    sl__settle_all(run, batch, status, error);
}

/* ---- not settled: another attempt ------------------------------------------------------------------------------------ */

static void wait_again(struct sl__run *run, struct sl__batch *batch, uint64_t not_before_ns) {
    batch->not_before_ns = not_before_ns;
    sl__list_push_front(&run->waiting, &batch->link);
}

/* Entries [first, first + count) of `batch` as a batch of their own. NULL: out of memory. */
static struct sl__batch *carve(struct sl__run *run, const struct sl__batch *batch, uint32_t first, uint32_t count,
                               const uint8_t *base) {
    struct sl__batch *part = sl__batch_get(run);
    bool fine = part != NULL && sl__batch_add_buffers(part, batch->buffers, batch->buffer_count);
    for (uint32_t i = first; fine && i < first + count; i++) {
        fine = sl__batch_copy_entry(part, batch, i, base);
    }
    if (!fine) {
        sl__batch_destroy(part);
        return NULL;
    }
    part->key = batch->key;
    part->worker = batch->worker;
    return part;
}

static bool split(struct sl__run *run, struct sl__batch *batch, const uint8_t *base) {
    uint32_t half = batch->count / 2;
    struct sl__batch *left = carve(run, batch, 0, half, base);
    struct sl__batch *right = left == NULL ? NULL : carve(run, batch, half, batch->count - half, base);
    if (right == NULL) {
        sl__batch_destroy(left);
        return false;
    }
    wait_again(run, right, 0);
    wait_again(run, left, 0);
    return true;
}

static void hold_again(struct sl__run *run, struct sl__batch *batch, const uint8_t *base, uint64_t not_before_ns,
                       uint64_t *counter) {
    if (base != NULL && !sl__batch_spill(batch, base)) {
        struct sl_error error = SL_ERROR_INIT;
        (void)sl_error_set(&error, SL_E_OUT_OF_MEMORY, "no memory to keep a batch of %u items for another attempt",
                           batch->count);
        sl__settle_all(run, batch, SL_STATUS_FAILED, &error);
        return;
    }
    ++*counter;
    wait_again(run, batch, not_before_ns);
}

void sl__settle_requeue(struct sl__run *run, struct sl__batch *batch, const struct sl_error *death, const uint8_t *base,
                        uint64_t now) {
    for (uint32_t i = 0; i < batch->count; i++) {
        batch->entries[i].attempts--;
    }
    if (++batch->requeues > SL__RUN_REQUEUE_MAX) {
        sl__settle_failure(run, batch, death, base, now);
        return;
    }
    if (run->ending >= SL__CANCELLING) {
        (void)(base != NULL && sl__batch_spill(batch, base));
        sl__settle_all(run, batch, SL_STATUS_CANCELLED, &run->end_error);
        return;
    }
    if (sl__span_open(&batch->told.span)) {
        sl__batch_tell_exception(run, batch, death->code, "requeued");
    }
    hold_again(run, batch, base, 0, &run->report->requeue_count);
}

void sl__settle_failure(struct sl__run *run, struct sl__batch *batch, const struct sl_error *error, const uint8_t *base,
                        uint64_t now) {
    uint32_t attempts = counted_attempts(run, batch);
    run->report->batch_failed_count++;
    if (sl__span_open(&batch->told.span)) {
        sl__batch_tell_exception(run, batch, error->code, "failed");
    }
    if (retries(run, error->code, attempts)) {
        sl__report_add_error(run, batch, error, false);
        hold_again(run, batch, base, now + backoff_ns(run, attempts), &run->report->retry_count);
        return;
    }
    if (run->options.policy.on_error == SL_ON_ERROR_ISOLATE && batch->count > 1 && run->ending < SL__STOPPING) {
        sl__report_add_error(run, batch, error, false);
        if (split(run, batch, base != NULL ? base : batch->data)) {
            run->report->retry_count += 2;
            for (uint32_t i = 0; i < batch->count; i++) {
                batch->entries[i].moved = 1;
            }
            finish(run, batch);
            return;
        }
    }
    if (base != NULL && !sl__batch_spill(batch, base)) {
        for (uint32_t i = 0; i < batch->count; i++) {
            run->bytes_in_use -= batch->entries[i].size;
            batch->entries[i].size = 0; /* the outcome comes without the input */
        }
    }
    sl__settle_all(run, batch, SL_STATUS_FAILED, error);
}

void sl__settle_unsent(struct sl__run *run, struct sl__batch *batch, const struct sl_error *error, uint64_t now) {
    if (sl__list_contains_link(&batch->link)) {
        sl__list_remove(&run->waiting, &batch->link);
    }
    if (run->pool != NULL && error->code == SL_E_CLOSED && ++batch->requeues <= SL__RUN_REQUEUE_MAX) {
        /* Its worker was gone before it could be told of the batch. By and by, because the death is not known yet. */
        run->report->requeue_count++;
        wait_again(run, batch, now + (uint64_t)batch->requeues * REQUEUE_STEP_NS);
        return;
    }
    for (uint32_t i = 0; i < batch->count; i++) {
        batch->entries[i].attempts++; /* else it could be tried without end */
    }
    if (error->code == SL_E_LIMIT && batch->count > 1 && split(run, batch, batch->data)) {
        /* Gathered on the heap it grew beyond what one payload may be: no fault of its items. */
        for (uint32_t i = 0; i < batch->count; i++) {
            batch->entries[i].moved = 1;
        }
        finish(run, batch);
        return;
    }
    sl__settle_failure(run, batch, error, NULL, now);
}

/* ---- replies -------------------------------------------------------------------------------------------------------- */

static enum sl_code map_text(struct sl_value map, const char *key, const char **text, size_t *size) {
    struct sl_value value;
    enum sl_code code = sl_value_get(map, key, &value);
    return code == SL_OK ? sl_value_str(value, text, size) : code;
}

static char *copy_text(const char *text, size_t size) {
    char *copy = malloc(size + 1);
    if (copy != NULL) {
        memcpy(copy, text, size);
        copy[size] = '\0';
    }
    return copy;
}

void sl__settle_read_error(const struct sl__run *run, struct sl_value map, enum sl_code code, struct sl_error *error) {
    const char *text = "";
    size_t size = 0;
    struct sl_value checked;
    bool readable = map.size > 0 && sl_value_check(map.data, map.size, NULL, &checked, NULL) == SL_OK;
    if (!readable || map_text(map, "message", &text, &size) != SL_OK) {
        text = sl_code_text(code);
        size = strlen(text);
    }
    sl_error_set(error, code, "%s: %.*s", run->options.function, (int)SL_MIN(size, (size_t)440), text);
    if (readable && map_text(map, "traceback", &text, &size) == SL_OK && size > 0) {
        error->traceback = copy_text(text, size);
    }
}

/* The error that a mark of kind ERROR stands for. */
void sl__settle_mark_error(const struct sl__run *run, const struct sl_mark *mark, struct sl_error *error) {
    enum sl_code code = SL_E_ITEM;
    if (sl_value_type(mark->payload) == SL_TYPE_MAP) {
        const char *name;
        size_t size;
        code = SL_E_PYTHON;
        if (map_text(mark->payload, "code", &name, &size) == SL_OK && size < 64) {
            char text[64];
            memcpy(text, name, size);
            text[size] = '\0';
            int named = sl_code_from_name(text);
            code = named > 0 ? (enum sl_code)named : SL_E_PYTHON;
        }
        sl__settle_read_error(run, mark->payload, code, error);
        return;
    }
    sl_error_set(error, code, "%s: %.*s", run->options.function, (int)SL_MIN(mark->text_size, (size_t)440), mark->text);
}

static struct sl_value result_of(const struct sl__batch *batch, uint32_t index) {
    const struct sl__entry *entry = &batch->entries[index];
    return (struct sl_value){batch->blob->data + entry->value_offset, entry->value_size};
}

/* Takes one item that its function failed: into `again` when it is to be tried again. */
static void settle_item_error(struct sl__run *run, struct sl__batch *batch, uint32_t index, struct sl__batch **again,
                              const uint8_t *base) {
    struct sl__entry *entry = &batch->entries[index];
    struct sl_error error = SL_ERROR_INIT;
    struct sl_mark mark;
    if (sl_value_mark(result_of(batch, index), &mark) != SL_OK) {
        (void)sl_error_set(&error, SL_E_BAD_RESULT, "an error mark that cannot be read");
    } else {
        sl__settle_mark_error(run, &mark, &error);
    }
    bool retry = run->results == NULL && run->options.policy.on_error == SL_ON_ERROR_RETRY &&
                 retries(run, error.code, entry->attempts);
    if (retry) {
        if (*again == NULL) {
            *again = carve(run, batch, index, 1, base);
            retry = *again != NULL;
        } else {
            retry = sl__batch_copy_entry(*again, batch, index, base);
        }
    }
    entry->moved = retry;
    sl__report_add_item_error(run, entry, &error, !retry);
    if (!retry) {
        final_failure(run, entry, &error, 1);
    }
    sl_error_finish(&error);
}

void sl__settle_reply(struct sl__run *run, struct sl__batch *batch, const struct sl__lease *lease,
                      struct sl__blob *blob, uint32_t item_count, const uint8_t *base, uint64_t now) {
    struct sl_error error = SL_ERROR_INIT;
    size_t offset = 0;
    size_t size = blob != NULL ? blob->size : 0;
    const uint8_t *data = blob != NULL ? blob->data : NULL;
    batch->blob = blob;
    if (item_count != batch->count) {
        (void)sl_error_set(&error, SL_E_BAD_RESULT, "%s: the worker answered with %u results for %u items",
                           run->options.function, item_count, batch->count);
    }
    uint32_t failed = 0, routed = 0, marked = 0;
    for (uint32_t i = 0; i < batch->count && error.code == SL_OK; i++) {
        struct sl__entry *entry = &batch->entries[i];
        struct sl_value value;
        struct sl_mark mark;
        enum sl_code code = sl__batch_next(data, size, &offset, &run->limits, &value, &error);
        if (code != SL_OK) {
            char cause[SL_ERROR_MESSAGE_SIZE];
            memcpy(cause, error.message, sizeof cause);
            (void)sl_error_set(&error, SL_E_BAD_RESULT, "%s: result %u is not a well-formed value: %.300s",
                               run->options.function, i, cause);
            break;
        }
        entry->value_offset = (uint64_t)(value.data - data);
        entry->value_size = (uint32_t)value.size;
        entry->status = SL_STATUS_OK;
        if (sl_value_type(value) == SL_TYPE_MARK && sl_value_mark(value, &mark) == SL_OK) {
            entry->status = mark.kind == SL_MARK_SKIP    ? SL_STATUS_SKIPPED
                            : mark.kind == SL_MARK_ROUTE ? SL_STATUS_ROUTED
                                                         : SL_STATUS_FAILED;
            marked++;
            failed += mark.kind == SL_MARK_ERROR;
            routed += mark.kind == SL_MARK_ROUTE;
        }
    }
    if (error.code != SL_OK || (run->options.refs && lease != NULL && !sl__refs_check(run, batch, lease, &error))) {
        batch->blob = NULL;
        sl__blob_unref(blob);
        sl__settle_failure(run, batch, &error, base, now);
        sl_error_finish(&error);
        return;
    }
    struct sl__batch *again = NULL;
    for (uint32_t i = 0; i < batch->count && failed > 0; i++) {
        if (batch->entries[i].status == SL_STATUS_FAILED) {
            settle_item_error(run, batch, i, &again, base != NULL ? base : batch->data);
        }
    }
    /* Their outcomes show what was sent. */
    if (failed + routed > 0 && base != NULL && !sl__batch_spill(batch, base)) {
        for (uint32_t i = 0; i < batch->count; i++) {
            run->bytes_in_use -= batch->entries[i].moved ? 0 : batch->entries[i].size;
            batch->entries[i].size = 0;
        }
    }
    if (again != NULL) {
        run->report->retry_count++;
        wait_again(run, again, now + backoff_ns(run, again->entries[0].attempts));
    }
    if (sl__span_open(&batch->told.span)) {
        sl__batch_tell_stop(run, batch);
    }
    batch->all_ok = marked == 0;
    finish(run, batch);
}
