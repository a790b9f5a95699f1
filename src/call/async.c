/* SPDX-License-Identifier: MIT */
/*
 * Calls that nobody waits for: a queue for each pool, and threads that make ordinary calls.
 *
 * A call that is cancelled while it waits ends at once, whatever the threads are doing: one more thread, the watch, sleeps until a control rings, and takes
 * those out that are cancelled. It is started with the first call that has a control. A call leaves the queue under the lock, so either a thread of the crew has it or
 * the watch.
 *
 * The crew is the pool's guest from its first asynchronous call on. It outlives the pool only where a callback has destroyed that: what is left in the queue
 * then ends with `closed`, on the thread whose callback it was, without another look at the pool.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/macros.h"
#include "dispatch/control.h"
#include "invoke.h"
#include "lane/lane.h"
#include "pool/guest.h"
#include "pool/lease.h"
#include "session/session.h"

struct crew {
    struct sl__guest guest;
    _Atomic uint32_t refs; /* the pool's, and one of each thread */
    struct sl_pool *pool;
    struct sl__bell cancelled; /* rung by the controls of calls that wait, and at the end */
    pthread_mutex_t lock;      /* guards what follows */
    pthread_cond_t changed;
    struct sl__list jobs;
    uint32_t job_count; /* those that run included */
    uint32_t idle_count;
    bool closed;
    pthread_t *threads; /* thread_capacity */
    uint32_t thread_count, thread_capacity;
    pthread_t watch;
    bool watched; /* there is a watch */
};

struct job {
    struct sl__link link;
    struct sl__keeper *keeper; /* NULL: one of its own */
    struct sl_object *object;  /* or NULL */
    struct sl_call_options options;
    struct sl__invocation invocation;
    struct sl_buffer **buffers;
    sl_call_done_fn *done;
    void *context;
    uint8_t bytes[]; /* the values, each at a multiple of 8, then the context */
};

static size_t padded(size_t size) {
    return (size + 7) & ~(size_t)7;
}

/* ---- jobs ------------------------------------------------------------------------------------------------------------- */

static void job_destroy(struct job *job) {
    for (uint32_t i = 0; i < job->options.buffer_count; i++) {
        sl_buffer_unref(job->buffers[i]);
    }
    free(job->buffers);
    sl_object_unref(job->object);
    if (job->keeper != NULL) {
        sl__keeper_unref(job->keeper);
    }
    free(job);
}

static struct job *job_make(struct sl_object *object, const struct sl_call_options *options,
                            const struct sl__invocation *invocation, struct sl_error *error) {
    size_t size = padded(options->context.size);
    for (uint32_t i = 0; i < invocation->count; i++) {
        size += padded(invocation->values[i].size);
    }
    struct job *job = calloc(1, sizeof *job + size);
    if (job == NULL) {
        (void)sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for an asynchronous call of %zu bytes", size);
        return NULL;
    }
    uint8_t *at = job->bytes;
    job->options = *options;
    job->options.session = NULL;
    job->options.buffer_count = 0;
    if (options->context.size > 0) {
        memcpy(at, options->context.data, options->context.size);
        job->options.context.data = at;
        at += padded(options->context.size);
    }
    sl__invocation_init(&job->invocation, invocation->function);
    memcpy(job->invocation.label, invocation->label, sizeof job->invocation.label);
    for (uint32_t i = 0; i < invocation->count; i++) {
        memcpy(at, invocation->values[i].data, invocation->values[i].size);
        sl__invocation_add(&job->invocation, (struct sl_value){at, invocation->values[i].size});
        at += padded(invocation->values[i].size);
    }
    if (options->buffer_count > 0) {
        job->buffers = calloc(options->buffer_count, sizeof(struct sl_buffer *));
        if (job->buffers == NULL) {
            job_destroy(job);
            (void)sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for an asynchronous call");
            return NULL;
        }
        for (uint32_t i = 0; i < options->buffer_count; i++) {
            job->buffers[i] = sl_buffer_ref(options->buffers[i]);
        }
        job->options.buffers = job->buffers;
        job->options.buffer_count = options->buffer_count;
    }
    enum sl_code code = SL_OK;
    if (object != NULL) {
        job->object = sl_object_ref(object);
        job->keeper = sl__keeper_ref(object->keeper);
    } else if (options->session != NULL) {
        code = sl__keeper_make(NULL, options->session, &job->keeper, error);
    }
    if (code != SL_OK) {
        job_destroy(job);
        return NULL;
    }
    return job;
}

/* Runs it, or not when it is cancelled or the pool is gone, and says how it ended. */
static void job_end(struct job *job, struct sl_pool *pool) {
    struct sl_result result = SL_RESULT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code;
    sl__control_follow(job->options.control, NULL);
    if (sl__control_cancelled(job->options.control)) {
        code = sl_error_set(&error, SL_E_CANCELLED, "%s: the call was cancelled before it could begin",
                            job->invocation.label);
    } else if (pool == NULL) {
        code = sl_error_set(&error, SL_E_CLOSED, "%s: the pool was destroyed before the call could begin",
                            job->invocation.label);
    } else {
        code = job->keeper == NULL ? sl__keeper_make(pool, NULL, &job->keeper, &error) : SL_OK;
        if (code == SL_OK) {
            code = sl__invoke(job->keeper, job->object, &job->options, &job->invocation, &result, &error);
        }
    }
    error.code = code;
    job->done(job->context, code, &result, &error);
    sl_result_finish(&result);
    sl_error_finish(&error);
    job_destroy(job);
}

