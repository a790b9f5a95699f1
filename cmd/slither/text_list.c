/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "options.h"

bool text_list_add(struct text_list *list, const char *text) {
    const char **texts = realloc(list->texts, (list->count + 2) * sizeof(*texts));
    if (texts == NULL) {
        return false;
    }
    texts[list->count] = text;
    texts[list->count + 1] = NULL;
    list->texts = texts;
    list->count++;
    return true;
}

void text_list_finish(struct text_list *list) {
    free(list->texts);
    *list = (struct text_list){NULL, 0};
}
