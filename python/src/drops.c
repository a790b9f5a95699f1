/* SPDX-License-Identifier: MIT */
/*
 * Drops: what the host says that nobody needs any more. The thread that watches the host queues the messages, without the GIL, whatever
 * Python is doing; the serve loop works them off between two batches, one message at a time. Batches that the host had published before it sent
 * a message still find what that message is about, unless it says that none of them has to do with it: such an early one waits for nothing but the batch
 * that runs.
 *
 * The queues are bounded together. When they are full, the watcher reads nothing more from its socket, so that the host has to keep what it wants to
 * say: nothing is lost.
 */
#include "session.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "lane/backlog.h"
#include "wire/token.h"

#define PENDING_BYTES_MAX ((size_t)16 << 20)
#define SESSION_SIZE 8
#define REF_SIZE 20 /* u64 session, u64 object, u32 count */

struct drop {
    struct drop *next;
    uint32_t due; /* when so many requests have been taken */
    size_t sessions_size, refs_size;
    uint8_t bytes[]; /* the sessions, then the refs */
};

/* By nature once a process, as the life of the worker is. */
static struct {
    pthread_mutex_t lock; /* guards what follows */
    struct queue {
        struct drop *first, *last;
    } early, late;
    size_t bytes;
} pending = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const void *list_of(struct sl_value message, const char *key, size_t entry_size, size_t *size) {
    struct sl_value value;
    const void *bytes = NULL;
    if (sl_value_get(message, key, &value) != SL_OK || sl_value_bytes(value, &bytes, size) != SL_OK) {
        *size = 0;
        return NULL;
    }
    *size -= *size % entry_size;
    return bytes;
}

static bool is_early(struct sl_value message) {
    struct sl_value value;
    bool early = false;
    return sl_value_get(message, "early", &value) == SL_OK && sl_value_bool(value, &early) == SL_OK && early;
}

bool sl__drops_put(struct sl_value message) {
    size_t sessions_size, refs_size;
    const void *sessions = list_of(message, "sessions", SESSION_SIZE, &sessions_size);
    const void *refs = list_of(message, "refs", REF_SIZE, &refs_size);
    if (sessions_size + refs_size == 0) {
        return true;
    }
    struct drop *drop = malloc(sizeof *drop + sessions_size + refs_size);
    if (drop == NULL) {
        return false;
    }
    *drop = (struct drop){
        .due = sl__lane_published(sl__life()->lane), .sessions_size = sessions_size, .refs_size = refs_size};
    if (sessions_size > 0) {
        memcpy(drop->bytes, sessions, sessions_size);
    }
    if (refs_size > 0) {
        memcpy(drop->bytes + sessions_size, refs, refs_size);
    }
    struct queue *queue = is_early(message) ? &pending.early : &pending.late;
    pthread_mutex_lock(&pending.lock);
    bool room = pending.bytes + sessions_size + refs_size <= PENDING_BYTES_MAX;
    if (room) {
        if (queue->last != NULL) {
            queue->last->next = drop;
        } else {
            queue->first = drop;
        }
        queue->last = drop;
        pending.bytes += sessions_size + refs_size;
    }
    pthread_mutex_unlock(&pending.lock);
    if (!room) {
        free(drop);
        return false;
    }
    atomic_store_explicit(&sl__life()->drops_pending, 1, memory_order_release);
    return true;
}

/* With the lock. */
static struct drop *pop(struct queue *queue) {
    struct drop *drop = queue->first;
    queue->first = drop->next;
    if (queue->first == NULL) {
        queue->last = NULL;
    }
    pending.bytes -= drop->sessions_size + drop->refs_size;
    return drop;
}

/* The next message that is due, or any that is left when `all`. */
static struct drop *take(bool all) {
    uint32_t taken = sl__lane_taken(sl__life()->lane);
    struct drop *drop = NULL;
    pthread_mutex_lock(&pending.lock);
    if (pending.early.first != NULL) {
        drop = pop(&pending.early);
    } else if (pending.late.first != NULL && (all || (int32_t)(taken - pending.late.first->due) >= 0)) {
        drop = pop(&pending.late);
    }
    if (pending.early.first == NULL && pending.late.first == NULL) {
        atomic_store_explicit(&sl__life()->drops_pending, 0, memory_order_relaxed);
    }
    pthread_mutex_unlock(&pending.lock);
    return drop;
}

void sl__drops_run(struct sl__state *state, bool all) {
    struct drop *drop = take(all);
    if (drop == NULL) {
        return;
    }
    const struct sl__life *life = sl__life();
    const uint8_t *refs = drop->bytes + drop->sessions_size;
    /* A hook or destructor may fork: the child has nothing to do with what follows. */
    for (size_t i = 0; i < drop->refs_size && !life->forked; i += REF_SIZE) {
        sl__session_ref_release(state, sl__load_le64(refs + i), sl__load_le64(refs + i + 8),
                                sl__load_le32(refs + i + 16));
    }
    for (size_t i = 0; i < drop->sessions_size && !life->forked; i += SESSION_SIZE) {
        sl__session_end(state, sl__load_le64(drop->bytes + i));
    }
    free(drop);
}
