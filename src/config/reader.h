/* SPDX-License-Identifier: MIT */
/* Reader: fills parts from a tree, as the table of keys says, and notes what does not fit. */
#ifndef SLITHER_CONFIG_READER_H
#define SLITHER_CONFIG_READER_H

#include "keys.h"
#include "parts.h"
#include "problems.h"

struct sl__reader {
    struct sl__arena *arena;
    struct sl__problems *problems;
    const char *directory; /* that relative paths begin at */
};

/* Reads the whole file. What is wrong goes to the problems; the part is then incomplete, but whole enough to be looked at. */
void sl__read_file(struct sl__reader *reader, const struct sl__yaml *root, struct sl__file_part *file);

/* A path of the file: relative ones begin at the file's directory. NULL: no memory, which the problems know. */
const char *sl__read_path(struct sl__reader *reader, const char *path);

/* The key of a section by name, or NULL. */
const struct sl__key *sl__key_find(const struct sl__section *section, const char *name);

/* Makes a part what it is when nothing is said of it; its memory is zeroed. */
void sl__part_init(const struct sl__section *section, void *part, const char *place);

/* Where a key of a part stands: its value; the part itself where the key is not given. */
const struct sl__yaml *sl__part_at(const struct sl__part *part, const char *key);
/* "PLACE.key" in the arena. */
const char *sl__part_place(struct sl__reader *reader, const struct sl__part *part, const char *key);

#endif
