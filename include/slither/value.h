/* SPDX-License-Identifier: MIT */
/*
 * Values: what travels between the host and Python.
 *
 * A value is a span of MessagePack bytes: immutable, passed by value, owning nothing. It is built with a
 * writer and read in place, without a tree and without an allocation. See docs/values.md for how each type
 * maps to Python, and for what cannot travel.
 *
 *   value      | MessagePack            | Python
 *   nil        | nil                    | None
 *   bool       | bool                   | bool
 *   int        | int / uint             | int, -2^63 .. 2^64-1
 *   float      | float64 (float32 read) | float
 *   str        | str, valid UTF-8       | str
 *   bytes      | bin                    | bytes
 *   list       | array                  | list (tuples travel as lists)
 *   map        | map, keys scalar       | dict, insertion order kept
 *   timestamp  | ext -1                 | datetime.datetime, UTC
 *   array      | ext 1 (or 2, see buffer.h) | slither.Array: read-only buffer with dtype and shape
 *   ref        | ext 3                  | handle to an object that stays in Python
 *   mark       | ext 4                  | slither.skip / slither.error / slither.route in a result
 */
#ifndef SLITHER_VALUE_H
#define SLITHER_VALUE_H

#include <slither/base.h>
#include <slither/error.h>

SL_BEGIN_DECLS

struct sl_buffer;

/** Encoded bytes of exactly one value. Valid as long as whatever owns the bytes; {NULL, 0} means "no value". */
struct sl_value {
    const uint8_t *data;
    size_t size; /**< bytes */
};

enum sl_type {
    SL_TYPE_NONE = 0, /**< no value, or bytes that are not one */
    SL_TYPE_NIL = 1,
    SL_TYPE_BOOL = 2,
    SL_TYPE_INT = 3,
    SL_TYPE_FLOAT = 4,
    SL_TYPE_STR = 5,
    SL_TYPE_BYTES = 6,
    SL_TYPE_LIST = 7,
    SL_TYPE_MAP = 8,
    SL_TYPE_TIMESTAMP = 9,
    SL_TYPE_ARRAY = 10,
    SL_TYPE_REF = 11,
    SL_TYPE_MARK = 12
};

/** "nil", "bool", ... as in the table above. Static storage. */
SL_API const char *sl_type_name(enum sl_type type);

/** Bounds on what is written or accepted. */
struct sl_limits {
    size_t size;        /**< sizeof(struct sl_limits) */
    uint32_t depth_max; /**< nested containers, 1..1024; default 128 */
    uint64_t size_max;  /**< bytes of one value, at most 1 GiB; default 1 GiB */
};

#define SL_DEPTH_MAX_DEFAULT 128
#define SL_DEPTH_MAX_LIMIT 1024
#define SL_SIZE_MAX_DEFAULT ((uint64_t)1 << 30)
#define SL_LIMITS_INIT \
    { sizeof(struct sl_limits), SL_DEPTH_MAX_DEFAULT, SL_SIZE_MAX_DEFAULT }

/* ---- arrays ------------------------------------------------------------------------------------------------------ */

/** Element types of arrays. Little endian, IEEE 754. The numbers travel on the wire. */
enum sl_dtype {
    SL_DTYPE_U8 = 1,
    SL_DTYPE_I8 = 2,
    SL_DTYPE_U16 = 3,
    SL_DTYPE_I16 = 4,
    SL_DTYPE_U32 = 5,
    SL_DTYPE_I32 = 6,
    SL_DTYPE_U64 = 7,
    SL_DTYPE_I64 = 8,
    SL_DTYPE_F16 = 9,
    SL_DTYPE_F32 = 10,
    SL_DTYPE_F64 = 11,
    SL_DTYPE_BOOL = 12,
    SL_DTYPE_C64 = 13, /**< complex of two f32 */
    SL_DTYPE_C128 = 14
};

#define SL_ARRAY_DIM_MAX 16

/** Bytes of one element; 0 for a number that is not an element type. */
SL_API size_t sl_dtype_size(enum sl_dtype dtype);

/** A look at an array value: C order, contiguous. */
struct sl_array {
    enum sl_dtype dtype;
    uint32_t dim_count; /**< 0..SL_ARRAY_DIM_MAX; 0 is a scalar */
    uint64_t shape[SL_ARRAY_DIM_MAX];
    const void *data;       /**< the elements, inside the value; NULL when they are in a shared buffer */
    uint64_t data_size;     /**< bytes */
    uint64_t buffer_id;     /**< id of the shared buffer that holds the elements, or 0 */
    uint64_t buffer_offset; /**< bytes from the start of that buffer */
};

