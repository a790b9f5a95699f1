/* SPDX-License-Identifier: MIT */
#include "sys/memory_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "sys/failure.h"
#include "sys/fault.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

SL_STATIC_ASSERT(SL__SEAL_SEAL == F_SEAL_SEAL && SL__SEAL_SHRINK == F_SEAL_SHRINK && SL__SEAL_GROW == F_SEAL_GROW &&
                     SL__SEAL_WRITE == F_SEAL_WRITE && SL__SEAL_FUTURE_WRITE == F_SEAL_FUTURE_WRITE,
                 "seals are handed to the kernel as they are");

size_t sl__page_size(void) {
    long size = sysconf(_SC_PAGESIZE);
    SL_ASSERT(size > 0);
    return (size_t)size;
}

enum sl_code sl__memory_file_create(const char *name, uint64_t size, int *fd, struct sl_error *error) {
    SL_ASSERT(size > 0);
    *fd = -1;
    if (size > INT64_MAX) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "a memory file of %llu bytes is larger than a file can be",
                            (unsigned long long)size);
    }
    int file = -1;
    if (!sl__sys_fails(SL__CALL_MEMFD_CREATE)) {
        file = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
        if (file < 0 && errno == EINVAL) { /* a kernel that does not know MFD_NOEXEC_SEAL */
            file = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        }
    }
    if (file < 0) {
        return sl__system_error(error, errno, "cannot create the memory file \"%s\" of %llu bytes", name,
                                (unsigned long long)size);
    }
    enum sl_code code = sl__memory_file_resize(file, size, error);
    if (code != SL_OK) {
        (void)close(file);
        return code;
    }
    *fd = file;
    return SL_OK;
}

enum sl_code sl__memory_file_resize(int fd, uint64_t size, struct sl_error *error) {
    SL_ASSERT(size > 0 && size <= INT64_MAX);
    for (;;) {
        if (!sl__sys_fails(SL__CALL_FTRUNCATE) && ftruncate(fd, (off_t)size) == 0) {
            return SL_OK;
        }
        if (errno != EINTR) {
            return sl__system_error(error, errno, "cannot set the size of a memory file to %llu bytes",
                                    (unsigned long long)size);
        }
    }
}

enum sl_code sl__memory_file_seal(int fd, uint32_t seals, struct sl_error *error) {
    if (sl__sys_fails(SL__CALL_SEAL) || fcntl(fd, F_ADD_SEALS, (int)seals) != 0) {
        return sl__system_error(error, errno, "cannot add seals 0x%x to a memory file", (unsigned)seals);
    }
    return SL_OK;
}

enum sl_code sl__memory_file_inspect(int fd, uint32_t *seals, uint64_t *size, struct sl_error *error) {
    int found = sl__sys_fails(SL__CALL_INSPECT) ? -1 : fcntl(fd, F_GET_SEALS);
    if (found < 0) {
        return sl_error_set(error, SL_E_PROTOCOL, "the descriptor that was received is not a memory file");
    }
    struct stat status;
    if (sl__sys_fails(SL__CALL_STAT) || fstat(fd, &status) != 0) {
        return sl__system_error(error, errno, "cannot ask for the size of a memory file");
    }
    *seals = (uint32_t)found;
    *size = status.st_size > 0 ? (uint64_t)status.st_size : 0;
    return SL_OK;
}

enum sl_code sl__map(int fd, size_t size, uint32_t flags, void **memory, struct sl_error *error) {
    SL_ASSERT(size > 0);
    int protection = PROT_READ | ((flags & SL__MAP_WRITE) != 0 ? PROT_WRITE : 0);
    int how = MAP_SHARED | ((flags & SL__MAP_POPULATE) != 0 ? MAP_POPULATE : 0);
    void *at = sl__sys_fails(SL__CALL_MMAP) ? MAP_FAILED : mmap(NULL, size, protection, how, fd, 0);
    if (at == MAP_FAILED) {
        *memory = NULL;
        return sl__system_error(error, errno, "cannot map %zu bytes of a memory file", size);
    }
    *memory = at;
    return SL_OK;
}

enum sl_code sl__remap(void **memory, size_t old_size, size_t new_size, struct sl_error *error) {
    SL_ASSERT(*memory != NULL && old_size > 0 && new_size > 0);
    void *at = sl__sys_fails(SL__CALL_MREMAP) ? MAP_FAILED : mremap(*memory, old_size, new_size, MREMAP_MAYMOVE);
    if (at == MAP_FAILED) {
        return sl__system_error(error, errno, "cannot change a mapping from %zu to %zu bytes", old_size, new_size);
    }
    *memory = at;
    return SL_OK;
}

void sl__unmap(void *memory, size_t size) {
    if (memory != NULL) {
        int failed = munmap(memory, size);
        SL_ASSERT(failed == 0);
        (void)failed;
    }
}

void sl__populate(void *memory, size_t offset, size_t size, bool write) {
    size_t page = sl__page_size();
    size_t begin = offset & ~(page - 1);
    size_t end = (offset + size + page - 1) & ~(page - 1);
    if (end > begin) {
        int saved = errno;
        (void)madvise((char *)memory + begin, end - begin, write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
        errno = saved;
    }
}
