/* SPDX-License-Identifier: MIT */
/*
 * Homes: which worker holds state of which session, what became of such workers, and what they are still to be told.
 *
 * A home is made by the first run that sits down there with a session, or leaves state. Whether its worker is gone by then is told in two ways, of which
 * one always works: `gone` is set in the lease before this room is told, and this room looks at it after the home is in the table.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/assert.h"
#include "base/macros.h"
#include "inside.h"
#include "sys/clock.h"
#include "wire/writer.h"

#define NS_PER_MS 1000000u
#define RETRY_MS 10           /* after a message that found the socket full */
#define MESSAGE_SESSIONS 4096 /* ids in one message: 32 KiB */
#define MESSAGE_REFS 1400     /* refs in one message: 28 KiB */
#define REF_BYTES 20
#define LEAKS_MAX 8 /* sessions of one message whose leaks the log tells one by one */

void sl__home_unref(struct sl__home *home) {
    if (home != NULL && --home->refs == 0) {
        SL_ASSERT(home->drops == NULL && !sl__list_contains_link(&home->drop_link));
        SL_ARRAY_FINISH(&home->refs_dropped);
        free(home);
    }
}

/* ---- by worker and generation ------------------------------------------------------------------------------------ */

struct sl__home *sl__home_find(struct sl__sessions *sessions, uint32_t worker, uint32_t generation) {
    struct sl__home *home = worker < sessions->homes.count ? sessions->homes.items[worker] : NULL;
    while (home != NULL && home->generation != generation) {
        home = home->next;
    }
    return home;
}

static struct sl__home *find_remembered(const struct sl__sessions *sessions, uint32_t worker, uint32_t generation) {
    for (size_t i = 0; i < SL__HOMES_REMEMBERED; i++) {
        struct sl__home *home = sessions->remembered[i];
        if (home != NULL && home->worker == worker && home->generation == generation) {
            return home;
        }
    }
    return NULL;
}

static struct sl__home *make(struct sl__sessions *sessions, uint32_t worker, uint32_t generation) {
    while (sessions->homes.count <= worker) {
        if (!SL_ARRAY_RESERVE(&sessions->homes, 1)) {
            return NULL;
        }
        sessions->homes.items[sessions->homes.count++] = NULL;
    }
    struct sl__home *home = calloc(1, sizeof *home);
    if (home != NULL) {
        home->refs = 1;
        home->worker = worker;
        home->generation = generation;
        home->last_drop = &home->drops;
        home->next = sessions->homes.items[worker];
        sessions->homes.items[worker] = home;
    }
    return home;
}

static void finish_drop(struct sl__stake *stake) {
    sl__home_unref(stake->home);
    stake->home = NULL;
    stake->dropped = false;
    if (stake->session != NULL) {
        sl__session_unref(stake->session);
    } else {
        free(stake);
    }
}

/* There is nobody any more who could be told. */
static void forget_drops(struct sl__sessions *sessions, struct sl__home *home) {
    if (sl__list_contains_link(&home->drop_link)) {
        sl__list_remove(&sessions->dropping, &home->drop_link);
    }
    struct sl__stake *stake = home->drops;
    home->drops = NULL;
    home->last_drop = &home->drops;
    home->drop_count = 0;
    home->refs_dropped.count = 0;
    home->refs_due_ns = 0;
    while (stake != NULL) {
        struct sl__stake *next = stake->next;
        finish_drop(stake); /* the caller has a reference to the home */
        stake = next;
    }
}

