/* SPDX-License-Identifier: MIT */
/*
 * The public writers: each is an entry into the innermost open container, then a put.
 *
 * `open` holds one word for each open container: entries still missing << 1, | 1 for a map. Keys and values of a map both
 * count as entries, so that an odd number of missing entries after taking one means that the one taken is a key.
 * Finished containers are popped by the next entry, not by the one that finishes them: a scalar costs one
 * decrement. Words fit 32 bits because an entry takes at least a byte and no value is larger than 1 GiB.
 */
#include "wire/writer.h"

#include "wire/check.h"
#include "wire/utf8.h"

#include "base/assert.h"
#include "base/macros.h"

#include <stdlib.h>

#define FIRST_CAPACITY 256
#define MAP_FLAG 1u
#define ONE_ENTRY 2u

SL_STATIC_ASSERT(SL_SIZE_MAX_DEFAULT * 2 + 1 <= UINT32_MAX,
                 "a word of `open` counts every entry that a value can have");

/* NULL stands for open_inline, so that a writer may be moved in memory while few containers are open. */
static uint32_t *open_words(struct sl_writer *writer) {
    return writer->open != NULL ? writer->open : writer->open_inline;
}

void sl__writer_fail(struct sl_writer *writer, enum sl_code code, const char *what) {
    if (writer->code == SL_OK) {
        writer->code = code;
        writer->what = what;
    }
}

enum sl_code sl__writer_error(const struct sl_writer *writer, struct sl_error *error) {
    if (writer->code == SL_OK) {
        return SL_OK;
    }
    return sl_error_set(error, writer->code, "cannot write a value: %s (after %zu bytes)",
                        writer->what != NULL ? writer->what : sl_code_text(writer->code), writer->size);
}

static void init(struct sl_writer *writer, const struct sl_limits *limits) {
    struct sl__bounds bounds;
    bool valid = sl__bounds_take(limits, &bounds);
    memset(writer, 0, offsetof(struct sl_writer, open_inline));
    memset((char *)writer + offsetof(struct sl_writer, depth), 0, sizeof(*writer) - offsetof(struct sl_writer, depth));
    writer->open_capacity = SL_COUNT_OF(writer->open_inline);
    writer->size_max = bounds.size_max;
    writer->depth_max = bounds.depth_max;
    if (!valid) {
        sl__writer_fail(writer, SL_E_INVALID_ARGUMENT, SL__BOUNDS_WANTED);
    }
}

void sl_writer_init(struct sl_writer *writer, const struct sl_limits *limits) {
    init(writer, limits);
}

void sl__writer_init_at(struct sl_writer *writer, void *memory, size_t capacity, const struct sl_limits *limits,
                        bool (*grow)(struct sl_writer *writer, size_t needed)) {
    init(writer, limits);
    writer->data = memory;
    writer->capacity = capacity;
    writer->grow = grow;
}

void sl_writer_reset(struct sl_writer *writer) {
    writer->size = 0;
    writer->depth = 0;
    writer->code = SL_OK;
    writer->what = NULL;
    if (writer->depth_max == 0) { /* zeroed, or made with limits that are not acceptable */
        sl__writer_fail(writer, SL_E_INVALID_ARGUMENT, SL__BOUNDS_WANTED);
    }
}

void sl_writer_finish(struct sl_writer *writer) {
    if (writer->grow == NULL) {
        free(writer->data);
    }
    free(writer->open);
    memset(writer, 0, sizeof(*writer));
}

bool sl__writer_reserve_more(struct sl_writer *writer, size_t size) {
    size_t needed;
    if (writer->code != SL_OK) {
        return false;
    }
    if (__builtin_add_overflow(writer->size, size, &needed)) {
        sl__writer_fail(writer, SL_E_LIMIT, "the value is larger than the address space");
        return false;
    }
    if (writer->grow != NULL) {
        if (writer->grow(writer, needed)) {
            return true;
        }
        sl__writer_fail(writer, SL_E_OUT_OF_MEMORY, "the memory that values are written into cannot grow");
        return false;
    }
    /* Some writers reserve a few bytes more than they write: the bound is checked on what is written, at the end. */
    if (needed > writer->size_max + 16) {
        sl__writer_fail(writer, SL_E_LIMIT,
                        "the value is larger than size_max; raise it in sl_limits or send less at once");
        return false;
    }
    size_t capacity = SL_MAX(writer->capacity, (size_t)FIRST_CAPACITY / 2);
    do {
        capacity *= 2;
    } while (capacity < needed);
    capacity = SL_MAX(needed, SL_MIN(capacity, writer->size_max + 16));
    uint8_t *data = realloc(writer->data, capacity);
    if (data == NULL) {
        sl__writer_fail(writer, SL_E_OUT_OF_MEMORY, "no memory for the bytes of the value");
        return false;
    }
    writer->data = data;
    writer->capacity = capacity;
    return true;
}

