/* SPDX-License-Identifier: MIT */
/*
 * A wish goes through three stages, each with a place of its own:
 *
 *   waiting  in a list, until a template is ready or could not be started, and while enough requests are under way
 *   asked    in a ring: a template answers in the order of the requests, so an answer belongs to the oldest one. Who withdraws leaves a hole
 *   alive    in a list, until the end of the process is told
 *
 * The template's own process is a sl__worker with two differences: its first message, and what it says once it is ready.
 */
#include "worker/template.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "child.h"
#include "lane/handshake.h"
#include "message.h"
#include "sys/clock.h"
#include "sys/descriptor.h"
#include "sys/packet.h"
#include "worker/worker.h"

#define REQUESTS_MAX 16 /* under way: what the socket takes in any case */
#define NUDGE_MS 100    /* silence of a template that has something to say, after which it gets SIGCONT */
#define ANSWER_MS 3000  /* and after which it is killed */
#define ATTEMPTS_MAX \
    3                 /* deaths in a row; then it does not fork any more, and after as many again nobody waits for it */
#define BACKOFF_MS 50 /* before the second attempt, doubled for each further one */
#define BACKOFF_MAX_MS 5000 /* at most */
#define STABLE_MS 5000      /* ready that long, and the deaths before are forgotten */
#define NS_PER_MS 1000000u

struct asked {
    struct sl__wish *wish; /* NULL: withdrawn */
    uint32_t worker, generation;
};

struct sl__template {
    struct sl__template_config config;
    struct sl__worker *process;
    struct sl__spec spec; /* the pool's, but for `fork`: false once it has turned out to be impossible. Owns nothing */
    enum {
        PHASE_FIRST,  /* its first start: workers wait for it */
        PHASE_READY,  /* it takes requests */
        PHASE_AWAY,   /* it has died, and is started again: workers wait for it, at most until an attempt has failed */
        PHASE_FAILED, /* its first start has failed: as would any worker's */
        PHASE_STOPPING
    } phase;
    bool forks; /* what it said last */
    uint32_t deaths_in_a_row;
    struct sl_error failure; /* its last death */
    struct sl__life life;    /* while ready */
    int socket;              /* while ready; the process's */
    pid_t last_pid;
    struct sl__list waiting, alive;
    struct asked asked[REQUESTS_MAX];
    uint32_t asked_first, asked_count;
    uint32_t due_count;
    struct sl__timer *timer; /* for answers */
    bool timer_runs, nudged;
};

#define LOG(template, level, ...) \
    sl__log_host((template)->config.log, level, (template)->config.pool, UINT32_MAX, 0, __VA_ARGS__)

/* ---- deadline of answers -------------------------------------------------------------------------------------- */

/* The oldest answer counts: a further question does not give it more time. */
static void set_deadline(struct sl__template *template) {
    bool wanted = template->asked_count > 0 || template->due_count > 0;
    if (wanted && !template->timer_runs) {
        sl__timer_set(template->timer, NUDGE_MS);
        template->nudged = false;
    } else if (!wanted) {
        sl__timer_cancel(template->timer);
    }
    template->timer_runs = wanted;
}

/* It has said something: it is not deaf. */
static void renew_deadline(struct sl__template *template) {
    template->timer_runs = false;
    set_deadline(template);
}

static void leave_ready(struct sl__template *template) {
    if (template->phase == PHASE_READY) {
        template->phase = PHASE_AWAY;
        template->config.ready(template->config.context, false, template->forks);
    }
}

/* Its death, which follows, sees to the wishes. */
static void give_up_on(struct sl__template *template, const char *why) {
    if (template->phase == PHASE_READY) {
        LOG(template, SL_LOG_WARN, "the template (pid %ld) %s; it is killed, and another is started",
            (long)template->life.pid, why);
        leave_ready(template);
        sl__life_kill(&template->life);
    }
}

static void answer_late(void *context) {
    struct sl__template *template = context;
    if (!template->nudged && template->life.pidfd >= 0) {
        /* It may have been stopped. That must not stop the pool. */
        template->nudged = true;
        (void)sl__process_signal(template->life.pidfd, SIGCONT, NULL);
        sl__timer_set(template->timer, ANSWER_MS - NUDGE_MS);
        return;
    }
    template->timer_runs = false;
    give_up_on(template, "has not answered for 3 s");
}

/* ---- wishes --------------------------------------------------------------------------------------------------- */

static struct asked *oldest(struct sl__template *template) {
    return &template->asked[template->asked_first % REQUESTS_MAX];
}

static void drop_oldest(struct sl__template *template) {
    template->asked_first++;
    template->asked_count--;
}

static void turn(struct sl__wish *wish) {
    SL_ASSERT(wish->stage == SL__WISH_NONE);
    wish->wisher->turn(wish->context);
}

