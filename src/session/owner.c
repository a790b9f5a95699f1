/* SPDX-License-Identifier: MIT */
/*
 * Owners that can go by themselves: processes and threads.
 *
 * A process is watched by a pidfd on the loop thread, one for all sessions that it owns in a pool. A thread is watched by the destructor of a thread key,
 * one a runtime. The key is not deleted with the runtime but by the last of the runtime and the threads that have used it: the destructor of a thread
 * that ends at that moment may be running. The record of a thread is its own; its lock is taken after that of the sessions.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "inside.h"
#include "sys/descriptor.h"
#include "sys/process.h"

/* ---- threads ----------------------------------------------------------------------------------------------------- */

struct sl__thread_key {
    _Atomic uint32_t refs;
    pthread_key_t key;
};

struct sl__owner_thread {
    struct sl__thread_key *key;
    pid_t process; /* a forked child has a copy of the record, and owns nothing */
    pthread_mutex_t lock;
    struct sl__list owned; /* sessions, by owner_link; a reference to each */
};

static void unref_key(struct sl__thread_key *key) {
    if (atomic_fetch_sub_explicit(&key->refs, 1, memory_order_acq_rel) == 1) {
        (void)pthread_key_delete(key->key);
        free(key);
    }
}

static void free_record(struct sl__owner_thread *record) {
    struct sl__thread_key *key = record->key;
    pthread_mutex_destroy(&record->lock);
    free(record);
    unref_key(key);
}

/* The oldest, with the list's reference, but left in the list. */
static struct sl_session *first_owned(struct sl__owner_thread *record) {
    pthread_mutex_lock(&record->lock);
    struct sl__link *link = sl__list_first(&record->owned);
    struct sl_session *session = link != NULL ? SL_CONTAINER_OF(link, struct sl_session, owner_link) : NULL;
    if (session != NULL) {
        (void)sl__session_ref(session);
    }
    pthread_mutex_unlock(&record->lock);
    return session;
}

/* The thread ends. */
static void thread_ends(void *argument) {
    struct sl__owner_thread *record = argument;
    if (record->process != sl__process_id()) {
        return;
    }
    for (struct sl_session *session; (session = first_owned(record)) != NULL;) {
        pthread_mutex_lock(&session->sessions->lock);
        sl__session_end_with(session, SL__END_THREAD);
        pthread_mutex_unlock(&session->sessions->lock);
        sl__session_unref(session);
    }
    free_record(record);
}

static struct sl__owner_thread *record_of_this_thread(struct sl__thread_key *key) {
    struct sl__owner_thread *record = pthread_getspecific(key->key);
    if (record != NULL) {
        return record;
    }
    record = calloc(1, sizeof *record);
    if (record == NULL || pthread_setspecific(key->key, record) != 0) {
        free(record);
        return NULL;
    }
    atomic_fetch_add_explicit(&key->refs, 1, memory_order_relaxed);
    record->key = key;
    record->process = sl__process_id();
    pthread_mutex_init(&record->lock, NULL);
    sl__list_init(&record->owned);
    return record;
}

static enum sl_code begin_thread(struct sl_session *session, struct sl_error *error) {
    struct sl__sessions *sessions = session->sessions;
    struct sl__owner_thread *record = record_of_this_thread(sessions->house->key);
    if (record == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory to note that a thread owns a session");
    }
    pthread_mutex_lock(&sessions->lock);
    if (session->end == SL__END_NOT) { /* else its time is up already */
        session->thread = record;
        pthread_mutex_lock(&record->lock);
        sl__list_push_back(&record->owned, &session->owner_link);
        pthread_mutex_unlock(&record->lock);
        (void)sl__session_ref(session);
    }
    pthread_mutex_unlock(&sessions->lock);
    return SL_OK;
}

/* ---- processes --------------------------------------------------------------------------------------------------- */

