/* SPDX-License-Identifier: MIT */
/* What users name by a path, unlike sys/directory.h: what is kept, and what processes find each other by. All descriptors are close-on-exec. */
#ifndef SLITHER_SYS_PATH_H
#define SLITHER_SYS_PATH_H

#include <slither/error.h>

/** Makes a directory, 0700. One that is there already is fine; `*made` (may be NULL) says which it was. */
enum sl_code sl__path_make(const char *path, bool *made, struct sl_error *error);
/** The absolute path without links of what is there; the caller's to free. not_found. */
enum sl_code sl__path_resolve(const char *path, char **resolved, struct sl_error *error);
/** Removes a file; one that is not there is fine. */
enum sl_code sl__file_remove(const char *path, struct sl_error *error);
/** Makes the symbolic link `path` to `target`. invalid_argument: `path` is taken. */
enum sl_code sl__link_make(const char *target, const char *path, struct sl_error *error);

/**
 * Opens a directory and locks it, for as long as the descriptor is open, against all who do the same, in this process too. again: somebody
 * has it (no error is written). not_found: there is no such directory.
 */
enum sl_code sl__path_lock(const char *path, int *fd, struct sl_error *error);
/** Lets go of it and closes the descriptor, also when a forked child has a copy of that. A negative one is fine. */
void sl__path_unlock(int *fd);
/** Whether somebody holds the lock of sl__path_lock. not_found: there is no such directory. */
enum sl_code sl__path_locked(const char *path, bool *locked, struct sl_error *error);

/**
 * Opens a file for reading and writing, 0600, made when it is not there, and sees to it that its first `size` bytes (1 ..) have their place on the device:
 * memory that is mapped from it cannot lack room later on. It is not made shorter.
 */
enum sl_code sl__file_reserve(const char *path, uint64_t size, int *fd, struct sl_error *error);
/** Opens a file for reading (`writable`: and writing). not_found: it is not there. `*size` is what it has, in bytes. */
enum sl_code sl__file_open(const char *path, bool writable, int *fd, uint64_t *size, struct sl_error *error);
/** Bytes of an open file. */
enum sl_code sl__file_size(int fd, uint64_t *size, struct sl_error *error);

/**
 * A word that is 1 in this process and 0 in a forked child, without a system call to look at it. Errors: out_of_memory, system (kernels
 * before 4.14).
 */
enum sl_code sl__fork_mark_create(const volatile uint32_t **mark, struct sl_error *error);
void sl__fork_mark_destroy(const volatile uint32_t *mark);

#endif
