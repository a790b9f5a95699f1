/* SPDX-License-Identifier: MIT */
#include "sys/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "sys/descriptor.h"
#include "sys/failure.h"
#include "sys/fault.h"
#include "sys/memory_file.h"

enum sl_code sl__path_make(const char *path, bool *made, struct sl_error *error) {
    bool is_new = !sl__sys_fails(SL__CALL_DIRECTORY) && mkdir(path, 0700) == 0;
    if (!is_new && errno != EEXIST) {
        return sl__system_error(error, errno, "cannot make the directory \"%s\"", path);
    }
    if (made != NULL) {
        *made = is_new;
    }
    return SL_OK;
}

enum sl_code sl__path_resolve(const char *path, char **resolved, struct sl_error *error) {
    *resolved = realpath(path, NULL);
    if (*resolved != NULL) {
        return SL_OK;
    }
    if (errno == ENOENT) {
        return sl_error_set(error, SL_E_NOT_FOUND, "there is nothing at \"%s\"", path);
    }
    return sl__system_error(error, errno, "cannot find out where \"%s\" is", path);
}

enum sl_code sl__file_remove(const char *path, struct sl_error *error) {
    if ((sl__sys_fails(SL__CALL_FILE) || unlink(path) != 0) && errno != ENOENT) {
        return sl__system_error(error, errno, "cannot remove \"%s\"", path);
    }
    return SL_OK;
}

enum sl_code sl__link_make(const char *target, const char *path, struct sl_error *error) {
    if (sl__sys_fails(SL__CALL_FILE) || symlink(target, path) != 0) {
        if (errno == EEXIST) {
            return sl_error_set(error, SL_E_INVALID_ARGUMENT, "\"%s\" is there already", path);
        }
        return sl__system_error(error, errno, "cannot make the link \"%s\" to \"%s\"", path, target);
    }
    return SL_OK;
}

static enum sl_code open_directory(const char *path, int *fd, struct sl_error *error) {
    *fd = sl__sys_fails(SL__CALL_DIRECTORY) ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd >= 0) {
        return SL_OK;
    }
    if (errno == ENOENT) {
        return sl_error_set(error, SL_E_NOT_FOUND, "there is no directory \"%s\"", path);
    }
    return sl__system_error(error, errno, "cannot open the directory \"%s\"", path);
}

/* flock() and not fcntl(): its locks belong to the open file, so that two openings within one process exclude each other too. */
static enum sl_code lock(int fd, int how, const char *path, struct sl_error *error) {
    if (!sl__sys_fails(SL__CALL_DIRECTORY) && flock(fd, how | LOCK_NB) == 0) {
        return SL_OK;
    }
    if (errno == EWOULDBLOCK) {
        return SL_E_AGAIN;
    }
    return sl__system_error(error, errno, "cannot lock the directory \"%s\"", path);
}

enum sl_code sl__path_lock(const char *path, int *fd, struct sl_error *error) {
    enum sl_code code = open_directory(path, fd, error);
    if (code != SL_OK) {
        return code;
    }
    code = lock(*fd, LOCK_EX, path, error);
    if (code != SL_OK) {
        sl__close(fd);
    }
    return code;
}

void sl__path_unlock(int *fd) {
    if (*fd >= 0) {
        (void)flock(*fd, LOCK_UN); /* closing alone would leave it to the copies of forked children */
        sl__close(fd);
    }
}

enum sl_code sl__path_locked(const char *path, bool *locked, struct sl_error *error) {
    int fd;
    enum sl_code code = open_directory(path, &fd, error);
    if (code != SL_OK) {
        return code;
    }
    code = lock(fd, LOCK_SH, path, error);
    *locked = code == SL_E_AGAIN;
    sl__close(&fd);
    return code == SL_E_AGAIN ? SL_OK : code;
}

enum sl_code sl__file_reserve(const char *path, uint64_t size, int *fd, struct sl_error *error) {
    SL_ASSERT(size > 0 && size <= INT64_MAX);
    *fd = sl__sys_fails(SL__CALL_FILE) ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd < 0) {
        return sl__system_error(error, errno, "cannot open \"%s\" for writing", path);
    }
    int number;
    do {
        number = sl__sys_fails(SL__CALL_FILE) ? errno : posix_fallocate(*fd, 0, (off_t)size);
    } while (number == EINTR);
    if (number != 0) {
        sl__close(fd);
        return sl__system_error(error, number, "cannot have %llu bytes for \"%s\"", (unsigned long long)size, path);
    }
    return SL_OK;
}

enum sl_code sl__file_open(const char *path, bool writable, int *fd, uint64_t *size, struct sl_error *error) {
    *fd = sl__sys_fails(SL__CALL_FILE) ? -1 : open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (*fd < 0) {
        if (errno == ENOENT) {
            return sl_error_set(error, SL_E_NOT_FOUND, "there is no file \"%s\"", path);
        }
        return sl__system_error(error, errno, "cannot open \"%s\"", path);
    }
    enum sl_code code = sl__file_size(*fd, size, error);
    if (code != SL_OK) {
        sl__close(fd);
    }
    return code;
}

enum sl_code sl__file_size(int fd, uint64_t *size, struct sl_error *error) {
    struct stat status;
    if (sl__sys_fails(SL__CALL_STAT) || fstat(fd, &status) != 0) {
        return sl__system_error(error, errno, "cannot ask for the size of a file");
    }
    *size = status.st_size > 0 ? (uint64_t)status.st_size : 0;
    return SL_OK;
}

enum sl_code sl__fork_mark_create(const volatile uint32_t **mark, struct sl_error *error) {
    size_t size = sl__page_size();
    void *page = sl__sys_fails(SL__CALL_MMAP)
                     ? MAP_FAILED
                     : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        return sl__system_error(error, errno, "cannot map a page");
    }
    if (madvise(page, size, MADV_WIPEONFORK) != 0) {
        int number = errno;
        (void)munmap(page, size);
        return sl__system_error(error, number, "cannot have a page that forked children do not inherit");
    }
    *(volatile uint32_t *)page = 1;
    *mark = page;
    return SL_OK;
}

void sl__fork_mark_destroy(const volatile uint32_t *mark) {
    if (mark != NULL) {
        (void)munmap((void *)(uintptr_t)mark, sl__page_size());
    }
}
