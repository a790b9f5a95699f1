/* SPDX-License-Identifier: MIT */
/* LMDB environments, and what its errors mean to a user. */
#ifndef SL_STORE_ENVIRONMENT_H
#define SL_STORE_ENVIRONMENT_H

#include <lmdb.h>

#include <slither/error.h>
#include <slither/store.h>

#define SL__ROWS ((MDB_dbi)1) /* LMDB's unnamed database, the one tree that a store is */

/** What to make of LMDB's (or the system's) number for what was tried: "cannot read a row", ... */
enum sl_code sl__lmdb_error(struct sl_error *error, int number, const char *what) SL_MUST_CHECK;

struct sl__environment_options {
    const char *path;     /* of the directory */
    uint64_t bytes_max;   /* 0: as it is (read-only) */
    uint32_t readers_max; /* 0: as it is (read-only) */
    bool read_only;
    enum sl_store_sync sync;
};

/**
 * Opens what is in the directory, or makes it. A file that is shorter than it says it is, or none of LMDB's, is refused
 * before anything in it is read. Errors: invalid_data, version_mismatch, not_found (read-only), system, out_of_memory.
 */
enum sl_code sl__environment_open(const struct sl__environment_options *options, MDB_env **env,
                                  struct sl_error *error) SL_MUST_CHECK;

/** Opens the tree, within the first transaction of an environment. LMDB's number. */
int sl__environment_open_tree(MDB_txn *txn) SL_MUST_CHECK;

/** Somebody who reads an old version. */
struct sl__old_reader {
    int64_t pid; /* 0: nobody reads */
    uint64_t version;
    uint32_t reader_count; /* all who read just now */
};
/** Who reads the oldest version. */
struct sl__old_reader sl__environment_oldest(MDB_env *env);

#endif
