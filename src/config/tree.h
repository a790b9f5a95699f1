/* SPDX-License-Identifier: MIT */
/*
 * A YAML document as a tree that knows where each part of it stands. libyaml does the parsing. What its size does not bound has a bound here: depth, and
 * entries, those behind an alias counted each time that they are used. An alias is its anchor's node again, so the tree is a graph without cycles.
 */
#ifndef SLITHER_CONFIG_TREE_H
#define SLITHER_CONFIG_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"

enum sl__yaml_kind { SL__YAML_SCALAR = 0, SL__YAML_LIST = 1, SL__YAML_MAP = 2 };

struct sl__yaml {
    enum sl__yaml_kind kind;
    uint32_t line, column; /* from 1 */
    bool broken;           /* wrong in a way that was reported */
    const char *setting;   /* key of the setting that it comes from; NULL: the file */

    /* scalar */
    const char *text; /* UTF-8; NUL-terminated, and without NUL inside */
    bool quoted;      /* a text, whatever it looks like */
    bool filled;      /* its variables have been filled in */

    /* list and map */
    struct sl__yaml **items;
    struct sl__yaml **keys; /* of a map: as many scalars */
    uint32_t count;
    uint32_t capacity;
    uint64_t weight; /* nodes of it, those of aliases each time */
};

struct sl__problems;

/*
 * The one document of a text; NULL after a problem. An empty document is an empty map. `setting`: see struct sl__yaml.
 */
struct sl__yaml *sl__yaml_parse(struct sl__arena *arena, const char *text, size_t size, const char *setting,
                                struct sl__problems *problems);

/* The value of a key; NULL: there is none, or it is no map. */
struct sl__yaml *sl__yaml_get(const struct sl__yaml *map, const char *key);
/* Sets the value of a key. False: no memory. */
bool sl__yaml_set(struct sl__arena *arena, struct sl__yaml *map, const char *key, struct sl__yaml *value);

/* What a plain scalar is, by the core schema of YAML 1.2. */
enum sl__yaml_type { SL__YAML_TEXT, SL__YAML_NULL, SL__YAML_BOOL, SL__YAML_INT, SL__YAML_FLOAT };
enum sl__yaml_type sl__yaml_type(const struct sl__yaml *scalar);

/* "a list", "the text \"x\"", "12": for messages. */
#define SL__YAML_TEXT_SIZE 96
const char *sl__yaml_describe(const struct sl__yaml *node, char text[SL__YAML_TEXT_SIZE]);

#endif
