/* SPDX-License-Identifier: MIT */
/* File descriptors that are neither memory files nor sockets. All are close-on-exec. */
#ifndef SLITHER_SYS_DESCRIPTOR_H
#define SLITHER_SYS_DESCRIPTOR_H

#include <slither/error.h>

/** Closes `*fd` when it is not negative and makes it -1. Never retried on EINTR: Linux has released it by then. */
void sl__close(int *fd);

/** A pipe, both ends close-on-exec and blocking. Errors: system (too many open files). */
enum sl_code sl__pipe_create(int *read_end, int *write_end, struct sl_error *error);

/** Makes reads from `fd` return at once. The flag belongs to the open file: both processes see it when the file is shared. */
enum sl_code sl__set_nonblocking(int fd, struct sl_error *error);

/** Reads once. again: nothing there (non-blocking descriptors only). end: nobody can write any more. `capacity` at least 1. */
enum sl_code sl__read(int fd, void *memory, size_t capacity, size_t *size, struct sl_error *error);

/** Writes all of it, blocking. closed: nobody reads. SIGPIPE must be blocked or ignored by the caller when `fd` is a pipe. */
enum sl_code sl__write_all(int fd, const void *memory, size_t size, struct sl_error *error);

/** Opens /dev/null for reading and writing. */
enum sl_code sl__open_null(int *fd, struct sl_error *error);

/** A second descriptor of the same open file, close-on-exec. */
enum sl_code sl__duplicate(int fd, int *copy, struct sl_error *error);

#endif
