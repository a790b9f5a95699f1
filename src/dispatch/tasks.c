/* SPDX-License-Identifier: MIT */
/*
 * Tasks: batches that fly in a user's executor instead of a lane.
 *
 * A task may end on any thread, before submit() has returned, after its batch has timed out, or after its run is
 * over. So it lives in a box of its own: whoever comes first under the executor's lock, the run that gives it up or the executor
 * that ends it, leaves it to the other, and the last one frees it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "run.h"
#include "sys/clock.h"
#include "wire/batch.h"

struct sl_task {
    struct sl__task_box box;
};

static struct sl__task_box *box_of(struct sl_task *task) {
    return &task->box;
}

static void box_destroy(struct sl__task_box *box) {
    free(box->data);
    free(box->items);
    free(box->function);
    sl__blob_unref(box->blob);
    sl_error_finish(&box->error);
    free(box);
}

/* ---- the executor's side --------------------------------------------------------------------------------------------- */

const char *sl_task_function(const struct sl_task *task) {
    return task->box.function;
}

uint32_t sl_task_count(const struct sl_task *task) {
    return task->box.count;
}

struct sl_value sl_task_item(const struct sl_task *task, uint32_t index) {
    struct sl_value none = {NULL, 0};
    return index < task->box.count ? task->box.items[index] : none;
}

/* The box has its result: hand it to its run, or drop it when nobody waits. */
static void end(struct sl__task_box *box) {
    struct sl_executor *executor = box->executor;
    pthread_mutex_lock(&executor->lock);
    executor->active_count--;
    struct sl__run *run = box->run;
    if (run != NULL) {
        sl__list_remove(&run->boxes, &box->link);
        sl__list_push_back(&run->finished, &box->link);
    }
    for (struct sl__link *link = sl__list_first(&executor->runs); link != NULL;
         link = sl__list_after(&executor->runs, link)) {
        sl__bell_ring(SL_CONTAINER_OF(link, struct sl__run, executor_link)->bell);
    }
    bool mine = run == NULL && !box->pinned;
    box->ended = true;
    pthread_mutex_unlock(&executor->lock);
    if (mine) {
        box_destroy(box);
    }
}

/* The results, framed as a worker frames them, so that one reader serves both. NULL: out of memory. */
static struct sl__blob *frame(const struct sl_value *results, uint32_t count) {
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        size = sl__batch_pad(size) + results[i].size;
    }
    struct sl__blob *blob = sl__blob_create(size);
    if (blob == NULL) {
        return NULL;
    }
    uint8_t *memory = (uint8_t *)blob->data;
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        size_t start = sl__batch_pad(at);
        memset(memory + at, SL__BATCH_FILLER, start - at);
        if (results[i].size > 0) {
            memcpy(memory + start, results[i].data, results[i].size);
        }
        at = start + results[i].size;
    }
    return blob;
}

void sl_task_complete(struct sl_task *task, const struct sl_value *results, uint32_t count) {
    struct sl__task_box *box = box_of(task);
    box->code = SL_OK;
    if (count != box->count) {
        box->code = sl_error_set(&box->error, SL_E_BAD_RESULT,
                                 "executor %s gave %u results for a batch of %u items; give one for each",
                                 box->executor->name, count, box->count);
    }
    for (uint32_t i = 0; i < count && box->code == SL_OK; i++) {
        struct sl_value checked;
        if (results[i].size == 0 || sl_value_check(results[i].data, results[i].size, NULL, &checked, NULL) != SL_OK) {
            box->code = sl_error_set(&box->error, SL_E_BAD_RESULT,
                                     "executor %s: result %u of the batch is not one well-formed value",
                                     box->executor->name, i);
        }
    }
    if (box->code == SL_OK && (box->blob = frame(results, count)) == NULL) {
        box->code = sl_error_set(&box->error, SL_E_OUT_OF_MEMORY, "no memory for %u results", count);
    }
    end(box);
}