/** Seconds since 1970-01-01T00:00:00Z and 0..999999999 nanoseconds after it. */
struct sl_timestamp {
    int64_t seconds;
    uint32_t nanoseconds;
};

/** Names an object that stays in a worker: see docs/values.md. */
struct sl_ref {
    uint64_t session;
    uint64_t object;
    uint32_t worker;
    uint32_t generation;
    const char *type_name; /**< not NUL-terminated */
    size_t type_name_size;
    const char *repr; /**< the beginning of its repr() when the ref was made, for humans; not NUL-terminated */
    size_t repr_size;
};

/** What a Python function says of a single item instead of giving a result. */
enum sl_mark_kind { SL_MARK_SKIP = 1, SL_MARK_ERROR = 2, SL_MARK_ROUTE = 3 };

struct sl_mark {
    enum sl_mark_kind kind;
    const char *text; /**< reason, or name of the route; not NUL-terminated */
    size_t text_size;
    struct sl_value payload; /**< of a route, and of an error that has one; {NULL, 0} otherwise */
};

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/**
 * Checks that `data` is exactly one well-formed value within `limits` (NULL: the defaults), and makes it one.
 * Errors: invalid_data (with the byte offset), invalid_utf8, limit_exceeded.
 */
SL_API SL_MUST_CHECK enum sl_code sl_value_check(const void *data, size_t size, const struct sl_limits *limits,
                                                 struct sl_value *value, struct sl_error *error);

/*
 * The readers below need a value that was checked, or that came from a writer or from the library. On bytes that
 * are neither they still never read outside the span: they answer invalid_data.
 * All of them: type_mismatch when the value has another type. No allocation, no blocking, any thread.
 */
SL_API enum sl_type sl_value_type(struct sl_value value);
SL_API SL_MUST_CHECK enum sl_code sl_value_bool(struct sl_value value, bool *out);
/** out_of_range above 2^63-1. */
SL_API SL_MUST_CHECK enum sl_code sl_value_int(struct sl_value value, int64_t *out);
/** out_of_range below 0. */
SL_API SL_MUST_CHECK enum sl_code sl_value_uint(struct sl_value value, uint64_t *out);
/** Accepts int too (rounded to the nearest double). */
SL_API SL_MUST_CHECK enum sl_code sl_value_float(struct sl_value value, double *out);
/** `*out` points into the value and is not NUL-terminated. */
SL_API SL_MUST_CHECK enum sl_code sl_value_str(struct sl_value value, const char **out, size_t *size);
SL_API SL_MUST_CHECK enum sl_code sl_value_bytes(struct sl_value value, const void **out, size_t *size);
SL_API SL_MUST_CHECK enum sl_code sl_value_timestamp(struct sl_value value, struct sl_timestamp *out);
SL_API SL_MUST_CHECK enum sl_code sl_value_array(struct sl_value value, struct sl_array *out);
SL_API SL_MUST_CHECK enum sl_code sl_value_ref(struct sl_value value, struct sl_ref *out);
SL_API SL_MUST_CHECK enum sl_code sl_value_mark(struct sl_value value, struct sl_mark *out);
/** Entries of a list, pairs of a map. */
SL_API SL_MUST_CHECK enum sl_code sl_value_count(struct sl_value value, uint32_t *out);
/** Entry `index` of a list; O(index). not_found past the end. */
SL_API SL_MUST_CHECK enum sl_code sl_value_at(struct sl_value list, uint32_t index, struct sl_value *out);
/** The value of a str key of a map; O(pairs), the last one wins. not_found when there is none. */
SL_API SL_MUST_CHECK enum sl_code sl_value_get(struct sl_value map, const char *key, struct sl_value *out);

/** Walks over the entries of a list or the pairs of a map. Caller's memory; treat as opaque. */
struct sl_iter {
    const uint8_t *position;
    const uint8_t *end;
    uint32_t remaining;
    bool is_map;
};

SL_API SL_MUST_CHECK enum sl_code sl_iter_init(struct sl_iter *iter, struct sl_value container);
/** False at the end. `key` may be NULL; it becomes "no value" in a list. */
SL_API bool sl_iter_next(struct sl_iter *iter, struct sl_value *key, struct sl_value *value);

/**
 * A total order over all values: by type first (in the order of enum sl_type, ints and floats together by
 * number, NaN after every number), then by content; lists and maps entry by entry. Returns < 0, 0, > 0.
 */