/* ---- bookkeeping -------------------------------------------------------------------------------------------- */

static void pop_finished(struct sl_writer *writer) {
    const uint32_t *open = open_words(writer);
    while (writer->depth > 0 && open[writer->depth - 1] < ONE_ENTRY) {
        writer->depth--;
    }
}

/* Whether one more value may be written here. */
static inline bool enter(struct sl_writer *writer, bool scalar) {
    if (writer->code != SL_OK) {
        return false;
    }
    uint32_t *open = open_words(writer);
    if (writer->depth > 0 && open[writer->depth - 1] < ONE_ENTRY) {
        pop_finished(writer);
    }
    if (writer->depth == 0) {
        if (writer->size == 0 && writer->depth_max > 0) {
            return true;
        }
        sl__writer_fail(writer, SL_E_INVALID_ARGUMENT,
                        writer->depth_max > 0
                            ? "the value is complete and another one follows; write them as the entries "
                              "of a list, or end and reset the writer in between"
                            : "the writer was not initialised; call sl_writer_init() first");
        return false;
    }
    uint32_t missing = open[writer->depth - 1] -= ONE_ENTRY;
    if (!scalar && (missing & (MAP_FLAG | ONE_ENTRY)) == (MAP_FLAG | ONE_ENTRY)) {
        sl__writer_fail(writer, SL_E_INVALID_ARGUMENT,
                        "a map key must be nil, bool, int, float, str, bytes or timestamp");
        return false;
    }
    return true;
}

static bool open_capacity_for(struct sl_writer *writer) {
    if (writer->depth < writer->open_capacity) {
        return true;
    }
    uint32_t capacity = writer->open_capacity * 2;
    uint32_t *open = realloc(writer->open, capacity * sizeof(*open));
    if (open == NULL) {
        sl__writer_fail(writer, SL_E_OUT_OF_MEMORY, "no memory for the open containers of the value");
        return false;
    }
    if (writer->open == NULL) {
        memcpy(open, writer->open_inline, sizeof(writer->open_inline));
    }
    writer->open = open;
    writer->open_capacity = capacity;
    return true;
}

static bool open_container(struct sl_writer *writer, uint64_t entries, uint32_t flag) {
    if (!enter(writer, false)) {
        return false;
    }
    if (writer->depth >= writer->depth_max) {
        sl__writer_fail(writer, SL_E_LIMIT, "containers are nested deeper than depth_max; raise it in sl_limits");
        return false;
    }
    if (entries > writer->size_max) {
        sl__writer_fail(writer, SL_E_LIMIT, "a container has more entries than size_max has bytes");
        return false;
    }
    if (!open_capacity_for(writer)) {
        return false;
    }
    open_words(writer)[writer->depth++] = (uint32_t)entries << 1 | flag;
    return true;
}

static bool body_fits(struct sl_writer *writer, size_t size) {
    if (size <= SL_SIZE_MAX_DEFAULT) {
        return true;
    }
    sl__writer_fail(writer, SL_E_LIMIT, "a str, bytes or array is larger than 1 GiB");
    return false;
}

enum sl_code sl_writer_end(struct sl_writer *writer, struct sl_value *value, struct sl_error *error) {
    *value = (struct sl_value){NULL, 0};
    if (writer->code == SL_OK && writer->size > writer->size_max) {
        sl__writer_fail(writer, SL_E_LIMIT,
                        "the value is larger than size_max; raise it in sl_limits or send less at once");
    }
    if (writer->code != SL_OK) {
        return sl__writer_error(writer, error);
    }
    if (writer->size == 0) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "nothing was written; a value needs one sl_write_...() call");
    }
    pop_finished(writer);
    if (writer->depth > 0) {
        uint32_t word = open_words(writer)[writer->depth - 1];
        bool is_map = (word & MAP_FLAG) != 0;
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "the value is incomplete: %u container(s) are open and the innermost, a %s, lacks %u %s",
                            writer->depth, is_map ? "map" : "list", word >> 1, is_map ? "keys and values" : "entries");
    }
    *value = (struct sl_value){writer->data, writer->size};
    return SL_OK;
}

/* ---- scalars and containers --------------------------------------------------------------------------------- */

