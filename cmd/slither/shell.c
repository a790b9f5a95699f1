/* SPDX-License-Identifier: MIT */
/*
 * `slither shell`: calls one after the other in one session. Results that cannot travel stay in Python and get names.
 *
 * The session is opened again when it is lost with its worker: the names of objects are gone then, those of values stay.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "arguments.h"
#include "caller.h"
#include "command.h"
#include "console.h"
#include "editor.h"
#include "secrets.h"
#include "shell_line.h"
#include "shell_names.h"
#include "status.h"

#define DAY_MS ((uint64_t)24 * 3600 * 1000)
#define LAST "_"
#define DEPTH_MAX 128

struct shell {
    struct caller caller;
    struct sl_session *session;
    struct shell_names names;
    struct editor *editor;
    bool ends;
    bool failed; /* a line did */
    bool broken; /* standard output is */
};

static void tell(struct shell *shell, const char *problem) {
    shell->failed = true;
    console_message(CONSOLE_ERROR, "%s", problem);
}

/* ---- the session ---------------------------------------------------------------------------------------------------- */

static bool open_session(struct shell *shell) {
    struct sl_session_options options = SL_SESSION_OPTIONS_INIT;
    struct sl_error error = SL_ERROR_INIT;
    options.name = "shell";
    bool good = sl_session_open(shell->caller.pool, &options, &shell->session, &error) == SL_OK;
    if (!good) {
        (void)caller_fail(&shell->caller, error.code, &error);
        shell->failed = shell->ends = true;
    }
    sl_error_finish(&error);
    return good;
}

static void reopen_if_lost(struct shell *shell) {
    struct sl_session_info info = SL_SESSION_INFO_INIT;
    sl_session_info(shell->session, &info);
    if (info.state == SL_SESSION_OPEN) {
        return;
    }
    size_t lost = shell_names_clear(&shell->names, true);
    sl_session_close(shell->session);
    shell->session = NULL;
    if (open_session(shell)) {
        console_message(CONSOLE_PLAIN, "%s", info.reason);
        console_message(CONSOLE_PLAIN, "a new session is open; %zu object%s lost, names of values stay", lost,
                        lost == 1 ? " was" : "s were");
    }
}

static void tell_error(struct shell *shell, enum sl_code code, const struct sl_error *error) {
    shell->failed = true;
    int status = caller_fail(&shell->caller, code, error);
    shell->broken = shell->caller.out.reader_gone || status == STATUS_PIPE_CLOSED;
    shell->ends |= shell->broken || code == SL_E_CLOSED;
    reopen_if_lost(shell);
}

/* ---- results -------------------------------------------------------------------------------------------------------- */

static enum sl_code name_object(struct shell *shell, const struct sl_result *result, struct sl_value ref,
                                const char *wanted, const char **name, struct sl_error *error) {
    struct sl_object *object = NULL;
    enum sl_code code = sl_object_take(result, ref, &object, error);
    if (code == SL_OK && (*name = shell_names_put(&shell->names, wanted, object, ref)) == NULL) {
        code = sl_error_set(error, SL_E_LIMIT, "there are %d names already: drop some", SHELL_NAMES_MAX);
    }
    return code;
}

