/* SPDX-License-Identifier: MIT */
/*
 * Writing without the safety net, for code that knows what it writes: the public writers, the JSON reader and the
 * Python extension.
 *
 * sl__put_*() append one header or one scalar. Unlike sl_write_*() they do not count the entries of open containers, do not
 * check depth, keys or UTF-8, and allow several values one after another. Errors still stick in `writer->code`; what was
 * written after one is garbage, so look at the code before the bytes are used.
 */
#ifndef SL_WIRE_WRITER_H
#define SL_WIRE_WRITER_H

#include <slither/value.h>

#include "wire/ext.h"

#include <string.h>

#include <msgpack/pack_define.h>
#include <msgpack/timestamp.h>

/** Makes room for `size` more bytes. False when the writer fails or has failed. */
bool sl__writer_reserve_more(struct sl_writer *writer, size_t size);

/** Makes the first error stick; `what` has static storage. */
void sl__writer_fail(struct sl_writer *writer, enum sl_code code, const char *what);

/** Writes the sticking error with its place into `error` and returns its code; SL_OK when there is none. */
enum sl_code sl__writer_error(const struct sl_writer *writer, struct sl_error *error);

/**
 * A writer over memory that it does not own, aligned to 8. `grow(writer, needed)` is called when `needed` bytes in all do
 * not fit: it moves what lies in data[0, size) to a larger memory, sets `data` and `capacity` and returns true, or calls
 * sl__writer_fail() and returns false. How far the memory may grow is its affair: limits->size_max (limits NULL: the
 * defaults) does not bound a writer with `grow`, because one memory takes many values. sl_writer_finish() leaves the memory alone.
 */
void sl__writer_init_at(struct sl_writer *writer, void *memory, size_t capacity, const struct sl_limits *limits,
                        bool (*grow)(struct sl_writer *writer, size_t needed));

/** Room for `size` more bytes, inline when there already is. */
static inline bool sl__writer_reserve(struct sl_writer *writer, size_t size) {
    return __builtin_expect(writer->capacity - writer->size >= size, 1) || sl__writer_reserve_more(writer, size);
}

static inline void sl__append(struct sl_writer *writer, const void *bytes, size_t size) {
    if (!sl__writer_reserve(writer, size)) {
        return;
    }
    memcpy(writer->data + writer->size, bytes, size);
    writer->size += size;
}

/* msgpack-c's packer, appending to our writer: sl__pack_nil, sl__pack_int64, ... */
#define msgpack_pack_inline_func(name) static inline void sl__pack##name
#define msgpack_pack_inline_func_cint(name) static inline void sl__pack##name
#define msgpack_pack_user struct sl_writer *
#define msgpack_pack_append_buffer(writer, bytes, size) sl__append(writer, bytes, size)
#define msgpack_pack_ext sl__pack_ext
#include <msgpack/pack_template.h>
#undef msgpack_pack_ext

static inline void sl__put_byte(struct sl_writer *writer, uint8_t byte) {
    if (sl__writer_reserve(writer, 1)) {
        writer->data[writer->size++] = byte;
    }
}

static inline void sl__put_nil(struct sl_writer *writer) {
    sl__put_byte(writer, 0xc0);
}

static inline void sl__put_bool(struct sl_writer *writer, bool value) {
    sl__put_byte(writer, value ? 0xc3 : 0xc2);
}

static inline void sl__put_int(struct sl_writer *writer, int64_t value) {
    if (value >= 0 && value < 128) {
        sl__put_byte(writer, (uint8_t)value);
    } else {
        sl__pack_int64(writer, value);
    }
}

static inline void sl__put_uint(struct sl_writer *writer, uint64_t value) {
    sl__pack_uint64(writer, value);
}

static inline void sl__put_float(struct sl_writer *writer, double value) {
    sl__pack_double(writer, value);
}

/** `size` at most 2^32-1, as for all bodies below. */
static inline void sl__put_str(struct sl_writer *writer, const void *text, size_t size) {
    /* Header and body under one test of the room that is left. */
    if (!sl__writer_reserve(writer, size + 5)) {
        return;
    }
    uint8_t *at = writer->data + writer->size;
    if (size < 32) {
        *at++ = (uint8_t)(0xa0 | size);
    } else if (size < 256) {
        *at++ = 0xd9;
        *at++ = (uint8_t)size;
    } else {
        sl__pack_str(writer, size);
        at = writer->data + writer->size;
    }
    if (size > 0) {
        memcpy(at, text, size);
    }
    writer->size = (size_t)(at - writer->data) + size;
}

static inline void sl__put_bytes(struct sl_writer *writer, const void *bytes, size_t size) {
    if (!sl__writer_reserve(writer, size + 5)) {
        return;
    }
    sl__pack_bin(writer, size);
    if (size > 0) {
        sl__append(writer, bytes, size);
    }
}

static inline void sl__put_list(struct sl_writer *writer, uint32_t count) {
    sl__pack_array(writer, count);
}

static inline void sl__put_map(struct sl_writer *writer, uint32_t count) {
    sl__pack_map(writer, count);
}

/** `nanoseconds` at most 999999999. */
static inline void sl__put_timestamp(struct sl_writer *writer, struct sl_timestamp value) {
    msgpack_timestamp timestamp = {value.seconds, value.nanoseconds};
    sl__pack_timestamp(writer, &timestamp);
}

/** Bytes that are values already. */
static inline void sl__put_raw(struct sl_writer *writer, const void *bytes, size_t size) {
    if (size > 0) {
        sl__append(writer, bytes, size);
    }
}

/**
 * Writes an array but for its elements, and returns where their `*data_size` bytes have to be put before the next write:
 * aligned to 8 when the memory is. NULL when the writer fails, also for a dtype or shape that is not acceptable.
 */
void *sl__put_array_space(struct sl_writer *writer, enum sl_dtype dtype, uint32_t dim_count, const uint64_t *shape,
                          uint64_t *data_size);

/** An array whose elements lie in the shared buffer `id`, never 0, from `offset` on. Counts as a write, not as a put. */
void sl__write_buffer_array(struct sl_writer *writer, uint64_t id, uint64_t offset, enum sl_dtype dtype,
                            uint32_t dim_count, const uint64_t *shape);
/** The same as a put. */
void sl__put_buffer_array(struct sl_writer *writer, uint64_t id, uint64_t offset, enum sl_dtype dtype,
                          uint32_t dim_count, const uint64_t *shape);

/** A type name of at most 65535 bytes. */
void sl__put_ref(struct sl_writer *writer, const struct sl_ref *ref);

/**
 * A mark: only ever a whole value, never inside another one. Text at most 1 GiB of UTF-8. Of a route exactly one value is put
 * between begin and end (nil for a route without payload), of an error at most one, of a skip none. Returns what end needs.
 */
size_t sl__put_mark_begin(struct sl_writer *writer, enum sl_mark_kind kind, const char *text, size_t text_size);
void sl__put_mark_end(struct sl_writer *writer, size_t begin);

/** A mark as one write, checked. `mark->payload` {NULL, 0} of a route stands for nil; of a skip it must be that. */
void sl__write_mark(struct sl_writer *writer, const struct sl_mark *mark);

#endif
