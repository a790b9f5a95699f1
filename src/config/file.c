/* SPDX-License-Identifier: MIT */
#include "file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the tables cannot say ---------------------------------------------------------------------------------- */

static void SL_PRINTF(4, 5)
    problem(struct sl__reader *reader, const struct sl__part *part, const char *key, const char *format, ...) {
    char message[SL_ERROR_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    bool given = key != NULL && sl__yaml_get(part->at, key) != NULL;
    sl__problem(reader->problems, given ? sl__yaml_get(part->at, key) : part->at,
                given ? sl__part_place(reader, part, key) : part->place, "%s", message);
}

static bool ends_with(const char *text, const char *ending) {
    size_t size = strlen(text), ending_size = strlen(ending);
    return size > ending_size && strcmp(text + size - ending_size, ending) == 0;
}

static void check_load(struct sl__reader *reader, struct sl__table_part *table) {
    struct sl__load_part *load = &table->load;
    if (load->part.at == NULL) {
        const char *const only_with[] = {"key", "value"};
        for (int i = 0; i < 2; i++) {
            if (sl__yaml_get(table->part.at, only_with[i]) != NULL) {
                problem(reader, &table->part, only_with[i], "it says how rows are loaded, but there is no load");
            }
        }
        return;
    }
    if (load->path != NULL) {
        if (ends_with(load->path, ".csv")) {
            load->csv = load->path;
        } else if (ends_with(load->path, ".ndjson") || ends_with(load->path, ".jsonl")) {
            load->ndjson = load->path;
        } else {
            problem(
                reader, &load->part, NULL,
                "what kind of file this is cannot be told by its name: expected .csv or .ndjson, or a map with csv, "
                "ndjson or sqlite");
        }
        return;
    }
    int given = (sl__yaml_get(load->part.at, "csv") != NULL) + (sl__yaml_get(load->part.at, "ndjson") != NULL) +
                (sl__yaml_get(load->part.at, "sqlite") != NULL);
    if (given != 1 && load->part.at->kind == SL__YAML_MAP) {
        problem(reader, &load->part, NULL, "expected one of csv, ndjson and sqlite%s",
                given > 1 ? ", not several" : "");
    } else if (load->sqlite != NULL && load->query == NULL) {
        problem(reader, &load->part, "sqlite", "a database needs a query that gives the rows");
    } else if (load->sqlite == NULL && load->query != NULL) {
        problem(reader, &load->part, "query", "only a database has a query");
    } else if (load->csv == NULL && sl__yaml_get(load->part.at, "types") != NULL) {
        problem(reader, &load->part, "types", "only the fields of CSV files need types");
    }
}

static bool is_store_name(const char *name) {
    size_t size = strlen(name);
    return size > 0 && size <= SL_STORE_NAME_SIZE_MAX && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == size;
}

static void check_stores(struct sl__reader *reader, const struct sl__file_part *said) {
    struct sl__store_part *stores = said->stores.items;
    for (uint32_t i = 0; i < said->stores.count; i++) {
        struct sl__store_part *store = &stores[i];
        struct sl__table_part *tables = store->tables.items;
        if (store->part.name == NULL || !is_store_name(store->part.name)) {
            problem(reader, &store->part, NULL,
                    "the name of a store has 1 to %u letters, digits, '_', '-' or '.', and no '.' first",
                    SL_STORE_NAME_SIZE_MAX);
        }
        store->options.name = store->part.name;
        store->options.sync = (enum sl_store_sync)store->sync;
        store->options.change_bytes = (uint32_t)store->change_bytes;
        if (store->options.read_only && store->options.path == NULL) {
            problem(reader, &store->part, "read_only", "only a store with a path can be there already");
        }
        if (store->tables.count > store->options.tables_max) {
            problem(reader, &store->part, "tables", "%u tables are more than tables_max, which is %u",
                    store->tables.count, store->options.tables_max);
        }
        for (uint32_t j = 0; j < store->tables.count; j++) {
            if (tables[j].part.name == NULL || strlen(tables[j].part.name) > SL_STORE_NAME_SIZE_MAX) {
                problem(reader, &tables[j].part, NULL, "the name of a table has 1 to %u bytes", SL_STORE_NAME_SIZE_MAX);
            }
            if (store->options.read_only && tables[j].load.part.at != NULL) {
                problem(reader, &tables[j].part, "load", "nothing can be loaded into a store that is only read");
            }
            check_load(reader, &tables[j]);
        }
    }
}

/* One with a slash is a path, and begins at the file's directory; another is looked up on PATH. */
static const char *interpreter_path(struct sl__reader *reader, const char *interpreter) {
    return interpreter != NULL && strchr(interpreter, '/') != NULL ? sl__read_path(reader, interpreter) : interpreter;
}

static void check_pools(struct sl__reader *reader, struct sl__file_part *said) {
    struct sl__pool_part *pools = said->pools.items;
    const struct sl__section *section = sl__key_find(&sl__file_section, "pools")->section;
    if (said->pools.count == 0) { /* there is one without a word, when a stage needs it */
        const struct sl__stage_part *stages = said->stages.items;
        bool needed = false;
        for (uint32_t i = 0; i < said->stages.count; i++) {
            needed = needed || stages[i].python != NULL;
        }
        said->pools.items = pools = needed ? sl__arena_take(reader->arena, sizeof *pools) : NULL;
        if (needed && pools == NULL) {
            reader->problems->out_of_memory = true;
        } else if (needed) {
            sl__part_init(section, pools, "pools.main");
            pools->part.name = "main";
            said->pools.count = 1;
        }
    }
    said->python.interpreter = interpreter_path(reader, said->python.interpreter);
    for (uint32_t i = 0; i < said->pools.count; i++) {
        struct sl_pool_options *options = &pools[i].options;
        if (pools[i].part.name == NULL) {
            problem(reader, &pools[i].part, NULL, "a pool needs a name");
        }
        options->name = pools[i].part.name;
        options->python = interpreter_path(reader, options->python);
        options->template_use = (enum sl_template)pools[i].template_use;
        options->affinity = (enum sl_affinity)pools[i].affinity;
        options->recycle_batches = pools[i].recycle.batches;
        options->recycle_age_ms = pools[i].recycle.age_ms;
        options->recycle_rss_bytes = pools[i].recycle.rss;
        options->recycle_jitter_percent = pools[i].recycle.jitter_percent;
        uint32_t min = options->worker_min, workers = options->worker_count, max = options->worker_max;
        if ((min != 0 && workers != 0 && min > workers) || (min != 0 && max != 0 && min > max)) {
            problem(reader, &pools[i].part, "workers_min", "%u is more than the pool has at %s", min,
                    workers != 0 && min > workers ? "the start" : "most");
        } else if (max != 0 && workers > max) {
            problem(reader, &pools[i].part, "workers_max", "%u is less than the %u at the start", max, workers);
        }
    }
}

/* The patterns of the file, and those of pools, which the pools would find out about too late. */
static void check_redact(struct sl__reader *reader, struct sl_pipe_file *file) {
    struct sl_error error = SL_ERROR_INIT;
    if (sl__redact_init(&file->redact, file->said.redact, &error) != SL_OK) {
        problem(reader, &file->said.part, "redact", "%s", error.message);
    }
    const struct sl__pool_part *pools = file->said.pools.items;
    for (uint32_t i = 0; i < file->said.pools.count; i++) {
        struct sl__redact redact;
        if (sl__redact_init(&redact, pools[i].options.redact, &error) != SL_OK) {
            problem(reader, &pools[i].part, "redact", "%s", error.message);
        }
    }
    sl_error_finish(&error);
}

static void check_run(struct sl__reader *reader, struct sl_pipe_file *file) {
    const struct sl__run_part *run = &file->said.options;
    struct sl_error error = SL_ERROR_INIT;
    if (run->metadata == NULL) {
        return;
    }
    sl__yaml_write(run->metadata, &file->metadata);
    if (sl_writer_end(&file->metadata, &file->metadata_value, &error) != SL_OK) {
        problem(reader, &run->part, "metadata", "%s", error.message);
    }
    sl_error_finish(&error);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static bool set_place(struct sl_pipe_file *file, const char *name) {
    const char *slash = strrchr(name, '/');
    file->path = sl__arena_text(&file->arena, name, strlen(name));
    size_t size = slash == NULL ? 0 : slash == name ? 1 : (size_t)(slash - name);
    file->directory = sl__arena_text(&file->arena, name, size);
    return file->path != NULL && file->directory != NULL;
}

static void read_text(struct sl_pipe_file *file, struct sl__problems *problems, const char *text, size_t size,
                      enum sl__file_depth depth, const struct sl_pipe_setting *settings, uint32_t setting_count) {
    struct sl__reader reader = {&file->arena, problems, file->directory};
    if (size > SL_PIPE_FILE_SIZE_MAX) {
        sl__problem(problems, NULL, NULL, "it has %zu bytes: a pipe file has at most %zu", size, SL_PIPE_FILE_SIZE_MAX);
        return;
    }
    struct sl__yaml *root = sl__yaml_parse(&file->arena, text, size, NULL, problems);
    if (root == NULL) {
        return;
    }
    if (root->kind == SL__YAML_MAP) {
        sl__apply_settings(&reader, root, settings, setting_count);
        sl__fill_variables(&reader, root, &file->vars);
    }
    sl__read_file(&reader, root, &file->said);
    if (root->kind != SL__YAML_MAP || problems->out_of_memory) {
        return;
    }
    check_pools(&reader, &file->said);
    check_stores(&reader, &file->said);
    check_redact(&reader, file);
    check_run(&reader, file);
    sl__make_pipe(&reader, file, depth);
}

enum sl_code sl__pipe_file_parse(const char *text, size_t size, const char *name, enum sl__file_depth depth,
                                 const struct sl_pipe_setting *settings, uint32_t setting_count,
                                 struct sl_pipe_file **out, struct sl_pipe_file_problem *list, uint32_t problem_max,
                                 uint32_t *problem_count, struct sl_error *error) {
    struct sl__problems problems = {.file = name};
    struct sl_pipe_file *file = calloc(1, sizeof *file);
    if (problem_count != NULL) {
        *problem_count = 0;
    }
    if (file == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for what %s says", name);
    }
    file->vars = jv_object();
    sl_writer_init(&file->metadata, NULL);
    enum sl_code code = sl__jq_watch_create(&file->watch, error);
    if (code == SL_OK && !set_place(file, name)) {
        code = sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for what %s says", name);
    }
    if (code == SL_OK) {
        read_text(file, &problems, text, size, depth, settings, setting_count);
        code = sl__problems_give(&problems, list, problem_max, problem_count, error);
    }
    sl__problems_finish(&problems);
    if (code != SL_OK) {
        sl_pipe_file_destroy(file);
        return code;
    }
    *out = file;
    return SL_OK;
}

static bool are_settings(const struct sl_pipe_setting *settings, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (settings == NULL || settings[i].key == NULL || settings[i].value == NULL) {
            return false;
        }
    }
    return true;
}

enum sl_code sl_pipe_file_parse(const char *text, size_t size, const char *name, const struct sl_pipe_setting *settings,
                                uint32_t setting_count, struct sl_pipe_file **file,
                                struct sl_pipe_file_problem *problems, uint32_t problem_max, uint32_t *problem_count,
                                struct sl_error *error) {
    if ((text == NULL && size > 0) || name == NULL || file == NULL || !are_settings(settings, setting_count)) {
        return sl_error_set(
            error, SL_E_INVALID_ARGUMENT,
            "sl_pipe_file_parse: a text, a name, a place for the file, and settings that are whole are needed");
    }
    return sl__pipe_file_parse(text != NULL ? text : "", size, name, SL__FILE_WHOLE, settings, setting_count, file,
                               problems, problem_max, problem_count, error);
}

/* Reads all of it, one byte past the bound at most, so that what is too large is known to be. */
static enum sl_code load(const char *path, char **text, size_t *size, struct sl_error *error) {
    char *buffer = malloc(SL_PIPE_FILE_SIZE_MAX + 1);
    if (buffer == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for it");
    }
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        *size = fread(buffer, 1, SL_PIPE_FILE_SIZE_MAX + 1, file);
    }
    if (file == NULL || ferror(file)) {
        int number = errno;
        free(buffer);
        if (file != NULL) {
            fclose(file);
        }
        enum sl_code code = sl_error_set(error, SL_E_SYSTEM, "it cannot be read: %s", strerror(number));
        error->system_errno = number;
        return code;
    }
    fclose(file);
    *text = buffer;
    return SL_OK;
}