/* Wakes those who wait, as many as need not wait any longer. */
static void wake_waiting(struct sl__template *template) {
    struct sl__link *link;
    while ((link = sl__list_first(&template->waiting)) != NULL) {
        struct sl__wish *wish = SL_CONTAINER_OF(link, struct sl__wish, link);
        if (sl__template_way(template, wish, NULL) == SL__TEMPLATE_WAIT) {
            break;
        }
        sl__list_remove(&template->waiting, link);
        wish->stage = SL__WISH_NONE;
        turn(wish);
    }
}

/* The process is gone: nobody is answered any more. `refused`: whoever waits for the next one has waited long enough. */
static void release_wishes(struct sl__template *template, bool refused) {
    struct sl__link *link;
    while ((link = sl__list_first(&template->alive)) != NULL) {
        struct sl__wish *wish = SL_CONTAINER_OF(link, struct sl__wish, link);
        sl__list_remove(&template->alive, link);
        wish->stage = SL__WISH_NONE;
        wish->due = false;
        wish->wisher->orphaned(wish->context, template->last_pid);
    }
    template->due_count = 0;
    while (template->asked_count > 0) {
        struct sl__wish *wish = oldest(template)->wish;
        drop_oldest(template);
        if (wish != NULL) {
            wish->stage = SL__WISH_NONE;
            wish->refused = refused;
            turn(wish);
        }
    }
    set_deadline(template);
    for (link = template->waiting.end.next; refused && link != &template->waiting.end; link = link->next) {
        SL_CONTAINER_OF(link, struct sl__wish, link)->refused = true;
    }
    wake_waiting(template);
}

enum sl__template_way sl__template_way(const struct sl__template *template, const struct sl__wish *wish,
                                       struct sl_error *error) {
    switch (template->phase) {
    case PHASE_READY:
        return template->asked_count < REQUESTS_MAX ? SL__TEMPLATE_ASK : SL__TEMPLATE_WAIT;
    case PHASE_FIRST:
    case PHASE_AWAY:
        if (!wish->refused) {
            return SL__TEMPLATE_WAIT;
        }
        break;
    case PHASE_FAILED:
        break;
    case PHASE_STOPPING:
        sl_error_set(error, SL_E_CLOSED, "the pool is being stopped");
        return SL__TEMPLATE_FAILED;
    }
    sl_error_copy(error, &template->failure);
    return SL__TEMPLATE_FAILED;
}

void sl__template_wait(struct sl__template *template, struct sl__wish *wish) {
    SL_ASSERT(wish->stage == SL__WISH_NONE);
    wish->stage = SL__WISH_WAITING;
    sl__list_push_back(&template->waiting, &wish->link);
}

enum sl_code sl__template_ask(struct sl__template *template, struct sl__wish *wish, uint32_t worker,
                              uint32_t generation, const int *fds, struct sl_error *error) {
    SL_ASSERT(wish->stage == SL__WISH_NONE && template->phase == PHASE_READY && template->asked_count < REQUESTS_MAX);
    uint8_t *bytes = NULL;
    size_t size = 0;
    enum sl_code code = sl__message_start(worker, generation, &bytes, &size, error);
    if (code != SL_OK) {
        return code;
    }
    code = sl__packet_send(template->socket, bytes, size, fds, SL__START_FDS, SL__PACKET_NOWAIT, error);
    free(bytes);
    if (code != SL_OK) {
        give_up_on(template, "does not take requests");
        return code;
    }
    template->asked[(template->asked_first + template->asked_count++) % REQUESTS_MAX] =
        (struct asked){.wish = wish, .worker = worker, .generation = generation};
    wish->stage = SL__WISH_ASKED;
    set_deadline(template);
    return SL_OK;
}

void sl__template_expect(struct sl__template *template, struct sl__wish *wish) {
    if (wish->stage == SL__WISH_ALIVE && !wish->due) {
        wish->due = true;
        template->due_count++;
        set_deadline(template);
    }
}

void sl__template_forget(struct sl__template *template, struct sl__wish *wish) {
    switch (wish->stage) {
    case SL__WISH_NONE:
        return;
    case SL__WISH_WAITING:
        sl__list_remove(&template->waiting, &wish->link);
        break;
    case SL__WISH_ASKED:
        for (uint32_t i = 0; i < template->asked_count; i++) {
            struct asked *asked = &template->asked[(template->asked_first + i) % REQUESTS_MAX];
            asked->wish = asked->wish == wish ? NULL : asked->wish;
        }
        break;
    case SL__WISH_ALIVE:
        sl__list_remove(&template->alive, &wish->link);
        template->due_count -= wish->due ? 1 : 0;
        set_deadline(template);
        break;
    }
    wish->due = false;
    wish->stage = SL__WISH_NONE;
}