/* The value with a name for each ref in it: {"$ref": "$3", "type": ..., "repr": ...}. */
static enum sl_code write_named(struct shell *shell, const struct sl_result *result, struct sl_value value,
                                struct sl_writer *writer, unsigned depth, struct sl_error *error) {
    struct sl_iter iter;
    struct sl_value key = {NULL, 0}, entry;
    uint32_t count;
    enum sl_code code = SL_OK;
    enum sl_type type = sl_value_type(value);
    if (type == SL_TYPE_REF) {
        struct sl_ref ref;
        const char *name = "";
        code = name_object(shell, result, value, NULL, &name, error);
        if (code == SL_OK && (code = sl_value_ref(value, &ref)) == SL_OK) {
            char shown[SHELL_NAME_SIZE + 1];
            snprintf(shown, sizeof shown, "$%s", name);
            sl_write_map(writer, 3);
            write_text(writer, "$ref", shown);
            sl_write_str(writer, "type");
            sl_write_strn(writer, ref.type_name, ref.type_name_size);
            sl_write_str(writer, "repr");
            sl_write_strn(writer, ref.repr != NULL ? ref.repr : "", ref.repr_size);
        }
        return code;
    }
    if ((type != SL_TYPE_LIST && type != SL_TYPE_MAP) || depth == DEPTH_MAX || sl_value_count(value, &count) != SL_OK ||
        sl_iter_init(&iter, value) != SL_OK) {
        sl_write_value(writer, value);
        return SL_OK;
    }
    type == SL_TYPE_LIST ? sl_write_list(writer, count) : sl_write_map(writer, count);
    while (code == SL_OK && sl_iter_next(&iter, type == SL_TYPE_MAP ? &key : NULL, &entry)) {
        if (type == SL_TYPE_MAP) {
            sl_write_value(writer, key);
        }
        code = write_named(shell, result, entry, writer, depth + 1, error);
    }
    return code;
}

static enum sl_code print_line(struct shell *shell, const char *text, struct sl_error *error) {
    enum sl_code code = output_line(&shell->caller.out, text, strlen(text), error);
    return code == SL_OK ? output_flush(&shell->caller.out, error) : code;
}

static enum sl_code print_object(struct shell *shell, const struct shell_name *entry, struct sl_error *error) {
    struct sl_object_info info = SL_OBJECT_INFO_INIT;
    char text[600];
    sl_object_info(entry->object, &info);
    snprintf(text, sizeof text, "$%s: %s: %s", entry->name, info.type_name, info.repr);
    text[strcspn(text, "\n")] = '\0';
    return print_line(shell, text, error);
}

/* As it is now. */
static enum sl_code show_object(struct shell *shell, const struct shell_name *entry, struct sl_call_options *options,
                                struct sl_error *error) {
    struct sl_object_info info = SL_OBJECT_INFO_INIT;
    struct sl_result result = SL_RESULT_INIT;
    const char *repr = "";
    size_t size = 0;
    char *text = NULL;
    sl_object_info(entry->object, &info);
    enum sl_code code = sl_object_repr(entry->object, options, &result, error);
    if (code == SL_OK) {
        code = sl_value_str(result.value, &repr, &size);
    }
    if (code == SL_OK && asprintf(&text, "$%s: %s: %.*s", entry->name, info.type_name, (int)size, repr) < 0) {
        text = NULL;
        code = sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the repr of $%s", entry->name);
    }
    if (code == SL_OK) {
        code = print_line(shell, text, error);
    }
    free(text);
    sl_result_finish(&result);
    return code;
}

static enum sl_code iterate(struct shell *shell, struct sl_object *object, struct sl_call_options *options,
                            struct sl_error *error) {
    struct sl_iteration *iteration = NULL;
    enum sl_code code = sl_object_iterate(object, options, &iteration, error);
    if (code == SL_OK) {
        code = caller_print_items(&shell->caller, iteration, error);
    }
    sl_iteration_close(iteration);
    return code == SL_E_END && !shell->caller.out.reader_gone ? SL_OK : code;
}

