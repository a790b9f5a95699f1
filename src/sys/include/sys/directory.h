/* SPDX-License-Identifier: MIT */
/* Private directories: made for one owner, locked as long as it lives, removed with all that is in them. */
#ifndef SLITHER_SYS_DIRECTORY_H
#define SLITHER_SYS_DIRECTORY_H

#include <slither/error.h>

/** User that this process acts as: whose directories are its own. */
unsigned long sl__user_id(void);

/** Whether `path` is a directory in which this process may make others. */
bool sl__directory_usable(const char *path);
/** Whether it is the caller's alone: nobody else may rename what is in it. */
bool sl__directory_own(const char *path);
/** Whether what is written there stays in memory (tmpfs, ramfs). */
bool sl__directory_in_memory(const char *path);

/**
 * Makes the directory `path`, mode 0700, and locks it; the lock is held until `*fd` (close-on-exec) and all copies that forked children have
 * of it are closed. Errors: again (there is one already, or somebody who cleans up was faster: take another name), system.
 */
enum sl_code sl__directory_make(const char *path, int *fd, struct sl_error *error);

/**
 * Locks a directory that exists, is this user's, and whose maker is gone; the caller may remove it. Errors: again (its maker lives), not_found (none,
 * or no directory, or another user's), system.
 */
enum sl_code sl__directory_take(const char *path, int *fd, struct sl_error *error);

/** Removes `path` and all below it; follows no symbolic link and leaves other file systems alone. What is gone already is fine. */
enum sl_code sl__directory_remove(const char *path, struct sl_error *error);

/** Calls `function` with the name of each entry of `path` that begins with `prefix`, until it returns false. */
enum sl_code sl__directory_each(const char *path, const char *prefix, bool (*function)(void *context, const char *name),
                                void *context, struct sl_error *error);

#endif