/* Loop thread. */
static void process_ended(void *context) {
    struct sl__owner_process *process = context;
    struct sl__sessions *sessions = process->sessions;
    sl__watch_destroy(process->watch);
    process->watch = NULL;
    pthread_mutex_lock(&sessions->lock);
    process->ended = true;
    uint32_t count = 0;
    for (struct sl__link *link; (link = sl__list_first(&process->owned)) != NULL; count++) {
        if (count % SL__ENDS_AT_ONCE == SL__ENDS_AT_ONCE - 1) { /* others want it, too */
            pthread_mutex_unlock(&sessions->lock);
            pthread_mutex_lock(&sessions->lock);
            continue;
        }
        sl__session_end_with(SL_CONTAINER_OF(link, struct sl_session, owner_link), SL__END_PROCESS);
    }
    sl__sessions_look(sessions); /* it is let go there */
    pthread_mutex_unlock(&sessions->lock);
}

static bool has_ended(int pidfd) {
    struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) > 0;
}

static void free_process(struct sl__owner_process *process) {
    sl__watch_destroy(process->watch);
    sl__close(&process->pidfd);
    free(process);
}

struct opening {
    struct sl_session *session;
    struct sl__owner_process *process;
    struct sl_error *error;
    enum sl_code code;
};

/* Has the loop watch a new one, and puts it into the list. On the loop thread, so that its pool does not stop meanwhile. */
static void watch_process(void *context) {
    struct opening *opening = context;
    struct sl__owner_process *process = opening->process;
    struct sl__sessions *sessions = process->sessions;
    opening->code = sl__watch_create(sessions->runtime->loop, process->pidfd, process_ended, process, &process->watch,
                                     opening->error);
    pthread_mutex_lock(&sessions->lock);
    bool owns = opening->code == SL_OK && opening->session->end == SL__END_NOT;
    if (owns) {
        sl__list_push_back(&process->owned, &opening->session->owner_link);
        opening->session->process = process;
        sl__list_push_back(&sessions->processes, &process->link);
    }
    pthread_mutex_unlock(&sessions->lock);
    if (!owns) {
        free_process(process);
    }
}

/* With the lock. A process of that number that lives; a number is given again when its process has gone. */
static struct sl__owner_process *find_process(struct sl__sessions *sessions, int64_t pid) {
    for (struct sl__link *link = sl__list_first(&sessions->processes); link != NULL;
         link = sl__list_after(&sessions->processes, link)) {
        struct sl__owner_process *process = SL_CONTAINER_OF(link, struct sl__owner_process, link);
        if (process->pid == pid && !process->ended && !has_ended(process->pidfd)) {
            return process;
        }
    }
    return NULL;
}

static enum sl_code open_process(struct sl__sessions *sessions, int64_t pid, struct sl__owner_process **out,
                                 struct sl_error *error) {
    struct sl__owner_process *process = calloc(1, sizeof *process);
    if (process == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory to watch the owner of a session");
    }
    *process = (struct sl__owner_process){.sessions = sessions, .pid = pid, .pidfd = -1};
    sl__list_init(&process->owned);
    enum sl_code code = sl__process_open((pid_t)pid, &process->pidfd, error);
    if (code != SL_OK) {
        free(process);
        /* EINVAL: it is a thread's number, ENOENT on newer kernels. */
        int number = error != NULL ? error->system_errno : 0;
        if (number == ESRCH || number == EINVAL || number == ENOENT) {
            code = SL_E_NOT_FOUND;
        }
        return code == SL_E_NOT_FOUND
                   ? sl_error_set(error, code,
                                  "sl_session_open: owner_pid is %lld, and there is no process of that number%s",
                                  (long long)pid, number == ESRCH ? "" : "; it is a thread's")
                   : code;
    }
    *out = process;
    return SL_OK;
}

static enum sl_code begin_process(struct sl_session *session, struct sl_error *error) {
    struct sl__sessions *sessions = session->sessions;
    pthread_mutex_lock(&sessions->lock);
    struct sl__owner_process *process = find_process(sessions, session->options.owner_pid);
    bool known = process != NULL || session->end != SL__END_NOT;
    if (process != NULL && session->end == SL__END_NOT) {
        sl__list_push_back(&process->owned, &session->owner_link);
        session->process = process;
    }
    pthread_mutex_unlock(&sessions->lock);
    if (known) {
        return SL_OK;
    }
    enum sl_code code = open_process(sessions, session->options.owner_pid, &process, error);
    if (code != SL_OK) {
        return code;
    }
    struct opening opening = {session, process, error, SL_OK};
    sl__sessions_on_loop(sessions, watch_process, &opening);
    return opening.code;
}