/* ---- what it says --------------------------------------------------------------------------------------------- */

/* False: this is no answer to the oldest request. */
static bool take_start(struct sl__template *template, const struct sl__news *news, int *pidfd) {
    if (template->asked_count == 0 || *pidfd < 0) {
        return false;
    }
    struct asked asked = *oldest(template);
    if (asked.worker != news->worker || asked.generation != news->generation) {
        return false;
    }
    drop_oldest(template);
    renew_deadline(template);
    if (asked.wish == NULL) {
        const struct sl__child unwanted = {.pid = news->pid, .pidfd = *pidfd};
        sl__child_kill(&unwanted);
    } else {
        asked.wish->stage = SL__WISH_ALIVE;
        asked.wish->pid = news->pid;
        sl__list_push_back(&template->alive, &asked.wish->link);
        int fd = *pidfd;
        *pidfd = -1;
        asked.wish->wisher->started(asked.wish->context, news->pid, fd, template->forks);
    }
    wake_waiting(template);
    return true;
}

static bool take_start_failure(struct sl__template *template, const struct sl__news *news) {
    if (template->asked_count == 0) {
        return false;
    }
    struct asked asked = *oldest(template);
    if (asked.worker != news->worker || asked.generation != news->generation) {
        return false;
    }
    drop_oldest(template);
    renew_deadline(template);
    if (asked.wish != NULL) {
        asked.wish->stage = SL__WISH_NONE;
        asked.wish->wisher->failed(asked.wish->context, news->system_errno);
    }
    wake_waiting(template);
    return true;
}

/* Of a process that nobody wanted nobody wants to know. */
static void take_end(struct sl__template *template, const struct sl__news *news) {
    renew_deadline(template);
    for (struct sl__link *link = template->alive.end.next; link != &template->alive.end; link = link->next) {
        struct sl__wish *wish = SL_CONTAINER_OF(link, struct sl__wish, link);
        if (wish->pid == news->pid) {
            sl__template_forget(template, wish);
            wish->wisher->ended(wish->context, &news->end);
            return;
        }
    }
}

static void take_mode(struct sl__template *template, const struct sl__news *news) {
    if (template->phase == PHASE_READY) {
        return; /* said twice, for which it is killed */
    }
    template->forks = news->forks;
    if (!news->forks && template->spec.fork) {
        template->spec.fork = false; /* the next one need not try */
        LOG(template, SL_LOG_WARN, "workers are not forked: %s; each is a program of its own, and imports for itself",
            news->reason);
    }
}

static enum sl__heard hear(void *context, const uint8_t *bytes, size_t size, int *fd, struct sl_error *why) {
    struct sl__template *template = context;
    struct sl__news news;
    sl__message_news(bytes, size, &news);
    bool believed = template->phase == PHASE_READY;
    switch (news.kind) {
    case SL__NEWS_READY:
        take_mode(template, &news);
        return sl__message_understand(bytes, size, template->config.spec->python, "the template", why);
    case SL__NEWS_STARTED:
        if (believed && take_start(template, &news, fd)) {
            return SL__HEARD_NEWS;
        }
        break;
    case SL__NEWS_START_FAILED:
        if (believed && take_start_failure(template, &news)) {
            return SL__HEARD_NEWS;
        }
        break;
    case SL__NEWS_ENDED:
        if (template->life.pid != 0) {
            take_end(template, &news);
            return SL__HEARD_NEWS;
        }
        break;
    case SL__NEWS_NONE: {
        enum sl__heard heard = sl__message_understand(bytes, size, template->config.spec->python, "the template", why);
        if (heard != SL__HEARD_READY) {
            return heard;
        }
        break; /* without saying how it starts workers */
    }
    }
    if (template->phase == PHASE_AWAY || template->phase == PHASE_STOPPING) {
        return SL__HEARD_NEWS; /* said before it was killed */
    }
    sl_error_set(why, SL_E_PROTOCOL, "the template answered what it had not been asked, and was killed");
    return SL__HEARD_NOISE;
}

/* ---- its process ---------------------------------------------------------------------------------------------- */

static void process_ready(void *context, uint32_t index, const struct sl__life *life) {
    struct sl__template *template = context;
    (void)index;
    template->life = *life;
    template->socket = life->socket;
    template->last_pid = life->pid;
    template->phase = PHASE_READY;
    template->config.ready(template->config.context, true, template->forks);
    wake_waiting(template);
}

static void process_reaping(void *context, uint32_t index, const char *doing, struct sl_error *reason,
                            enum sl_death_cause *cause) {
    struct sl__template *template = context;
    (void)index;
    (void)doing;
    (void)reason;
    (void)cause;
    leave_ready(template);
    template->life = (struct sl__life){.pidfd = -1, .socket = -1};
    template->socket = -1;
}

