/* SPDX-License-Identifier: MIT */
#include "editor.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "console.h"

#define HISTORY_MAX 1000
#define PROMPT "slither> "

struct editor {
    EditLine *line; /* NULL: nobody types, lines are read as they come */
    History *history;
    HistEvent event;
    char *path; /* of the history; NULL: it is not kept */
    char *text; /* of a line that was read as it came */
    size_t capacity;
    int idle_fd;
    bool interrupted;
    editor_complete_fn *complete;
    void *context;
};

/* ---- history ------------------------------------------------------------------------------------------------------ */

static bool make_directories(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool made = mkdir(path, 0700) == 0 || errno == EEXIST;
        *slash = '/';
        if (!made) {
            return false;
        }
    }
    return true;
}

/* $XDG_STATE_HOME/slither/history, for the owner's eyes only: lines may hold anything. NULL: there is no place for it, which is said. */
static char *history_path(void) {
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char *path = NULL;
    int size = -1;
    if (state != NULL && state[0] == '/') {
        size = asprintf(&path, "%s/slither/history", state);
    } else if (home != NULL && home[0] == '/') {
        size = asprintf(&path, "%s/.local/state/slither/history", home);
    }
    if (size < 0) {
        console_message(CONSOLE_DIM,
                        "the history of this shell is not kept: neither XDG_STATE_HOME nor HOME is a path");
        return NULL;
    }
    int fd = make_directories(path) ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    if (fd < 0) {
        console_message(CONSOLE_DIM, "the history of this shell is not kept: %s: %s", path, strerror(errno));
        free(path);
        return NULL;
    }
    (void)fchmod(fd, 0600);
    close(fd);
    return path;
}

/* ---- what libedit asks ---------------------------------------------------------------------------------------------- */

static char *prompt(EditLine *line) {
    static char text[] = PROMPT;
    (void)line;
    return text;
}

/* One character; or the end of the line that is being typed, when SIGINT came. */
static int next_character(EditLine *line, wchar_t *character) {
    struct editor *editor = NULL;
    el_get(line, EL_CLIENTDATA, &editor);
    mbstate_t state = {0};
    for (;;) {
        struct pollfd ready[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = editor->idle_fd, .events = POLLIN}};
        if (poll(ready, 2, -1) < 0) {
            if (errno == EINTR) {
                continue;
            }
            return -1;
        }
        if (ready[1].revents != 0) {
            uint64_t count;
            editor->interrupted = read(editor->idle_fd, &count, sizeof count) > 0;
            errno = EINTR;
            return -1;
        }
        char byte;
        ssize_t size = read(STDIN_FILENO, &byte, 1);
        if (size <= 0) {
            return size == 0 ? 0 : -1;
        }
        size_t used = mbrtowc(character, &byte, 1, &state);
        if (used == (size_t)-2) {
            continue; /* more of it follows */
        }
        if (used == (size_t)-1) {
            *character = L'?';
        }
        return 1;
    }
}

