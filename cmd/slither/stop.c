/* SPDX-License-Identifier: MIT */
#include "stop.h"

#include <stddef.h>
#include <sys/eventfd.h>
#include <unistd.h>

bool stop_init(struct stop *stop) {
    atomic_init(&stop->said, false);
    stop->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return stop->fd >= 0;
}

void stop_finish(struct stop *stop) {
    if (stop->fd > 0) {
        close(stop->fd);
    }
    stop->fd = -1;
}

void stop_say(struct stop *stop) {
    atomic_store(&stop->said, true);
    eventfd_write(stop->fd, 1);
}

bool stop_said(const struct stop *stop) {
    return stop != NULL && atomic_load(&stop->said);
}