static uint64_t restart_delay_ms(struct sl__template *template, const struct sl__death *death) {
    if (death->alive_ns >= (uint64_t)STABLE_MS * NS_PER_MS) {
        template->deaths_in_a_row = 0;
    }
    uint32_t deaths = ++template->deaths_in_a_row;
    if (deaths == ATTEMPTS_MAX && template->spec.fork) {
        template->spec.fork = false;
        LOG(template, SL_LOG_WARN,
            "the template has died %d times in a row; from now on workers are not forked: each is a program of its "
            "own, and imports for itself",
            ATTEMPTS_MAX);
    }
    if (deaths == 1) {
        return 0;
    }
    return SL_MIN((uint64_t)BACKOFF_MS << SL_MIN(deaths - 2, 16u), (uint64_t)BACKOFF_MAX_MS);
}

/*
 * One that has ended as it was asked to has seen to all that descends from it. After another end the kernel has killed its children, but what
 * these had started, and what had left its group, is nobody's now.
 */
static void end_descendants(const struct sl__template *template, const struct sl__death *death) {
    if (death->error.exit_status == 0) {
        return;
    }
    uint32_t count = sl__process_kill_marked(template->spec.mark);
    if (count > 0) {
        LOG(template, SL_LOG_INFO, "%u processes that descended from the template were left, and have been killed",
            count);
    }
}

static uint64_t process_gone(void *context, uint32_t index, const struct sl__death *death) {
    struct sl__template *template = context;
    (void)index;
    uint64_t delay_ms = SL__NO_RESTART;
    bool refused = false;
    end_descendants(template, death);
    sl_error_copy(&template->failure, &death->error);
    if (template->phase == PHASE_STOPPING || death->wanted) {
        template->phase = PHASE_STOPPING;
    } else if (template->phase == PHASE_FIRST) {
        template->phase = PHASE_FAILED;
    } else {
        template->phase = PHASE_AWAY;
        delay_ms = restart_delay_ms(template, death);
        refused = !death->was_ready || template->deaths_in_a_row > 2 * ATTEMPTS_MAX;
    }
    release_wishes(template, refused);
    return delay_ms;
}

static void process_stopped(void *context, uint32_t index) {
    struct sl__template *template = context;
    (void)index;
    template->config.stopped(template->config.context);
}

static const struct sl__worker_owner process_owner = {
    .ready = process_ready,
    .reaping = process_reaping,
    .gone = process_gone,
    .stopped = process_stopped,
};

/* ---- for the pool --------------------------------------------------------------------------------------------- */

enum sl_code sl__template_create(const struct sl__template_config *config, struct sl__template **out,
                                 struct sl_error *error) {
    struct sl__template *template = calloc(1, sizeof(*template));
    if (template == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a template");
    }
    template->config = *config;
    template->spec = *config->spec;
    template->failure = (struct sl_error)SL_ERROR_INIT;
    template->life = (struct sl__life){.pidfd = -1, .socket = -1};
    template->socket = -1;
    sl__list_init(&template->waiting);
    sl__list_init(&template->alive);
    const struct sl__worker_config process = {
        .loop = config->loop,
        .log = config->log,
        .spec = &template->spec,
        .owner = &process_owner,
        .context = template,
        .pool = config->pool,
        .index = UINT32_MAX,
        .start_timeout_ms = config->start_timeout_ms,
        .stop_timeout_ms = config->stop_timeout_ms,
        .hear = hear,
    };
    enum sl_code code = sl__timer_create(config->loop, answer_late, template, &template->timer, error);
    if (code == SL_OK) {
        code = sl__worker_create(&process, &template->process, error);
    }
    if (code != SL_OK) {
        sl__timer_destroy(template->timer);
        free(template);
        return code;
    }
    *out = template;
    return SL_OK;
}

void sl__template_destroy(struct sl__template *template) {
    if (template == NULL) {
        return;
    }
    SL_ASSERT(template->waiting.count == 0 && template->alive.count == 0);
    sl__worker_destroy(template->process);
    sl__timer_destroy(template->timer);
    sl_error_finish(&template->failure);
    free(template);
}

void sl__template_start(struct sl__template *template) {
    sl__worker_start(template->process);
}

void sl__template_stop(struct sl__template *template) {
    if (template->life.pidfd >= 0) {
        (void)sl__process_signal(template->life.pidfd, SIGCONT, NULL); /* one that is stopped could not hear it */
    }
    leave_ready(template);
    template->phase = PHASE_STOPPING;
    sl__worker_stop(template->process);
}

int64_t sl__template_pid(const struct sl__template *template) {
    return sl__worker_pid(template->process);
}
