/* SPDX-License-Identifier: MIT */
/* Parts: what the file says, before anything is made of it. Their layout is the tables' (keys.c). */
#ifndef SLITHER_CONFIG_PARTS_H
#define SLITHER_CONFIG_PARTS_H

#include <slither/loader.h>
#include <slither/pipe.h>
#include <slither/pool.h>
#include <slither/store.h>

#include "tree.h"

/* Head of each part. */
struct sl__part {
    const char *name;          /* of a named one, or of a stage; else NULL */
    const char *place;         /* "stages.predict" */
    const struct sl__yaml *at; /* where it stands; NULL: it does not */
};

struct sl__parts {
    void *items;
    uint32_t count;
};

struct sl__python_part {
    struct sl__part part;
    const char *interpreter;
    const char *const *path;
    const char *const *requirements;
};

struct sl__recycle_part {
    struct sl__part part;
    uint64_t batches, age_ms, rss;
    uint32_t jitter_percent;
};

struct sl__pool_part {
    struct sl__part part;
    struct sl_pool_options options;
    const char *const *env;
    const char *const *preload;
    const char *const *path;
    struct sl__recycle_part recycle;
    int template_use;
    int affinity;
};

struct sl__load_part {
    struct sl__part part;
    const char *path; /* in place of the map: its ending tells the kind */
    const char *csv, *ndjson, *sqlite;
    const char *query;
    int types; /* enum sl_csv_types */
};

struct sl__table_part {
    struct sl__part part;
    int kind; /* enum sl_table_kind */
    struct sl__load_part load;
    const char *key, *value;
    uint64_t ttl_ms, entries_max;
    int full; /* enum sl_table_full */
};

struct sl__store_part {
    struct sl__part part;
    struct sl_store_options options;
    int sync;
    uint64_t change_bytes;
    struct sl__parts tables;
};

struct sl__retry_part {
    struct sl__part part;
    uint32_t max_attempts, backoff_ms, backoff_max_ms;
    double jitter;
    uint64_t kinds;
};

struct sl__isolate_part {
    struct sl__part part;
    uint32_t max_attempts;
    const char *to;
};

struct sl__on_error_part {
    struct sl__part part;
    int policy; /* enum sl_on_error, where a word stands in place of the map */
    struct sl__retry_part retry;
    const char *route;
    struct sl__isolate_part isolate;
};

struct sl__weighted_part {
    struct sl__part part;
    const char *weight; /* jq */
    uint64_t max_weight;
};

struct sl__key_part {
    struct sl__part part;
    const char *key, *weight; /* jq */
    uint64_t max_weight;
};

struct sl__strategy_part {
    struct sl__part part;
    int fixed;
    struct sl__weighted_part weighted;
    struct sl__key_part key;
};

enum sl__missing { SL__MISSING_NULL = 0, SL__MISSING_SKIP = 1, SL__MISSING_ERROR = 2 };

struct sl__lookup_part {
    struct sl__part part;
    const char *store, *table;
    const char *key; /* jq */
    const char *as;
    int missing;
};

struct sl__route_part {
    struct sl__part part;
    const char *when; /* jq */
    const char *to;
};

struct sl__stage_part {
    struct sl__part part;
    const char *given_name;
    const char *jq, *plugin, *python;
    struct sl__lookup_part lookup;
    struct sl__parts router;
    const struct sl__yaml *config;
    const char *to, *pool;
    uint32_t parallel;
    int mode, snapshot, ordering, cardinality;
    struct sl__strategy_part strategy;
    uint32_t batch_size, max_delay_ms, timeout_ms, max_in_flight, queue_max;
    const char *const *routes;
    struct sl__on_error_part on_error;
};

struct sl__run_part {
    struct sl__part part;
    int ordering;
    uint32_t in_flight_max, trace_items;
    uint64_t in_flight_bytes_max;
    const struct sl__yaml *metadata;
};

struct sl__file_part {
    struct sl__part part;
    const char *pipe, *description;
    const struct sl__yaml *vars; /* a map of scalars */
    struct sl__python_part python;
    const char *const *env;
    const char *const *redact;
    struct sl__parts pools, stores, stages;
    const char *const *outputs;
    struct sl__parts on_error; /* by stage, or "*" */
    struct sl__run_part options;
};

#endif
