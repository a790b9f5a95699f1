/* SPDX-License-Identifier: MIT */
#include "note.h"

#include "base/assert.h"
#include "sys/descriptor.h"
#include "sys/packet.h"

SL_STATIC_ASSERT(sizeof(struct sl__note) == 24, "notes travel as they are");
SL_STATIC_ASSERT(SL__NOTES_MAX <= SL__PACKET_FDS_MAX, "each note may have a descriptor");

static size_t fds_of(const struct sl__note *notes, size_t count) {
    size_t fds = 0;
    for (size_t i = 0; i < count; i++) {
        fds += notes[i].kind == SL__NOTE_ATTACH || notes[i].kind == SL__NOTE_REPLY;
    }
    return fds;
}

enum sl_code sl__notes_send(int socket, const struct sl__note *notes, size_t count, const int *fds, size_t fd_count,
                            bool wait, struct sl_error *error) {
    SL_ASSERT(count >= 1 && count <= SL__NOTES_MAX && fds_of(notes, count) == fd_count);
    return sl__packet_send(socket, notes, count * sizeof *notes, fds, fd_count, wait ? 0 : SL__PACKET_NOWAIT, error);
}

static enum sl_code check(const struct sl__note *notes, size_t size, size_t fd_count, struct sl_error *error) {
    if (size % sizeof *notes != 0) {
        return sl_error_set(error, SL_E_PROTOCOL, "a packet of %zu bytes on the lane socket is no list of notes", size);
    }
    size_t count = size / sizeof *notes;
    for (size_t i = 0; i < count; i++) {
        if (notes[i].kind < SL__NOTE_ATTACH || notes[i].kind > SL__NOTE_REPLY || notes[i].unused != 0 ||
            notes[i].id == 0) {
            return sl_error_set(error, SL_E_PROTOCOL,
                                "note %zu on the lane socket is of kind %u, about file %llu: there is no such note", i,
                                (unsigned)notes[i].kind, (unsigned long long)notes[i].id);
        }
    }
    if (fds_of(notes, count) != fd_count) {
        return sl_error_set(error, SL_E_PROTOCOL,
                            "a packet on the lane socket has %zu descriptors where its notes need %zu", fd_count,
                            fds_of(notes, count));
    }
    return SL_OK;
}

enum sl_code sl__notes_receive(int socket, struct sl__note notes[SL__NOTES_MAX], size_t *count, int fds[SL__NOTES_MAX],
                               size_t *fd_count, struct sl_error *error) {
    size_t size;
    enum sl_code code = sl__packet_receive(socket, notes, sizeof *notes * SL__NOTES_MAX, &size, fds, SL__NOTES_MAX,
                                           fd_count, SL__PACKET_NOWAIT, error);
    *count = 0;
    if (code != SL_OK) {
        return code;
    }
    code = check(notes, size, *fd_count, error);
    if (code != SL_OK) {
        for (size_t i = 0; i < *fd_count; i++) {
            sl__close(&fds[i]);
        }
        *fd_count = 0;
        return code;
    }
    *count = size / sizeof *notes;
    return SL_OK;
}
