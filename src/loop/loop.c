/* SPDX-License-Identifier: MIT */
#include "loop/loop.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "base/assert.h"
#include "base/macros.h"

struct sl__loop {
    uv_loop_t uv;
    uv_async_t wake; /* tells the thread that there are tasks */
    pthread_t thread;
    pthread_mutex_t lock; /* guards the list of tasks and `ending` */
    struct sl__task *first, **last;
    bool ending;
};

struct sl__watch {
    uv_poll_t uv;
    void (*function)(void *context);
    void *context;
    bool closed;
};

struct sl__timer {
    uv_timer_t uv;
    void (*function)(void *context);
    void *context;
};

static enum sl_code uv_failure(struct sl_error *error, int status, const char *doing) {
    enum sl_code code = status == UV_ENOMEM ? SL_E_OUT_OF_MEMORY : SL_E_SYSTEM;
    sl_error_set(error, code, "%s failed: %s%s", doing, uv_strerror(status),
                 status == UV_EMFILE ? "; raise the limit of open files (ulimit -n)" : "");
    if (error != NULL) {
        error->system_errno = -status;
    }
    return code;
}

/* ---- tasks ---------------------------------------------------------------------------------------------------- */

static void run_tasks(uv_async_t *wake) {
    struct sl__loop *loop = wake->data;
    pthread_mutex_lock(&loop->lock);
    struct sl__task *task = loop->first;
    loop->first = NULL;
    loop->last = &loop->first;
    pthread_mutex_unlock(&loop->lock);
    while (task != NULL) {
        struct sl__task *next = task->next; /* the task may be gone after it ran */
        task->next = NULL;
        task->run(task);
        task = next;
    }
    /* A task may have posted others; each post wakes again, so only the end needs a second look. */
    pthread_mutex_lock(&loop->lock);
    bool end = loop->ending && loop->first == NULL;
    pthread_mutex_unlock(&loop->lock);
    if (end && !uv_is_closing((uv_handle_t *)wake)) {
        uv_close((uv_handle_t *)wake, NULL);
    }
}

void sl__loop_post(struct sl__loop *loop, struct sl__task *task) {
    pthread_mutex_lock(&loop->lock);
    task->next = NULL;
    *loop->last = task;
    loop->last = &task->next;
    /* Inside the lock: once it is released the task may run, and the loop's owner may take that as leave to destroy the loop. */
    uv_async_send(&loop->wake);
    pthread_mutex_unlock(&loop->lock);
}

struct call {
    struct sl__task task;
    void (*function)(void *context);
    void *context;
    pthread_mutex_t lock;
    pthread_cond_t returned;
    bool done;
};

static void run_call(struct sl__task *task) {
    struct call *call = SL_CONTAINER_OF(task, struct call, task);
    call->function(call->context);
    pthread_mutex_lock(&call->lock);
    call->done = true;
    pthread_cond_signal(&call->returned); /* under the lock: the caller's stack is gone right after it */
    pthread_mutex_unlock(&call->lock);
}

void sl__loop_call(struct sl__loop *loop, void (*function)(void *context), void *context) {
    SL_ASSERT(!sl__loop_inside(loop));
    struct call call = {
        .task = {.run = run_call},
        .function = function,
        .context = context,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .returned = PTHREAD_COND_INITIALIZER,
    };
    sl__loop_post(loop, &call.task);
    pthread_mutex_lock(&call.lock);
    while (!call.done) {
        pthread_cond_wait(&call.returned, &call.lock);
    }
    pthread_mutex_unlock(&call.lock);
    pthread_cond_destroy(&call.returned);
    pthread_mutex_destroy(&call.lock);
}

/* ---- the thread ----------------------------------------------------------------------------------------------- */

static void *loop_thread(void *argument) {
    struct sl__loop *loop = argument;
    /* Returns when the last handle is closed: `wake`, at the end. */
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    return NULL;
}

