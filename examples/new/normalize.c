/* SPDX-License-Identifier: MIT */
/* The native stage of the pipe @NAME@: a text in small letters, with one space between words. Items without a text are skipped. */
#include <ctype.h>
#include <stdlib.h>

#include <slither/plugin.h>

SL_PLUGIN;

SL_API enum sl_code normalize(void *context, const struct sl_pipe_item *item, struct sl_emit *emit,
                              struct sl_error *error) {
    struct sl_value value;
    const char *text;
    size_t size, length = 0;
    (void)context;
    if (sl_value_get(item->value, "text", &value) != SL_OK || sl_value_str(value, &text, &size) != SL_OK) {
        sl_emit_skip(emit, "it has no text");
        return SL_OK;
    }
    char *normal = malloc(size + 1);
    if (normal == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a text of %zu bytes", size);
    }
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (!isspace(byte)) {
            normal[length++] = (char)(byte < 0x80 ? tolower(byte) : byte);
        } else if (length > 0 && normal[length - 1] != ' ') {
            normal[length++] = ' ';
        }
    }
    while (length > 0 && normal[length - 1] == ' ') {
        length--;
    }
    struct sl_writer *writer = sl_emit_begin(emit);
    sl_write_map(writer, 1);
    sl_write_str(writer, "text");
    sl_write_strn(writer, normal, length);
    sl_emit_end(emit);
    free(normal);
    return SL_OK;
}