void sl_write_nil(struct sl_writer *writer) {
    if (enter(writer, true)) {
        sl__put_nil(writer);
    }
}

void sl_write_bool(struct sl_writer *writer, bool value) {
    if (enter(writer, true)) {
        sl__put_bool(writer, value);
    }
}

void sl_write_int(struct sl_writer *writer, int64_t value) {
    if (enter(writer, true)) {
        sl__put_int(writer, value);
    }
}

void sl_write_uint(struct sl_writer *writer, uint64_t value) {
    if (enter(writer, true)) {
        sl__put_uint(writer, value);
    }
}

void sl_write_float(struct sl_writer *writer, double value) {
    if (enter(writer, true)) {
        sl__put_float(writer, value);
    }
}

void sl_write_strn(struct sl_writer *writer, const char *text, size_t size) {
    if (!enter(writer, true) || !body_fits(writer, size)) {
        return;
    }
    if (text == NULL && size > 0) {
        sl__writer_fail(writer, SL_E_INVALID_ARGUMENT, "a str is NULL");
    } else if (!sl__utf8_valid(text, size)) {
        sl__writer_fail(writer, SL_E_INVALID_UTF8, "a str is not valid UTF-8; write it with sl_write_bytes()");
    } else {
        sl__put_str(writer, text, size);
    }
}

void sl_write_str(struct sl_writer *writer, const char *text) {
    if (text == NULL) {
        sl__writer_fail(writer, SL_E_INVALID_ARGUMENT, "a str is NULL");
    } else {
        sl_write_strn(writer, text, strlen(text));
    }
}

void sl_write_bytes(struct sl_writer *writer, const void *bytes, size_t size) {
    if (!enter(writer, true) || !body_fits(writer, size)) {
        return;
    }
    if (bytes == NULL && size > 0) {
        sl__writer_fail(writer, SL_E_INVALID_ARGUMENT, "bytes are NULL");
    } else {
        sl__put_bytes(writer, bytes, size);
    }
}

void sl_write_timestamp(struct sl_writer *writer, struct sl_timestamp value) {
    if (!enter(writer, true)) {
        return;
    }
    if (value.nanoseconds > SL__NANOSECONDS_MAX) {
        sl__writer_fail(writer, SL_E_INVALID_ARGUMENT, "a timestamp has more than 999999999 nanoseconds");
    } else {
        sl__put_timestamp(writer, value);
    }
}

void sl_write_list(struct sl_writer *writer, uint32_t count) {
    if (open_container(writer, count, 0)) {
        sl__put_list(writer, count);
    }
}

void sl_write_map(struct sl_writer *writer, uint32_t count) {
    if (open_container(writer, 2 * (uint64_t)count, MAP_FLAG)) {
        sl__put_map(writer, count);
    }
}

void sl_write_value(struct sl_writer *writer, struct sl_value value) {
    enum sl_type type = sl_value_type(value);
    bool scalar = type <= SL_TYPE_BYTES || type == SL_TYPE_TIMESTAMP;
    if (!enter(writer, scalar)) {
        return;
    }
    if (value.data == NULL || value.size == 0) {
        sl__writer_fail(writer, SL_E_INVALID_DATA, "the value that is to be copied is missing");
        return;
    }
    /* Checked although it should have been: one bad span would spoil the whole value around it. A mark may only be the
     * outermost value. Where nothing is left of the depth only a scalar fits. */
    struct sl__bounds bounds = {writer->depth_max - writer->depth, writer->size_max};
    struct sl__fault fault;
    size_t used;
    enum sl_code code = sl__check(value.data, value.size, &bounds, writer->depth == 0, &used, &fault);
    if (code != SL_OK) {
        sl__writer_fail(writer, code, fault.what);
    } else if (used != value.size) {
        sl__writer_fail(writer, SL_E_INVALID_DATA, "bytes follow after the end of the value that is to be copied");
    } else if (type == SL_TYPE_ARRAY && writer->size % SL__ELEMENT_ALIGNMENT != 0) {
        /* Written anew, so that its elements stay aligned. */
        struct sl_array array;
        void *elements;
        if (sl_value_array(value, &array) != SL_OK || array.data == NULL) {
            sl__put_raw(writer, value.data, value.size);
        } else if ((elements = sl__put_array_space(writer, array.dtype, array.dim_count, array.shape,
                                                   &array.data_size)) != NULL &&
                   array.data_size > 0) {
            memcpy(elements, array.data, array.data_size);
        }
    } else {
        sl__put_raw(writer, value.data, value.size);
    }
}

/* ---- extensions --------------------------------------------------------------------------------------------- */

