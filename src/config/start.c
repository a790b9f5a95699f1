/* SPDX-License-Identifier: MIT */
/* Starting what a file describes, and stopping it: stores and tables first, since the pools' imports may read them, then all pools at once. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <slither/loader.h>

#include "base/array.h"
#include "base/macros.h"
#include "file.h"
#include "requirements.h"
#include "sys/path.h"

struct starting {
    struct sl_pipe_file *file;
    struct sl_runtime *runtime;
    struct sl_pipe_file_start_options options;
    struct sl__arena arena; /* for what only the start needs */
    const char *python;     /* of the pools that name none; NULL: the default */
    struct sl_error *error;
};

static void announce(const struct starting *starting, const char *format, ...) SL_PRINTF(2, 3);
static void announce(const struct starting *starting, const char *format, ...) {
    if (starting->options.announce != NULL) {
        char text[SL_ERROR_MESSAGE_SIZE];
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        starting->options.announce(starting->options.announce_context, text);
    }
}

static enum sl_code no_memory(struct sl_error *error) {
    return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for starting the pipe");
}

/* Puts the place in the file before a message, and keeps all else of the error. */
static enum sl_code blame(const struct starting *starting, const struct sl__part *part, const char *key,
                          struct sl_error *error) {
    const struct sl__yaml *at = part->at != NULL ? sl__part_at(part, key) : NULL;
    char message[SL_ERROR_MESSAGE_SIZE], line[24] = "";
    if (at != NULL && at->line > 0) {
        snprintf(line, sizeof line, ":%u:%u", at->line, at->column);
    }
    if (snprintf(message, sizeof message, "%s%s: %s: %s", starting->file->path, line, part->place, error->message) <
        0) {
        return error->code;
    }
    memcpy(error->message, message, sizeof message);
    return error->code;
}

/* ---- stores ------------------------------------------------------------------------------------------------------ */

static enum sl_code load_table(struct starting *starting, const struct sl__table_part *said, struct sl_table *table) {
    struct sl_loader_options options = SL_LOADER_OPTIONS_INIT;
    const struct sl__load_part *load = &said->load;
    struct sl_loader *loader = NULL;
    uint64_t row_count;
    enum sl_code code;
    options.key = said->key;
    options.value = said->value;
    options.csv_types = (enum sl_csv_types)load->types;
    if (load->csv != NULL) {
        code = sl_loader_open_csv(load->csv, &options, &loader, starting->error);
    } else if (load->ndjson != NULL) {
        code = sl_loader_open_ndjson(load->ndjson, &options, &loader, starting->error);
    } else {
        code = sl_loader_open_sqlite(load->sqlite, load->query, &options, &loader, starting->error);
    }
    if (code == SL_OK) {
        announce(starting, "loading %s", said->part.place);
        code = sl_table_reload(table, sl_loader_next, loader, &row_count, starting->error);
    }
    sl_loader_close(loader);
    return code == SL_OK ? SL_OK : blame(starting, &said->part, "load", starting->error);
}

static enum sl_code open_table(struct starting *starting, const struct sl__store_part *store_said,
                               const struct sl__table_part *said, struct sl_store *store) {
    struct sl_table_options options = SL_TABLE_OPTIONS_INIT;
    struct sl_table *table = NULL;
    options.kind = (enum sl_table_kind)said->kind;
    options.ttl_ms = said->ttl_ms;
    options.max_entries = said->entries_max;
    options.policy = (enum sl_table_full)said->full;
    enum sl_code code =
        sl_table_open(store, said->part.name, store_said->options.read_only ? NULL : &options, &table, starting->error);
    if (code != SL_OK) {
        return blame(starting, &said->part, "type", starting->error);
    }
    for (struct sl__native *native = starting->file->natives; native != NULL; native = native->next) {
        const struct sl__lookup_part *lookup = &native->said->lookup;
        if (lookup->store != NULL && strcmp(lookup->store, store_said->part.name) == 0 &&
            strcmp(lookup->table, said->part.name) == 0) {
            native->table = table;
        }
    }
    return said->load.part.at != NULL ? load_table(starting, said, table) : SL_OK;
}

static enum sl_code open_stores(struct starting *starting) {
    struct sl_pipe_file *file = starting->file;
    const struct sl__store_part *said = file->said.stores.items;
    file->stores = calloc(file->said.stores.count + 1, sizeof *file->stores);
    if (file->stores == NULL) {
        return no_memory(starting->error);
    }
    for (uint32_t i = 0; i < file->said.stores.count; i++) {
        enum sl_code code =
            sl_store_create(starting->runtime, &said[i].options, &file->stores[i].store, starting->error);
        file->stores[i].name = said[i].part.name;
        if (code != SL_OK) {
            return blame(starting, &said[i].part, "path", starting->error);
        }
        const struct sl__table_part *tables = said[i].tables.items;
        for (uint32_t j = 0; j < said[i].tables.count; j++) {
            code = open_table(starting, &said[i], &tables[j], file->stores[i].store);
            if (code != SL_OK) {
                return code;
            }
        }
    }
    return SL_OK;
}

