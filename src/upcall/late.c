/* SPDX-License-Identifier: MIT */
/* Answers calls whose time is up. One timer for all of them, set for the first; it costs a call nothing when it is set already. */
#include <stdio.h>

#include "base/macros.h"
#include "service.h"
#include "sys/clock.h"
#include "sys/ready.h"

#define LATE_MAX 32 /* calls that are told in one go */

void sl__late_watch(struct sl__upcalls *home, uint64_t deadline_ns) {
    if (home->alarm_ns == 0 || deadline_ns < home->alarm_ns) {
        home->alarm_ns = deadline_ns;
        sl__alarm_set(home->alarm, deadline_ns);
    }
}

struct late {
    struct sl__port *port;
    uint64_t number;
    bool waited;
    uint32_t timeout_ms, running;
    char name[SL__CALL_NAME_MAX + 1];
};

/* With the lock held. */
static void note_late(struct sl__upcalls *home, struct sl__call *call, bool waited, struct late *late) {
    call->answered = true;
    call->port->unanswered--;
    home->stats.timeout_count++;
    home->stats.refusal_count += waited;
    late->port = sl__port_ref(call->port);
    late->number = call->in.number;
    late->waited = waited;
    late->running = call->view->running;
    late->timeout_ms = call->timeout_ms;
    if (call->view->options.concurrency == 0) {
        late->running = 0;
    }
    snprintf(late->name, sizeof late->name, "%s", call->view->options.name);
}

/* With the lock held. A view that was thought to be swift is not: others may read what its worker asks for meanwhile. */
static void let_go(struct sl__call *call, uint64_t now, uint64_t *next_ns) {
    uint64_t until_ns = call->began_ns + SL__HOLD_NS;
    if (!call->holds) {
        return;
    }
    if (until_ns > now) {
        *next_ns = *next_ns == 0 ? until_ns : SL_MIN(*next_ns, until_ns);
        return;
    }
    call->holds = false;
    sl__port_again(call->port);
}

/* With the lock held. Those whose time is up; `*next_ns` is when the next one's is. */
static size_t collect_late(struct sl__upcalls *home, struct late *late, uint64_t *next_ns, struct sl__call **gone) {
    struct sl__list *const lists[] = {&home->waiting, &home->running};
    uint64_t now = sl__clock_now_ns();
    size_t count = 0, gone_count = 0;
    *next_ns = 0;
    for (size_t i = 0; i < SL_COUNT_OF(lists); i++) {
        struct sl__link *link = sl__list_first(lists[i]), *after;
        for (; link != NULL; link = after) {
            struct sl__call *call = SL_CONTAINER_OF(link, struct sl__call, link);
            after = sl__list_after(lists[i], link);
            let_go(call, now, next_ns);
            if (call->answered) {
                continue;
            }
            if (call->deadline_ns > now || count == LATE_MAX) {
                *next_ns = *next_ns == 0 ? call->deadline_ns : SL_MIN(*next_ns, call->deadline_ns);
                continue;
            }
            note_late(home, call, i == 0, &late[count++]);
            if (i == 0) {
                sl__list_remove(&home->waiting, link);
                sl__view_release(call->view);
                gone[gone_count++] = call;
            }
        }
    }
    gone[gone_count] = NULL;
    return count;
}

static void tell_late(struct sl__server *server, const struct late *late) {
    char text[SL_ERROR_MESSAGE_SIZE];
    if (!late->waited) {
        snprintf(text, sizeof text,
                 "view %s took longer than %u ms; it runs on in the host, and its result will be dropped", late->name,
                 late->timeout_ms);
        sl__call_refuse(late->port, server, late->number, SL__CALL_TIMED_OUT, SL_E_TIMEOUT, text, NULL);
    } else {
        if (late->running > 0) {
            snprintf(text, sizeof text, "view %s runs %u times at once, its `concurrency`, and none ended within %u ms",
                     late->name, late->running, late->timeout_ms);
        } else {
            snprintf(text, sizeof text,
                     "view %s could not begin within %u ms: %u views run at once, view_threads_max of the runtime",
                     late->name, late->timeout_ms, server->home->running_max);
        }
        sl__call_refuse(late->port, server, late->number, SL__CALL_FAILED, SL_E_POOL_EXHAUSTED, text, NULL);
    }
}

/* With the lock held, which it lets go for a while. */
void sl__late_ring(struct sl__server *server) {
    struct sl__upcalls *home = server->home;
    struct late late[LATE_MAX];
    struct sl__call *gone[LATE_MAX + 1];
    uint64_t next_ns;
    size_t count = collect_late(home, late, &next_ns, gone);
    home->alarm_ns = next_ns;
    sl__alarm_set(home->alarm, next_ns);
    pthread_mutex_unlock(&home->lock);
    for (size_t i = 0; i < count; i++) {
        tell_late(server, &late[i]);
        sl__port_unref(late[i].port);
    }
    for (size_t i = 0; gone[i] != NULL; i++) {
        sl__call_free(gone[i]);
    }
    pthread_mutex_lock(&home->lock);
}