/* Shows the result of a line, or gives it the name that the line asks for. */
static enum sl_code take_result(struct shell *shell, const struct sl_result *result, const char *wanted,
                                struct sl_call_options *options, struct sl_error *error) {
    struct sl_value value = result->value;
    const char *name = NULL;
    if (sl_value_type(value) == SL_TYPE_REF) {
        if (wanted == NULL && caller_is_iterator(value)) {
            struct sl_object *object = NULL;
            enum sl_code code = sl_object_take(result, value, &object, error);
            code = code == SL_OK ? iterate(shell, object, options, error) : code;
            sl_object_unref(object);
            return code;
        }
        enum sl_code code = name_object(shell, result, value, wanted, &name, error);
        return code == SL_OK && wanted == NULL ? print_object(shell, shell_names_find(&shell->names, name), error)
                                               : code;
    }
    struct sl_writer *writer = &shell->caller.printer.writer;
    sl_writer_reset(writer);
    enum sl_code code = SL_OK;
    if (wanted == NULL) {
        code = write_named(shell, result, value, writer, 0, error);
    }
    if (code == SL_OK && shell_names_put(&shell->names, wanted != NULL ? wanted : LAST, NULL, value) == NULL) {
        code = sl_error_set(error, SL_E_LIMIT, "there are %d names already: drop some", SHELL_NAMES_MAX);
    }
    if (code == SL_OK && wanted == NULL && sl_value_type(value) != SL_TYPE_NIL) {
        uint32_t flags = shell->caller.options->nan == NAN_NULL ? SL_JSON_NAN_AS_NULL : 0;
        code = printer_put_built(&shell->caller.printer, &shell->caller.out, flags, error);
        code = code == SL_OK ? output_flush(&shell->caller.out, error) : code;
    }
    return code;
}

/* ---- expressions ---------------------------------------------------------------------------------------------------- */

static bool look_up(void *context, const char *name, struct sl_value *value, char problem[ARGUMENT_PROBLEM_SIZE]) {
    struct shell *shell = context;
    const struct shell_name *entry = shell_names_find(&shell->names, name);
    if (entry == NULL) {
        snprintf(problem, ARGUMENT_PROBLEM_SIZE, "there is no $%.60s; 'refs' lists the names", name);
        return false;
    }
    *value = shell_name_value(entry);
    return true;
}

static bool is_callable(struct sl_value value) {
    static const char *const names[] = {"method",
                                        "function",
                                        "builtin_function_or_method",
                                        "method-wrapper",
                                        "method_descriptor",
                                        "type",
                                        "functools.partial",
                                        NULL};
    struct sl_ref ref;
    if (value.size == 0 || sl_value_type(value) != SL_TYPE_REF || sl_value_ref(value, &ref) != SL_OK) {
        return false;
    }
    for (size_t i = 0; names[i] != NULL; i++) {
        if (strlen(names[i]) == ref.type_name_size && memcmp(names[i], ref.type_name, ref.type_name_size) == 0) {
            return true;
        }
    }
    return false;
}

/* $name..., with its arguments. */
static enum sl_code call_place(struct shell *shell, const struct shell_place *place, const struct shell_line *line,
                               struct arguments *arguments, struct sl_call_options *options, struct sl_result *result,
                               char *problem, struct sl_error *error) {
    struct shell_name *entry = shell_names_find(&shell->names, place->name);
    const struct argument_rules rules = {.lookup = look_up, .context = shell};
    struct sl_value value;
    if (entry == NULL) {
        (void)look_up(shell, place->name, &value, problem);
        return SL_E_INVALID_ARGUMENT;
    }
    if (entry->object == NULL) {
        if (place->path != NULL || place->key != NULL || line->count > 0) {
            snprintf(problem, ARGUMENT_PROBLEM_SIZE, "$%.60s is a value, not an object in Python", entry->name);
            return SL_E_INVALID_ARGUMENT;
        }
        return caller_print(&shell->caller, shell_name_value(entry), error);
    }
    struct sl_object *object = entry->object;
    if (place->key != NULL) {
        const struct word key = {.text = place->key};
        if (!arguments_read(arguments, &key, &rules, &value, problem)) {
            return SL_E_INVALID_ARGUMENT;
        }
        return sl_object_item(object, options, value, result, error);
    }
    if (line->sets) {
        if (!arguments_read(arguments, &line->words[0], &rules, &value, problem)) {
            return SL_E_INVALID_ARGUMENT;
        }
        return sl_object_set(object, options, place->path, value, error);
    }
    if (place->path != NULL && line->count == 0) {
        /* A method is called, anything else is shown: which it is, only Python knows. */
        enum sl_code code = sl_object_get(object, options, place->path, result, error);
        if (code != SL_OK || !is_callable(result->value)) {
            return code;
        }
        sl_result_finish(result);
        *result = (struct sl_result)SL_RESULT_INIT;
    }
    if (place->path == NULL && line->count == 0) {
        return show_object(shell, entry, options, error);
    }
    return sl_object_call(object, options, place->path, arguments->positional, arguments->keywords, result, error);
}

