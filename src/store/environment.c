/* SPDX-License-Identifier: MIT */
#include "environment.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "layout.h"
#include "sys/descriptor.h"
#include "sys/failure.h"
#include "sys/memory_file.h"
#include "sys/path.h"

enum sl_code sl__lmdb_error(struct sl_error *error, int number, const char *what) {
    switch (number) {
    case MDB_MAP_FULL:
        return sl_error_set(error, SL_E_LIMIT, "%s: the store is full", what);
    case MDB_TXN_FULL:
        return sl_error_set(error, SL_E_LIMIT,
                            "%s: the transaction has changed more pages than one can; write in smaller ones, or reload",
                            what);
    case MDB_READERS_FULL:
        return sl_error_set(error, SL_E_LIMIT,
                            "%s: as many snapshots are open as the store's readers_max allows; end some, or raise it",
                            what);
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
        return sl_error_set(error, SL_E_INVALID_DATA, "%s: the store's file is damaged (%s); restore it from a copy",
                            what, mdb_strerror(number));
    case MDB_PANIC:
        return sl_error_set(
            error, SL_E_SYSTEM,
            "%s: an earlier write to the device failed halfway; make room on it, and open the store again", what);
    case EIO: /* also what LMDB makes of a write that was cut short */
    case ENOSPC:
    case EFBIG:
        return sl__system_error(error, number, "%s: the device has no room left, or fails", what);
    case MDB_VERSION_MISMATCH:
        return sl_error_set(error, SL_E_VERSION, "%s: the file was written by another version of LMDB", what);
    case MDB_MAP_RESIZED:
        return sl_error_set(error, SL_E_CLOSED,
                            "%s: the store was opened with a larger bytes_max since; open it here again", what);
    case MDB_BAD_VALSIZE:
        return sl_error_set(error, SL_E_LIMIT, "%s: a key or value is larger than LMDB takes", what);
    case MDB_NOTFOUND:
        return sl_error_set(error, SL_E_INVALID_DATA, "%s: a record that must be there is missing", what);
    default:
        if (number > 0) {
            return sl__system_error(error, number, "%s", what);
        }
        return sl_error_set(error, SL_E_INVALID_DATA, "%s: LMDB says: %s", what, mdb_strerror(number));
    }
}

static enum sl_code join(const char *directory, const char *name, char *path, size_t size, struct sl_error *error) {
    int length = snprintf(path, size, "%s/%s", directory, name);
    if (length < 0 || (size_t)length >= size) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "the store's path is longer than a path can be");
    }
    return SL_OK;
}

/* LMDB maps its lock file and writes to it: on a full device that would be a SIGBUS, unless all of it has its place before. */
static enum sl_code reserve_lock_file(const struct sl__environment_options *options, struct sl_error *error) {
    char path[PATH_MAX];
    int fd;
    uint64_t page = sl__page_size();
    enum sl_code code = join(options->path, "lock.mdb", path, sizeof(path), error);
    if (code == SL_OK) {
        /* 64 bytes a reader and less than 256 for the head, in LMDB 0.9. */
        uint64_t size = (256 + 64 * (uint64_t)options->readers_max + page - 1) / page * page;
        code = sl__file_reserve(path, size, &fd, error);
    }
    if (code == SL_OK) {
        sl__close(&fd);
    }
    return code;
}

static enum sl_code check_length(MDB_env *env, const char *path, struct sl_error *error) {
    MDB_envinfo info;
    MDB_stat stat;
    mdb_filehandle_t fd;
    uint64_t size = 0;
    int number = mdb_env_info(env, &info);
    if (number == 0) {
        number = mdb_env_stat(env, &stat);
    }
    if (number == 0) {
        number = mdb_env_get_fd(env, &fd);
    }
    if (number != 0) {
        return sl__lmdb_error(error, number, "cannot look at the store's file");
    }
    enum sl_code code = sl__file_size(fd, &size, error);
    /* While a writer adds pages the file grows before the number of its last page does. */
    if (code == SL_OK && ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize > size) {
        code = sl_error_set(error, SL_E_INVALID_DATA,
                            "the store's file \"%s/data.mdb\" is cut off: it has %" PRIu64
                            " bytes and should have %" PRIu64 "; restore it from a copy",
                            path, size, ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize);
    }
    return code;
}

