/* SPDX-License-Identifier: MIT */
/*
 * Keys: what may stand in a pipe file, as one table. The reader fills structs by it, the messages name what it says, the schema is written from it.
 */
#ifndef SLITHER_CONFIG_KEYS_H
#define SLITHER_CONFIG_KEYS_H

#include <stddef.h>
#include <stdint.h>

/* What a key takes, and the type of the member that it fills. */
enum sl__key_kind {
    SL__KEY_TEXT,       /* const char * */
    SL__KEY_PATH,       /* const char *: a path, made relative to the file's directory */
    SL__KEY_JQ,         /* const char *: a jq program */
    SL__KEY_BOOL,       /* bool */
    SL__KEY_COUNT,      /* uint32_t */
    SL__KEY_COUNT64,    /* uint64_t */
    SL__KEY_DURATION,   /* uint32_t: milliseconds */
    SL__KEY_DURATION64, /* uint64_t: milliseconds */
    SL__KEY_SIZE,       /* uint64_t: bytes */
    SL__KEY_FRACTION,   /* double: 0..1 */
    SL__KEY_CHOICE,     /* int */
    SL__KEY_CHOICES,    /* uint64_t: bit (1 << value) for each of a list */
    SL__KEY_TEXTS,      /* const char *const *: a list, ended by NULL */
    SL__KEY_PATHS,      /* const char *const *: paths, ended by NULL */
    SL__KEY_PAIRS,      /* const char *const *: "NAME=value" of a map, "NAME" where the value is null; ended by NULL */
    SL__KEY_SECTION,    /* the section's struct itself */
    SL__KEY_NAMED,      /* struct sl__parts: a map of names to sections */
    SL__KEY_LIST,       /* struct sl__parts: a list of sections */
    SL__KEY_ANY,        /* const struct sl__yaml *: any value */
};

struct sl__choice {
    const char *name; /* NULL ends the list */
    int value;
};

enum sl__key_flag {
    SL__KEY_REQUIRED = 1,
    SL__KEY_OR_NONE = 2, /* a duration: `none` is UINT32_MAX */
};

/* Which kinds of stages a key is for: bits; 0: all. */
enum sl__stage_bit {
    SL__FOR_JQ = 1,
    SL__FOR_PLUGIN = 2,
    SL__FOR_LOOKUP = 4,
    SL__FOR_PYTHON = 8,
    SL__FOR_ROUTER = 16,
};

struct sl__section;

struct sl__key {
    const char *name; /* NULL ends the list */
    enum sl__key_kind kind;
    size_t offset;
    uint32_t flags;
    uint32_t stages; /* in a stage: whose it is */
    uint64_t min, max;
    const struct sl__choice *choices;
    const struct sl__section *section;
    const char *note; /* a sentence about it, for editors */
};

/* A map with these keys. Its struct begins with struct sl__part. */
struct sl__section {
    const char *name; /* in the schema */
    size_t size;      /* of its struct */
    const void *init; /* what its struct is before it is read; NULL: zero */
    const struct sl__key *keys;
    /* a scalar may stand in place of the map, and is this (its name is not used); NULL: none may */
    const struct sl__key *scalar;
    uint32_t max; /* of lists and maps of it: how many */
};

/* The whole file. */
extern const struct sl__section sl__file_section;

#endif