static enum sl_code evaluate(struct shell *shell, struct shell_line *line, struct arguments *arguments,
                             struct sl_call_options *options, struct sl_result *result, char *problem,
                             struct sl_error *error) {
    const struct argument_rules rules = {.lookup = look_up, .context = shell};
    struct shell_place place;
    if (!line->sets && !arguments_build(arguments, line->words, line->count, &rules, problem)) {
        return SL_E_INVALID_ARGUMENT;
    }
    if (line->head[0] == '$') {
        if (!shell_place_parse(line->head, &place)) {
            snprintf(problem, ARGUMENT_PROBLEM_SIZE, "expected $NAME, $NAME.ATTRIBUTE or $NAME[KEY]");
            return SL_E_INVALID_ARGUMENT;
        }
        return call_place(shell, &place, line, arguments, options, result, problem, error);
    }
    return sl_call(shell->caller.pool, options, line->head, arguments->positional, arguments->keywords, result, error);
}

/* NAME = JSON: no call. */
static bool take_value(struct shell *shell, const struct shell_line *line, bool *good) {
    struct arguments arguments;
    struct sl_value value;
    char problem[ARGUMENT_PROBLEM_SIZE];
    const struct argument_rules rules = {.lookup = NULL};
    const struct word word = {.text = line->head};
    if (line->name == NULL || line->count > 0 || line->head[0] == '$') {
        return false;
    }
    arguments_init(&arguments);
    bool is_value = arguments_read(&arguments, &word, &rules, &value, problem);
    *good = !is_value || shell_names_put(&shell->names, line->name, NULL, value) != NULL;
    arguments_finish(&arguments);
    return is_value;
}

/* NAME = $OTHER: no call either. */
static bool take_alias(struct shell *shell, const struct shell_line *line, bool *good) {
    if (line->name == NULL || line->count > 0 || line->head[0] != '$') {
        return false;
    }
    const struct shell_name *entry = shell_names_find(&shell->names, line->head + 1);
    if (entry == NULL) {
        return false;
    }
    struct sl_object *object = entry->object != NULL ? sl_object_ref(entry->object) : NULL;
    *good = shell_names_put(&shell->names, line->name, object, shell_name_value(entry)) != NULL;
    return true;
}

static void run_expression(struct shell *shell, struct shell_line *line) {
    char problem[ARGUMENT_PROBLEM_SIZE] = "";
    struct arguments arguments;
    struct sl_call_options options;
    struct sl_result result = SL_RESULT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    bool good = true;
    if (take_value(shell, line, &good) || take_alias(shell, line, &good)) {
        if (!good) {
            tell(shell, "there are too many names, or too little memory: drop some");
        }
        return;
    }
    if (line->head[0] != '$' && strchr(line->head, ':') == NULL) {
        snprintf(problem, sizeof problem, "'%.60s' is not MODULE:NAME, $NAME or a command; 'help' tells more",
                 line->head);
        tell(shell, problem);
        return;
    }
    arguments_init(&arguments);
    if (!caller_begin(&shell->caller, shell->session, &options)) {
        shell->failed = true;
        arguments_finish(&arguments);
        return;
    }
    enum sl_code code = evaluate(shell, line, &arguments, &options, &result, problem, &error);
    if (code == SL_OK && result.value.size > 0) {
        code = take_result(shell, &result, line->name, &options, &error);
    }
    caller_end(&shell->caller);
    sl_result_finish(&result);
    if (problem[0] != '\0') {
        tell(shell, problem);
    } else if (code != SL_OK) {
        tell_error(shell, code, &error);
    }
    arguments_finish(&arguments);
    sl_error_finish(&error);
}

/* ---- commands ------------------------------------------------------------------------------------------------------- */

