/* SPDX-License-Identifier: MIT */
/*
 * A hostile worker: the input is a program of what it writes into the response segment, publishes and sends over the lane socket, mixed
 * with what the host does. It knows the layout of shared memory only as numbers, as an attacker would.
 *
 * One operation is one byte, then its operands; what is missing at the end is 0.
 *   0 send a request   size (2), items (1)       5 publish: tail + 1
 *   1 poll             and retire a reply        6 set the tail             value (4)
 *   2 make a good reply in the next slot         7 send a packet            kind (1), id (1), size (1), seals (1), flags (1)
 *   3 write a slot's field  field (1), value (8) 8 set waiting, head, started  value (4)
 *   4 write payload    offset (2), count (1), bytes   9 look at an outstanding request, retire it without a reply
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lane/lane.h"
#include "sys/descriptor.h"
#include "sys/memory_file.h"
#include "sys/packet.h"

#define TAIL_AT 128
#define WAITING_AT 256
#define HEAD_AT 384
#define STARTED_AT 512
#define SLOTS_AT 1024
#define PAYLOAD_AT 4096
#define PAYLOAD_SIZE 8192u
#define OPERATIONS_MAX 200

static const uint8_t *input;
static size_t left;

static uint64_t take(size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value = value << 8 | (left > 0 ? *input : 0);
        input += left > 0;
        left -= left > 0;
    }
    return value;
}

static uint8_t checksum(const uint8_t *data, size_t size) {
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++) { /* every byte is read: the sanitizer sees what lies outside */
        sum = (uint8_t)(sum + data[i]);
    }
    return sum;
}

static volatile uint8_t sink;

static void send_request(struct sl__lane *lane) {
    uint8_t *memory;
    uint64_t offset, sequence;
    size_t size = (size_t)take(2) * 8;
    uint32_t items = (uint32_t)take(1);
    if (sl__lane_open(lane, NULL) != SL_OK) {
        return;
    }
    if (sl__lane_extend(lane, size, &memory, &offset, NULL) != SL_OK) {
        sl__lane_abort(lane);
        return;
    }
    memset(memory, 0xc0, size);
    (void)sl__lane_commit(lane, SL__REQUEST_BATCH, 0, items, &sequence, NULL);
}

/* False when the host gives the lane up. */
static bool poll_reply(struct sl__lane *lane) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl__reply reply;
    enum sl_code code = sl__lane_poll(lane, &reply, &error);
    if (code == SL_E_AGAIN) {
        return true;
    }
    if (code != SL_OK) {
        return false;
    }
    if (reply.blob != NULL) {
        sink = checksum(reply.blob->data, reply.blob->size);
    }
    if (reply.code == SL_OK && (reply.item_count > 0) != (reply.blob != NULL) && reply.item_count > 0) {
        abort(); /* values without bytes */
    }
    sl__blob_unref(reply.blob);
    sl__lane_retire(lane, (reply.flags & SL__REPLY_KEPT) != 0);
    return true;
}

static void send_packet(int socket) {
    struct {
        uint32_t kind, unused;
        uint64_t id, size;
    } notes[2] = {{0}};
    int fds[2] = {-1, -1};
    notes[0].kind = (uint32_t)take(1);
    notes[0].id = (take(1) & 3) | (uint64_t)1 << 63;
    notes[0].size = 2 + take(1) * 4096;
    uint32_t seals = (uint32_t)take(1) & 0x1f;
    uint32_t flags = (uint32_t)take(1);
    size_t count = flags & 1, fd_count = flags >> 1 & 3;
    notes[1] = notes[0];
    fd_count = fd_count > 2 ? 2 : fd_count;
    for (size_t i = 0; i < fd_count; i++) {
        if (sl__memory_file_create("gift", notes[0].size + 1 - (flags >> 3 & 1), &fds[i], NULL) == SL_OK) {
            (void)sl__memory_file_seal(fds[i], seals, NULL);
        }
    }
    if (fd_count == 0 || fds[fd_count - 1] >= 0) {
        (void)sl__packet_send(socket, notes, sizeof notes[0] * (count + 1) - (flags >> 4 & 7), fds, fd_count,
                              SL__PACKET_NOWAIT, NULL);
    }
    sl__close(&fds[0]);
    sl__close(&fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct sl__lane_config config = {.segment_bytes = PAYLOAD_SIZE,
                                           .payload_bytes_max = 1u << 20,
                                           .cache_bytes = 1u << 20,
                                           .limits = SL_LIMITS_INIT,
                                           .generation = 2};
    struct sl__lane *lane;
    int fds[SL__LANE_FDS];
    input = data;
    left = size;
    if (sl__lane_create(&config, &lane, NULL) != SL_OK) {
        return 0;
    }
    sl__lane_worker_fds(lane, fds);
    size_t mapped = PAYLOAD_AT + PAYLOAD_SIZE;
    uint8_t *memory = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fds[1], 0);
    if (memory == MAP_FAILED) {
        sl__lane_destroy(lane);
        return 0;
    }
    uint32_t tail = 0;
    uint64_t replies = 0;
    for (int operation = 0; operation < OPERATIONS_MAX && left > 0; operation++) {
        uint8_t *slot = memory + SLOTS_AT + tail % SL__LANE_SLOTS * 64;
        switch (take(1) % 10) {
        case 0:
            send_request(lane);
            break;
        case 1:
            if (!poll_reply(lane)) {
                operation = OPERATIONS_MAX;
            }
            break;
        case 2: {
            const uint64_t good[8] = {++replies, 0, 64, 0,
                                      2,         0, 1,  0}; /* generation and code; flags and head; items and packets */
            memcpy(slot, good, sizeof good);
            break;
        }
        case 3: {
            size_t at = (size_t)take(1) % 16 * 4;
            uint64_t value = take(8);
            memcpy(slot + at, &value, at % 8 == 0 ? 8 : 4);
            break;
        }
        case 4: {
            size_t at = (size_t)take(2) % PAYLOAD_SIZE, count = (size_t)take(1);
            for (size_t i = 0; i < count && at + i < PAYLOAD_SIZE; i++) {
                memory[PAYLOAD_AT + at + i] = (uint8_t)take(1);
            }
            break;
        }
        case 5:
            tail++;
            memcpy(memory + TAIL_AT, &tail, sizeof tail);
            break;
        case 6:
            tail = (uint32_t)take(4);
            memcpy(memory + TAIL_AT, &tail, sizeof tail);
            break;
        case 7:
            send_packet(fds[2]);
            break;
        case 8: {
            uint32_t value = (uint32_t)take(4);
            memcpy(memory + WAITING_AT, &value, sizeof value);
            memcpy(memory + HEAD_AT, &value, sizeof value);
            memcpy(memory + STARTED_AT, &value, sizeof value);
            (void)sl__lane_started(lane);
            break;
        }
        default:
            if (sl__lane_outstanding(lane) > 0) {
                uint64_t request_size, sequence;
                const uint8_t *request = sl__lane_request(lane, 0, &request_size, &sequence);
                sink = checksum(request, (size_t)request_size);
                sl__lane_retire(lane, true);
            }
        }
    }
    (void)munmap(memory, mapped);
    sl__lane_destroy(lane);
    return 0;
}
