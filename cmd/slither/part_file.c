/* SPDX-License-Identifier: MIT */
#include "part_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of a path whose last name need not exist. NULL: errno. */
static char *absolute(const char *path) {
    char *found = realpath(path, NULL);
    if (found != NULL || errno != ENOENT) {
        return found;
    }
    const char *slash = strrchr(path, '/');
    char *directory = slash == NULL ? strdup(".") : slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
    char *whole = NULL;
    char *real = directory != NULL ? realpath(directory, NULL) : NULL;
    const char *name = slash == NULL ? path : slash + 1;
    if (real != NULL && *name == '\0') {
        errno = EISDIR;
    } else if (real != NULL && asprintf(&whole, "%s/%s", strcmp(real, "/") == 0 ? "" : real, name) < 0) {
        whole = NULL;
        errno = ENOMEM;
    }
    int number = errno;
    free(directory);
    free(real);
    errno = number;
    return whole;
}

bool part_file_place(struct part_file *file, const char *path, char *problem, size_t problem_size) {
    struct stat status;
    *file = (struct part_file){.output = {.fd = -1}};
    file->path = absolute(path);
    bool exists = file->path != NULL && stat(file->path, &status) == 0;
    if (file->path == NULL || (exists && S_ISDIR(status.st_mode))) {
        snprintf(problem, problem_size, "cannot write %.200s: %s", path, strerror(file->path == NULL ? errno : EISDIR));
        return false;
    }
    if ((!exists || S_ISREG(status.st_mode)) && asprintf(&file->part, "%s.part", file->path) < 0) {
        file->part = NULL;
        snprintf(problem, problem_size, "out of memory");
        return false;
    }
    return true;
}

bool part_file_same(const struct part_file *a, const struct part_file *b) {
    return strcmp(a->path, b->path) == 0;
}

static bool exists(const char *path, uint64_t *size) {
    struct stat status;
    if (path == NULL || stat(path, &status) != 0) {
        return false;
    }
    *size = (uint64_t)status.st_size;
    return true;
}

bool part_file_exists(const struct part_file *file) {
    uint64_t size;
    return file->part != NULL && (exists(file->part, &size) || exists(file->path, &size));
}

/* The file that the part will take the place of must not be the input: its reader would see the old one, nobody else. */
static bool is_input(const struct part_file *file, int input_fd) {
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool same = fd >= 0 && is_same_file(input_fd, fd);
    if (fd >= 0) {
        close(fd);
    }
    return same;
}

static bool open_part(struct part_file *file, uint64_t bytes, int input_fd, char *problem, size_t problem_size) {
    if (file->part == NULL) {
        return output_open(&file->output, file->path, 0, input_fd, problem, problem_size);
    }
    if (input_fd >= 0 && is_input(file, input_fd)) {
        snprintf(problem, problem_size, "%.200s is the input: writing it would destroy what is still to be read",
                 file->path);
        return false;
    }
    /* The lock comes before the cut: what another run writes stays whole. */
    if (!output_open(&file->output, file->part, OUTPUT_KEEP, input_fd, problem, problem_size)) {
        return false;
    }
    if (flock(file->output.fd, LOCK_EX | LOCK_NB) != 0) {
        snprintf(problem, problem_size, "cannot write %.200s: %s", file->part,
                 errno == EWOULDBLOCK ? "another run is writing it" : strerror(errno));
    } else if (!output_cut(&file->output, bytes)) {
        snprintf(problem, problem_size, "cannot cut %.200s: %s", file->part, strerror(errno));
    } else {
        return true;
    }
    (void)output_close(&file->output, NULL);
    return false;
}

bool part_file_open(struct part_file *file, int input_fd, char *problem, size_t problem_size) {
    return open_part(file, 0, input_fd, problem, problem_size);
}

bool part_file_go_on(struct part_file *file, uint64_t bytes, int input_fd, char *problem, size_t problem_size) {
    uint64_t size = 0;
    if (file->part != NULL && !exists(file->part, &size) && exists(file->path, &size) &&
        rename(file->path, file->part) != 0) {
        snprintf(problem, problem_size, "cannot go on with %.200s: %s", file->path, strerror(errno));
        return false;
    }
    if (file->part != NULL && size < bytes) {
        snprintf(problem, problem_size,
                 "%.200s has %" PRIu64 " bytes, and the report that the run goes on from says that %" PRIu64
                 " were written: it is not that run's",
                 file->part, size, bytes);
        return false;
    }
    return open_part(file, bytes, input_fd, problem, problem_size);
}

enum sl_code part_file_close(struct part_file *file, bool whole, struct sl_error *error) {
    bool failed = file->output.failed;
    enum sl_code code = output_close(&file->output, error);
    if (code == SL_OK && whole && !failed && file->part != NULL && rename(file->part, file->path) != 0) {
        code = sl_error_set(error, SL_E_SYSTEM, "cannot rename %s to %s: %s", file->part, file->path, strerror(errno));
    }
    return code;
}

void part_file_finish(struct part_file *file) {
    (void)output_close(&file->output, NULL);
    free(file->path);
    free(file->part);
    file->path = file->part = NULL;
}