static const char help_text[] = "  math:sqrt 16                  call what a module has, with JSON as arguments\n"
                                "  builtins:str.upper 'so'       a str in single quotes; \"so\" is the same\n"
                                "  builtins:int '11' base=2      an argument by its name\n"
                                "  x = collections:deque [1, 2]  keep the result as $x\n"
                                "  $x.append 3                   call a method\n"
                                "  $x.maxlen, $x[0]              show an attribute, or an entry\n"
                                "  $x.attribute = 5              set an attribute\n"
                                "  builtins:len $x               give Python the object itself\n"
                                "  refs                          the names, and what they stand for\n"
                                "  drop NAME...                  forget names; objects that nobody else holds go\n"
                                "  session                       what is known of the session\n"
                                "  quit                          or Ctrl-D\n"
                                "Results that cannot travel are named $1, $2, ...; $_ is the last one that can. Tab "
                                "completes, Ctrl-C ends a call.\n";

static void run_help_command(struct shell *shell, const struct shell_line *line) {
    struct sl_error error = SL_ERROR_INIT;
    (void)line;
    char text[sizeof help_text];
    memcpy(text, help_text, sizeof text);
    text[sizeof text - 2] = '\0'; /* its last newline is added */
    if (print_line(shell, text, &error) != SL_OK) {
        shell->broken = shell->ends = true;
    }
    sl_error_finish(&error);
}

static void run_refs(struct shell *shell, const struct shell_line *line) {
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = SL_OK;
    (void)line;
    for (size_t i = 0; i < shell->names.count && code == SL_OK; i++) {
        const struct shell_name *entry = &shell->names.entries[i];
        if (entry->object != NULL) {
            code = print_object(shell, entry, &error);
        } else if (strcmp(entry->name, LAST) != 0) {
            char text[200];
            code = printer_print(&shell->caller.printer, shell_name_value(entry), SL_JSON_NAN_AS_NULL, &error);
            if (code == SL_OK) {
                snprintf(text, sizeof text, "$%s = %.100s%s", entry->name, shell->caller.printer.text,
                         shell->caller.printer.size > 100 ? "..." : "");
                code = print_line(shell, text, &error);
            }
        }
    }
    if (code != SL_OK) {
        tell_error(shell, code, &error);
    }
    sl_error_finish(&error);
}

static void run_drop(struct shell *shell, const struct shell_line *line) {
    char problem[ARGUMENT_PROBLEM_SIZE];
    if (line->count == 0) {
        tell(shell, "expected: drop NAME...");
    }
    for (size_t i = 0; i < line->count; i++) {
        const char *name = line->words[i].text + (line->words[i].text[0] == '$');
        if (!shell_names_drop(&shell->names, name)) {
            snprintf(problem, sizeof problem, "there is no $%.60s; 'refs' lists the names", name);
            tell(shell, problem);
        }
    }
}

static void run_session(struct shell *shell, const struct shell_line *line) {
    struct sl_session_info info = SL_SESSION_INFO_INIT;
    struct sl_error error = SL_ERROR_INIT;
    char text[300];
    (void)line;
    sl_session_info(shell->session, &info);
    int size = snprintf(text, sizeof text, "session %" PRIu64 ": %" PRIu64 " call%s, %" PRIu64 " object%s",
                        sl_session_id(shell->session), info.call_count, info.call_count == 1 ? "" : "s", info.ref_count,
                        info.ref_count == 1 ? "" : "s");
    if (info.worker != UINT32_MAX) {
        snprintf(text + size, sizeof text - (size_t)size, "; worker %" PRIu32 ", generation %" PRIu32 ", pid %" PRId64,
                 info.worker, info.generation, sl_pool_worker_pid(shell->caller.pool, info.worker));
    }
    if (print_line(shell, text, &error) != SL_OK) {
        shell->broken = shell->ends = true;
    }
    sl_error_finish(&error);
}

static void run_quit(struct shell *shell, const struct shell_line *line) {
    (void)line;
    shell->ends = true;
}

static const struct {
    const char *name;
    void (*run)(struct shell *shell, const struct shell_line *line);
} shell_commands[] = {
    {"help", run_help_command}, {"refs", run_refs}, {"drop", run_drop},
    {"session", run_session},   {"quit", run_quit}, {"exit", run_quit},
};
#define COMMAND_COUNT (sizeof shell_commands / sizeof shell_commands[0])