static void store_le32(uint8_t *at, uint32_t word) {
    memcpy(at, &word, sizeof(word));
}

static void store_le64(uint8_t *at, uint64_t word) {
    memcpy(at, &word, sizeof(word));
}

static void put_ext32(struct sl_writer *writer, uint32_t size, int8_t type) {
    uint8_t head[6] = {0xc9,          (uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8),
                       (uint8_t)size, (uint8_t)type};
    sl__append(writer, head, sizeof(head));
}

void *sl__put_array_space(struct sl_writer *writer, enum sl_dtype dtype, uint32_t dim_count, const uint64_t *shape,
                          uint64_t *data_size) {
    if (sl_dtype_size(dtype) == 0 || dim_count > SL_ARRAY_DIM_MAX || (shape == NULL && dim_count > 0)) {
        sl__writer_fail(writer, SL_E_INVALID_ARGUMENT,
                        "an array needs an element type of enum sl_dtype, at most 16 dimensions, and a shape");
        return NULL;
    }
    if (!sl__array_size(dtype, dim_count, shape, data_size) || *data_size > SL_SIZE_MAX_DEFAULT) {
        sl__writer_fail(writer, SL_E_LIMIT, "an array is larger than 1 GiB; put its elements into a shared buffer");
        return NULL;
    }
    /* Always ext 32, whose header has one size: the pad is then known before the body is. */
    size_t head = 6 + SL__EXT_ARRAY_HEAD + 8 * (size_t)dim_count;
    size_t pad = -(writer->size + head) % SL__ELEMENT_ALIGNMENT;
    if (!sl__writer_reserve(writer, head + pad + *data_size)) {
        return NULL;
    }
    put_ext32(writer, (uint32_t)(head - 6 + pad + *data_size), SL__EXT_ARRAY);
    uint8_t *at = writer->data + writer->size;
    at[0] = (uint8_t)dtype;
    at[1] = (uint8_t)dim_count;
    at[2] = (uint8_t)pad;
    at[3] = 0;
    at += SL__EXT_ARRAY_HEAD;
    for (uint32_t i = 0; i < dim_count; i++, at += 8) {
        store_le64(at, shape[i]);
    }
    memset(at, 0, pad);
    at += pad;
    writer->size = (size_t)(at - writer->data) + *data_size;
    return at;
}

void sl_write_array(struct sl_writer *writer, enum sl_dtype dtype, uint32_t dim_count, const uint64_t *shape,
                    const void *elements) {
    uint64_t data_size = 0;
    if (!enter(writer, false)) {
        return;
    }
    void *space = sl__put_array_space(writer, dtype, dim_count, shape, &data_size);
    if (space == NULL || data_size == 0) {
        return;
    }
    if (elements == NULL) {
        sl__writer_fail(writer, SL_E_INVALID_ARGUMENT, "the elements of an array are NULL");
    } else {
        memcpy(space, elements, data_size);
    }
}

void sl__put_buffer_array(struct sl_writer *writer, uint64_t id, uint64_t offset, enum sl_dtype dtype,
                          uint32_t dim_count, const uint64_t *shape) {
    uint8_t body[SL__EXT_BUFFER_ARRAY_HEAD + 8 * SL_ARRAY_DIM_MAX] = {(uint8_t)dtype, (uint8_t)dim_count};
    uint64_t data_size;
    if ((shape == NULL && dim_count > 0) || !sl__array_size(dtype, dim_count, shape, &data_size) || id == 0 ||
        offset > INT64_MAX - data_size) {
        sl__writer_fail(writer, SL_E_INVALID_ARGUMENT,
                        "an array in a shared buffer needs a buffer, an element type of enum sl_dtype, at most 16 "
                        "dimensions, a shape, and to end below 2^63 bytes");
        return;
    }
    store_le64(body + 8, id);
    store_le64(body + 16, offset);
    for (uint32_t i = 0; i < dim_count; i++) {
        store_le64(body + SL__EXT_BUFFER_ARRAY_HEAD + 8 * (size_t)i, shape[i]);
    }
    size_t size = SL__EXT_BUFFER_ARRAY_HEAD + 8 * (size_t)dim_count;
    sl__pack_ext(writer, size, SL__EXT_BUFFER_ARRAY);
    sl__append(writer, body, size);
}

void sl__write_buffer_array(struct sl_writer *writer, uint64_t id, uint64_t offset, enum sl_dtype dtype,
                            uint32_t dim_count, const uint64_t *shape) {
    if (enter(writer, false)) {
        sl__put_buffer_array(writer, id, offset, dtype, dim_count, shape);
    }
}