static void describe(struct sl__home *home, const char *how, const struct sl_error *death) {
    home->exit_status = -1;
    if (how != NULL) {
        snprintf(home->text, sizeof home->text, "%s", how);
        return;
    }
    if (death == NULL) {
        snprintf(home->text, sizeof home->text, "has ended");
        return;
    }
    home->term_signal = death->term_signal;
    home->exit_status = death->exit_status;
    switch (death->code) {
    case SL_E_WORKER_TIMEOUT:
        snprintf(home->text, sizeof home->text, "was killed when a batch had run past its timeout");
        return;
    case SL_E_CANCELLED:
        snprintf(home->text, sizeof home->text, "was killed with a run that was cancelled");
        return;
    case SL_E_CLOSED:
        snprintf(home->text, sizeof home->text, "was killed with its pool");
        return;
    case SL_E_OUT_OF_MEMORY:
        snprintf(home->text, sizeof home->text, "ran out of memory");
        return;
    case SL_E_PROTOCOL:
        snprintf(home->text, sizeof home->text, "was killed because it had broken the protocol");
        return;
    default:
        break;
    }
    const char *name = death->term_signal > 0 ? sigabbrev_np(death->term_signal) : NULL;
    if (name != NULL) {
        snprintf(home->text, sizeof home->text, "died of SIG%s", name);
    } else if (death->term_signal > 0) {
        snprintf(home->text, sizeof home->text, "died of signal %d", death->term_signal);
    } else if (death->exit_status >= 0) {
        snprintf(home->text, sizeof home->text, "exited with status %d", death->exit_status);
    } else {
        snprintf(home->text, sizeof home->text, "has ended");
    }
}

/* Out of the table, and into the memory of the gone. */
static void mark_gone(struct sl__sessions *sessions, struct sl__home *home, const char *how,
                      const struct sl_error *death) {
    describe(home, how, death);
    home->gone = true;
    home->gone_ns = sl__clock_now_ns();
    sessions->lost_count += home->loss_count;
    struct sl__home **at = &sessions->homes.items[home->worker];
    while (*at != home) {
        at = &(*at)->next;
    }
    *at = home->next;
    home->next = NULL;
    struct sl__home **slot = &sessions->remembered[sessions->remember_next++ % SL__HOMES_REMEMBERED];
    sl__home_unref(*slot);
    *slot = home; /* with the table's reference */
    forget_drops(sessions, home);
}

struct sl__home *sl__home_of(struct sl__sessions *sessions, const struct sl__lease *lease) {
    struct sl__home *home = sl__home_find(sessions, lease->worker, lease->generation);
    if (home == NULL) {
        home = find_remembered(sessions, lease->worker, lease->generation);
    }
    if (home == NULL && (home = make(sessions, lease->worker, lease->generation)) != NULL &&
        atomic_load(&lease->gone) != 0) {
        bool known = atomic_load_explicit(&lease->lost, memory_order_acquire) != 0;
        mark_gone(sessions, home, NULL, known ? &lease->death : NULL);
    }
    return home;
}

void sl__home_gone(struct sl__sessions *sessions, uint32_t worker, uint32_t generation, const char *how,
                   const struct sl_error *death) {
    struct sl__home *home = sl__home_find(sessions, worker, generation);
    if (home != NULL) {
        mark_gone(sessions, home, how, death);
    }
}

void sl__homes_finish(struct sl__sessions *sessions) {
    for (size_t i = 0; i < sessions->homes.count; i++) {
        for (struct sl__home *home; (home = sessions->homes.items[i]) != NULL;) {
            mark_gone(sessions, home, "has ended", NULL);
        }
    }
    for (size_t i = 0; i < SL__HOMES_REMEMBERED; i++) {
        sl__home_unref(sessions->remembered[i]);
        sessions->remembered[i] = NULL;
    }
    SL_ARRAY_FINISH(&sessions->homes);
}

/* ---- stakes ------------------------------------------------------------------------------------------------------ */

struct sl__stake *sl__stake_find(struct sl__stake *list, const struct sl__home *home) {
    while (list != NULL && list->home != home) {
        list = list->next;
    }
    return list;
}

/* A worker with state is not stopped for being idle. */
static void count(struct sl__sessions *sessions, struct sl__home *home, int32_t change) {
    bool had = home->stake_count > 0;
    home->stake_count += (uint32_t)change;
    bool has = home->stake_count > 0;
    if (had != has && !home->gone && !sessions->closed) {
        sl__pool_keep(sessions->pool, home->worker, home->generation, has ? 1 : -1);
    }
}

