/* SPDX-License-Identifier: MIT */
/*
 * Crew: the threads of a native stage, as an executor. A batch is one token, which travels as its address: input and results stay where they are.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/ring.h"
#include <slither/executor.h>

#include "run.h"
#include "sys/clock.h"

struct sl__crew {
    struct sl__stage_run *stage;
    struct sl_executor *executor;
    pthread_mutex_t lock;
    pthread_cond_t changed, idle;
    struct sl__ring tasks; /* struct sl_task * */
    uint32_t running;      /* submitted and not ended */
    bool over;
    uint32_t thread_count;
    pthread_t *threads;
};

/* Runs the handler; what it gives out stays with the token. */
static enum sl_code handle(struct sl__crew *crew, struct sl__token *token, struct sl_error *error) {
    struct sl__stage_run *stage = crew->stage;
    const struct sl_stage *declared = &stage->node->stage;
    struct sl_emit emit = {.made = {.error = SL_ERROR_INIT}};
    struct sl__arena arena = {.account = &stage->run->bytes};
    sl_writer_init(&emit.writer, NULL);
    emit.run = stage->run;
    emit.node = stage->node;
    emit.may_lend = false;
    sl__emit_init(&emit, &arena, token);
    struct sl_pipe_item item = sl__flow_item(stage, token);
    uint64_t start_ns = sl__clock_now_ns();
    enum sl_code code = declared->call(declared->context, &item, &emit, error);
    atomic_fetch_add_explicit(&stage->busy_ns, sl__clock_now_ns() - start_ns, memory_order_relaxed);
    sl_writer_finish(&emit.writer);
    if (code == SL_OK && emit.made.error.code != SL_OK) {
        sl_error_copy(error, &emit.made.error);
        code = error->code;
    } else if (code == SL_OK && emit.writing) {
        code = sl_error_set(error, SL_E_INVALID_ARGUMENT, "stage %s returned without sl_emit_end", declared->name);
    } else if (code != SL_OK && error->code == SL_OK) {
        (void)sl_error_set(error, code, "stage %s failed the item: %s", declared->name, sl_code_text(code));
    }
    struct sl__emissions *made = code == SL_OK ? malloc(sizeof *made) : NULL;
    if (code == SL_OK && made == NULL) {
        code = sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for what stage %s gave out", declared->name);
    }
    if (code != SL_OK) {
        error->code = code;
        sl__emissions_finish(&emit.made);
        return code;
    }
    *made = emit.made;
    sl__token_load(token);
    token->made = made;
    return SL_OK;
}

static void *work(void *context) {
    struct sl__crew *crew = context;
    static const uint8_t nil[] = {0xc0};
    const struct sl_value done = {nil, sizeof nil};
    for (;;) {
        struct sl_task *task = NULL;
        pthread_mutex_lock(&crew->lock);
        while (!sl__ring_pop(&crew->tasks, &task) && !crew->over) {
            pthread_cond_wait(&crew->changed, &crew->lock);
        }
        pthread_mutex_unlock(&crew->lock);
        if (task == NULL) {
            return NULL;
        }
        uint64_t address = 0;
        struct sl_error error = SL_ERROR_INIT;
        enum sl_code code = sl_value_uint(sl_task_item(task, 0), &address);
        SL_ASSERT(code == SL_OK);
        code = handle(crew, (struct sl__token *)(uintptr_t)address, &error);
        if (code == SL_OK) {
            sl_task_complete(task, &done, 1);
        } else {
            sl_task_fail(task, &error);
        }
        sl_error_finish(&error);
        pthread_mutex_lock(&crew->lock);
        if (--crew->running == 0) {
            pthread_cond_signal(&crew->idle);
        }
        pthread_mutex_unlock(&crew->lock);
    }
}

void sl__crew_await_idle(struct sl__crew *crew) {
    pthread_mutex_lock(&crew->lock);
    while (crew->running > 0) {
        pthread_cond_wait(&crew->idle, &crew->lock);
    }
    pthread_mutex_unlock(&crew->lock);
}

static enum sl_code submit(void *context, struct sl_task *task, struct sl_error *error) {
    struct sl__crew *crew = context;
    pthread_mutex_lock(&crew->lock);
    bool fits = sl__ring_push(&crew->tasks, &task);
    crew->running += fits ? 1 : 0;
    pthread_cond_signal(&crew->changed);
    pthread_mutex_unlock(&crew->lock);
    return fits ? SL_OK : sl_error_set(error, SL_E_LIMIT, "more tasks than the stage's executor takes");
}

enum sl_code sl__crew_create(struct sl__stage_run *stage, struct sl__crew **out, struct sl_error *error) {
    const struct sl__node *node = stage->node;
    struct sl__crew *crew = calloc(1, sizeof *crew);
    if (crew == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the threads of stage %s", node->stage.name);
    }
    crew->stage = stage;
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->changed, NULL);
    pthread_cond_init(&crew->idle, NULL);
    *out = crew;
    crew->threads = calloc(node->threads, sizeof *crew->threads);
    if (crew->threads == NULL || !sl__ring_init(&crew->tasks, sizeof(struct sl_task *), node->stage.max_in_flight)) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the threads of stage %s", node->stage.name);
    }
    struct sl_executor_options options = SL_EXECUTOR_OPTIONS_INIT;
    options.name = node->stage.name;
    options.capacity = node->stage.max_in_flight;
    options.submit = submit;
    options.context = crew;
    enum sl_code code = sl_executor_create(&options, &crew->executor, error);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (uint32_t i = 0; i < node->threads && code == SL_OK; i++) {
        int status = pthread_create(&crew->threads[i], NULL, work, crew);
        if (status != 0) {
            code = sl_error_set(error, SL_E_SYSTEM, "thread %u of %u of stage %s could not be started: %s", i + 1,
                                node->threads, node->stage.name, strerror(status));
        } else {
            crew->thread_count++;
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

struct sl_executor *sl__crew_executor(struct sl__crew *crew) {
    return crew->executor;
}

void sl__crew_destroy(struct sl__crew *crew) {
    if (crew == NULL) {
        return;
    }
    pthread_mutex_lock(&crew->lock);
    crew->over = true;
    pthread_cond_broadcast(&crew->changed);
    pthread_mutex_unlock(&crew->lock);
    for (uint32_t i = 0; i < crew->thread_count; i++) {
        pthread_join(crew->threads[i], NULL);
    }
    sl_executor_destroy(crew->executor);
    sl__ring_finish(&crew->tasks);
    free(crew->threads);
    pthread_cond_destroy(&crew->changed);
    pthread_cond_destroy(&crew->idle);
    pthread_mutex_destroy(&crew->lock);
    free(crew);
}
