/* SPDX-License-Identifier: MIT */
/* What JSON lacks, back from the objects that stand for it. */
#ifndef SL_JSON_RESTORE_H
#define SL_JSON_RESTORE_H

#include <slither/value.h>

#include <jansson.h>

/* Writes what an object with one member stands for. False: it is an object like any other, and nothing was written. */
bool sl__json_restore_object(struct sl_writer *writer, const json_t *object) __attribute__((warn_unused_result));

/* One value and all that is in it; parse.c. */
void sl__json_write(struct sl_writer *writer, const json_t *json, bool restoring);

#endif
