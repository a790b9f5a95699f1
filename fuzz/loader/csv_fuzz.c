/* SPDX-License-Identifier: MIT */
/* Bytes as a CSV file. What is read, written with every field in quotes, is read again as the same records. */
#include "csv.h"

#include <stdlib.h>
#include <string.h>

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct text {
    char *bytes;
    size_t size;
};

static void put(struct text *text, char byte) {
    text->bytes[text->size++] = byte;
}

/* Reads all records; writes them in the one form to `out`, which has room. Returns what ended it. */
static enum sl_code read_all(const void *data, size_t size, struct text *out) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl__csv csv = {.name = "input"};
    enum sl_code code;
    uint64_t line = 0;
    if (size == 0) {
        return SL_E_END;
    }
    csv.file = fmemopen((void *)(uintptr_t)data, size, "r");
    assert(csv.file != NULL);
    while ((code = sl__csv_next(&csv, &error)) == SL_OK) {
        assert(csv.field_count > 0 && csv.line > line);
        line = csv.line;
        for (size_t i = 0; i < csv.field_count; i++) {
            if (i > 0) {
                put(out, ',');
            }
            put(out, '"');
            for (size_t k = 0; k < csv.fields[i].size; k++) {
                if (csv.fields[i].text[k] == '"') {
                    put(out, '"');
                }
                put(out, csv.fields[i].text[k]);
            }
            put(out, '"');
        }
        put(out, '\n');
    }
    assert(code == SL_E_END || strncmp(error.message, "input:", 6) == 0);
    sl__csv_finish(&csv);
    fclose(csv.file);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* At worst each byte ends a field: a comma and two quotes for it. */
    struct text once = {malloc(4 * size + 8), 0};
    assert(once.bytes != NULL);
    (void)read_all(data, size, &once);
    struct text again = {malloc(4 * once.size + 8), 0};
    assert(again.bytes != NULL);
    assert(read_all(once.bytes, once.size, &again) == SL_E_END);
    assert(again.size == once.size && memcmp(again.bytes, once.bytes, once.size) == 0);
    free(once.bytes);
    free(again.bytes);
    return 0;
}
