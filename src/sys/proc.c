/* SPDX-License-Identifier: MIT */
#include "sys/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sys/failure.h"
#include "sys/fault.h"
#include "sys/memory_file.h"

#define COUNTERS_MAX 32768 /* bytes of a file of counters; /proc/vmstat has 4 KiB */

bool sl__proc_read(const char *path, char *text, size_t capacity) {
    int fd = sl__sys_fails(SL__CALL_OPEN) ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    size_t used = 0;
    ssize_t got = 1;
    while (used < capacity - 1 && (got > 0 || (got < 0 && errno == EINTR))) {
        size_t wanted = capacity - 1 - used;
        got = sl__sys_fails_or_cuts(SL__CALL_READ, &wanted) ? -1 : read(fd, text + used, wanted);
        used += got > 0 ? (size_t)got : 0;
    }
    (void)close(fd);
    text[used] = '\0';
    return got >= 0;
}

enum sl_code sl__proc_write(const char *path, const char *text, struct sl_error *error) {
    int fd = sl__sys_fails(SL__CALL_OPEN) ? -1 : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t put = fd >= 0 && !sl__sys_fails(SL__CALL_WRITE) ? write(fd, text, strlen(text)) : -1;
    int number = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    return put >= 0 ? SL_OK : sl__system_error(error, number, "cannot write \"%.24s\" to %s", text, path);
}

void sl__proc_remove_group(const char *path) {
    (void)rmdir(path);
}

char sl__proc_state_at(const char *path) {
    char text[512];
    if (!sl__proc_read(path, text, sizeof(text))) {
        return 0;
    }
    const char *name_end = strrchr(text, ')'); /* the name of a program may contain anything */
    return name_end != NULL && name_end[1] == ' ' ? name_end[2] : '\0';
}

char sl__proc_state(pid_t pid) {
    char path[48];
    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    return sl__proc_state_at(path);
}

bool sl__proc_rss(pid_t pid, uint64_t *bytes) {
    char path[48], text[256];
    uint64_t resident, of_files;
    snprintf(path, sizeof(path), "/proc/%ld/statm", (long)pid);
    if (!sl__proc_read(path, text, sizeof(text)) ||
        sscanf(text, "%*u %" SCNu64 " %" SCNu64, &resident, &of_files) != 2) {
        return false;
    }
    *bytes = (resident > of_files ? resident - of_files : 0) * sl__page_size();
    return true;
}

bool sl__proc_counter(const char *path, const char *key, uint64_t *value) {
    char *text = malloc(COUNTERS_MAX);
    size_t key_size = strlen(key);
    bool found = false;
    if (text != NULL && sl__proc_read(path, text, COUNTERS_MAX)) {
        for (const char *line = text; line != NULL && !found;) {
            found = strncmp(line, key, key_size) == 0 && line[key_size] == ' ' &&
                    sscanf(line + key_size, " %" SCNu64, value) == 1;
            line = strchr(line, '\n');
            line = line != NULL ? line + 1 : NULL;
        }
    }
    free(text);
    return found;
}
