/* SPDX-License-Identifier: MIT */
/*
 * A hostile worker: a packet on the call socket. The first byte says what comes with it: 0 nothing, else a memory file of which it is
 * the seals, that holds the rest of the packet from the second byte on, where the packet itself has only head and name.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "request.h"
#include "sys/descriptor.h"
#include "sys/memory_file.h"

static volatile uint8_t sink;

/* Every byte is read: the sanitizer sees what lies outside. */
static void look(const void *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        sink = (uint8_t)(sink + ((const uint8_t *)bytes)[i]);
    }
}

static void walk(struct sl_value container) {
    struct sl_iter iter;
    struct sl_value key, value;
    if (sl_iter_init(&iter, container) != SL_OK) {
        abort(); /* the parts of a request have their types */
    }
    while (sl_iter_next(&iter, &key, &value)) {
        look(key.data, key.size);
        look(value.data, value.size);
    }
}

static int make_file(uint32_t seals, const uint8_t *data, size_t size) {
    int fd = -1;
    if (sl__memory_file_create("gift", size + 1, &fd, NULL) != SL_OK || pwrite(fd, data, size, 0) != (ssize_t)size ||
        sl__memory_file_seal(fd, seals, NULL) != SL_OK) {
        sl__close(&fd);
    }
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1 || size > SL__CALL_PACKET_MAX) {
        return 0;
    }
    int fds[1] = {-1};
    size_t fd_count = 0, packet_size = size - 1;
    struct sl__call_request head;
    if (data[0] != 0 && packet_size > sizeof head) {
        memcpy(&head, data + 1, sizeof head);
        size_t front = sizeof head + (head.name_size % (SL__CALL_NAME_MAX + 1));
        front = front < packet_size ? front : packet_size;
        fds[0] = make_file(data[0] & 0x1f, data + 1 + front, packet_size - front);
        fd_count = fds[0] >= 0;
        packet_size = front;
    }
    uint8_t *packet = malloc(packet_size + 1); /* exactly as long as what came */
    if (packet == NULL) {
        return 0;
    }
    memcpy(packet, data + 1, packet_size);
    struct sl__request_in in;
    if (sl__request_read(packet, packet_size, fds, fd_count, &in, NULL) == SL_OK) {
        look(in.name, in.name_size);
        if (in.mode == SL__CALL_ONE) {
            walk(in.positional);
            walk(in.keywords);
        } else {
            walk(in.keys);
        }
    }
    sl__request_finish(&in);
    free(packet);
    return 0;
}