void sl_task_fail(struct sl_task *task, const struct sl_error *error) {
    struct sl__task_box *box = box_of(task);
    if (error == NULL || error->code == SL_OK) {
        (void)sl_error_set(&box->error, SL_E_EXECUTOR, "executor %s failed a batch without saying why",
                           box->executor->name);
    } else {
        sl_error_copy(&box->error, error);
    }
    box->code = box->error.code;
    end(box);
}

/* ---- the run's side --------------------------------------------------------------------------------------------------- */

void sl__task_attach(struct sl__run *run) {
    pthread_mutex_lock(&run->executor->lock);
    sl__list_push_back(&run->executor->runs, &run->executor_link);
    pthread_mutex_unlock(&run->executor->lock);
}

void sl__task_detach(struct sl__run *run) {
    pthread_mutex_lock(&run->executor->lock);
    SL_ASSERT(run->boxes.count == 0 && run->finished.count == 0);
    sl__list_remove(&run->executor->runs, &run->executor_link);
    pthread_mutex_unlock(&run->executor->lock);
}

bool sl__task_room(const struct sl__run *run) {
    pthread_mutex_lock(&run->executor->lock);
    bool room = run->executor->active_count < run->executor->options.capacity;
    pthread_mutex_unlock(&run->executor->lock);
    return room;
}

/* The batch's memory goes back to it. */
static struct sl__batch *unpack(struct sl__task_box *box) {
    struct sl__batch *batch = box->batch;
    free(batch->data);
    batch->data = box->data;
    batch->data_size = box->data_size;
    batch->data_capacity = box->data_capacity;
    box->data = NULL;
    return batch;
}

/* The task was not handed over. */
static void take_back(struct sl__task_box *box) {
    struct sl__batch *batch = unpack(box);
    for (uint32_t i = 0; i < batch->count; i++) {
        batch->entries[i].attempts--;
    }
    box_destroy(box);
}

static bool take_room(struct sl__run *run, struct sl__task_box *box) {
    struct sl_executor *executor = run->executor;
    pthread_mutex_lock(&executor->lock);
    bool room = executor->active_count < executor->options.capacity;
    if (room) {
        sl__list_push_back(&run->boxes, &box->link);
        executor->active_count++;
    }
    pthread_mutex_unlock(&executor->lock);
    return room;
}

enum sl_code sl__task_send(struct sl__run *run, struct sl__batch *batch, struct sl_error *error) {
    /* Not the time of the turn: the source may have blocked since, and that is not the executor's time. */
    uint64_t now = sl__clock_now_ns();
    struct sl_executor *executor = run->executor;
    struct sl_task *task = calloc(1, sizeof *task);
    struct sl__task_box *box = task == NULL ? NULL : &task->box;
    if (box != NULL) {
        box->error = (struct sl_error)SL_ERROR_INIT;
        box->function = strdup(run->options.function);
        box->items = malloc(batch->count * sizeof *box->items);
    }
    if (box == NULL || box->function == NULL || box->items == NULL) {
        if (box != NULL) {
            box_destroy(box);
        }
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory to hand over a batch of %u items", batch->count);
    }
    box->executor = executor;
    box->run = run;
    box->batch = batch;
    box->count = batch->count;
    box->data = batch->data;
    box->data_size = batch->data_size;
    box->data_capacity = batch->data_capacity;
    batch->data = NULL;
    batch->data_size = batch->data_capacity = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        box->items[i] = (struct sl_value){box->data + batch->entries[i].offset, batch->entries[i].size};
        batch->entries[i].attempts++;
    }
    if (run->options.timeout_ms != 0) {
        box->deadline_ns = now + (uint64_t)run->options.timeout_ms * 1000000;
    }
    batch->sent_ns = now;
    if (!take_room(run, box)) { /* another run was faster */
        take_back(box);
        return SL_E_AGAIN;
    }
    run->flying_count++;
    run->report->in_flight_peak = SL_MAX(run->report->in_flight_peak, run->flying_count);
    enum sl_code code = executor->options.submit(executor->options.context, task, error);
    if (code == SL_OK) { /* it may have ended already: the box must not be touched here */
        if (sl__telemetry_wants(run->telemetry, SL__TELEMETRY_DISPATCH_BATCH_START)) {
            sl__batch_tell_start(run, batch, NULL);
        }
        return SL_OK;
    }
    pthread_mutex_lock(&executor->lock);
    sl__list_remove(&run->boxes, &box->link);
    executor->active_count--;
    pthread_mutex_unlock(&executor->lock);
    run->flying_count--;
    take_back(box);
    if (code == SL_E_AGAIN) {
        code = sl_error_set(error, SL_E_EXECUTOR, "executor %s refused a batch with `again` although it had room",
                            executor->name);
    } else if (error->code != code) {
        (void)sl_error_set(error, code, "executor %s refused a batch with %s", executor->name, sl_code_name(code));
    }
    return code;
}

