/* SPDX-License-Identifier: MIT */
#include "wire/ext.h"

#include "wire/token.h"
#include "wire/utf8.h"

static const struct {
    const char *name;
    uint8_t size;
} dtypes[] = {
    [SL_DTYPE_U8] = {"u8", 1},   [SL_DTYPE_I8] = {"i8", 1},      [SL_DTYPE_U16] = {"u16", 2},
    [SL_DTYPE_I16] = {"i16", 2}, [SL_DTYPE_U32] = {"u32", 4},    [SL_DTYPE_I32] = {"i32", 4},
    [SL_DTYPE_U64] = {"u64", 8}, [SL_DTYPE_I64] = {"i64", 8},    [SL_DTYPE_F16] = {"f16", 2},
    [SL_DTYPE_F32] = {"f32", 4}, [SL_DTYPE_F64] = {"f64", 8},    [SL_DTYPE_BOOL] = {"bool", 1},
    [SL_DTYPE_C64] = {"c64", 8}, [SL_DTYPE_C128] = {"c128", 16},
};

#define DTYPE_COUNT (sizeof(dtypes) / sizeof(dtypes[0]))

size_t sl_dtype_size(enum sl_dtype dtype) {
    return (unsigned)dtype < DTYPE_COUNT ? dtypes[dtype].size : 0;
}

const char *sl__dtype_name(enum sl_dtype dtype) {
    return (unsigned)dtype < DTYPE_COUNT ? dtypes[dtype].name : NULL;
}

bool sl__array_size(enum sl_dtype dtype, uint32_t dim_count, const uint64_t *shape, uint64_t *size) {
    uint64_t total = sl_dtype_size(dtype);
    bool empty = false;
    if (total == 0 || dim_count > SL_ARRAY_DIM_MAX || (shape == NULL && dim_count > 0)) {
        return false;
    }
    for (uint32_t i = 0; i < dim_count; i++) {
        if (shape[i] == 0) {
            empty = true;
        } else if (__builtin_mul_overflow(total, shape[i], &total) || total > INT64_MAX) {
            return false;
        }
    }
    *size = empty ? 0 : total;
    return true;
}

static enum sl_code invalid(const char **what, const char *why) {
    *what = why;
    return SL_E_INVALID_DATA;
}

enum sl_code sl__ext_read_timestamp(const uint8_t *body, size_t size, struct sl_timestamp *out, const char **what) {
    if (size == 4) {
        out->seconds = sl__load_be32(body);
        out->nanoseconds = 0;
    } else if (size == 8) {
        uint64_t packed = sl__load_be64(body);
        out->seconds = (int64_t)(packed & ((UINT64_C(1) << 34) - 1));
        out->nanoseconds = (uint32_t)(packed >> 34);
    } else if (size == 12) {
        out->nanoseconds = sl__load_be32(body);
        out->seconds = (int64_t)sl__load_be64(body + 4);
    } else {
        return invalid(what, "a timestamp must have 4, 8 or 12 bytes");
    }
    if (out->nanoseconds > SL__NANOSECONDS_MAX) {
        return invalid(what, "a timestamp has more than 999999999 nanoseconds");
    }
    return SL_OK;
}

/* Takes dtype and shape; `head` is where the shape starts in the body. */
static enum sl_code read_shape(const uint8_t *body, size_t size, size_t head, struct sl_array *out, const char **what) {
    if (size < head) {
        return invalid(what, "an array is shorter than its header");
    }
    out->dtype = (enum sl_dtype)body[0];
    out->dim_count = body[1];
    if (sl_dtype_size(out->dtype) == 0) {
        return invalid(what, "an array has an unknown element type");
    }
    if (out->dim_count > SL_ARRAY_DIM_MAX) {
        return invalid(what, "an array has more than 16 dimensions");
    }
    if ((size - head) / 8 < out->dim_count) {
        return invalid(what, "an array is shorter than its shape");
    }
    for (uint32_t i = 0; i < out->dim_count; i++) {
        out->shape[i] = sl__load_le64(body + head + 8 * (size_t)i);
    }
    for (uint32_t i = out->dim_count; i < SL_ARRAY_DIM_MAX; i++) {
        out->shape[i] = 0;
    }
    if (!sl__array_size(out->dtype, out->dim_count, out->shape, &out->data_size)) {
        return invalid(what, "the shape of an array stands for more than 2^63-1 bytes");
    }
    return SL_OK;
}

