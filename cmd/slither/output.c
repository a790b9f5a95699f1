/* SPDX-License-Identifier: MIT */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OUTPUT_SIZE ((size_t)128 << 10)
#define PIECE_SIZE ((size_t)4 << 10) /* that a terminal is given at once, where somebody may interrupt */

bool output_init(struct output *output, int fd, const char *name) {
    struct stat status;
    *output = (struct output){.fd = fd, .name = name, .buffer = malloc(OUTPUT_SIZE)};
    output->may_wait = fstat(fd, &status) == 0 && !S_ISREG(status.st_mode);
    return output->buffer != NULL;
}

bool is_same_file(int fd, int other) {
    struct stat a;
    struct stat b;
    return fstat(fd, &a) == 0 && fstat(other, &b) == 0 && S_ISREG(a.st_mode) && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

static bool cut(int fd, uint64_t keep) {
    return (keep == OUTPUT_KEEP || ftruncate(fd, (off_t)keep) == 0) && lseek(fd, 0, SEEK_END) >= 0;
}

bool output_open(struct output *output, const char *path, uint64_t keep, int input_fd, char *problem,
                 size_t problem_size) {
    *output = (struct output){.fd = -1};
    if (strcmp(path, "-") == 0) {
        snprintf(problem, problem_size,
                 "'-' is not a file here: standard output is for results; /dev/stderr is standard error");
        return false;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0) {
        snprintf(problem, problem_size, "cannot write %.200s: %s", path, strerror(errno));
    } else if (is_same_file(input_fd, fd)) {
        snprintf(problem, problem_size, "%.200s is the input: writing it would destroy what is still to be read", path);
    } else if (S_ISREG(status.st_mode) && !cut(fd, keep)) {
        snprintf(problem, problem_size, "cannot empty %.200s: %s", path, strerror(errno));
    } else if (!output_init(output, fd, path)) {
        snprintf(problem, problem_size, "out of memory");
    } else {
        output->owns_fd = true;
        return true;
    }
    if (fd >= 0) {
        close(fd);
    }
    output->fd = -1;
    return false;
}

bool output_cut(struct output *output, uint64_t keep) {
    return cut(output->fd, keep);
}

static enum sl_code fail(struct output *output, int number, struct sl_error *error) {
    output->failed = true;
    output->size = 0;
    if (number == EPIPE && !output->owns_fd) { /* of a file that was asked for by name it is an error like another */
        output->reader_gone = true;
        return sl_error_set(error, SL_E_END, "%s: nobody reads it any more", output->name);
    }
    if (number == EINTR) {
        return sl_error_set(error, SL_E_CANCELLED, "%s: writing was interrupted", output->name);
    }
    sl_error_set(error, SL_E_SYSTEM, "cannot write to %s: %s%s", output->name, strerror(number),
                 number == ENOSPC ? "; make room and run it again" : "");
    if (error != NULL) {
        error->system_errno = number;
    }
    return SL_E_SYSTEM;
}

/*
 * As much as can be written without waiting, when somebody may say stop; else all of it. A pipe that poll finds writable has
 * room for PIPE_BUF bytes.
 */
static ssize_t write_some(const struct output *output, const char *bytes, size_t size) {
    if (output->interrupted != NULL) {
        size = size < PIECE_SIZE ? size : PIECE_SIZE;
    }
    if (output->stop == NULL || !output->may_wait) {
        return write(output->fd, bytes, size);
    }
    struct pollfd fds[2] = {{.fd = output->fd, .events = POLLOUT}, {.fd = output->stop->fd, .events = POLLIN}};
    if (poll(fds, 2, -1) < 0 || fds[0].revents == 0) {
        errno = EAGAIN;
        return -1;
    }
    return write(output->fd, bytes, size < PIPE_BUF ? size : PIPE_BUF);
}

static enum sl_code write_all(struct output *output, const char *bytes, size_t size, struct sl_error *error) {
    if (output->failed) {
        return output->reader_gone ? SL_E_END : SL_E_SYSTEM;
    }
    if (size > 0 && output->before_write != NULL) {
        output->before_write();
    }
    while (size > 0) {
        if (output->may_wait && stop_said(output->stop)) {
            return fail(output, EINTR, error);
        }
        if (output->interrupted != NULL && atomic_load(output->interrupted)) {
            output->size = 0;
            (void)!write(output->fd, "\n", 1);
            return sl_error_set(error, SL_E_CANCELLED, "interrupted; the rest is not shown");
        }
        ssize_t written = write_some(output, bytes, size);
        if (written >= 0) {
            bytes += written;
            size -= (size_t)written;
        } else if (errno == EAGAIN && output->stop == NULL) {
            /* Somebody shares the descriptor and made it non-blocking. */
            struct pollfd fds = {.fd = output->fd, .events = POLLOUT};
            (void)poll(&fds, 1, -1);
        } else if (errno != EINTR && errno != EAGAIN) {
            return fail(output, errno, error);
        }
    }
    return SL_OK;
}

enum sl_code output_flush(struct output *output, struct sl_error *error) {
    enum sl_code code = write_all(output, output->buffer, output->size, error);
    output->size = 0;
    return code;
}

static enum sl_code put(struct output *output, const char *bytes, size_t size, struct sl_error *error) {
    if (output->size + size > OUTPUT_SIZE) {
        enum sl_code code = output_flush(output, error);
        if (code != SL_OK) {
            return code;
        }
        if (size > OUTPUT_SIZE) {
            return write_all(output, bytes, size, error);
        }
    }
    memcpy(output->buffer + output->size, bytes, size);
    output->size += size;
    return SL_OK;
}

enum sl_code output_line(struct output *output, const char *text, size_t size, struct sl_error *error) {
    enum sl_code code = put(output, text, size, error);
    return code == SL_OK ? put(output, "\n", 1, error) : code;
}

enum sl_code output_close(struct output *output, struct sl_error *error) {
    if (output->buffer == NULL) {
        return SL_OK;
    }
    enum sl_code code = output->failed ? SL_OK : output_flush(output, error);
    if (output->owns_fd && close(output->fd) < 0 && errno != EINTR && code == SL_OK && !output->failed) {
        code = fail(output, errno, error);
    }
    free(output->buffer);
    output->buffer = NULL;
    output->fd = -1;
    return code;
}