SL_API int sl_value_compare(struct sl_value a, struct sl_value b);

/** Equal as sl_value_compare says, so that 1 and 1.0 are equal. */
SL_API bool sl_value_equal(struct sl_value a, struct sl_value b);

/** A hash that agrees with sl_value_equal. Not for hostile keys: it is not seeded. */
SL_API uint64_t sl_value_hash(struct sl_value value);

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/**
 * Builds values. Caller's memory; treat the members as opaque. The first error sticks: the writes that follow do
 * nothing and sl_writer_end() reports it, so that a value is built without a check after each line:
 *
 *     struct sl_writer w;
 *     sl_writer_init(&w, NULL);
 *     sl_write_map(&w, 2);
 *     sl_write_str(&w, "id");    sl_write_int(&w, 7);
 *     sl_write_str(&w, "text");  sl_write_str(&w, "hello");
 *     struct sl_value v;
 *     if (sl_writer_end(&w, &v, &error) != SL_OK) ...
 *     sl_writer_reset(&w);   // ready for the next value, memory kept
 *     sl_writer_finish(&w);
 */
struct sl_writer {
    uint8_t *data;
    size_t size;
    size_t capacity;
    uint64_t size_max;
    uint32_t *open; /**< entries still missing of each open container */
    uint32_t open_inline[16];
    uint32_t depth;
    uint32_t open_capacity;
    uint32_t depth_max;
    enum sl_code code;                                     /**< the first error */
    const char *what;                                      /**< what the first error is about; static storage */
    bool (*grow)(struct sl_writer *writer, size_t needed); /**< library-private; NULL: the heap */
};

/** `limits` NULL: the defaults. Allocates nothing until the first write. */
SL_API void sl_writer_init(struct sl_writer *writer, const struct sl_limits *limits);
/** Forgets what was written and any error; keeps the memory. */
SL_API void sl_writer_reset(struct sl_writer *writer);
/** Releases the memory. A zeroed writer is fine. */
SL_API void sl_writer_finish(struct sl_writer *writer);
/**
 * The value that was built, valid until the next write, reset or finish.
 * Errors: the first that stuck (out_of_memory, limit_exceeded, invalid_utf8, invalid_argument), or
 * invalid_argument when a container lacks entries, or more or less than one value was written.
 */
SL_API SL_MUST_CHECK enum sl_code sl_writer_end(struct sl_writer *writer, struct sl_value *value,
                                                struct sl_error *error);

SL_API void sl_write_nil(struct sl_writer *writer);
SL_API void sl_write_bool(struct sl_writer *writer, bool value);
SL_API void sl_write_int(struct sl_writer *writer, int64_t value);
SL_API void sl_write_uint(struct sl_writer *writer, uint64_t value);
SL_API void sl_write_float(struct sl_writer *writer, double value);
SL_API void sl_write_str(struct sl_writer *writer, const char *text); /**< NUL-terminated */
SL_API void sl_write_strn(struct sl_writer *writer, const char *text, size_t size);
SL_API void sl_write_bytes(struct sl_writer *writer, const void *bytes, size_t size);
SL_API void sl_write_timestamp(struct sl_writer *writer, struct sl_timestamp value);
/** `count` values follow. */
SL_API void sl_write_list(struct sl_writer *writer, uint32_t count);
/** `count` pairs of a key (a scalar: nil, bool, int, float, str, bytes, timestamp) and a value follow. */
SL_API void sl_write_map(struct sl_writer *writer, uint32_t count);
/**
 * Copies the elements into the value. `shape` has `dim_count` entries; their product times the element size is the
 * number of bytes read.
 */
SL_API void sl_write_array(struct sl_writer *writer, enum sl_dtype dtype, uint32_t dim_count, const uint64_t *shape,
                           const void *elements);
/**
 * An array whose elements lie in a shared buffer (buffer.h) from `offset` bytes on: nothing is copied, Python sees
 * them in place. The item that carries the value must name the buffer in sl_item.buffers.
 */
SL_API void sl_write_array_in(struct sl_writer *writer, const struct sl_buffer *buffer, uint64_t offset,
                              enum sl_dtype dtype, uint32_t dim_count, const uint64_t *shape);
SL_API void sl_write_ref(struct sl_writer *writer, const struct sl_ref *ref);
/** Copies a value as it is, as one entry. */
SL_API void sl_write_value(struct sl_writer *writer, struct sl_value value);

SL_END_DECLS

#endif
