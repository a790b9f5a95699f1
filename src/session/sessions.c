/* SPDX-License-Identifier: MIT */
/* The sessions of a pool: from its first run or session until its memory goes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "base/utf8.h"
#include "inside.h"
#include "sys/clock.h"
#include "sys/process.h"

#define NS_PER_MS 1000000u

static struct sl__sessions *of_guest(struct sl__guest *guest) {
    return SL_CONTAINER_OF(guest, struct sl__sessions, guest);
}

void sl__sessions_ref(struct sl__sessions *sessions) {
    atomic_fetch_add_explicit(&sessions->refs, 1, memory_order_relaxed); /* the caller has one */
}

void sl__sessions_unref(struct sl__sessions *sessions) {
    if (atomic_fetch_sub_explicit(&sessions->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    SL_ASSERT(sessions->table.count == 0 && sessions->processes.count == 0);
    sl__homes_finish(sessions);
    sl__table_finish(&sessions->table);
    sl__deadlines_finish(&sessions->deadlines);
    pthread_mutex_destroy(&sessions->lock);
    free(sessions);
}

/* ---- on the loop thread --------------------------------------------------------------------------------------- */

void sl__sessions_look(struct sl__sessions *sessions) {
    if (!sessions->posted && !sessions->closed) {
        sessions->posted = true;
        sl__loop_post(sessions->runtime->loop, &sessions->task);
    }
}

void sl__sessions_ring(struct sl__sessions *sessions) {
    for (struct sl__link *link = sl__list_first(&sessions->waiting); link != NULL;
         link = sl__list_after(&sessions->waiting, link)) {
        sl__bell_ring(SL_CONTAINER_OF(link, struct sl__session_use, waiting)->bell);
    }
}

static void look(struct sl__sessions *sessions) {
    pthread_mutex_lock(&sessions->lock);
    uint64_t now_ns = sl__clock_now_ns();
    uint64_t again_ns = sl__sessions_expire(sessions, now_ns);
    uint64_t tell_ns = sl__homes_tell(sessions, now_ns);
    sl__owners_tidy(sessions, sessions->closed);
    again_ns = SL_MIN(again_ns, tell_ns);
    sessions->armed_ns = again_ns;
    if (sessions->timer != NULL && again_ns != UINT64_MAX) {
        now_ns = sl__clock_now_ns();
        sl__timer_set(sessions->timer, again_ns > now_ns ? (again_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS : 1);
    }
    pthread_mutex_unlock(&sessions->lock);
}

static void run_task(struct sl__task *task) {
    struct sl__sessions *sessions = SL_CONTAINER_OF(task, struct sl__sessions, task);
    pthread_mutex_lock(&sessions->lock);
    sessions->posted = false;
    pthread_mutex_unlock(&sessions->lock);
    look(sessions);
}

static void ring_timer(void *context) {
    look(context);
}

/* ---- what the pool says --------------------------------------------------------------------------------------- */

static void worker_gone(struct sl__guest *guest, uint32_t worker, uint32_t generation, const char *how,
                        const struct sl_error *death) {
    struct sl__sessions *sessions = of_guest(guest);
    pthread_mutex_lock(&sessions->lock);
    sl__home_gone(sessions, worker, generation, how, death);
    sl__sessions_ring(sessions);
    pthread_mutex_unlock(&sessions->lock);
}

static void pool_closing(struct sl__guest *guest) {
    struct sl__sessions *sessions = of_guest(guest);
    struct sl__house *house = sessions->house;
    pthread_mutex_lock(&house->lock);
    sl__list_remove(&house->sessions, &sessions->house_link);
    pthread_mutex_unlock(&house->lock);
    pthread_mutex_lock(&sessions->lock);
    sessions->closed = true;
    /* From the last place to the first: an entry that is removed moves only what lies behind it. */
    for (size_t i = sessions->table.capacity; i-- > 0;) {
        while (sessions->table.entries[i].id != 0) {
            sl__session_end_with(sessions->table.entries[i].pointer, SL__END_POOL);
        }
    }
    /* What wraps around the end of the table may have moved to where nobody looks any more. */
    for (size_t i = 0; i < sessions->table.capacity && sessions->table.count > 0; i++) {
        while (sessions->table.entries[i].id != 0) {
            sl__session_end_with(sessions->table.entries[i].pointer, SL__END_POOL);
        }
    }
    sl__sessions_ring(sessions);
    pthread_mutex_unlock(&sessions->lock);
}

static void pool_stopped(struct sl__guest *guest) {
    struct sl__sessions *sessions = of_guest(guest);
    pthread_mutex_lock(&sessions->lock);
    sl__owners_tidy(sessions, true);
    sl__timer_destroy(sessions->timer);
    sessions->timer = NULL;
    pthread_mutex_unlock(&sessions->lock);
}

static void pool_destroyed(struct sl__guest *guest) {
    sl__sessions_unref(of_guest(guest));
}

static void add_stats(struct sl__guest *guest, struct sl_pool_stats *stats) {
    struct sl__sessions *sessions = of_guest(guest);
    pthread_mutex_lock(&sessions->lock);
    stats->session_count = (uint32_t)sessions->table.count;
    stats->session_lost_count = sessions->lost_count;
    stats->session_end_count = sessions->end_count;
    pthread_mutex_unlock(&sessions->lock);
}

/* ---- creation --------------------------------------------------------------------------------------------------- */

struct opening {
    struct sl__sessions *sessions;
    struct sl_error *error;
    enum sl_code code;
};

static void make_timer(void *context) {
    struct opening *opening = context;
    struct sl__sessions *sessions = opening->sessions;
    opening->code = sl__timer_create(sessions->runtime->loop, ring_timer, sessions, &sessions->timer, opening->error);
}

static void destroy_timer(void *context) {
    struct sl__sessions *sessions = context;
    sl__timer_destroy(sessions->timer);
    sessions->timer = NULL;
}

void sl__sessions_on_loop(struct sl__sessions *sessions, void (*function)(void *context), void *context) {
    if (sl__loop_inside(sessions->runtime->loop)) {
        function(context);
    } else {
        sl__loop_call(sessions->runtime->loop, function, context);
    }
}

static enum sl_code make(struct sl_pool *pool, struct sl__sessions **out, struct sl_error *error) {
    struct sl__house *house = NULL;
    enum sl_code code = sl__house_of(sl__pool_runtime(pool), &house, error);
    if (code != SL_OK) {
        return code;
    }
    struct sl__sessions *sessions = calloc(1, sizeof *sessions);
    if (sessions == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the sessions of pool %s", sl__pool_name(pool));
    }
    sessions->guest = (struct sl__guest){worker_gone, pool_closing, pool_stopped, pool_destroyed, add_stats};
    atomic_init(&sessions->refs, 1);
    sessions->pool = pool;
    sessions->runtime = sl__pool_runtime(pool);
    sessions->house = house;
    snprintf(sessions->name, sizeof sessions->name, "%s", sl__pool_name(pool));
    sessions->name[sl__utf8_valid_size(sessions->name, strlen(sessions->name))] = '\0';
    sessions->session_max = sl__pool_session_max(pool);
    sessions->affinity = sl__pool_affinity(pool) != SL_AFFINITY_DEFAULT ? sl__pool_affinity(pool) : SL_AFFINITY_HINT;
    sessions->process = sl__process_id();
    sessions->armed_ns = UINT64_MAX;
    sessions->task.run = run_task;
    pthread_mutex_init(&sessions->lock, NULL);
    sl__list_init(&sessions->dropping);
    sl__list_init(&sessions->waiting);
    sl__list_init(&sessions->following);
    sl__list_init(&sessions->processes);
    struct opening opening = {sessions, error, SL_OK};
    sl__sessions_on_loop(sessions, make_timer, &opening);
    if (opening.code != SL_OK) {
        sl__sessions_unref(sessions);
        return opening.code;
    }
    *out = sessions;
    return SL_OK;
}

enum sl_code sl__sessions_of(struct sl_pool *pool, struct sl__sessions **out, struct sl_error *error) {
    struct sl__guest *guest = sl__pool_guest(pool, SL__GUEST_SESSIONS);
    if (SL_LIKELY(guest != NULL)) {
        *out = of_guest(guest);
        return SL_OK;
    }
    struct sl__sessions *sessions = NULL;
    enum sl_code code = make(pool, &sessions, error);
    if (code != SL_OK) {
        return code;
    }
    struct sl__house *house = sessions->house;
    pthread_mutex_lock(&house->lock); /* so that nobody can close it before it is in the house */
    guest = sl__pool_take_in(pool, SL__GUEST_SESSIONS, &sessions->guest);
    if (guest == &sessions->guest) {
        sl__list_push_back(&house->sessions, &sessions->house_link);
    }
    pthread_mutex_unlock(&house->lock);
    if (guest != &sessions->guest) {
        sl__sessions_on_loop(sessions, destroy_timer, sessions);
        sl__sessions_unref(sessions);
    }
    if (guest == NULL) {
        return sl_error_set(error, SL_E_CLOSED, "pool %s is being destroyed", sl__pool_name(pool));
    }
    *out = of_guest(guest);
    return SL_OK;
}