uint32_t sl_pipe_file_load_count(const struct sl_pipe_file *file) {
    uint32_t count = 0;
    const struct sl__store_part *stores = file->said.stores.items;
    for (uint32_t i = 0; i < file->said.stores.count; i++) {
        const struct sl__table_part *tables = stores[i].tables.items;
        for (uint32_t j = 0; j < stores[i].tables.count; j++) {
            count += tables[j].load.part.at != NULL;
        }
    }
    return count;
}

static enum sl_code reload_store(struct sl_pipe_file *file, const struct sl__store_part *said, struct sl_store *store,
                                 struct sl_error *first) {
    enum sl_code result = SL_OK;
    const struct sl__table_part *tables = said->tables.items;
    for (uint32_t i = 0; i < said->tables.count; i++) {
        struct sl_error error = SL_ERROR_INIT;
        struct starting starting = {.file = file, .options = SL_PIPE_FILE_START_OPTIONS_INIT, .error = &error};
        struct sl_table *table = NULL;
        if (tables[i].load.part.at == NULL) {
            continue;
        }
        enum sl_code code = sl_table_open(store, tables[i].part.name, NULL, &table, &error);
        code = code == SL_OK ? load_table(&starting, &tables[i], table)
                             : blame(&starting, &tables[i].part, "type", &error);
        if (code != SL_OK && result == SL_OK) {
            result = code;
            if (first != NULL) {
                sl_error_copy(first, &error);
            }
        }
        sl_error_finish(&error);
    }
    return result;
}

enum sl_code sl_pipe_file_reload(struct sl_pipe_file *file, struct sl_error *error) {
    enum sl_code result = SL_OK;
    if (file == NULL || !file->started) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_pipe_file_reload: a file that is started is needed");
    }
    const struct sl__store_part *said = file->said.stores.items;
    for (uint32_t i = 0; i < file->said.stores.count; i++) {
        enum sl_code code = reload_store(file, &said[i], file->stores[i].store, result == SL_OK ? error : NULL);
        result = result == SL_OK ? code : result;
    }
    return result;
}

/* ---- plugins ----------------------------------------------------------------------------------------------------- */

static enum sl_code init_plugin(struct starting *starting, struct sl__native *native) {
    static const uint8_t nil[] = {0xc0};
    struct sl_plugin_setup setup = {
        .size = sizeof setup,
        .pipe = starting->file->said.pipe,
        .stage = native->said->part.name,
        .directory = starting->file->directory,
        .config = {nil, sizeof nil},
    };
    struct sl_writer writer;
    enum sl_code code = SL_OK;
    sl_writer_init(&writer, NULL);
    if (native->said->config != NULL) {
        sl__yaml_write(native->said->config, &writer);
        code = sl_writer_end(&writer, &setup.config, starting->error);
    }
    native->plugin_context = NULL;
    if (code == SL_OK && native->plugin.init != NULL) {
        code = native->plugin.init(&setup, &native->plugin_context, starting->error);
        if (code != SL_OK && starting->error->code == SL_OK) {
            (void)sl_error_set(starting->error, code, "the plugin's init function failed: %s", sl_code_text(code));
        }
    }
    sl_writer_finish(&writer);
    native->plugin_ready = code == SL_OK;
    return code == SL_OK ? SL_OK : blame(starting, &native->said->part, "plugin", starting->error);
}

static enum sl_code init_plugins(struct starting *starting) {
    for (struct sl__native *native = starting->file->natives; native != NULL; native = native->next) {
        if (native->plugin.call != NULL) {
            enum sl_code code = init_plugin(starting, native);
            if (code != SL_OK) {
                return code;
            }
        }
    }
    return SL_OK;
}

static void finish_plugins(struct sl_pipe_file *file) {
    for (struct sl__native *native = file->natives; native != NULL; native = native->next) {
        if (native->plugin_ready && native->plugin.finish != NULL) {
            native->plugin.finish(native->plugin_context);
        }
        native->plugin_ready = false;
        native->table = NULL;
    }
}

/* ---- pools ------------------------------------------------------------------------------------------------------- */

struct list {
    const char **items;
    size_t count, capacity;
};

/* Adds a text unless it is there; false: no memory. */
static bool add_once(struct list *list, const char *text) {
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i], text) == 0) {
            return true;
        }
    }
    if (!SL_ARRAY_RESERVE(list, 2)) {
        return false;
    }
    list->items[list->count++] = text;
    list->items[list->count] = NULL;
    return true;
}

