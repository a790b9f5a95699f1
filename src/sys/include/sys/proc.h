/* SPDX-License-Identifier: MIT */
/*
 * What the kernel tells about processes in text files. All of it is for reports and limits that are looked at now and then: what cannot be
 * read is simply not known.
 */
#ifndef SLITHER_SYS_PROC_H
#define SLITHER_SYS_PROC_H

#include <slither/error.h>

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/** The state letter of the file /proc/PID/stat or /proc/PID/task/TID/stat at `path`: R, S, D, T, t, Z ...; 0 when it is not known. */
char sl__proc_state_at(const char *path);
/** The same of a process, which is that of its first thread. */
char sl__proc_state(pid_t pid);
/** Resident memory of a process that no file backs. */
bool sl__proc_rss(pid_t pid, uint64_t *bytes);
/** The number behind `key` in a file of lines "key number", such as /proc/vmstat or memory.events. */
bool sl__proc_counter(const char *path, const char *key, uint64_t *value);
/** The first bytes of a small file, NUL-terminated; false: it cannot be read. */
bool sl__proc_read(const char *path, char *text, size_t capacity);
/** Writes a control file with one call, as the kernel wants it; makes it where it is a plain one. */
enum sl_code sl__proc_write(const char *path, const char *text, struct sl_error *error);
/** Removes a control group, which is a directory with files that cannot be removed. One that is in use stays. */
void sl__proc_remove_group(const char *path);

#endif
