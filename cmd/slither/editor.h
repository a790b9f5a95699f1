/* SPDX-License-Identifier: MIT */
/* Lines that a person types, with editing, history and completion; or the lines of a file. */
#ifndef SLITHER_CLI_EDITOR_H
#define SLITHER_CLI_EDITOR_H

#include <stdbool.h>
#include <stddef.h>

#include "options.h"

struct editor;

/* Adds to `found` what `text`, the part of the line before the cursor, may go on to: each the whole of its last word. The texts are malloc()ed. */
typedef void editor_complete_fn(void *context, const char *text, struct text_list *found);

enum editor_event { EDITOR_LINE, EDITOR_END, EDITOR_INTERRUPTED };

/* `idle_fd`: an eventfd that ends the line that is being typed. `history_max`: lines kept. NULL: out of memory. */
struct editor *editor_open(int idle_fd, editor_complete_fn *complete, void *context);
/* Whether a person types. */
bool editor_is_interactive(const struct editor *editor);
/* `*line` is valid until the next call. */
enum editor_event editor_read(struct editor *editor, const char **line);
/* Writes the history. NULL is fine. */
void editor_close(struct editor *editor);

#endif