void sl__stake_take(struct sl__sessions *sessions, struct sl__stake **list, struct sl__stake *stake,
                    struct sl__home *home, uint64_t id) {
    SL_ASSERT(stake->home == NULL && !stake->dropped);
    stake->home = home;
    stake->id = id;
    stake->next = *list;
    *list = stake;
    home->refs++;
    count(sessions, home, 1);
}

static void unlink_stake(struct sl__stake **list, struct sl__stake *stake) {
    while (*list != stake) {
        list = &(*list)->next;
    }
    *list = stake->next;
    stake->next = NULL;
}

static void free_stake(struct sl__stake *stake) {
    sl__home_unref(stake->home);
    stake->home = NULL;
    if (stake->session == NULL) {
        free(stake);
    }
}

void sl__stake_lift(struct sl__sessions *sessions, struct sl__stake **list, struct sl__stake *stake) {
    unlink_stake(list, stake);
    count(sessions, stake->home, -1);
    free_stake(stake);
}

/* Its home is to be told something. */
static void want_tell(struct sl__sessions *sessions, struct sl__home *home) {
    if (!sl__list_contains_link(&home->drop_link)) {
        sl__list_push_back(&sessions->dropping, &home->drop_link);
    }
    sl__sessions_look(sessions);
}

void sl__stakes_drop(struct sl__sessions *sessions, struct sl__stake **list) {
    for (struct sl__stake *stake; (stake = *list) != NULL;) {
        struct sl__home *home = stake->home;
        unlink_stake(list, stake);
        count(sessions, home, -1);
        if (home->gone || sessions->closed) { /* a worker that stops with its pool lets go of everything anyway */
            free_stake(stake);
            continue;
        }
        stake->dropped = true;
        if (stake->session != NULL) {
            (void)sl__session_ref(stake->session);
        }
        *home->last_drop = stake;
        home->last_drop = &stake->next;
        home->drop_count++;
        want_tell(sessions, home);
    }
}

/* ---- telling: loop thread ------------------------------------------------------------------------------------------ */

struct message {
    bool early; /* no batch of these sessions is under way: what others have in the lane need not be waited for */
    uint8_t ids[MESSAGE_SESSIONS * 8];
    uint8_t refs[MESSAGE_REFS * REF_BYTES];
    uint32_t id_count, ref_count;
    /* Sessions that have ended while the host held refs of them: the first few, to be told in the log. */
    struct leak {
        uint64_t session, count;
        char name[SL_SESSION_NAME_MAX + 1];
    } leaks[LEAKS_MAX];
    uint32_t leak_count;
    uint64_t leaks_more;
};

static uint8_t *put_number(uint8_t *at, uint64_t number, size_t size) {
    for (size_t i = 0; i < size; i++) {
        *at++ = (uint8_t)(number >> (8 * i));
    }
    return at;
}

/* With the lock. Once for each session. */
static void note_leak(struct sl_session *session, struct message *message) {
    if (session == NULL || session->ref_count == 0) {
        return;
    }
    if (message->leak_count < LEAKS_MAX) {
        struct leak *leak = &message->leaks[message->leak_count++];
        leak->session = session->id;
        leak->count = session->ref_count;
        memcpy(leak->name, session->name, sizeof leak->name);
    } else {
        message->leaks_more++;
    }
    session->ref_count = 0; /* they are lost, whoever still has handles of them */
}