enum sl_code sl__owner_begin(struct sl_session *session, struct sl_error *error) {
    switch (session->options.owner) {
    case SL_OWNER_PROCESS:
        return begin_process(session, error);
    case SL_OWNER_THREAD:
        return begin_thread(session, error);
    default:
        return SL_OK;
    }
}

void sl__owner_leave(struct sl_session *session) {
    if (session->process != NULL) {
        struct sl__owner_process *process = session->process;
        session->process = NULL;
        sl__list_remove(&process->owned, &session->owner_link);
        if (process->owned.count == 0) {
            sl__sessions_look(session->sessions);
        }
    } else if (session->thread != NULL) {
        struct sl__owner_thread *record = session->thread;
        session->thread = NULL;
        pthread_mutex_lock(&record->lock);
        sl__list_remove(&record->owned, &session->owner_link);
        pthread_mutex_unlock(&record->lock);
        sl__session_unref(session); /* the list's; whoever ends it has another */
    }
}

void sl__owners_tidy(struct sl__sessions *sessions, bool all) {
    for (struct sl__link *link = sl__list_first(&sessions->processes), *next; link != NULL; link = next) {
        struct sl__owner_process *process = SL_CONTAINER_OF(link, struct sl__owner_process, link);
        next = sl__list_after(&sessions->processes, link);
        if (process->owned.count > 0 && !all) {
            continue;
        }
        SL_ASSERT(process->owned.count == 0);
        sl__list_remove(&sessions->processes, link);
        free_process(process);
    }
}

/* ---- once a runtime ---------------------------------------------------------------------------------------------- */

static void destroy_house(struct sl__annex *annex) {
    struct sl__house *house = SL_CONTAINER_OF(annex, struct sl__house, annex);
    SL_ASSERT(house->sessions.count == 0);
    /* The thread that destroys the runtime may never end, as that of `main`. */
    struct sl__owner_thread *record = pthread_getspecific(house->key->key);
    if (record != NULL && pthread_setspecific(house->key->key, NULL) == 0) {
        free_record(record);
    }
    unref_key(house->key);
    pthread_mutex_destroy(&house->register_lock);
    pthread_mutex_destroy(&house->lock);
    free(house);
}

static enum sl_code make_house(struct sl_runtime *runtime, struct sl__house **out, struct sl_error *error) {
    struct sl__house *house = calloc(1, sizeof *house);
    struct sl__thread_key *key = calloc(1, sizeof *key);
    int number = house != NULL && key != NULL ? pthread_key_create(&key->key, thread_ends) : ENOMEM;
    if (number != 0) {
        free(house);
        free(key);
        return number == ENOMEM
                   ? sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the sessions of a runtime")
                   : sl_error_set(error, SL_E_LIMIT,
                                  "this process has no thread key left (PTHREAD_KEYS_MAX), and a runtime with sessions "
                                  "needs one: %s",
                                  strerror(number));
    }
    atomic_init(&key->refs, 1);
    house->annex.destroy = destroy_house;
    house->runtime = runtime;
    house->key = key;
    pthread_mutex_init(&house->lock, NULL);
    pthread_mutex_init(&house->register_lock, NULL);
    sl__list_init(&house->sessions);
    *out = house;
    return SL_OK;
}

enum sl_code sl__house_of(struct sl_runtime *runtime, struct sl__house **out, struct sl_error *error) {
    enum sl_code code = SL_OK;
    pthread_mutex_lock(&runtime->lock);
    if (runtime->sessions == NULL) {
        struct sl__house *made = NULL;
        code = make_house(runtime, &made, error);
        runtime->sessions = made != NULL ? &made->annex : NULL;
    }
    if (code == SL_OK) {
        *out = SL_CONTAINER_OF(runtime->sessions, struct sl__house, annex);
    }
    pthread_mutex_unlock(&runtime->lock);
    return code;
}
