/* SPDX-License-Identifier: MIT */
#include "cgroup.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sys/directory.h"
#include "sys/path.h"
#include "sys/proc.h"

#define PREFIX "slither-"
#define PATH_SIZE 4096

static bool has_word(const char *words, const char *word) {
    size_t size = strlen(word);
    for (const char *at = words; (at = strstr(at, word)) != NULL; at += size) {
        if ((at == words || isspace((unsigned char)at[-1])) && (at[size] == '\0' || isspace((unsigned char)at[size]))) {
            return true;
        }
    }
    return false;
}

/* A host that was killed could not remove its groups; those that still have a process stay. */
static bool sweep(void *context, const char *name) {
    char path[PATH_SIZE];
    long pid = strtol(name + sizeof(PREFIX) - 1, NULL, 10);
    if (pid > 0 && sl__proc_state((pid_t)pid) == 0 &&
        snprintf(path, sizeof(path), "%s/%s", (const char *)context, name) < (int)sizeof(path)) {
        sl__proc_remove_group(path);
    }
    return true;
}

enum sl_code sl__cgroup_check(const char *parent, struct sl_error *error) {
    char path[PATH_SIZE], text[1024];
    if (parent[0] != '/' || snprintf(path, sizeof(path), "%s/cgroup.subtree_control", parent) >= (int)sizeof(path)) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "sl_pool_create: cgroup is \"%.200s\"; expected the absolute path of a directory", parent);
    }
    if (!sl__proc_read(path, text, sizeof(text))) {
        return sl_error_set(
            error, SL_E_INVALID_ARGUMENT,
            "sl_pool_create: cgroup \"%.200s\" is no control group of version 2 (it has no readable "
            "cgroup.subtree_control); give one that is delegated to this process, or leave it out to limit "
            "memory with RLIMIT_DATA",
            parent);
    }
    if (!has_word(text, "memory")) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "sl_pool_create: cgroup \"%.200s\" has no memory controller for its children; write "
                            "\"+memory\" to its cgroup.subtree_control, with no process in the group itself",
                            parent);
    }
    if (!sl__directory_usable(parent)) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "sl_pool_create: cgroup \"%.200s\" is not delegated to this process: it may not make "
                            "directories there",
                            parent);
    }
    (void)sl__directory_each(parent, PREFIX, sweep, (void *)(uintptr_t)parent, NULL);
    return SL_OK;
}

static enum sl_code write_file(const char *group, const char *name, const char *text, struct sl_error *error) {
    char path[PATH_SIZE];
    snprintf(path, sizeof(path), "%s/%s", group, name);
    return sl__proc_write(path, text, error);
}

enum sl_code sl__cgroup_open(struct sl__cgroup *group, const char *parent, const char *name, uint64_t memory_max_bytes,
                             struct sl_error *error) {
    char text[24];
    if (asprintf(&group->path, "%s/%s", parent, name) < 0 || strlen(group->path) > PATH_SIZE - 64) {
        sl__cgroup_close(group);
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for the path of a control group");
    }
    snprintf(text, sizeof(text), "%" PRIu64, memory_max_bytes);
    enum sl_code code = sl__path_make(group->path, NULL, error);
    if (code == SL_OK && memory_max_bytes > 0) {
        code = write_file(group->path, "memory.max", text, error);
    }
    if (code != SL_OK) {
        sl__cgroup_close(group);
    }
    return code;
}

enum sl_code sl__cgroup_enter(const struct sl__cgroup *group, pid_t pid, struct sl_error *error) {
    char text[24];
    if (group->path == NULL) {
        return SL_OK;
    }
    snprintf(text, sizeof(text), "%ld", (long)pid);
    return write_file(group->path, "cgroup.procs", text, error);
}

void sl__cgroup_close(struct sl__cgroup *group) {
    if (group->path != NULL) {
        sl__proc_remove_group(group->path);
        free(group->path);
        group->path = NULL;
    }
}
