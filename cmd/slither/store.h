/* SPDX-License-Identifier: MIT */
/* `slither store`: what its files share. */
#ifndef SLITHER_CLI_STORE_H
#define SLITHER_CLI_STORE_H

#include <slither/json.h>
#include <slither/loader.h>
#include <slither/runtime.h>
#include <slither/store.h>

#include "command.h"
#include "output.h"

struct store_options {
    uint64_t pid;                   /* 0: the store is named by its directory */
    const char *from, *to, *prefix; /* keys */
    uint64_t limit;
    int backward;
    int kind;                /* index into the names of kinds; -1: not given */
    int format;              /* index into the names of formats; -1: not given */
    const char *key, *value; /* members or columns */
    const char *sql;
    int infer;
    int literal;
    int add;
    int if_absent;
    uint64_t ttl_ms;
    uint64_t bytes_max; /* 0: not given */
};

/* One call of the command. */
struct store_call {
    const struct store_options *options;
    const char *verb;
    char **operands; /* behind the name of the store */
    int operand_count;
    struct sl_runtime *runtime;
    struct sl_store *store;
    struct output out;
    char *text; /* of a line */
    size_t text_capacity;
    struct sl_error error;
};

struct store_verb {
    const char *name;
    const char *operands; /* as help shows them */
    int operand_min, operand_max;
    bool writes;
    bool makes; /* the store, when it is not there */
    int (*run)(struct store_call *call);
};

extern const struct store_verb store_verbs[];
extern const size_t store_verb_count;

/* Says what `call->error` says; the exit status. */
int store_fail(struct store_call *call, enum sl_code code);
/* The table named by the first operand, which must exist. */
enum sl_code store_table(struct store_call *call, struct sl_table **table);
/* A key, or another value, as a user types it: JSON as sl_json_restore reads it, or else a str. The value lies in `writer`. */
enum sl_code store_read_word(const char *word, struct sl_writer *writer, struct sl_value *value,
                             struct sl_error *error);
/* One line of JSON to standard output. `flags`: of sl_json_print. */
enum sl_code store_print(struct store_call *call, struct sl_value value, uint32_t flags);

/*
 * The directory of a store that the process has open, from the files that it has mapped. `name` NULL: the only one there is. False:
 * `problem` says why not.
 */
bool store_find_open(int64_t pid, const char *name, char *path, size_t path_size, char *problem, size_t problem_size);

#endif