static enum sl_code open_error(struct sl_error *error, int number, const struct sl__environment_options *options) {
    char what[PATH_MAX + 64];
    switch (number) {
    case MDB_INVALID:
        return sl_error_set(error, SL_E_INVALID_DATA,
                            "\"%s/data.mdb\" is not the file of a store, or is damaged at its start", options->path);
    case ENOENT:
        return sl_error_set(error, SL_E_NOT_FOUND, "there is no store at \"%s\"", options->path);
    default:
        (void)snprintf(what, sizeof(what), "cannot open the store at \"%s\"", options->path);
        return sl__lmdb_error(error, number, what);
    }
}

enum sl_code sl__environment_open(const struct sl__environment_options *options, MDB_env **out,
                                  struct sl_error *error) {
    MDB_env *env = NULL;
    enum sl_code code = SL_OK;
    *out = NULL;
    if (!options->read_only) {
        code = reserve_lock_file(options, error);
        if (code != SL_OK) {
            return code;
        }
    }
    int number = mdb_env_create(&env);
    if (number == 0 && options->bytes_max > 0) {
        number = mdb_env_set_mapsize(env, options->bytes_max);
    }
    if (number == 0 && options->readers_max > 0) {
        number = mdb_env_set_maxreaders(env, options->readers_max);
    }
    if (number == 0) {
        /*
         * No MDB_WRITEMAP: pages are written with pwrite, so that a full device is an error and not a SIGBUS. MDB_NOTLS: readers belong to
         * transactions and not to threads, which is what lets them be used again by any.
         */
        unsigned flags = MDB_NOTLS | (options->read_only ? MDB_RDONLY : 0) |
                         (options->sync != SL_STORE_SYNC_FULL && !options->read_only ? MDB_NOSYNC : 0);
        number = mdb_env_open(env, options->path, flags, 0600);
    }
    if (number != 0) {
        code = open_error(error, number, options);
    } else {
        code = check_length(env, options->path, error);
    }
    if (code != SL_OK) {
        if (env != NULL) {
            mdb_env_close(env);
        }
        return code;
    }
    *out = env;
    return SL_OK;
}

/*
 * The order that LMDB's own function makes, so that its tools read the file as ever; eight bytes at a time, since all keys of a table begin with
 * the same ones, and without a call of memcmp. A search compares some twenty keys.
 */
static int compare_keys(const MDB_val *a, const MDB_val *b) {
    const uint8_t *left = a->mv_data, *right = b->mv_data;
    size_t common = SL_MIN(a->mv_size, b->mv_size), at = 0;
    if (SL_UNLIKELY(common < sizeof(uint64_t))) {
        int order = memcmp(left, right, common);
        return order != 0 ? order : (a->mv_size > b->mv_size) - (a->mv_size < b->mv_size);
    }
    while (at < common) {
        at = SL_MIN(at, common - sizeof(uint64_t)); /* the last eight may have been looked at in part */
        uint64_t x = sl__get_be64(left + at), y = sl__get_be64(right + at);
        if (x != y) {
            return x < y ? -1 : 1;
        }
        at += sizeof(uint64_t);
    }
    return (a->mv_size > b->mv_size) - (a->mv_size < b->mv_size);
}

int sl__environment_open_tree(MDB_txn *txn) {
    MDB_dbi dbi;
    int number = mdb_dbi_open(txn, NULL, 0, &dbi);
    if (number == 0) {
        SL_ASSERT(dbi == SL__ROWS);
        number = mdb_set_compare(txn, dbi, compare_keys);
    }
    return number;
}

/* One line a reader: pid, thread in hex, and the version, or "-" when it does not read just now. */
static int look_at_reader(const char *line, void *context) {
    struct sl__old_reader *oldest = context;
    long long pid;
    unsigned long long thread, version;
    if (sscanf(line, "%lld %llx %llu", &pid, &thread, &version) == 3) {
        oldest->reader_count++;
        if (oldest->pid == 0 || version < oldest->version) {
            oldest->pid = pid;
            oldest->version = version;
        }
    }
    return 0;
}

struct sl__old_reader sl__environment_oldest(MDB_env *env) {
    struct sl__old_reader oldest = {0};
    (void)mdb_reader_list(env, look_at_reader, &oldest);
    return oldest;
}
