/* SPDX-License-Identifier: MIT */
/*
 * The stores that a running process has open. A store is mapped as long as it is open, and the kernel says where mapped files lie:
 * nothing has to be asked of the process, and nothing is said that is not so.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store.h"

#define STORE_FILE "/data.mdb"
#define NAMES_SIZE 300

struct search {
    const char *name;
    char *path;
    size_t path_size;
    char last[4096]; /* directory that was seen last: a file is mapped in several pieces */
    char names[NAMES_SIZE];
    size_t names_size;
    unsigned count; /* that fit the name */
};

static void look_at(struct search *search, char *file) {
    size_t size = strlen(file);
    if (size <= strlen(STORE_FILE) || strcmp(file + size - strlen(STORE_FILE), STORE_FILE) != 0) {
        return;
    }
    file[size - strlen(STORE_FILE)] = '\0';
    if (strcmp(file, search->last) == 0 || strlen(file) >= sizeof search->last) {
        return;
    }
    strcpy(search->last, file);
    const char *slash = strrchr(file, '/');
    const char *name = slash != NULL ? slash + 1 : file;
    if (search->names_size < NAMES_SIZE) {
        search->names_size += (size_t)snprintf(search->names + search->names_size, NAMES_SIZE - search->names_size,
                                               "%s%s", search->names_size > 0 ? ", " : "", name);
    }
    if (search->name != NULL && strcmp(search->name, name) != 0 && strcmp(search->name, file) != 0) {
        return;
    }
    search->count++;
    if (strlen(file) < search->path_size) {
        strcpy(search->path, file);
    }
}

bool store_find_open(int64_t pid, const char *name, char *path, size_t path_size, char *problem, size_t problem_size) {
    char maps[64];
    snprintf(maps, sizeof maps, "/proc/%lld/maps", (long long)pid);
    FILE *file = fopen(maps, "re");
    if (file == NULL) {
        snprintf(problem, problem_size, "process %lld cannot be looked at: %s", (long long)pid,
                 errno == ENOENT ? "there is no such process" : strerror(errno));
        return false;
    }
    struct search search = {.name = name, .path = path, .path_size = path_size};
    char *line = NULL;
    size_t capacity = 0;
    path[0] = '\0';
    errno = 0;
    while (getline(&line, &capacity, file) > 0) {
        char *start = strchr(line, '/');
        if (start != NULL) {
            start[strcspn(start, "\n")] = '\0';
            look_at(&search, start);
        }
    }
    int reason = ferror(file) ? errno : 0;
    free(line);
    fclose(file);
    if (search.count == 1 && path[0] != '\0') {
        return true;
    }
    if (reason != 0) {
        snprintf(problem, problem_size, "process %lld cannot be looked at: %s", (long long)pid, strerror(reason));
    } else if (search.names_size == 0) {
        snprintf(problem, problem_size, "process %lld has no store open", (long long)pid);
    } else if (search.count == 0) {
        snprintf(problem, problem_size, "process %lld has no store '%.60s' open; it has: %s", (long long)pid, name,
                 search.names);
    } else {
        snprintf(problem, problem_size,
                 "process %lld has several stores of that name open: %s; name one by its directory", (long long)pid,
                 search.names);
    }
    return false;
}
