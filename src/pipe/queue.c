/* SPDX-License-Identifier: MIT */
#include "queue.h"

#include "base/macros.h"

void sl__queue_init(struct sl__queue *queue, uint32_t bound) {
    *queue = (struct sl__queue){.bound = bound};
    pthread_mutex_init(&queue->lock, NULL);
    queue->last = &queue->first;
    queue->taken_last = &queue->taken;
}

void sl__queue_finish(struct sl__queue *queue) {
    pthread_mutex_destroy(&queue->lock);
}

bool sl__queue_put(struct sl__queue *queue, struct sl__token *token, bool *wake) {
    token->next = NULL;
    pthread_mutex_lock(&queue->lock);
    bool alive = !queue->dead;
    if (alive) {
        *queue->last = token;
        queue->last = &token->next;
        uint32_t count = atomic_fetch_add_explicit(&queue->count, 1, memory_order_relaxed) + 1;
        queue->peak = SL_MAX(queue->peak, count);
    }
    /* Under the lock, as the taker's setting of it: one of the two sees what the other did. */
    *wake = alive && atomic_exchange_explicit(&queue->hungry, false, memory_order_relaxed);
    pthread_mutex_unlock(&queue->lock);
    return alive;
}

void sl__queue_put_own(struct sl__queue *queue, struct sl__token *token) {
    token->next = NULL;
    *queue->taken_last = token;
    queue->taken_last = &token->next;
    uint32_t count = atomic_load_explicit(&queue->count, memory_order_relaxed) + 1;
    atomic_store_explicit(&queue->count, count, memory_order_relaxed);
    queue->peak = SL_MAX(queue->peak, count);
}

struct sl__token *sl__queue_next(struct sl__queue *queue, bool *ended, bool *room) {
    *ended = *room = false;
    if (queue->taken == NULL) {
        pthread_mutex_lock(&queue->lock);
        queue->taken = queue->first;
        queue->taken_last = queue->first != NULL ? queue->last : &queue->taken;
        queue->first = NULL;
        queue->last = &queue->first;
        if (queue->taken == NULL) {
            *ended = queue->closed;
            atomic_store_explicit(&queue->hungry, !queue->closed, memory_order_relaxed);
        }
        pthread_mutex_unlock(&queue->lock);
        if (queue->taken == NULL) {
            return NULL;
        }
    }
    struct sl__token *token = queue->taken;
    queue->taken = token->next;
    if (queue->taken == NULL) {
        queue->taken_last = &queue->taken;
    }
    /*
     * seq_cst here and in sl__queue_full: either this thread sees `crowded`, or the other sees the count after this.
     */
    uint32_t left = atomic_fetch_sub(&queue->count, 1) - 1;
    if (left <= queue->bound / 2 && SL_UNLIKELY(atomic_load(&queue->crowded))) {
        *room = atomic_exchange(&queue->crowded, false);
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

struct sl__token *sl__queue_kill(struct sl__queue *queue) {
    pthread_mutex_lock(&queue->lock);
    queue->dead = true;
    struct sl__token *left = queue->taken, **end = &left;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = queue->first;
    queue->taken = queue->first = NULL;
    queue->last = &queue->first;
    queue->taken_last = &queue->taken;
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
