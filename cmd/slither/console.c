/* SPDX-License-Identifier: MIT */
#include "console.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "common_options.h"

#define LINE_INTERVAL_NS 1000000000u

static struct {
    pthread_mutex_t mutex;
    bool is_terminal; /* and one that can go back to the start of a line */
    bool colour;
    bool bar;   /* progress is a bar */
    bool lines; /* progress is a line now and then */
    bool shown; /* the bar is on the screen */
    bool host_lines;
    uint64_t next_line_ns;
    char last[PROGRESS_TEXT_SIZE]; /* the bar as it was drawn last */
} console = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/*
 * Everything goes out in one write, so that lines of several processes do not mix. Errors have nowhere to be
 * reported.
 */
static void put(const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t written = write(STDERR_FILENO, bytes, size);
        if (written < 0) {
            if (errno == EINTR) {
                continue;
            }
            return;
        }
        bytes += written;
        size -= (size_t)written;
    }
}

static void clear_bar(void) {
    if (console.shown) {
        put("\r\033[K", 4);
        console.shown = false;
    }
}

static void draw_bar(void) {
    if (console.bar && console.last[0] == '\0') { /* no room for any of it */
        clear_bar();
    } else if (console.bar) {
        put("\r", 1);
        put(console.last, strlen(console.last));
        put("\033[K", 3);
        console.shown = true;
    }
}

void console_start(int progress_mode, bool quiet) {
    const char *term = getenv("TERM");
    const char *no_colour = getenv("NO_COLOR");
    pthread_mutex_lock(&console.mutex);
    console.is_terminal = isatty(STDERR_FILENO) == 1 && term != NULL && strcmp(term, "dumb") != 0;
    console.colour = console.is_terminal && (no_colour == NULL || *no_colour == '\0');
    bool wanted = !quiet && progress_mode != PROGRESS_OFF;
    console.bar = wanted && console.is_terminal;
    console.lines = wanted && !console.is_terminal && progress_mode == PROGRESS_ON;
    pthread_mutex_unlock(&console.mutex);
}

void console_stop(void) {
    pthread_mutex_lock(&console.mutex);
    clear_bar();
    console.bar = console.lines = false;
    pthread_mutex_unlock(&console.mutex);
}

void console_hide(void) {
    pthread_mutex_lock(&console.mutex);
    clear_bar();
    pthread_mutex_unlock(&console.mutex);
}

bool console_wants_progress(void) {
    pthread_mutex_lock(&console.mutex);
    bool wants = console.bar || console.lines;
    pthread_mutex_unlock(&console.mutex);
    return wants;
}

/* Takes the lock's burden: bar away, line out, bar back. `prefix` is drawn in the style. */
static void put_line(enum console_style style, const char *prefix, const char *text, size_t size) {
    static const char *const starts[] = {"", "\033[31m", "\033[2m"};
    char small[1024];
    size_t needed = strlen(prefix) + size + 16;
    char *line = needed <= sizeof(small) ? small : malloc(needed);
    if (line == NULL) {
        line = small;
        size = sizeof(small) - strlen(prefix) - 16;
        needed = sizeof(small);
    }
    pthread_mutex_lock(&console.mutex);
    bool styled = console.colour && style != CONSOLE_PLAIN;
    size_t at = (size_t)snprintf(line, needed, "%s%s%s", styled ? starts[style] : "", prefix, styled ? "\033[0m" : "");
    memcpy(line + at, text, size);
    line[at + size] = '\n';
    bool was_shown = console.shown;
    clear_bar();
    put(line, at + size + 1);
    if (was_shown) {
        draw_bar();
    }
    pthread_mutex_unlock(&console.mutex);
    if (line != small) {
        free(line);
    }
}

void console_message(enum console_style style, const char *format, ...) {
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int size = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (size >= 0) {
        put_line(style, "slither: ", text, (size_t)size);
        free(text);
    }
}

void console_text(const char *text) {
    while (*text != '\0') {
        size_t size = strcspn(text, "\n");
        put_line(CONSOLE_PLAIN, size > 0 ? "  " : "", text, size);
        text += size + (text[size] == '\n');
    }
}

void console_show_host(bool show) {
    pthread_mutex_lock(&console.mutex);
    console.host_lines = show;
    pthread_mutex_unlock(&console.mutex);
}

void console_log(void *context, const struct sl_log_record *record) {
    (void)context;
    if (record->origin == SL_LOG_HOST) {
        pthread_mutex_lock(&console.mutex);
        bool show = console.host_lines;
        pthread_mutex_unlock(&console.mutex);
        if (!show) {
            return;
        }
    }
    char prefix[64] = "slither: ";
    enum console_style style = CONSOLE_DIM;
    size_t size = record->text_size;
    if (record->origin != SL_LOG_HOST) {
        if (record->worker == UINT32_MAX) {
            snprintf(prefix, sizeof(prefix), "[template] ");
        } else {
            snprintf(prefix, sizeof(prefix), "[worker %" PRIu32 "] ", record->worker);
        }
        /* A bar that a worker draws itself ends its pieces with CR. */
        while (size > 0 && record->text[size - 1] == '\r') {
            size--;
        }
    } else if (record->level >= SL_LOG_ERROR) {
        style = CONSOLE_ERROR;
    }
    put_line(style, prefix, record->text, size);
}

static unsigned terminal_width(void) {
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        return size.ws_col;
    }
    return 80;
}

void console_progress(const struct progress *progress) {
    pthread_mutex_lock(&console.mutex);
    if (console.bar) {
        /* The last column stays free: some terminals wrap as soon as it is written. */
        progress_format(progress, terminal_width() - 1, console.last);
        draw_bar();
    } else if (console.lines && progress->elapsed_ns >= console.next_line_ns) {
        char text[PROGRESS_TEXT_SIZE + 16];
        char bar[PROGRESS_TEXT_SIZE];
        struct progress without_bar = *progress;
        progress_format(&without_bar, PROGRESS_TEXT_SIZE - 1, bar);
        const char *from = bar[0] == '[' ? strchr(bar, ']') + 1 : bar;
        from += strspn(from, " ");
        int size = snprintf(text, sizeof(text), "slither: %s\n", from);
        put(text, (size_t)size);
        console.next_line_ns = progress->elapsed_ns + LINE_INTERVAL_NS;
    }
    pthread_mutex_unlock(&console.mutex);
}

void console_status(const char *text) {
    pthread_mutex_lock(&console.mutex);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    if (console.bar) {
        /* In columns of ASCII: a text of other characters may be cut shorter than it need be, but never in the middle of one. */
        size_t size = strlen(text), width = terminal_width() - 1;
        size = size < width ? size : width;
        size = size < sizeof(console.last) ? size : sizeof(console.last) - 1;
        while (size > 0 && text[size] != '\0' && ((unsigned char)text[size] & 0xC0) == 0x80) {
            size--;
        }
        for (size_t i = 0; i < size; i++) {
            console.last[i] = (unsigned char)text[i] >= 0x20 && text[i] != 0x7f ? text[i] : ' ';
        }
        console.last[size] = '\0';
        draw_bar();
    } else if (console.lines && now_ns >= console.next_line_ns) {
        char line[PROGRESS_TEXT_SIZE + 16];
        int size = snprintf(line, sizeof(line), "slither: %.*s\n", PROGRESS_TEXT_SIZE, text);
        put(line, (size_t)size < sizeof(line) ? (size_t)size : sizeof(line) - 1);
        console.next_line_ns = now_ns + LINE_INTERVAL_NS;
    }
    pthread_mutex_unlock(&console.mutex);
}