enum sl_code sl_pipe_file_read(const char *path, const struct sl_pipe_setting *settings, uint32_t setting_count,
                               struct sl_pipe_file **file, struct sl_pipe_file_problem *problems, uint32_t problem_max,
                               uint32_t *problem_count, struct sl_error *error) {
    char *text = NULL;
    size_t size = 0;
    struct sl_error inner = SL_ERROR_INIT;
    if (path == NULL || file == NULL || !are_settings(settings, setting_count)) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "sl_pipe_file_read: a path, a place for the file, and settings that are whole are needed");
    }
    enum sl_code code = load(path, &text, &size, &inner);
    if (code == SL_OK) {
        code = sl__pipe_file_parse(text, size, path, SL__FILE_WHOLE, settings, setting_count, file, problems,
                                   problem_max, problem_count, error);
        free(text);
        return code;
    }
    struct sl__problems wrong = {.file = path};
    sl__problem(&wrong, NULL, NULL, "%s", inner.message);
    (void)sl__problems_give(&wrong, problems, problem_max, problem_count, error);
    sl__problems_finish(&wrong);
    if (error != NULL) {
        error->code = code;
        error->system_errno = inner.system_errno;
    }
    sl_error_finish(&inner);
    return code;
}

void sl_pipe_file_destroy(struct sl_pipe_file *file) {
    if (file == NULL) {
        return;
    }
    sl_pipe_file_stop(file, 0);
    sl_pipe_destroy(file->pipe);
    for (struct sl__native *native = file->natives; native != NULL; native = native->next) {
        sl__jq_destroy(native->jq);
        sl__jq_destroy(native->weight);
        sl__plugin_unload(&native->plugin);
    }
    sl__jq_watch_destroy(file->watch);
    jv_free(file->vars);
    sl_writer_finish(&file->metadata);
    sl__arena_finish(&file->arena);
    free(file);
}