static void tell_leaks(struct sl__sessions *sessions, const struct sl__home *home, const struct message *message) {
    struct sl__log *log = &sessions->runtime->log;
    for (uint32_t i = 0; i < message->leak_count; i++) {
        const struct leak *leak = &message->leaks[i];
        sl__log_host(log, SL_LOG_WARN, sessions->name, home->worker, home->generation,
                     "session %llu%s%s%s has ended while the host held %llu ref%s of its objects, which are lost now; "
                     "sl_result_finish() and sl_object_unref() give them back",
                     (unsigned long long)leak->session, leak->name[0] != '\0' ? " ('" : "", leak->name,
                     leak->name[0] != '\0' ? "')" : "", (unsigned long long)leak->count, leak->count == 1 ? "" : "s");
    }
    if (message->leaks_more > 0) {
        sl__log_host(log, SL_LOG_WARN, sessions->name, home->worker, home->generation,
                     "%llu more sessions have ended while the host held refs of their objects",
                     (unsigned long long)message->leaks_more);
    }
}

/* With the lock. Whether a batch of it may lie in the lane. A run's own session is dropped when the run has ended. */
static bool may_fly(const struct sl__stake *stake) {
    return stake->session != NULL && stake->session->runs > 0;
}

/* With the lock. What one message can hold; nothing is taken out. */
static void gather(const struct sl__home *home, bool refs_too, struct message *message) {
    uint8_t *at = message->ids;
    message->id_count = message->ref_count = message->leak_count = 0;
    message->leaks_more = 0;
    message->early = home->drops != NULL && !may_fly(home->drops);
    for (const struct sl__stake *stake = home->drops;
         stake != NULL && message->id_count < MESSAGE_SESSIONS && may_fly(stake) != message->early;
         stake = stake->next) {
        at = put_number(at, stake->id, 8);
        message->id_count++;
        note_leak(stake->session, message);
    }
    at = message->refs;
    /* A ref that was let go of may be an argument of a batch in the lane. */
    for (size_t i = 0; refs_too && !message->early && i < home->refs_dropped.count && i < MESSAGE_REFS; i++) {
        const struct sl__dropped_ref *ref = &home->refs_dropped.items[i];
        at = put_number(at, ref->session, 8);
        at = put_number(at, ref->object, 8);
        at = put_number(at, ref->count, 4);
        message->ref_count++;
    }
}

static enum sl_code send_drops(struct sl__sessions *sessions, const struct sl__home *home,
                               const struct message *message) {
    struct sl_writer writer;
    struct sl_value value;
    sl_writer_init(&writer, NULL);
    sl_write_map(&writer, 4);
    sl_write_str(&writer, "type");
    sl_write_str(&writer, "drop");
    sl_write_str(&writer, "early");
    sl_write_bool(&writer, message->early);
    sl_write_str(&writer, "sessions");
    sl_write_bytes(&writer, message->ids, (size_t)message->id_count * 8);
    sl_write_str(&writer, "refs");
    sl_write_bytes(&writer, message->refs, (size_t)message->ref_count * REF_BYTES);
    enum sl_code code = sl_writer_end(&writer, &value, NULL);
    if (code == SL_OK) {
        code = sl__pool_tell(sessions->pool, home->worker, home->generation, value.data, value.size);
    } else {
        code = SL_E_AGAIN; /* no memory now */
    }
    sl_writer_finish(&writer);
    return code;
}

/* With the lock. What has been told is not to be told again. */
static void take_out(struct sl__home *home, const struct message *message) {
    for (uint32_t i = 0; i < message->id_count; i++) {
        struct sl__stake *stake = home->drops;
        home->drops = stake->next;
        stake->next = NULL;
        home->drop_count--;
        finish_drop(stake);
    }
    if (home->drops == NULL) {
        home->last_drop = &home->drops;
    }
    size_t left = home->refs_dropped.count - message->ref_count;
    if (message->ref_count > 0) {
        memmove(home->refs_dropped.items, home->refs_dropped.items + message->ref_count,
                left * sizeof home->refs_dropped.items[0]);
        home->refs_dropped.count = left;
        home->refs_due_ns = left > 0 ? home->refs_due_ns : 0;
    }
}