static bool add_all(struct list *list, const char *const *texts) {
    for (size_t i = 0; texts != NULL && texts[i] != NULL; i++) {
        if (!add_once(list, texts[i])) {
            return false;
        }
    }
    return true;
}

/* A variable of the pool replaces the file's of that name. */
static bool add_environment(struct list *list, const char *const *pairs) {
    for (size_t i = 0; pairs != NULL && pairs[i] != NULL; i++) {
        size_t name_size = strcspn(pairs[i], "=");
        bool replaced = false;
        for (size_t j = 0; j < list->count && !replaced; j++) {
            if (strncmp(list->items[j], pairs[i], name_size) == 0 &&
                (list->items[j][name_size] == '=' || list->items[j][name_size] == '\0')) {
                list->items[j] = pairs[i];
                replaced = true;
            }
        }
        if (!replaced && !add_once(list, pairs[i])) {
            return false;
        }
    }
    return true;
}

/* The interpreter of all pools that name none. */
static enum sl_code provide_python(struct starting *starting) {
    const struct sl__python_part *python = &starting->file->said.python;
    starting->python = python->interpreter;
    if (python->requirements == NULL || python->requirements[0] == NULL || starting->file->said.pools.count == 0) {
        return SL_OK;
    }
    const struct sl__requirements requirements = {
        .interpreter = python->interpreter,
        .wanted = python->requirements,
        .directory = starting->file->directory,
        .timeout_ms = starting->options.requirements_timeout_ms,
        .announce = starting->options.announce,
        .announce_context = starting->options.announce_context,
    };
    enum sl_code code = sl__requirements_provide(&requirements, &starting->arena, &starting->python, starting->error);
    return code == SL_OK ? SL_OK : blame(starting, &python->part, "requirements", starting->error);
}

/* One pool on its way. */
struct birth {
    struct starting *starting;
    const struct sl__pool_part *said;
    struct sl_pool_options options;
    struct list preload, environment, path;
    struct sl_pool *pool;
    enum sl_code code;
    struct sl_error error;
    pthread_t thread;
    bool running;
};

/* Directories for the workers, which may run elsewhere: absolute. */
static enum sl_code prepare_path(struct birth *birth) {
    struct sl_pipe_file *file = birth->starting->file;
    const char *here[] = {file->directory[0] != '\0' ? file->directory : ".", NULL};
    const char *const *path = birth->said->path != NULL        ? birth->said->path
                              : file->said.python.path != NULL ? file->said.python.path
                                                               : here;
    for (size_t i = 0; path[i] != NULL; i++) {
        char *resolved = NULL;
        enum sl_code code = sl__path_resolve(path[i], &resolved, &birth->error);
        if (code != SL_OK) {
            const struct sl__part *part = birth->said->path != NULL ? &birth->said->part : &file->said.python.part;
            return blame(birth->starting, part, "path", &birth->error);
        }
        char *kept = sl__arena_text(&birth->starting->arena, resolved, strlen(resolved));
        free(resolved);
        if (kept == NULL || !add_once(&birth->path, kept)) {
            return no_memory(&birth->error);
        }
    }
    return SL_OK;
}

static enum sl_code prepare_birth(struct birth *birth, bool first) {
    struct sl_pipe_file *file = birth->starting->file;
    const struct sl__stage_part *stages = file->said.stages.items;
    bool fits = add_all(&birth->preload, birth->said->preload) &&
                add_environment(&birth->environment, file->said.env) &&
                add_environment(&birth->environment, birth->said->env);
    for (uint32_t i = 0; i < file->said.stages.count && fits; i++) {
        bool ours = stages[i].python != NULL &&
                    (stages[i].pool != NULL ? strcmp(stages[i].pool, birth->said->part.name) == 0 : first);
        fits = !ours || add_once(&birth->preload, stages[i].python);
    }
    if (!fits) {
        return no_memory(&birth->error);
    }
    birth->options = birth->said->options;
    birth->options.preload = birth->preload.items;
    birth->options.environment = birth->environment.items;
    if (birth->options.python == NULL) {
        birth->options.python = birth->starting->python;
    }
    if (birth->starting->options.redact != NULL) {
        birth->options.redact = birth->starting->options.redact;
    } else if (birth->options.redact == NULL) {
        birth->options.redact = file->said.redact;
    }
    enum sl_code code = prepare_path(birth);
    birth->options.python_path = birth->path.items;
    return code;
}

/* What cannot be imported is a matter of the stage that names it. */
static void blame_pool(const struct starting *starting, const struct sl__pool_part *pool, struct sl_error *error) {
    const struct sl__stage_part *stages = starting->file->said.stages.items;
    for (uint32_t i = 0; i < starting->file->said.stages.count; i++) {
        const char *function = stages[i].python;
        size_t size = function != NULL ? strlen(function) : 0;
        if (size > 0 && strncmp(error->message, function, size) == 0 && error->message[size] == ':') {
            (void)blame(starting, &stages[i].part, "python", error);
            return;
        }
    }
    (void)blame(starting, &pool->part, "workers", error);
}