static void run_line(struct shell *shell, const char *text) {
    char problem[ARGUMENT_PROBLEM_SIZE];
    struct shell_line line;
    if (!shell_line_parse(&line, text, problem)) {
        tell(shell, problem);
    } else if (line.head != NULL) {
        size_t i = 0;
        while (i < COMMAND_COUNT && (line.name != NULL || strcmp(shell_commands[i].name, line.head) != 0)) {
            i++;
        }
        i < COMMAND_COUNT ? shell_commands[i].run(shell, &line) : run_expression(shell, &line);
    }
    shell_line_finish(&line);
}

/* ---- completion ----------------------------------------------------------------------------------------------------- */

static void offer(struct text_list *found, const char *before, const char *text, size_t size) {
    char *whole = NULL;
    if (asprintf(&whole, "%s%.*s", before, (int)size, text) >= 0 && !text_list_add(found, whole)) {
        free(whole);
    }
}

static void offer_list(struct text_list *found, const char *before, struct sl_value list) {
    struct sl_iter iter;
    struct sl_value entry;
    const char *text;
    size_t size;
    if (list.size > 0 && sl_iter_init(&iter, list) == SL_OK) {
        while (sl_iter_next(&iter, NULL, &entry)) {
            if (sl_value_str(entry, &text, &size) == SL_OK) {
                offer(found, before, text, size);
            }
        }
    }
}

/* Asks slither._shell in the worker. What fails offers nothing. */
static void ask(struct shell *shell, const char *function, struct sl_object *object, const char *text,
                const char *before, struct text_list *found) {
    struct sl_writer writer;
    struct sl_value arguments;
    struct sl_call_options options;
    struct sl_result result = SL_RESULT_INIT;
    const struct sl_value none = {NULL, 0};
    sl_writer_init(&writer, NULL);
    sl_write_list(&writer, object != NULL ? 2 : 1);
    if (object != NULL) {
        sl_write_value(&writer, sl_object_value(object));
    }
    sl_write_str(&writer, text);
    if (sl_writer_end(&writer, &arguments, NULL) == SL_OK && caller_begin(&shell->caller, shell->session, &options)) {
        options.progress = NULL;
        if (sl_call(shell->caller.pool, &options, function, arguments, none, &result, NULL) == SL_OK) {
            offer_list(found, before, result.value);
        }
        caller_end(&shell->caller);
        sl_result_finish(&result);
    }
    sl_writer_finish(&writer);
}

static void complete(void *context, const char *text, struct text_list *found) {
    struct shell *shell = context;
    const char *word = text + strlen(text);
    while (word > text && strchr(" \t=", word[-1]) == NULL) {
        word--;
    }
    const char *dot = strrchr(word, '.');
    if (word[0] == '$' && dot != NULL) {
        char name[SHELL_NAME_SIZE], before[SHELL_NAME_SIZE + 2];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(word + 1, "."), word + 1);
        const struct shell_name *entry = shell_names_find(&shell->names, name);
        if (entry != NULL && entry->object != NULL && dot == word + 1 + strlen(name)) {
            snprintf(before, sizeof before, "$%s.", name);
            ask(shell, "slither._shell:attributes", entry->object, dot + 1, before, found);
        }
        return;
    }
    if (word[0] == '$') {
        for (size_t i = 0; i < shell->names.count; i++) {
            const char *name = shell->names.entries[i].name;
            if (strncmp(name, word + 1, strlen(word + 1)) == 0) {
                offer(found, "$", name, strlen(name));
            }
        }
        return;
    }
    for (size_t i = 0; word == text && i < COMMAND_COUNT; i++) {
        if (word[0] != '\0' && strncmp(shell_commands[i].name, word, strlen(word)) == 0) {
            offer(found, "", shell_commands[i].name, strlen(shell_commands[i].name));
        }
    }
    if (word[0] != '\0') {
        ask(shell, "slither._shell:members", NULL, word, "", found);
    }
}

