/* SPDX-License-Identifier: MIT */
#include "black_box.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "lane/handshake.h"
#include "sys/descriptor.h"
#include "sys/memory_file.h"

enum sl_code sl__black_box_open(struct sl__black_box *box, struct sl_error *error) {
    enum sl_code code = sl__memory_file_create("slither-black-box", SL__BLACK_BOX_SIZE, &box->fd, error);
    if (code == SL_OK) {
        code = sl__memory_file_seal(box->fd, SL__SEAL_SHRINK | SL__SEAL_GROW | SL__SEAL_SEAL, error);
    }
    if (code != SL_OK) {
        sl__close(&box->fd);
    }
    return code;
}

void sl__black_box_close(struct sl__black_box *box) {
    sl__close(&box->fd);
}

static bool is_text(unsigned char byte) {
    return byte >= 0x20 ? byte != 0x7f : byte == '\n' || byte == '\t';
}

/* In place. Lines stay lines; nothing in it can move a cursor. */
static void clean(char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (!is_text((unsigned char)text[i])) {
            text[i] = '?';
        }
    }
    size_t at = sl__utf8_valid_size(text, size);
    while (at < size) {
        text[at] = '?';
        at += sl__utf8_valid_size(text + at, size - at);
    }
}

char *sl__black_box_text(const struct sl__black_box *box) {
    void *memory = NULL;
    if (box->fd < 0 || sl__map(box->fd, SL__BLACK_BOX_SIZE, 0, &memory, NULL) != SL_OK) {
        return NULL;
    }
    /* A process that it has left behind may still write: only the copy is looked at. */
    char *text = malloc(SL__BLACK_BOX_TEXT_MAX + 1);
    size_t size = 0;
    if (text != NULL) {
        memcpy(text, memory, SL__BLACK_BOX_TEXT_MAX);
        text[SL__BLACK_BOX_TEXT_MAX] = '\0';
        size = strlen(text);
        clean(text, size);
    }
    sl__unmap(memory, SL__BLACK_BOX_SIZE);
    if (size == 0) {
        free(text);
        return NULL;
    }
    return text;
}
