/* SPDX-License-Identifier: MIT */
/*
 * Standard error: messages, the workers' lines, and the progress bar below them. Any thread; whole lines; the bar is
 * taken away before a line and drawn again after it.
 */
#ifndef SLITHER_CLI_CONSOLE_H
#define SLITHER_CLI_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

#include <slither/runtime.h>

struct progress {
    uint64_t items; /* pulled */
    uint64_t ok;
    uint64_t failed;
    uint64_t skipped; /* and routed */
    uint64_t in_flight;
    uint64_t elapsed_ns;
    uint64_t position;  /* bytes of the input that were taken */
    uint64_t size;      /* bytes of the input; 0: not known */
    const char *done;   /* what `ok` items are: NULL: "ok" */
    const char *stages; /* of a pipe, each with its numbers; or NULL */
};

enum console_style { CONSOLE_PLAIN, CONSOLE_ERROR, CONSOLE_DIM };

/*
 * `progress_mode` is an enum progress_mode. A bar is drawn on a terminal; elsewhere PROGRESS_ON gives a line a
 * second.
 */
void console_start(int progress_mode, bool quiet);
/* Takes the bar away for good. */
void console_stop(void);

/* "slither: MESSAGE", and a newline. */
void console_message(enum console_style style, const char *format, ...) __attribute__((__format__(__printf__, 2, 3)));
/* Text of several lines, each indented by two spaces. */
void console_text(const char *text);
/*
 * For sl_runtime_options.log. What workers print is always shown, what the library says only when that was asked for.
 */
sl_log_fn console_log;
void console_show_host(bool show);

bool console_wants_progress(void);
void console_progress(const struct progress *progress);
/* A text in the place of the bar; elsewhere, with PROGRESS_ON, a line a second. */
void console_status(const char *text);
/* Takes the bar away until it is drawn again, before something else is written to the same terminal. */
void console_hide(void);

/* The bar as text, at most `width` columns; returns its length. For console_progress() and its test. */
#define PROGRESS_TEXT_SIZE 256
#define PROGRESS_STAGES_SIZE 128
size_t progress_format(const struct progress *progress, unsigned width, char text[PROGRESS_TEXT_SIZE]);

#endif
