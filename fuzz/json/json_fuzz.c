/* SPDX-License-Identifier: MIT */
/*
 * Bytes as JSON text, and as a value to be printed. What is read is printed, and read again as an equal value; whatever a
 * value holds, its text is JSON.
 */
#include <slither/json.h>

#include <stdlib.h>

#undef NDEBUG
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sl_writer writer, back;
    struct sl_value value, again;
    struct sl_error error = SL_ERROR_INIT;
    char *text = NULL;
    size_t capacity = 0, text_size;
    sl_writer_init(&writer, NULL);
    sl_writer_init(&back, NULL);
    if (sl_json_parse((const char *)data, size, &writer, &error) == SL_OK) {
        assert(sl_writer_end(&writer, &value, &error) == SL_OK);
        assert(sl_json_print(value, 0, &text, &capacity, &text_size, &error) == SL_OK);
        assert(sl_json_parse(text, text_size, &back, &error) == SL_OK);
        assert(sl_writer_end(&back, &again, &error) == SL_OK);
        assert(sl_value_equal(value, again));
    } else {
        assert(error.message[0] != '\0');
    }
    /* Printing meets bytes that nobody checked. */
    (void)!sl_json_print((struct sl_value){data, size}, SL_JSON_PRETTY, &text, &capacity, &text_size, &error);
    if (sl_value_check(data, size, NULL, &value, NULL) == SL_OK) {
        enum sl_code code = sl_json_print(value, SL_JSON_NAN_AS_NULL, &text, &capacity, &text_size, &error);
        assert(code == SL_OK);
        sl_writer_reset(&back);
        /* Duplicate keys, U+0000 in keys and ints past 2^63-1 can be printed but not read. */
        (void)!sl_json_parse(text, text_size, &back, &error);
    }
    free(text);
    sl_writer_finish(&writer);
    sl_writer_finish(&back);
    return 0;
}
