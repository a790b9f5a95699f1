/* SPDX-License-Identifier: MIT */
#include "request.h"

#include <string.h>

#include "base/assert.h"
#include "base/utf8.h"
#include "sys/descriptor.h"
#include "sys/memory_file.h"

SL_STATIC_ASSERT(sizeof(struct sl__call_request) == 40 && sizeof(struct sl__call_reply) == 32,
                 "heads travel as they are");

static enum sl_code check_head(const struct sl__call_request *head, size_t size, size_t fd_count,
                               struct sl_error *error) {
    bool in_file = head->flags == SL__CALL_IN_FILE;
    if (head->flags > SL__CALL_IN_FILE || (head->mode != SL__CALL_ONE && head->mode != SL__CALL_MANY) ||
        head->number == 0) {
        return sl_error_set(error, SL_E_PROTOCOL, "call %llu is of mode %u with flags 0x%x: there is no such call",
                            (unsigned long long)head->number, head->mode, head->flags);
    }
    if (head->name_size == 0 || head->name_size > SL__CALL_NAME_MAX || size - sizeof *head < head->name_size) {
        return sl_error_set(error, SL_E_PROTOCOL, "call %llu says that its view's name has %u bytes; expected 1 to %d",
                            (unsigned long long)head->number, head->name_size, SL__CALL_NAME_MAX);
    }
    uint64_t behind = size - sizeof *head - head->name_size;
    if (head->size == 0 || head->size > SL__CALL_PAYLOAD_MAX || behind != (in_file ? 0 : head->size)) {
        return sl_error_set(error, SL_E_PROTOCOL,
                            "call %llu says that its payload has %llu bytes; %llu are in the packet and %llu allowed",
                            (unsigned long long)head->number, (unsigned long long)head->size,
                            (unsigned long long)behind, (unsigned long long)SL__CALL_PAYLOAD_MAX);
    }
    if (fd_count != (in_file ? 1u : 0u)) {
        return sl_error_set(error, SL_E_PROTOCOL, "call %llu came with %zu descriptors instead of %d",
                            (unsigned long long)head->number, fd_count, in_file ? 1 : 0);
    }
    return SL_OK;
}

static enum sl_code map_payload(int fd, const struct sl__call_request *head, struct sl__request_in *in,
                                struct sl_error *error) {
    const uint32_t wanted = SL__SEAL_WRITE | SL__SEAL_SHRINK;
    uint32_t seals;
    uint64_t size;
    enum sl_code code = sl__memory_file_inspect(fd, &seals, &size, error);
    if (code == SL_OK && ((seals & wanted) != wanted || size < head->size)) {
        code = sl_error_set(error, SL_E_PROTOCOL,
                            "the memory file of call %llu has %llu bytes and seals 0x%x; %llu bytes, sealed against "
                            "writing and shrinking, were announced",
                            (unsigned long long)head->number, (unsigned long long)size, seals,
                            (unsigned long long)head->size);
    }
    if (code == SL_OK) {
        code = sl__map(fd, (size_t)head->size, SL__MAP_POPULATE, &in->mapping, error);
        in->mapping_size = code == SL_OK ? (size_t)head->size : 0;
    }
    return code;
}

/* The parts of a checked payload. */
static enum sl_code take_payload(struct sl_value payload, struct sl__request_in *in, struct sl_error *error) {
    uint32_t count = 0;
    bool fits = sl_value_type(payload) == SL_TYPE_LIST;
    if (fits && in->mode == SL__CALL_MANY) {
        in->keys = payload;
        return SL_OK;
    }
    fits = fits && sl_value_count(payload, &count) == SL_OK && count == 2 &&
           sl_value_at(payload, 0, &in->positional) == SL_OK && sl_value_at(payload, 1, &in->keywords) == SL_OK &&
           sl_value_type(in->positional) == SL_TYPE_LIST && sl_value_type(in->keywords) == SL_TYPE_MAP;
    return fits ? SL_OK
                : sl_error_set(error, SL_E_PROTOCOL, "the payload of call %llu is not a list of arguments",
                               (unsigned long long)in->number);
}

static enum sl_code read_request(const uint8_t *packet, size_t size, const int *fds, size_t fd_count,
                                 struct sl__request_in *in, struct sl_error *error) {
    struct sl__call_request head;
    if (size < sizeof head) {
        return sl_error_set(error, SL_E_PROTOCOL, "a packet of %zu bytes on the call socket is no request", size);
    }
    memcpy(&head, packet, sizeof head);
    enum sl_code code = check_head(&head, size, fd_count, error);
    if (code != SL_OK) {
        return code;
    }
    in->number = head.number;
    in->mode = (enum sl__call_mode)head.mode;
    in->timeout_ms = head.timeout_ms;
    in->session = head.session;
    in->name = (const char *)packet + sizeof head;
    in->name_size = head.name_size;
    if (memchr(in->name, '\0', in->name_size) != NULL ||
        sl__utf8_valid_size(in->name, in->name_size) != in->name_size) {
        return sl_error_set(error, SL_E_PROTOCOL, "the view's name in call %llu is not UTF-8 text",
                            (unsigned long long)head.number);
    }
    const uint8_t *payload = packet + sizeof head + head.name_size;
    if (head.flags == SL__CALL_IN_FILE) {
        code = map_payload(fds[0], &head, in, error);
        payload = in->mapping;
    }
    struct sl_value value = {0};
    if (code == SL_OK) {
        code = sl_value_check(payload, (size_t)head.size, NULL, &value, error);
    }
    return code == SL_OK ? take_payload(value, in, error) : code;
}

enum sl_code sl__request_read(const uint8_t *packet, size_t size, int *fds, size_t fd_count, struct sl__request_in *in,
                              struct sl_error *error) {
    *in = (struct sl__request_in){0};
    enum sl_code code = read_request(packet, size, fds, fd_count, in, error);
    for (size_t i = 0; i < fd_count; i++) {
        sl__close(&fds[i]);
    }
    if (code != SL_OK) {
        uint64_t number = in->number;
        sl__request_finish(in);
        in->number = number;
    }
    return code;
}

void sl__request_finish(struct sl__request_in *in) {
    sl__unmap(in->mapping, in->mapping_size);
    *in = (struct sl__request_in){0};
}