static void *bear(void *context) {
    struct birth *birth = context;
    birth->code = sl_pool_create(birth->starting->runtime, &birth->options, &birth->pool, &birth->error);
    return NULL;
}

static void begin_birth(struct birth *birth) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int status = pthread_create(&birth->thread, NULL, bear, birth);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    birth->running = status == 0;
    if (status != 0) {
        birth->code = sl_error_set(&birth->error, SL_E_SYSTEM, "the thread that starts it could not be started: %s",
                                   strerror(status));
    }
}

static enum sl_code start_pools(struct starting *starting) {
    struct sl_pipe_file *file = starting->file;
    const struct sl__pool_part *said = file->said.pools.items;
    uint32_t count = file->said.pools.count;
    struct birth *births = calloc(count + 1, sizeof *births);
    enum sl_code code = SL_OK;
    file->pools = calloc(count + 1, sizeof *file->pools);
    if (births == NULL || file->pools == NULL) {
        free(births);
        return no_memory(starting->error);
    }
    for (uint32_t i = 0; i < count; i++) {
        births[i].starting = starting;
        births[i].said = &said[i];
        births[i].error = (struct sl_error)SL_ERROR_INIT;
        births[i].code = prepare_birth(&births[i], i == 0);
        if (births[i].code == SL_OK) {
            begin_birth(&births[i]);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        struct birth *birth = &births[i];
        if (birth->running) {
            pthread_join(birth->thread, NULL);
        }
        file->pools[i] = (struct sl_pipe_pool){said[i].part.name, birth->pool};
        if (birth->code != SL_OK && code == SL_OK) {
            code = birth->code;
            sl_error_copy(starting->error, &birth->error);
            if (birth->running) {
                blame_pool(starting, &said[i], starting->error);
            }
        }
        sl_error_finish(&birth->error);
        SL_ARRAY_FINISH(&birth->preload);
        SL_ARRAY_FINISH(&birth->environment);
        SL_ARRAY_FINISH(&birth->path);
    }
    file->pool_count = count;
    free(births);
    return code;
}

/* ---- start, stop ------------------------------------------------------------------------------------------------- */

static void stop_all(struct sl_pipe_file *file, uint32_t timeout_ms) {
    for (uint32_t i = 0; i < file->pool_count && timeout_ms > 0; i++) {
        (void)sl_pool_drain(file->pools[i].pool, timeout_ms, NULL);
    }
    for (uint32_t i = 0; i < file->pool_count; i++) {
        sl_pool_destroy(file->pools[i].pool);
    }
    finish_plugins(file);
    for (uint32_t i = 0; i < file->said.stores.count && file->stores != NULL; i++) {
        sl_store_destroy(file->stores[i].store);
    }
    free(file->pools);
    free(file->stores);
    file->pools = NULL;
    file->stores = NULL;
    file->pool_count = 0;
    file->started = false;
    file->runtime = NULL;
}

enum sl_code sl_pipe_file_start(struct sl_pipe_file *file, struct sl_runtime *runtime,
                                const struct sl_pipe_file_start_options *options, struct sl_error *error) {
    struct sl_error own = SL_ERROR_INIT;
    struct starting starting = {.file = file,
                                .runtime = runtime,
                                .options = SL_PIPE_FILE_START_OPTIONS_INIT,
                                .error = error != NULL ? error : &own};
    if (file == NULL || runtime == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_pipe_file_start: a file and a runtime are needed");
    }
    if (file->started) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "%s is started already", file->path);
    }
    if (options != NULL) {
        memcpy(&starting.options, options, SL_MIN(options->size, sizeof starting.options));
    }
    sl_error_finish(starting.error);
    const char *const *redact = starting.options.redact != NULL ? starting.options.redact : file->said.redact;
    enum sl_code code = sl__redact_init(&file->redact, redact, starting.error);
    if (code == SL_OK) {
        code = provide_python(&starting);
    }
    if (code == SL_OK) {
        code = open_stores(&starting);
    }
    if (code == SL_OK) {
        code = init_plugins(&starting);
    }
    if (code == SL_OK) {
        code = start_pools(&starting);
    }
    sl__arena_finish(&starting.arena);
    if (code != SL_OK) {
        stop_all(file, 0);
    }
    file->started = code == SL_OK;
    file->runtime = code == SL_OK ? runtime : NULL;
    sl_error_finish(&own);
    return code;
}

void sl_pipe_file_stop(struct sl_pipe_file *file, uint32_t timeout_ms) {
    if (file != NULL && file->started) {
        stop_all(file, timeout_ms);
    }
}