/*
 * The run does not wait for this task any more. The executor is told, and frees the box when it ends. Called with the executor's lock
 * held, and lets go of it for the user's cancel function, which may end the task.
 */
static struct sl__batch *give_up(struct sl__run *run, struct sl__task_box *box, bool *spilled) {
    struct sl_executor *executor = run->executor;
    struct sl__batch *batch = box->batch;
    *spilled = sl__batch_spill(batch, box->data); /* the executor may still read the items */
    sl__list_remove(&run->boxes, &box->link);
    box->run = NULL;
    box->batch = NULL;
    run->flying_count--;
    if (executor->options.cancel != NULL) {
        box->pinned = true;
        pthread_mutex_unlock(&executor->lock);
        executor->options.cancel(executor->options.context, SL_CONTAINER_OF(box, struct sl_task, box));
        pthread_mutex_lock(&executor->lock);
        box->pinned = false;
        if (box->ended) {
            box_destroy(box);
        }
    }
    return batch;
}

static struct sl__task_box *pop_finished(struct sl__run *run) {
    pthread_mutex_lock(&run->executor->lock);
    struct sl__link *link = sl__list_pop_front(&run->finished);
    pthread_mutex_unlock(&run->executor->lock);
    return link == NULL ? NULL : SL_CONTAINER_OF(link, struct sl__task_box, link);
}

/* One task that is past its deadline, or NULL. */
static struct sl__batch *pop_overdue(struct sl__run *run, uint64_t now, bool *spilled) {
    struct sl__batch *batch = NULL;
    pthread_mutex_lock(&run->executor->lock);
    for (struct sl__link *link = sl__list_first(&run->boxes); link != NULL && batch == NULL;
         link = sl__list_after(&run->boxes, link)) {
        struct sl__task_box *box = SL_CONTAINER_OF(link, struct sl__task_box, link);
        if (box->deadline_ns != 0 && now >= box->deadline_ns) {
            batch = give_up(run, box, spilled);
            break;
        }
    }
    pthread_mutex_unlock(&run->executor->lock);
    return batch;
}

void sl__task_harvest(struct sl__run *run, uint64_t now) {
    struct sl__task_box *box;
    while ((box = pop_finished(run)) != NULL) {
        struct sl__batch *batch = unpack(box);
        run->flying_count--;
        run->batch_ns = (7 * run->batch_ns + (now - batch->sent_ns)) / 8;
        sl__latency_add(run->latency, now - batch->sent_ns);
        run->report->batch_count++;
        if (box->code == SL_OK) {
            struct sl__blob *blob = box->blob;
            box->blob = NULL;
            sl__settle_reply(run, batch, NULL, blob, box->count, NULL, now);
        } else {
            sl__settle_failure(run, batch, &box->error, NULL, now);
        }
        box_destroy(box);
    }
    struct sl__batch *batch;
    bool spilled = true;
    while ((batch = pop_overdue(run, now, &spilled)) != NULL) {
        struct sl_error error = SL_ERROR_INIT;
        (void)sl_error_set(&error, SL_E_WORKER_TIMEOUT,
                           "executor %s ran a batch of %u items past its timeout of %u ms; it was told to cancel it",
                           run->executor->name, batch->count, run->options.timeout_ms);
        run->report->batch_count++;
        if (spilled) {
            sl__settle_failure(run, batch, &error, NULL, now);
        } else {
            sl__settle_all(run, batch, SL_STATUS_FAILED, &error);
        }
        sl_error_finish(&error);
    }
}

