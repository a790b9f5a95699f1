/* SPDX-License-Identifier: MIT */
/*
 * What the two ends say over the lane socket: packets of notes about memory files, with the descriptors. How many packets
 * belong before a message stands in its slot, so that neither end ever has to look at the socket without need.
 */
#ifndef SLITHER_LANE_NOTE_H
#define SLITHER_LANE_NOTE_H

#include <stddef.h>
#include <stdint.h>

#include <slither/error.h>

#define SL__NOTES_MAX 32 /* in one packet */

enum sl__note_kind {
    SL__NOTE_ATTACH = 1, /* host: a file that requests refer to by id from now on; one descriptor */
    SL__NOTE_FORGET = 2, /* host: requests will not refer to that id again */
    SL__NOTE_REPLY = 3   /* worker: the file that holds the next reply; one descriptor */
};

struct sl__note {
    uint32_t kind;
    uint32_t unused; /* 0 */
    uint64_t id;
    uint64_t size; /* of the file, bytes; 0 for FORGET */
};

/* Sends one packet of `count` (1..SL__NOTES_MAX) notes; `fds` in the order of the notes that have one. Codes of sl__packet_send. */
enum sl_code sl__notes_send(int socket, const struct sl__note *notes, size_t count, const int *fds, size_t fd_count,
                            bool wait, struct sl_error *error);
/*
 * Receives one packet without blocking, and checks its form: sizes, kinds, a descriptor for each note that needs one. The
 * descriptors become the caller's. Errors: again, end, protocol, system; none leaves a descriptor open.
 */
enum sl_code sl__notes_receive(int socket, struct sl__note notes[SL__NOTES_MAX], size_t *count, int fds[SL__NOTES_MAX],
                               size_t *fd_count, struct sl_error *error);

#endif