static int start_thread(struct sl__loop *loop) {
    /* The thread inherits the mask of its creator, so no signal can reach it even at its start. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int status = pthread_create(&loop->thread, NULL, loop_thread, loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status == 0) {
        (void)pthread_setname_np(loop->thread, "slither");
    }
    return status;
}

enum sl_code sl__loop_create(struct sl__loop **out, struct sl_error *error) {
    struct sl__loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the supervising loop");
    }
    loop->last = &loop->first;
    int status = uv_loop_init(&loop->uv);
    if (status != 0) {
        free(loop);
        return uv_failure(error, status, "setting up the supervising loop");
    }
    status = uv_async_init(&loop->uv, &loop->wake, run_tasks);
    if (status != 0) {
        enum sl_code code = uv_failure(error, status, "setting up the supervising loop's wake-up");
        (void)uv_loop_close(&loop->uv);
        free(loop);
        return code;
    }
    loop->wake.data = loop;
    pthread_mutex_init(&loop->lock, NULL);
    status = start_thread(loop);
    if (status != 0) {
        uv_close((uv_handle_t *)&loop->wake, NULL);
        (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
        (void)uv_loop_close(&loop->uv);
        pthread_mutex_destroy(&loop->lock);
        free(loop);
        return uv_failure(error, -status, "starting the supervising thread");
    }
    *out = loop;
    return SL_OK;
}

static void run_nothing(struct sl__task *task) {
    (void)task;
}

void sl__loop_destroy(struct sl__loop *loop) {
    if (loop == NULL) {
        return;
    }
    SL_ASSERT(!sl__loop_inside(loop));
    struct sl__task last = {.run = run_nothing};
    pthread_mutex_lock(&loop->lock);
    loop->ending = true;
    pthread_mutex_unlock(&loop->lock);
    sl__loop_post(loop, &last);
    pthread_join(loop->thread, NULL);
    int status = uv_loop_close(&loop->uv);
    SL_ASSERT(status == 0);
    (void)status;
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

bool sl__loop_inside(const struct sl__loop *loop) {
    return pthread_equal(loop->thread, pthread_self()) != 0;
}

/* ---- watches -------------------------------------------------------------------------------------------------- */

static void watch_ready(uv_poll_t *uv, int status, int events) {
    (void)status; /* an error shows at the read that follows */
    (void)events;
    struct sl__watch *watch = uv->data;
    if (!watch->closed) {
        watch->function(watch->context);
    }
}

enum sl_code sl__watch_create(struct sl__loop *loop, int fd, void (*function)(void *context), void *context,
                              struct sl__watch **out, struct sl_error *error) {
    SL_ASSERT(sl__loop_inside(loop));
    struct sl__watch *watch = calloc(1, sizeof(*watch));
    if (watch == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory to watch a descriptor");
    }
    watch->function = function;
    watch->context = context;
    int status = uv_poll_init(&loop->uv, &watch->uv, fd);
    if (status != 0) {
        free(watch);
        return uv_failure(error, status, "watching a descriptor");
    }
    watch->uv.data = watch;
    /* UV_DISCONNECT is left out: the end of a socket or pipe is readable anyway. */
    status = uv_poll_start(&watch->uv, UV_READABLE, watch_ready);
    if (status != 0) {
        sl__watch_destroy(watch);
        return uv_failure(error, status, "watching a descriptor");
    }
    *out = watch;
    return SL_OK;
}

static void free_watch(uv_handle_t *uv) {
    free(uv->data);
}

void sl__watch_destroy(struct sl__watch *watch) {
    if (watch != NULL) {
        watch->closed = true;
        (void)uv_poll_stop(&watch->uv);
        uv_close((uv_handle_t *)&watch->uv, free_watch);
    }
}

/* ---- timers --------------------------------------------------------------------------------------------------- */

static void timer_due(uv_timer_t *uv) {
    struct sl__timer *timer = uv->data;
    timer->function(timer->context);
}

enum sl_code sl__timer_create(struct sl__loop *loop, void (*function)(void *context), void *context,
                              struct sl__timer **out, struct sl_error *error) {
    SL_ASSERT(sl__loop_inside(loop));
    struct sl__timer *timer = calloc(1, sizeof(*timer));
    if (timer == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a timer");
    }
    timer->function = function;
    timer->context = context;
    (void)uv_timer_init(&loop->uv, &timer->uv); /* cannot fail */
    timer->uv.data = timer;
    *out = timer;
    return SL_OK;
}

void sl__timer_set(struct sl__timer *timer, uint64_t delay_ms) {
    /* The loop's idea of now may be old when its callbacks took long. */
    uv_update_time(timer->uv.loop);
    (void)uv_timer_start(&timer->uv, timer_due, delay_ms, 0);
}

void sl__timer_cancel(struct sl__timer *timer) {
    (void)uv_timer_stop(&timer->uv);
}

static void free_timer(uv_handle_t *uv) {
    free(uv->data);
}

void sl__timer_destroy(struct sl__timer *timer) {
    if (timer != NULL) {
        (void)uv_timer_stop(&timer->uv);
        uv_close((uv_handle_t *)&timer->uv, free_timer);
    }
}
