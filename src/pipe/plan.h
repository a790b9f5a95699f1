/* SPDX-License-Identifier: MIT */
/*
 * Plan: a definition that was checked and copied, with its names resolved.
 *
 *   node      a stage; nodes stand in the order of the definition, and edges go from a node to a later one only, so there is no cycle
 *   target    where an item can go: a node or an output
 *   threaded  a node with a queue and a thread of its own, on which a dispatch runs
 *   inline    a node that runs on whatever thread brings the item
 */
#ifndef SLITHER_PIPE_PLAN_H
#define SLITHER_PIPE_PLAN_H

#include <slither/pipe.h>

#define SL__STAGES_MAX 256
#define SL__OUTPUTS_MAX 64
#define SL__ROUTES_MAX 256
#define SL__NAME_MAX 64

typedef uint32_t sl__target;
#define SL__TARGET_OUTPUT 0x80000000u /* this bit and the output's index; else a node's */
#define SL__NOWHERE UINT32_MAX

static inline bool sl__target_is_output(sl__target target) {
    return (target & SL__TARGET_OUTPUT) != 0;
}
static inline uint32_t sl__target_index(sl__target target) {
    return target & ~SL__TARGET_OUTPUT;
}

struct sl__node {
    struct sl_stage stage; /* a copy; strings are the plan's */
    bool threaded;
    uint32_t threads;   /* native and threaded: of its executor */
    bool shared;        /* inline, and more than one thread may bring it items */
    sl__target next;    /* not of routers */
    sl__target *routes; /* as many as stage.routes */
    uint32_t route_count;
    sl__target otherwise; /* routers; SL__NOWHERE: the last route takes the rest */
    sl__target on_error;  /* or SL__NOWHERE */
    /* threaded nodes that what it gives out can reach without passing another: while one of them is full it takes nothing in */
    uint32_t *behind;
    uint32_t behind_count;
};

struct sl_pipe {
    char *name;
    struct sl__node *nodes;
    uint32_t node_count;
    char **outputs;
    uint32_t output_count;
    uint32_t default_output;
    uint32_t *entry; /* threaded nodes that the source reaches without passing another */
    uint32_t entry_count;
    char **texts; /* all strings, to be freed */
    size_t text_count;
};

/* The target of that name, or SL__NOWHERE. */
sl__target sl__plan_find(const struct sl_pipe *pipe, const char *name);
const char *sl__plan_target_name(const struct sl_pipe *pipe, sl__target target);

#endif