/* ---- the command ---------------------------------------------------------------------------------------------------- */

static const struct option_spec shell_options[] = {
    OPTION_HEADING("worker"),
    OPTIONS_CALLER_WORKER(struct caller_options),
    {"timeout", 0, OPTION_DURATION, "TIME",
     "Kill the worker when a call takes longer than TIME, and with it the session; 0: never (default 0)",
     offsetof(struct caller_options, timeout_ms), 0, DAY_MS, NULL, NULL},
    OPTION_HEADING("results"),
    OPTION_NAN(struct caller_options),
    OPTIONS_EVENTS(struct caller_options),
    OPTION_REDACT,
    OPTIONS_TERMINAL(struct caller_options),
    OPTION_HELP,
    OPTION_END,
};

static void read_lines(struct shell *shell) {
    const char *line;
    while (!shell->ends) {
        switch (editor_read(shell->editor, &line)) {
        case EDITOR_LINE:
            run_line(shell, line);
            break;
        case EDITOR_INTERRUPTED:
            break;
        case EDITOR_END:
            shell->ends = true;
            break;
        }
    }
}

static int run_open(struct shell *shell) {
    bool interactive = editor_is_interactive(shell->editor);
    if (open_session(shell)) {
        if (interactive && !shell->caller.options->quiet) {
            console_message(CONSOLE_PLAIN, "one session in %s; 'help' tells more", sl_pool_python(shell->caller.pool));
        }
        read_lines(shell);
    }
    struct sl_error error = SL_ERROR_INIT;
    if (!shell->broken && output_close(&shell->caller.out, &error) != SL_OK) {
        shell->broken = true;
    }
    sl_error_finish(&error);
    (void)shell_names_clear(&shell->names, false);
    sl_session_close(shell->session);
    return shell->broken                   ? shell->caller.out.reader_gone ? STATUS_PIPE_CLOSED : STATUS_HALTED
           : shell->failed && !interactive ? STATUS_ITEMS_FAILED
                                           : STATUS_OK;
}

static int run_started(const struct caller_options *options) {
    char problem[OPTION_PROBLEM_SIZE];
    int status = STATUS_HALTED;
    if (!events_open(&options->events, STDIN_FILENO, problem, sizeof problem)) {
        status = usage_error(&shell_command, "%s", problem);
        events_close();
        return status;
    }
    struct shell shell = {0};
    int idle_fd = isatty(STDIN_FILENO) == 1 ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
    if (caller_open(&shell.caller, options, "shell", idle_fd, &status)) {
        shell.editor = editor_open(idle_fd, complete, &shell);
        if (shell.editor == NULL) {
            console_message(CONSOLE_ERROR, "no memory for the editor of lines");
        } else {
            status = run_open(&shell);
        }
        editor_close(shell.editor);
    }
    caller_close(&shell.caller);
    if (idle_fd >= 0) {
        close(idle_fd);
    }
    return status;
}

static int run_shell(int argc, char **argv) {
    char problem[OPTION_PROBLEM_SIZE];
    int first = argc;
    struct caller_options options = CALLER_OPTIONS_INIT;
    options.timeout_ms = 0;
    enum options_result parsed = options_parse(shell_options, argc, argv, &options, &first, problem);
    int status = parsed != OPTIONS_OK ? command_answer(&shell_command, parsed, problem)
                 : first < argc       ? usage_error(&shell_command,
                                                    "'%.60s' is one word too many; lines are typed or piped in", argv[first])
                                      : run_started(&options);
    text_list_finish(&options.python_path);
    secrets_finish();
    return status;
}

const struct command shell_command = {
    .name = "shell",
    .synopsis = "[OPTION...]",
    .summary = "call Python at a prompt, in one session",
    .description = "Lines are calls, such as 'math:sqrt 16'; results that cannot travel stay in Python and get names.\n"
                   "Lines that are piped in are run one after the other.\n",
    .closing = help_text,
    .options = shell_options,
    .operands = OPERAND_NONE,
    .run = run_shell,
};