void sl__put_ref(struct sl_writer *writer, const struct sl_ref *ref) {
    uint8_t head[SL__EXT_REF_HEAD];
    store_le64(head, ref->session);
    store_le64(head + 8, ref->object);
    store_le32(head + 16, ref->worker);
    store_le32(head + 20, ref->generation);
    head[24] = (uint8_t)ref->type_name_size;
    head[25] = (uint8_t)(ref->type_name_size >> 8);
    sl__pack_ext(writer, sizeof(head) + ref->type_name_size + ref->repr_size, SL__EXT_REF);
    sl__append(writer, head, sizeof(head));
    sl__put_raw(writer, ref->type_name, ref->type_name_size);
    sl__put_raw(writer, ref->repr, ref->repr_size);
}

void sl_write_ref(struct sl_writer *writer, const struct sl_ref *ref) {
    if (!enter(writer, false)) {
        return;
    }
    if (ref == NULL || (ref->type_name == NULL && ref->type_name_size > 0) ||
        (ref->repr == NULL && ref->repr_size > 0)) {
        sl__writer_fail(writer, SL_E_INVALID_ARGUMENT, "a ref, its type name or its repr is NULL");
    } else if (ref->type_name_size > UINT16_MAX) {
        sl__writer_fail(writer, SL_E_INVALID_ARGUMENT, "the type name of a ref is longer than 65535 bytes");
    } else if (!sl__utf8_valid(ref->type_name, ref->type_name_size) || !sl__utf8_valid(ref->repr, ref->repr_size)) {
        sl__writer_fail(writer, SL_E_INVALID_UTF8, "the type name or the repr of a ref is not valid UTF-8");
    } else if (body_fits(writer, ref->repr_size)) {
        sl__put_ref(writer, ref);
    }
}

size_t sl__put_mark_begin(struct sl_writer *writer, enum sl_mark_kind kind, const char *text, size_t text_size) {
    size_t begin = writer->size;
    put_ext32(writer, 0, SL__EXT_MARK); /* the size is filled in by the end */
    sl__put_byte(writer, (uint8_t)kind);
    sl__put_str(writer, text, text_size);
    return begin;
}

void sl__put_mark_end(struct sl_writer *writer, size_t begin) {
    if (writer->code != SL_OK) {
        return;
    }
    size_t size = writer->size - begin - 6;
    if (size > UINT32_MAX) {
        sl__writer_fail(writer, SL_E_LIMIT, "the payload of a mark is larger than 1 GiB");
        return;
    }
    uint8_t *at = writer->data + begin + 1;
    at[0] = (uint8_t)(size >> 24);
    at[1] = (uint8_t)(size >> 16);
    at[2] = (uint8_t)(size >> 8);
    at[3] = (uint8_t)size;
}

void sl__write_mark(struct sl_writer *writer, const struct sl_mark *mark) {
    static const uint8_t nil = 0xc0;
    struct sl_value payload = mark->payload;
    if (!enter(writer, false)) {
        return;
    }
    if (mark->kind == SL_MARK_ROUTE && payload.size == 0) {
        payload = (struct sl_value){&nil, 1};
    }
    if (writer->depth > 0 || mark->kind < SL_MARK_SKIP || mark->kind > SL_MARK_ROUTE ||
        (mark->kind == SL_MARK_SKIP && payload.size > 0) || (mark->text == NULL && mark->text_size > 0)) {
        sl__writer_fail(writer, SL_E_INVALID_ARGUMENT,
                        "a mark is the outermost value, of a known kind, has a text, and as a skip no payload");
        return;
    }
    if (!sl__utf8_valid(mark->text, mark->text_size)) {
        sl__writer_fail(writer, SL_E_INVALID_UTF8, "the text of a mark is not valid UTF-8");
        return;
    }
    if (!body_fits(writer, mark->text_size)) {
        return;
    }
    size_t begin = sl__put_mark_begin(writer, mark->kind, mark->text, mark->text_size);
    if (payload.size > 0) {
        struct sl__bounds bounds = {writer->depth_max, writer->size_max};
        struct sl__fault fault;
        size_t used;
        enum sl_code code = sl__check(payload.data, payload.size, &bounds, false, &used, &fault);
        if (code != SL_OK) {
            sl__writer_fail(writer, code, fault.what);
        } else if (used != payload.size) {
            sl__writer_fail(writer, SL_E_INVALID_DATA, "bytes follow after the payload of a mark");
        } else {
            sl__put_raw(writer, payload.data, payload.size);
        }
    }
    sl__put_mark_end(writer, begin);
}
