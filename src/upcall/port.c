/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/assert.h"
#include "base/macros.h"
#include "base/utf8.h"
#include "service.h"
#include "sys/clock.h"
#include "sys/descriptor.h"
#include "sys/memory_file.h"
#include "sys/packet.h"
#include "sys/ready.h"

#define SLOT_BITS 20 /* of a key; above them a serial number, so that a key is never used twice */
#define NS_PER_MS 1000000u

/* ---- keys ---------------------------------------------------------------------------------------------------------- */

/* With the lock held. False: no memory. */
static bool enter(struct sl__port *port) {
    struct sl__upcalls *home = port->home;
    size_t slot = 0;
    while (slot < home->ports.count && home->ports.items[slot] != NULL) {
        slot++;
    }
    if (slot == home->ports.count) {
        if (slot >= (size_t)1 << SLOT_BITS || !SL_ARRAY_RESERVE(&home->ports, 1)) {
            return false;
        }
        home->ports.count++;
    }
    home->ports.items[slot] = port;
    port->key = ++home->last_serial << SLOT_BITS | slot;
    return true;
}

static size_t slot_of(uint64_t key) {
    return (size_t)(key & (((uint64_t)1 << SLOT_BITS) - 1));
}

struct sl__port *sl__port_find(struct sl__upcalls *home, uint64_t key) {
    size_t slot = slot_of(key);
    struct sl__port *port = slot < home->ports.count ? home->ports.items[slot] : NULL;
    return port != NULL && port->key == key && !port->closed ? sl__port_ref(port) : NULL;
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

static void tell_broken(struct sl__task *task) {
    struct sl__port *port = SL_CONTAINER_OF(task, struct sl__port, broken_task);
    if (port->config.broken != NULL) {
        port->config.broken(port->config.context, port->why);
    }
    sl__port_unref(port);
}

enum sl_code sl__port_open(struct sl__upcalls *upcalls, const struct sl__port_config *config, struct sl__port **out,
                           struct sl_error *error) {
    int pair[2];
    struct sl__port *port = calloc(1, sizeof *port);
    if (port == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the call socket of a worker");
    }
    enum sl_code code = sl__packet_pair(pair, error);
    if (code != SL_OK) {
        free(port);
        return code;
    }
    atomic_init(&port->refs, 1);
    port->home = upcalls;
    port->config = *config;
    snprintf(port->pool, sizeof port->pool, "%s", config->pool);
    port->pool[sl__utf8_valid_size(port->pool, strlen(port->pool))] = '\0';
    port->fd = pair[0];
    port->worker_fd = pair[1];
    port->broken_task.run = tell_broken;
    *out = port;
    return SL_OK;
}

int sl__port_worker_fd(const struct sl__port *port) {
    return port->worker_fd;
}

enum sl_code sl__port_serve(struct sl__port *port, struct sl_error *error) {
    struct sl__upcalls *home = port->home;
    sl__close(&port->worker_fd);
    enum sl_code code = SL_OK;
    pthread_mutex_lock(&home->lock);
    if (!enter(port)) {
        code = sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the call socket of a worker");
    } else {
        code = sl__ready_add(home->set, port->fd, port->key, true, error);
    }
    bool attend = code == SL_OK && home->threads == 0 && !home->attended;
    home->attended = home->attended || attend;
    pthread_mutex_unlock(&home->lock);
    if (attend && (code = sl__service_attend(home, error)) != SL_OK) {
        pthread_mutex_lock(&home->lock);
        home->attended = false;
        pthread_mutex_unlock(&home->lock);
    }
    return code;
}

void sl__port_close(struct sl__port *port) {
    if (port == NULL) {
        return;
    }
    struct sl__upcalls *home = port->home;
    port->config.broken = NULL;
    pthread_mutex_lock(&home->lock);
    size_t slot = slot_of(port->key);
    if (port->key != 0 && home->ports.items[slot] == port) {
        home->ports.items[slot] = NULL;
        sl__ready_remove(home->set, port->fd);
    }
    port->closed = true;
    pthread_mutex_unlock(&home->lock);
    sl__port_unref(port);
}

struct sl__port *sl__port_ref(struct sl__port *port) {
    if (port != NULL) {
        atomic_fetch_add_explicit(&port->refs, 1, memory_order_relaxed); /* the caller has one */
    }
    return port;
}

void sl__port_unref(struct sl__port *port) {
    /* acq_rel: what other holders did must be done before the memory goes. */
    if (port != NULL && atomic_fetch_sub_explicit(&port->refs, 1, memory_order_acq_rel) == 1) {
        sl__close(&port->fd);
        sl__close(&port->worker_fd);
        free(port);
    }
}

void sl__port_again(struct sl__port *port) {
    if (!port->closed) {
        sl__ready_again(port->home->set, port->fd, port->key);
    }
}

void sl__port_break(struct sl__port *port, const char *why) {
    if (port->closed) {
        return;
    }
    port->closed = true;
    sl__ready_remove(port->home->set, port->fd);
    snprintf(port->why, sizeof port->why, "%s", why);
    sl__port_ref(port);
    sl__loop_post(port->home->runtime->loop, &port->broken_task);
}

/* ---- frames -------------------------------------------------------------------------------------------------------- */

uint32_t sl__frame_count(const struct sl__frame *frame, const void *owner, uint32_t worker) {
    uint32_t count = 0;
    for (uint32_t i = 0; frame != NULL && i < frame->depth; i++) {
        count += frame->entries[i].owner == owner && (worker == UINT32_MAX || frame->entries[i].worker == worker);
    }
    return count;
}

void sl__port_lend(struct sl__port *port, const struct sl__frame *frame) {
    if (port == NULL || (frame == NULL && !port->lent)) {
        return;
    }
    port->lent = frame != NULL;
    pthread_mutex_lock(&port->home->lock);
    port->frame.depth = 0;
    if (frame != NULL) {
        port->frame = *frame;
    }
    pthread_mutex_unlock(&port->home->lock);
}

/* ---- replies ------------------------------------------------------------------------------------------------------- */

static enum sl_code make_file(const uint8_t *payload, size_t size, int *fd, struct sl_error *error) {
    enum sl_code code = sl__memory_file_create("slither-call", size, fd, error);
    if (code == SL_OK) {
        code = sl__write_all(*fd, payload, size, error);
    }
    if (code == SL_OK) {
        code = sl__memory_file_seal(*fd, SL__SEAL_SHRINK | SL__SEAL_GROW | SL__SEAL_WRITE | SL__SEAL_SEAL, error);
    }
    if (code != SL_OK) {
        sl__close(fd);
    }
    return code;
}

/* For who has time. A worker that is stopped, or that does not read, keeps its replies in the socket. */
static bool await_room(const struct sl__port *port, struct sl__server *server, uint64_t deadline_ns) {
    uint64_t now = sl__clock_now_ns();
    if (now >= deadline_ns || sl__loop_inside(port->home->runtime->loop)) {
        return false;
    }
    sl__service_step_out(server);
    bool room = sl__ready_to_write(port->fd, (int)((deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS));
    sl__service_step_in(server);
    return room;
}

static enum sl_code send_packet(const struct sl__port *port, struct sl__server *server, size_t size, int fd,
                                struct sl_error *error) {
    uint64_t deadline_ns = 0;
    for (;;) {
        enum sl_code code =
            sl__packet_send(port->fd, server->out, size, &fd, fd >= 0 ? 1 : 0, SL__PACKET_NOWAIT, error);
        if (code != SL_E_AGAIN) {
            return code;
        }
        deadline_ns = deadline_ns != 0 ? deadline_ns : sl__clock_deadline_ms(SL__REPLY_WAIT_MS);
        if (!await_room(port, server, deadline_ns)) {
            return code;
        }
    }
}

void sl__port_reply(struct sl__port *port, struct sl__server *server, struct sl__call_reply *head,
                    const uint8_t *payload) {
    struct sl_error error = SL_ERROR_INIT;
    int fd = -1;
    size_t size = sizeof *head, behind = (size_t)head->size;
    enum sl_code code = SL_OK;
    head->flags = 0;
    if (behind > sizeof server->out - size) {
        code = make_file(payload, behind, &fd, &error);
        if (code == SL_OK) {
            head->flags = SL__CALL_IN_FILE;
            behind = 0;
        } else {
            /* The worker waits for something. */
            head->outcome = SL__CALL_FAILED;
            head->code = (uint32_t)code;
            head->size = behind = 1;
            payload = (const uint8_t *)"\xc0"; /* nil: the code says it */
        }
    }
    memcpy(server->out, head, size);
    memcpy(server->out + size, payload, behind);
    code = send_packet(port, server, size + behind, fd, &error);
    sl__close(&fd);
    if (code == SL_E_AGAIN) {
        pthread_mutex_lock(&port->home->lock);
        sl__port_break(port, "it does not read the replies to its calls");
        pthread_mutex_unlock(&port->home->lock);
    } else if (code != SL_OK && code != SL_E_CLOSED) {
        sl__log_host(&port->home->runtime->log, SL_LOG_ERROR, port->pool, port->config.worker, port->config.generation,
                     "the reply to a call could not be sent: %s", error.message);
        pthread_mutex_lock(&port->home->lock);
        sl__port_break(port, "a reply to its call could not be sent");
        pthread_mutex_unlock(&port->home->lock);
    }
    sl_error_finish(&error);
}