void sl__task_abandon(struct sl__run *run) {
    struct sl__batch *batch;
    bool spilled;
    for (;;) {
        pthread_mutex_lock(&run->executor->lock);
        struct sl__link *link = sl__list_first(&run->boxes);
        batch = link == NULL ? NULL : give_up(run, SL_CONTAINER_OF(link, struct sl__task_box, link), &spilled);
        pthread_mutex_unlock(&run->executor->lock);
        if (batch == NULL) {
            break;
        }
        sl__settle_all(run, batch, SL_STATUS_CANCELLED, &run->end_error);
    }
    struct sl__task_box *box;
    while ((box = pop_finished(run)) != NULL) { /* ended, but after the run had been told to stop */
        batch = unpack(box);
        run->flying_count--;
        sl__settle_all(run, batch, SL_STATUS_CANCELLED, &run->end_error);
        box_destroy(box);
    }
}

uint64_t sl__task_deadline(struct sl__run *run) {
    uint64_t first = UINT64_MAX;
    pthread_mutex_lock(&run->executor->lock);
    for (struct sl__link *link = sl__list_first(&run->boxes); link != NULL; link = sl__list_after(&run->boxes, link)) {
        struct sl__task_box *box = SL_CONTAINER_OF(link, struct sl__task_box, link);
        if (box->deadline_ns != 0) {
            first = SL_MIN(first, box->deadline_ns);
        }
    }
    pthread_mutex_unlock(&run->executor->lock);
    return first == UINT64_MAX ? 0 : first;
}

bool sl__task_key_flies(struct sl__run *run, uint64_t key) {
    bool flies = false;
    pthread_mutex_lock(&run->executor->lock);
    struct sl__list *lists[] = {&run->boxes, &run->finished};
    for (size_t i = 0; i < SL_COUNT_OF(lists); i++) {
        for (struct sl__link *link = sl__list_first(lists[i]); link != NULL; link = sl__list_after(lists[i], link)) {
            flies |= SL_CONTAINER_OF(link, struct sl__task_box, link)->batch->key == key;
        }
    }
    pthread_mutex_unlock(&run->executor->lock);
    return flies;
}

/* ---- the executor itself ---------------------------------------------------------------------------------------------- */

enum sl_code sl_executor_create(const struct sl_executor_options *options, struct sl_executor **executor,
                                struct sl_error *error) {
    struct sl_executor_options own = SL_EXECUTOR_OPTIONS_INIT;
    *executor = NULL;
    if (options != NULL) {
        memcpy(&own, options, SL_MIN(options->size, sizeof own));
    }
    if (own.submit == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "sl_executor_create: options->submit is NULL; give the function that takes a batch");
    }
    if (own.capacity < 1 || own.capacity > 1024) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_executor_create: capacity is %u, expected 1 to 1024",
                            own.capacity);
    }
    struct sl_executor *made = calloc(1, sizeof *made);
    if (made == NULL || (made->name = strdup(own.name != NULL ? own.name : "executor")) == NULL ||
        pthread_mutex_init(&made->lock, NULL) != 0) {
        if (made != NULL) {
            free(made->name);
        }
        free(made);
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for an executor");
    }
    made->options = own;
    sl__list_init(&made->runs);
    *executor = made;
    return SL_OK;
}

void sl_executor_destroy(struct sl_executor *executor) {
    if (executor == NULL) {
        return;
    }
    SL_ASSERT(executor->runs.count == 0 && executor->active_count == 0);
    pthread_mutex_destroy(&executor->lock);
    free(executor->name);
    free(executor);
}