static int compare(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static unsigned char complete(EditLine *line, int key) {
    struct editor *editor = NULL;
    (void)key;
    el_get(line, EL_CLIENTDATA, &editor);
    const LineInfo *info = el_line(line);
    char *text = strndup(info->buffer, (size_t)(info->cursor - info->buffer));
    struct text_list found = {NULL, 0};
    if (text == NULL) {
        return CC_ERROR;
    }
    editor->complete(editor->context, text, &found);
    const char *word = text + strlen(text);
    while (word > text && strchr(" \t=", word[-1]) == NULL) {
        word--;
    }
    size_t typed = strlen(word), common = found.count > 0 ? strlen(found.texts[0]) : 0;
    for (size_t i = 1; i < found.count; i++) {
        size_t same = 0;
        while (same < common && found.texts[i][same] == found.texts[0][same]) {
            same++;
        }
        common = same;
    }
    unsigned char result = CC_ERROR;
    if (common > typed) {
        char *rest = strndup(found.texts[0] + typed, common - typed);
        result = rest != NULL && el_insertstr(line, rest) == 0 ? CC_REFRESH : CC_ERROR;
        free(rest);
    } else if (found.count > 1) {
        qsort(found.texts, found.count, sizeof *found.texts, compare);
        fputs("\n", stderr);
        for (size_t i = 0; i < found.count; i++) {
            fprintf(stderr, "%s%s", found.texts[i], i + 1 < found.count ? "  " : "\n");
        }
        result = CC_REDISPLAY;
    }
    for (size_t i = 0; i < found.count; i++) {
        free((char *)found.texts[i]);
    }
    text_list_finish(&found);
    free(text);
    return result;
}

/* ---- the editor ----------------------------------------------------------------------------------------------------- */

struct editor *editor_open(int idle_fd, editor_complete_fn *complete_line, void *context) {
    struct editor *editor = calloc(1, sizeof *editor);
    if (editor == NULL || isatty(STDIN_FILENO) != 1) {
        return editor;
    }
    setlocale(LC_CTYPE, "");
    editor->idle_fd = idle_fd;
    editor->complete = complete_line;
    editor->context = context;
    editor->line = el_init("slither", stdin, stderr, stderr);
    editor->history = history_init();
    if (editor->line == NULL || editor->history == NULL) {
        editor_close(editor);
        return NULL;
    }
    el_set(editor->line, EL_CLIENTDATA, editor);
    el_set(editor->line, EL_PROMPT, prompt);
    el_set(editor->line, EL_EDITOR, "emacs");
    el_set(editor->line, EL_GETCFN, next_character);
    history(editor->history, &editor->event, H_SETSIZE, HISTORY_MAX);
    history(editor->history, &editor->event, H_SETUNIQUE, 1);
    el_set(editor->line, EL_HIST, history, editor->history);
    el_wset(editor->line, EL_ADDFN, L"slither-complete", L"Complete a name",
            complete); /* el_set would leak both texts */
    el_set(editor->line, EL_BIND, "^I", "slither-complete", NULL);
    el_set(editor->line, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(editor->line, NULL);
    editor->path = history_path();
    if (editor->path != NULL) {
        history(editor->history, &editor->event, H_LOAD, editor->path);
    }
    return editor;
}

bool editor_is_interactive(const struct editor *editor) {
    return editor->line != NULL;
}

static enum editor_event read_plain(struct editor *editor, const char **line) {
    ssize_t size = getline(&editor->text, &editor->capacity, stdin);
    if (size < 0) {
        return EDITOR_END;
    }
    if (size > 0 && editor->text[size - 1] == '\n') {
        editor->text[size - 1] = '\0';
    }
    *line = editor->text;
    return EDITOR_LINE;
}

enum editor_event editor_read(struct editor *editor, const char **line) {
    if (editor->line == NULL) {
        return read_plain(editor, line);
    }
    int size = 0;
    editor->interrupted = false;
    const char *text = el_gets(editor->line, &size);
    if (editor->interrupted) {
        el_set(editor->line, EL_PREP_TERM, 0);
        fputs("^C\n", stderr);
        el_reset(editor->line);
        return EDITOR_INTERRUPTED;
    }
    if (text == NULL || size <= 0) {
        fputs("\n", stderr);
        return EDITOR_END;
    }
    char *copy = strndup(text, strcspn(text, "\n"));
    if (copy == NULL) {
        return EDITOR_END;
    }
    free(editor->text);
    editor->text = copy;
    editor->capacity = 0;
    /* One that begins with a blank is not kept, as elsewhere. */
    if (copy[0] != '\0' && copy[0] != ' ') {
        history(editor->history, &editor->event, H_ENTER, copy);
    }
    *line = copy;
    return EDITOR_LINE;
}

void editor_close(struct editor *editor) {
    if (editor == NULL) {
        return;
    }
    if (editor->path != NULL) {
        history(editor->history, &editor->event, H_SAVE, editor->path);
    }
    if (editor->line != NULL) {
        el_end(editor->line);
    }
    if (editor->history != NULL) {
        history_end(editor->history);
    }
    free(editor->path);
    free(editor->text);
    free(editor);
}
