/* SPDX-License-Identifier: MIT */
#include "queue.h"

#include "base/macros.h"

#define HANDED_MAX 32

void sl__queue_init(struct sl__queue *queue, uint32_t bound) {
    *queue = (struct sl__queue){.bound = bound};
    pthread_mutex_init(&queue->lock, NULL);
}

void sl__queue_finish(struct sl__queue *queue) {
    pthread_mutex_destroy(&queue->lock);
}

bool sl__queue_put(struct sl__queue *queue, struct sl__row *row, bool *wake) {
    pthread_mutex_lock(&queue->lock);
    bool alive = !queue->dead;
    if (alive) {
        uint32_t count = atomic_fetch_add_explicit(&queue->count, row->count, memory_order_relaxed) + row->count;
        queue->peak = SL_MAX(queue->peak, count);
        sl__row_move(&queue->waiting, row);
    }
    /* Under the lock, as the taker's setting of it: one of the two sees what the other did. */
    *wake = alive && atomic_exchange_explicit(&queue->hungry, false, memory_order_relaxed);
    pthread_mutex_unlock(&queue->lock);
    return alive;
}

/* seq_cst here and in sl__queue_full: either this thread sees `crowded`, or the other sees the count after this. */
static bool take_off(struct sl__queue *queue) {
    uint32_t left = atomic_fetch_sub(&queue->count, queue->handed) - queue->handed;
    queue->handed = 0;
    return left <= queue->bound / 2 && SL_UNLIKELY(atomic_load(&queue->crowded)) &&
           atomic_exchange(&queue->crowded, false);
}

struct sl__token *sl__queue_next(struct sl__queue *queue, bool *ended, bool *room) {
    *ended = *room = false;
    if (queue->taken.first == NULL) {
        pthread_mutex_lock(&queue->lock);
        sl__row_move(&queue->taken, &queue->waiting);
        if (queue->taken.first == NULL) {
            *ended = queue->closed;
            atomic_store_explicit(&queue->hungry, !queue->closed, memory_order_relaxed);
        }
        pthread_mutex_unlock(&queue->lock);
    }
    struct sl__token *token = sl__row_pop(&queue->taken);
    if (token != NULL && (++queue->handed >= SL_MIN(HANDED_MAX, queue->bound / 4) || queue->taken.first == NULL)) {
        *room = take_off(queue);
    }
    return token;
}

bool sl__queue_close(struct sl__queue *queue) {
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    bool wake = atomic_exchange_explicit(&queue->hungry, false, memory_order_relaxed);
    pthread_mutex_unlock(&queue->lock);
    return wake;
}

struct sl__row sl__queue_kill(struct sl__queue *queue) {
    pthread_mutex_lock(&queue->lock);
    queue->dead = true;
    sl__row_move(&queue->taken, &queue->waiting);
    struct sl__row left = queue->taken;
    queue->taken = (struct sl__row){0};
    queue->handed = 0;
    atomic_store(&queue->count, 0);
    pthread_mutex_unlock(&queue->lock);
    return left;
}

bool sl__queue_full(struct sl__queue *queue) {
    if (atomic_load_explicit(&queue->count, memory_order_relaxed) < queue->bound) {
        return false;
    }
    /* Never taken back: it may be another's wish as well, and to be woken once too often does no harm. */
    atomic_store(&queue->crowded, true);
    return atomic_load(&queue->count) >= queue->bound;
}
