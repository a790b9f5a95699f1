/* SPDX-License-Identifier: MIT */
#include "sys/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "sys/descriptor.h"
#include "sys/failure.h"
#include "sys/fault.h"

#define WALK_FDS 16 /* open at once while a tree is removed; deeper ones are reopened */

unsigned long sl__user_id(void) {
    return (unsigned long)geteuid();
}

bool sl__directory_usable(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode) && access(path, W_OK | X_OK) == 0;
}

bool sl__directory_own(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid() &&
           (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

bool sl__directory_in_memory(const char *path) {
    struct statfs system;
    return statfs(path, &system) == 0 && (system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC);
}

/* Opens and locks; the name must still be that of what was locked. */
static enum sl_code open_locked(const char *path, int *fd, struct sl_error *error) {
    *fd = sl__sys_fails(SL__CALL_DIRECTORY) ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*fd < 0) {
        int number = errno;
        if (number == ENOENT || number == ENOTDIR || number == ELOOP) {
            return sl_error_set(error, SL_E_NOT_FOUND, "%s is not a directory", path);
        }
        return sl__system_error(error, number, "cannot open the directory %s", path);
    }
    enum sl_code code = SL_OK;
    struct stat here, there;
    if (sl__sys_fails(SL__CALL_DIRECTORY) || flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        code = errno == EWOULDBLOCK ? sl_error_set(error, SL_E_AGAIN, "%s is locked by another process", path)
                                    : sl__system_error(error, errno, "cannot lock the directory %s", path);
    } else if (fstat(*fd, &here) != 0 || lstat(path, &there) != 0 || here.st_ino != there.st_ino ||
               here.st_dev != there.st_dev) {
        code = sl_error_set(error, SL_E_NOT_FOUND, "%s has been removed", path);
    } else if (here.st_uid != geteuid()) {
        code = sl_error_set(error, SL_E_NOT_FOUND, "%s belongs to another user", path);
    }
    if (code != SL_OK) {
        sl__close(fd);
    }
    return code;
}

enum sl_code sl__directory_make(const char *path, int *fd, struct sl_error *error) {
    *fd = -1;
    if (sl__sys_fails(SL__CALL_DIRECTORY) || mkdir(path, 0700) != 0) {
        if (errno == EEXIST) {
            return sl_error_set(error, SL_E_AGAIN, "%s exists already", path);
        }
        return sl__system_error(error, errno, "cannot make the directory %s", path);
    }
    /* Until the lock is held it looks like one that a dead process has left, and may be taken for that. */
    enum sl_code code = open_locked(path, fd, error);
    if (code == SL_E_NOT_FOUND) {
        code = sl_error_set(error, SL_E_AGAIN, "%s was removed while it was being made", path);
    } else if (code == SL_E_SYSTEM) {
        (void)rmdir(path);
    }
    return code;
}

enum sl_code sl__directory_take(const char *path, int *fd, struct sl_error *error) {
    return open_locked(path, fd, error);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where) {
    (void)status;
    (void)where;
    int failed = type == FTW_DP ? rmdir(path) : unlink(path);
    return failed != 0 && errno != ENOENT ? errno : 0;
}

enum sl_code sl__directory_remove(const char *path, struct sl_error *error) {
    int number = nftw(path, remove_entry, WALK_FDS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    if (number < 0) {
        number = errno != ENOENT ? errno : 0;
    }
    return number == 0 ? SL_OK : sl__system_error(error, number, "cannot remove the directory %s", path);
}

enum sl_code sl__directory_each(const char *path, const char *prefix, bool (*function)(void *context, const char *name),
                                void *context, struct sl_error *error) {
    DIR *directory = sl__sys_fails(SL__CALL_DIRECTORY) ? NULL : opendir(path);
    if (directory == NULL) {
        return sl__system_error(error, errno, "cannot read the directory %s", path);
    }
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 && !function(context, entry->d_name)) {
            break;
        }
    }
    (void)closedir(directory);
    return SL_OK;
}
