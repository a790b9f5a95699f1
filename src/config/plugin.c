/* SPDX-License-Identifier: MIT */
#include "plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SYMBOL_SIZE 160

/* A pointer to data becomes one to a function: POSIX has it so, the language does not. */
static void *find(const struct sl__plugin *plugin, const char *name, const char *ending) {
    char symbol[SYMBOL_SIZE];
    snprintf(symbol, sizeof symbol, "%s%s", name, ending);
    return dlsym(plugin->library, symbol);
}

/* What the first difference is; NULL: none that matters. */
static const char *compare(const struct sl_plugin *theirs) {
    const struct sl_plugin ours = SL_PLUGIN_INIT;
    if (theirs->abi != ours.abi || theirs->size < sizeof ours) {
        return "of the plugin interface";
    }
    if (theirs->value_size != ours.value_size) {
        return "of struct sl_value";
    }
    if (theirs->writer_size != ours.writer_size) {
        return "of struct sl_writer";
    }
    if (theirs->error_size != ours.error_size) {
        return "of struct sl_error";
    }
    /* These begin with their size and grow at the end: a plugin may know less of them. */
    if (theirs->item_size > ours.item_size) {
        return "of struct sl_pipe_item";
    }
    return theirs->context_size > ours.context_size ? "of struct sl_pipe_context" : NULL;
}

enum sl_code sl__plugin_load(const char *path, const char *function, struct sl__plugin *plugin,
                             struct sl_error *error) {
    if (strlen(function) + sizeof "_finish" > SYMBOL_SIZE) {
        return sl_error_set(error, SL_E_NOT_FOUND, "the name of the function is too long");
    }
    if (access(path, F_OK) != 0) {
        return sl_error_set(error, SL_E_NOT_FOUND, "there is no library %.256s", path);
    }
    plugin->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (plugin->library == NULL) {
        const char *why = dlerror();
        return sl_error_set(error, SL_E_INVALID_DATA, "it cannot be loaded: %.300s", why != NULL ? why : path);
    }
    const struct sl_plugin *theirs = dlsym(plugin->library, "sl_plugin");
    const char *difference = theirs != NULL ? compare(theirs) : NULL;
    enum sl_code code = SL_OK;
    void *symbol = find(plugin, function, "");
    if (theirs == NULL) {
        code = sl_error_set(error, SL_E_INVALID_DATA,
                            "%.256s is no plugin: it lacks the line SL_PLUGIN; of slither/plugin.h", path);
    } else if (difference != NULL) {
        const char *version =
            theirs->size >= sizeof *theirs && theirs->version != NULL ? theirs->version : "another version";
        code = sl_error_set(error, SL_E_VERSION,
                            "%.200s was built with the headers of slither %.32s, which differ from those of %s in the "
                            "layout %s: build it again",
                            path, version, SL_VERSION_STRING, difference);
    } else if (symbol == NULL) {
        code = sl_error_set(error, SL_E_NOT_FOUND, "%.256s has no function %s, or does not show it", path, function);
    }
    if (code != SL_OK) {
        sl__plugin_unload(plugin);
        return code;
    }
    void *init = find(plugin, function, "_init"), *finish = find(plugin, function, "_finish");
    memcpy(&plugin->call, &symbol, sizeof symbol);
    memcpy(&plugin->init, &init, sizeof init);
    memcpy(&plugin->finish, &finish, sizeof finish);
    return SL_OK;
}

void sl__plugin_unload(struct sl__plugin *plugin) {
    if (plugin->library != NULL) {
        (void)dlclose(plugin->library);
    }
    *plugin = (struct sl__plugin){NULL};
}