/* ---- what it says ------------------------------------------------------------------------------------------------ */

struct sl_pipe *sl_pipe_file_pipe(const struct sl_pipe_file *file) {
    return file->pipe;
}

const char *sl_pipe_file_name(const struct sl_pipe_file *file) {
    return file->said.pipe;
}

const char *sl_pipe_file_description(const struct sl_pipe_file *file) {
    return file->said.description != NULL ? file->said.description : "";
}

const char *const *sl_pipe_file_outputs(const struct sl_pipe_file *file, uint32_t *count) {
    *count = file->output_count;
    return file->outputs;
}

const char *const *sl_pipe_file_redact(const struct sl_pipe_file *file) {
    return file->said.redact;
}

const struct sl_pipe_pool *sl_pipe_file_pools(const struct sl_pipe_file *file, uint32_t *count) {
    *count = file->started ? file->pool_count : 0;
    return file->pools;
}

void sl_pipe_file_options(const struct sl_pipe_file *file, struct sl_pipe_options *options) {
    const struct sl__run_part *run = &file->said.options;
    *options = (struct sl_pipe_options)SL_PIPE_OPTIONS_INIT;
    options->pools = sl_pipe_file_pools(file, &options->pool_count);
    options->ordering = (enum sl_ordering)run->ordering;
    options->in_flight_max = run->in_flight_max;
    options->in_flight_bytes_max = run->in_flight_bytes_max;
    options->trace_items = run->trace_items;
    options->metadata = file->metadata_value;
    options->runtime = file->runtime;
    options->stores = file->stores;
    options->store_count = file->stores != NULL ? (uint32_t)file->said.stores.count : 0;
}