enum sl_code sl__ext_read_array(const uint8_t *body, size_t size, struct sl_array *out, const char **what) {
    enum sl_code code = read_shape(body, size, SL__EXT_ARRAY_HEAD, out, what);
    if (code != SL_OK) {
        return code;
    }
    size_t pad = body[2];
    size_t start = SL__EXT_ARRAY_HEAD + 8 * (size_t)out->dim_count;
    if (pad >= SL__ELEMENT_ALIGNMENT || body[3] != 0) {
        return invalid(what, "the header of an array has a pad above 7 or a reserved byte that is not 0");
    }
    if (size - start < pad || size - start - pad != out->data_size) {
        return invalid(what, "the shape of an array does not stand for the bytes that it has");
    }
    out->data = body + start + pad;
    out->buffer_id = 0;
    out->buffer_offset = 0;
    return SL_OK;
}

enum sl_code sl__ext_read_buffer_array(const uint8_t *body, size_t size, struct sl_array *out, const char **what) {
    static const uint8_t reserved[6];
    enum sl_code code = read_shape(body, size, SL__EXT_BUFFER_ARRAY_HEAD, out, what);
    if (code != SL_OK) {
        return code;
    }
    if (size != SL__EXT_BUFFER_ARRAY_HEAD + 8 * (size_t)out->dim_count) {
        return invalid(what, "an array in a shared buffer has bytes after its shape");
    }
    if (memcmp(body + 2, reserved, sizeof(reserved)) != 0) {
        return invalid(what, "an array in a shared buffer has reserved bytes that are not 0");
    }
    out->data = NULL;
    out->buffer_id = sl__load_le64(body + 8);
    out->buffer_offset = sl__load_le64(body + 16);
    if (out->buffer_id == 0) {
        return invalid(what, "an array in a shared buffer names no buffer");
    }
    if (out->buffer_offset > INT64_MAX - out->data_size) {
        return invalid(what, "an array in a shared buffer reaches past 2^63-1 bytes");
    }
    return SL_OK;
}

enum sl_code sl__ext_read_ref(const uint8_t *body, size_t size, struct sl_ref *out, const char **what) {
    if (size < SL__EXT_REF_HEAD) {
        return invalid(what, "a ref is shorter than 26 bytes");
    }
    out->session = sl__load_le64(body);
    out->object = sl__load_le64(body + 8);
    out->worker = sl__load_le32(body + 16);
    out->generation = sl__load_le32(body + 20);
    out->type_name = (const char *)body + SL__EXT_REF_HEAD;
    out->type_name_size = (size_t)body[24] | (size_t)body[25] << 8;
    if (out->type_name_size > size - SL__EXT_REF_HEAD) {
        return invalid(what, "a ref is shorter than its type name");
    }
    out->repr = out->type_name + out->type_name_size;
    out->repr_size = size - SL__EXT_REF_HEAD - out->type_name_size;
    /* Each by itself: a character must not begin in one and end in the other. */
    if (!sl__utf8_valid(out->type_name, out->type_name_size) || !sl__utf8_valid(out->repr, out->repr_size)) {
        *what = "the type name or the repr of a ref is not valid UTF-8";
        return SL_E_INVALID_UTF8;
    }
    return SL_OK;
}

enum sl_code sl__ext_read_mark(const uint8_t *body, size_t size, struct sl_mark *out, const char **what) {
    const uint8_t *end = body + size;
    const uint8_t *at = body + 1;
    struct sl__token text;
    if (size < 2) {
        return invalid(what, "a mark is shorter than 2 bytes");
    }
    if (body[0] < SL_MARK_SKIP || body[0] > SL_MARK_ROUTE) {
        return invalid(what, "a mark is of an unknown kind");
    }
    if (!sl__token_read(&at, end, &text) || text.kind != SL__TOKEN_STR) {
        return invalid(what, "a mark has no text");
    }
    if (!sl__utf8_valid(text.payload, text.size)) {
        *what = "the text of a mark is not valid UTF-8";
        return SL_E_INVALID_UTF8;
    }
    out->kind = (enum sl_mark_kind)body[0];
    out->text = (const char *)text.payload;
    out->text_size = text.size;
    if (at == end) {
        if (out->kind == SL_MARK_ROUTE) {
            return invalid(what, "a route has no payload");
        }
        out->payload = (struct sl_value){NULL, 0};
    } else {
        if (out->kind == SL_MARK_SKIP) {
            return invalid(what, "a skip mark has bytes after its text");
        }
        out->payload = (struct sl_value){at, (size_t)(end - at)};
    }
    return SL_OK;
}