/* With the lock, which it lets go for a while. When it has to be looked at again; 0: it is not to be told anything any more. */
static uint64_t tell(struct sl__sessions *sessions, struct sl__home *home, struct message *message, uint64_t now_ns) {
    for (;;) {
        bool refs_too = home->refs_dropped.count >= SL__REFS_DROP_MIN || home->drops != NULL ||
                        (home->refs_due_ns != 0 && home->refs_due_ns <= now_ns);
        gather(home, refs_too, message);
        if (message->id_count == 0 && message->ref_count == 0) {
            return home->refs_due_ns;
        }
        pthread_mutex_unlock(&sessions->lock);
        enum sl_code code = send_drops(sessions, home, message); /* the caller has a reference */
        tell_leaks(sessions, home, message);
        pthread_mutex_lock(&sessions->lock);
        if (code == SL_E_AGAIN) {
            if (home->drop_count + home->refs_dropped.count > SL__DROPS_MAX) {
                sl__pool_end_worker(sessions->pool, home->worker, home->generation,
                                    "it does not take what it is told to drop");
            }
            return now_ns + (uint64_t)RETRY_MS * NS_PER_MS;
        }
        if (code != SL_OK) {
            forget_drops(sessions, home);
            return 0;
        }
        take_out(home, message);
    }
}

uint64_t sl__homes_tell(struct sl__sessions *sessions, uint64_t now_ns) {
    uint64_t again_ns = UINT64_MAX;
    if (sl__list_first(&sessions->dropping) == NULL) {
        return again_ns;
    }
    struct message *message = malloc(sizeof *message);
    if (message == NULL) {
        return now_ns + (uint64_t)RETRY_MS * NS_PER_MS;
    }
    /* Those that are there now; one that comes meanwhile has posted the task again. */
    for (size_t left = sessions->dropping.count; left > 0; left--) {
        struct sl__link *link = sl__list_pop_front(&sessions->dropping);
        if (link == NULL) {
            break; /* a worker has gone meanwhile: not on this thread, but its pool may have been closed */
        }
        struct sl__home *home = SL_CONTAINER_OF(link, struct sl__home, drop_link);
        home->refs++;
        uint64_t next_ns = tell(sessions, home, message, now_ns);
        if (next_ns != 0 && !home->gone) {
            if (!sl__list_contains_link(&home->drop_link)) {
                sl__list_push_back(&sessions->dropping, &home->drop_link);
            }
            again_ns = SL_MIN(again_ns, next_ns);
        } else if ((next_ns == 0 || home->gone) && sl__list_contains_link(&home->drop_link) && home->drops == NULL &&
                   home->refs_dropped.count == 0) {
            sl__list_remove(&sessions->dropping, &home->drop_link);
        }
        sl__home_unref(home);
    }
    free(message);
    return again_ns;
}

/* ---- refs ----------------------------------------------------------------------------------------------------------- */

void sl__session_drop_ref(struct sl_session *session, uint32_t worker, uint32_t generation, uint64_t object,
                          uint32_t ref_count) {
    struct sl__sessions *sessions = session->sessions;
    if (sl__session_foreign(session)) {
        return; /* the object is the parent's */
    }
    pthread_mutex_lock(&sessions->lock);
    session->ref_count -= SL_MIN(session->ref_count, (uint64_t)ref_count);
    struct sl__home *home = sl__home_find(sessions, worker, generation);
    if (home != NULL && session->end == SL__END_NOT && !sessions->closed) {
        /* Without memory for that the object stays until the session ends. */
        if (SL_ARRAY_RESERVE(&home->refs_dropped, 1)) {
            home->refs_dropped.items[home->refs_dropped.count++] =
                (struct sl__dropped_ref){session->id, object, ref_count};
            bool first = home->refs_due_ns == 0;
            if (first) {
                home->refs_due_ns = sl__clock_now_ns() + (uint64_t)SL__REFS_DROP_MS * NS_PER_MS;
            }
            if (first || home->refs_dropped.count == SL__REFS_DROP_MIN) {
                want_tell(sessions, home);
            }
        }
    }
    pthread_mutex_unlock(&sessions->lock);
}