/* ---- the crew ----------------------------------------------------------------------------------------------------------- */

static void crew_unref(struct crew *crew) {
    if (atomic_fetch_sub_explicit(&crew->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    SL_ASSERT(crew->jobs.count == 0);
    pthread_cond_destroy(&crew->changed);
    pthread_mutex_destroy(&crew->lock);
    free(crew->threads);
    free(crew);
}

static void *work(void *argument) {
    struct crew *crew = argument;
    pthread_mutex_lock(&crew->lock);
    for (;;) {
        struct sl__link *link = sl__list_pop_front(&crew->jobs);
        if (link != NULL) {
            struct sl_pool *pool = crew->closed ? NULL : crew->pool;
            pthread_mutex_unlock(&crew->lock);
            job_end(SL_CONTAINER_OF(link, struct job, link), pool);
            pthread_mutex_lock(&crew->lock);
            crew->job_count--;
        } else if (crew->closed) {
            break;
        } else {
            crew->idle_count++;
            pthread_cond_wait(&crew->changed, &crew->lock);
            crew->idle_count--;
        }
    }
    pthread_mutex_unlock(&crew->lock);
    crew_unref(crew);
    return NULL;
}

/* With the lock. Moves the jobs that are cancelled to the list. */
static void pick_cancelled(struct crew *crew, struct sl__list *picked) {
    for (struct sl__link *link = sl__list_first(&crew->jobs), *next; link != NULL; link = next) {
        next = sl__list_after(&crew->jobs, link);
        if (sl__control_cancelled(SL_CONTAINER_OF(link, struct job, link)->options.control)) {
            sl__list_remove(&crew->jobs, link);
            sl__list_push_back(picked, link);
        }
    }
}

static void *watch(void *argument) {
    struct crew *crew = argument;
    struct sl__spin spin;
    struct sl__list picked;
    bool closed = false;
    sl__spin_init(&spin);
    sl__list_init(&picked);
    while (!closed) {
        uint32_t seen = atomic_load_explicit(&crew->cancelled.value, memory_order_acquire);
        pthread_mutex_lock(&crew->lock);
        closed = crew->closed; /* what is left is the others' then */
        if (!closed) {
            pick_cancelled(crew, &picked);
        }
        pthread_mutex_unlock(&crew->lock);
        if (picked.count == 0 && !closed) {
            sl__lanes_wait(NULL, 0, &crew->cancelled, seen, 0, &spin, false);
        }
        for (struct sl__link *link; (link = sl__list_pop_front(&picked)) != NULL;) {
            job_end(SL_CONTAINER_OF(link, struct job, link), NULL);
            pthread_mutex_lock(&crew->lock);
            crew->job_count--;
            pthread_mutex_unlock(&crew->lock);
        }
    }
    crew_unref(crew);
    return NULL;
}

/* With the lock. An errno, or 0. */
static int start_thread(struct crew *crew, pthread_t *thread, void *(*function)(void *argument)) {
    sigset_t all, before;
    sigfillset(&all);
    (void)atomic_fetch_add_explicit(&crew->refs, 1, memory_order_relaxed);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the program's affair */
    int number = pthread_create(thread, NULL, function, crew);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (number != 0) {
        (void)atomic_fetch_sub_explicit(&crew->refs, 1, memory_order_relaxed);
    }
    return number;
}

static void join_or_leave(pthread_t thread) {
    if (pthread_equal(thread, pthread_self())) {
        (void)pthread_detach(thread);
    } else {
        (void)pthread_join(thread, NULL);
    }
}

/* The pool is being destroyed, maybe by one of our own callbacks: that thread ends what is left when it comes back. */
static void closing(struct sl__guest *guest) {
    struct crew *crew = SL_CONTAINER_OF(guest, struct crew, guest);
    pthread_mutex_lock(&crew->lock);
    crew->closed = true;
    pthread_cond_broadcast(&crew->changed);
    uint32_t count = crew->thread_count;
    bool watched = crew->watched;
    pthread_mutex_unlock(&crew->lock);
    sl__bell_ring(&crew->cancelled);
    for (uint32_t i = 0; i < count; i++) { /* no more are started */
        join_or_leave(crew->threads[i]);
    }
    if (watched) {
        join_or_leave(crew->watch);
    }
}

static void destroy(struct sl__guest *guest) {
    crew_unref(SL_CONTAINER_OF(guest, struct crew, guest));
}

static struct crew *crew_make(struct sl_pool *pool) {
    struct crew *crew = calloc(1, sizeof *crew);
    if (crew == NULL) {
        return NULL;
    }
    if (pthread_mutex_init(&crew->lock, NULL) != 0) {
        free(crew);
        return NULL;
    }
    if (pthread_cond_init(&crew->changed, NULL) != 0) {
        pthread_mutex_destroy(&crew->lock);
        free(crew);
        return NULL;
    }
    crew->guest.closing = closing;
    crew->guest.destroy = destroy;
    crew->pool = pool;
    atomic_init(&crew->refs, 1);
    sl__list_init(&crew->jobs);
    sl__bell_init(&crew->cancelled);
    return crew;
}

static struct crew *crew_of(struct sl_pool *pool, struct sl_error *error) {
    struct sl__guest *guest = sl__pool_guest(pool, SL__GUEST_CALLS);
    if (guest == NULL) {
        struct crew *made = crew_make(pool);
        if (made == NULL) {
            (void)sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for asynchronous calls");
            return NULL;
        }
        guest = sl__pool_take_in(pool, SL__GUEST_CALLS, &made->guest);
        if (guest != &made->guest) {
            crew_unref(made);
        }
        if (guest == NULL) {
            (void)sl_error_set(error, SL_E_CLOSED, "pool %s is being destroyed", sl__pool_name(pool));
            return NULL;
        }
    }
    return SL_CONTAINER_OF(guest, struct crew, guest);
}

/* With the lock. Room for one more thread where the pool has one more lane. */
static bool may_grow(struct crew *crew) {
    uint32_t lanes = sl__pool_capacity(crew->pool);
    if (crew->thread_count >= lanes) {
        return false;
    }
    if (crew->thread_count < crew->thread_capacity) {
        return true;
    }
    pthread_t *grown = realloc(crew->threads, lanes * sizeof *grown);
    if (grown == NULL) {
        return false;
    }
    crew->threads = grown;
    crew->thread_capacity = lanes;
    return true;
}

static enum sl_code no_thread(const struct job *job, int number, struct sl_error *error) {
    enum sl_code code =
        sl_error_set(error, SL_E_SYSTEM, "%s: no thread could be started: %s", job->invocation.label, strerror(number));
    if (error != NULL) {
        error->system_errno = number;
    }
    return code;
}

/* With the lock. Sees to it that somebody will run the job, or end it when it is cancelled. */
static enum sl_code staff(struct crew *crew, const struct job *job, struct sl_error *error) {
    int number = 0;
    if (crew->closed) {
        return sl_error_set(error, SL_E_CLOSED, "pool %s is being destroyed", sl__pool_name(crew->pool));
    }
    if (crew->job_count >= SL_CALL_ASYNC_MAX) {
        return sl_error_set(
            error, SL_E_LIMIT,
            "%s: %u asynchronous calls of this pool have not ended, which is the most allowed; wait for some",
            job->invocation.label, crew->job_count);
    }
    if (crew->idle_count <= crew->jobs.count && may_grow(crew)) {
        number = start_thread(crew, &crew->threads[crew->thread_count], work);
        crew->thread_count += number == 0;
    }
    if (crew->thread_count == 0) {
        return number != 0
                   ? no_thread(job, number, error)
                   : sl_error_set(error, SL_E_OUT_OF_MEMORY, "%s: no memory for a thread", job->invocation.label);
    }
    if (job->options.control != NULL && !crew->watched) {
        number = start_thread(crew, &crew->watch, watch);
        if (number != 0) {
            return no_thread(job, number, error);
        }
        crew->watched = true;
    }
    return SL_OK;
}

enum sl_code sl__async_submit(struct sl_pool *pool, struct sl_object *object, const struct sl_call_options *options,
                              const struct sl__invocation *invocation, sl_call_done_fn *done, void *context,
                              struct sl_error *error) {
    if (done == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "%s: `done` is NULL; it is how the call's end is told",
                            invocation->label);
    }
    if (sl__pool_foreign(pool)) {
        return sl_error_set(error, SL_E_UNSUPPORTED,
                            "%s: the pool was made before this process was forked, and is not its own",
                            invocation->label);
    }
    struct crew *crew = crew_of(pool, error);
    if (crew == NULL) {
        return error != NULL ? error->code : SL_E_OUT_OF_MEMORY;
    }
    struct job *job = job_make(object, options, invocation, error);
    if (job == NULL) {
        return error != NULL ? error->code : SL_E_OUT_OF_MEMORY;
    }
    job->done = done;
    job->context = context;
    pthread_mutex_lock(&crew->lock);
    enum sl_code code = staff(crew, job, error);
    if (code == SL_OK) {
        sl__list_push_back(&crew->jobs, &job->link);
        crew->job_count++;
        pthread_cond_signal(&crew->changed);
        sl__control_follow(job->options.control, &crew->cancelled);
        if (sl__control_cancelled(job->options.control)) {
            sl__bell_ring(&crew->cancelled); /* it was before: who did it has rung nothing of ours */
        }
    }
    pthread_mutex_unlock(&crew->lock);
    if (code != SL_OK) {
        job_destroy(job);
    }
    return code;
}
