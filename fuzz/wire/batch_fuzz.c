/* SPDX-License-Identifier: MIT */
/* Bytes as the payload of a batch. Items must lie inside it, aligned, in order, and each be a value of its own. */
#include "wire/batch.h"

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sl_value item, again;
    struct sl_error error = SL_ERROR_INIT;
    size_t offset = 0;
    size_t before = 0;
    enum sl_code code;
    while ((code = sl__batch_next(data, size, &offset, NULL, &item, &error)) == SL_OK) {
        assert(item.size > 0 && item.data >= data + before && item.data + item.size == data + offset);
        assert((size_t)(item.data - data) % 8 == 0 && offset <= size);
        assert(sl_value_check(item.data, item.size, NULL, &again, NULL) == SL_OK);
        before = offset;
    }
    assert(code == SL_E_END ? offset == size : error.message[0] != '\0');
    return 0;
}
