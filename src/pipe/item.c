/* SPDX-License-Identifier: MIT */
#include "item.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/macros.h"

#define CHARGE (UINT64_C(1) << 62)

/* ---- values ------------------------------------------------------------------------------------------------------ */

static struct sl__chunk *chunk_create(struct sl__arena *arena, size_t size, uint64_t refs) {
    size_t whole;
    if (!sl__add_size(sizeof(struct sl__chunk), size, &whole)) {
        return NULL;
    }
    struct sl__chunk *chunk = malloc(whole);
    if (chunk != NULL) {
        atomic_init(&chunk->refs, refs);
        chunk->account = arena->account;
        chunk->reply = NULL;
        chunk->size = size;
        chunk->used = 0;
        atomic_fetch_add_explicit(chunk->account, size, memory_order_relaxed);
    }
    return chunk;
}

static void drop(struct sl__chunk *chunk, uint64_t refs) {
    if (atomic_fetch_sub_explicit(&chunk->refs, refs, memory_order_acq_rel) == refs) {
        size_t size = chunk->reply != NULL ? chunk->reply->size : chunk->size;
        atomic_fetch_sub_explicit(chunk->account, size, memory_order_relaxed);
        sl__blob_unref(chunk->reply);
        free(chunk);
    }
}

void sl__chunk_unref(struct sl__chunk *chunk) {
    drop(chunk, 1);
}

struct sl__kept sl__kept_ref(struct sl__kept kept) {
    if (kept.chunk != NULL) {
        atomic_fetch_add_explicit(&kept.chunk->refs, 1, memory_order_relaxed);
    }
    return kept;
}

static void close_chunk(struct sl__open_chunk *open) {
    if (open->chunk != NULL) {
        drop(open->chunk, CHARGE - open->given);
        *open = (struct sl__open_chunk){0};
    }
}

void sl__arena_close(struct sl__arena *arena) {
    close_chunk(&arena->room);
    close_chunk(&arena->reply);
}

static bool open_chunk(struct sl__arena *arena, struct sl__open_chunk *open, size_t size) {
    close_chunk(open);
    open->chunk = chunk_create(arena, size, CHARGE);
    return open->chunk != NULL;
}

bool sl__arena_copy(struct sl__arena *arena, struct sl_value value, struct sl__kept *kept) {
    struct sl__open_chunk *room = &arena->room;
    struct sl__chunk *chunk;
    if (value.size > arena->chunk_size / 4) {
        chunk = chunk_create(arena, value.size, 1);
        if (chunk == NULL) {
            return false;
        }
    } else {
        bool fits = room->chunk != NULL && value.size <= room->chunk->size - room->chunk->used;
        if (!fits && !open_chunk(arena, room, arena->chunk_size)) {
            return false;
        }
        chunk = room->chunk;
        room->given++;
    }
    uint8_t *data = chunk->data + chunk->used;
    memcpy(data, value.data, value.size);
    chunk->used += value.size;
    *kept = (struct sl__kept){data, value.size, chunk};
    return true;
}

bool sl__arena_open_reply(struct sl__arena *arena, struct sl__blob *reply) {
    if (!open_chunk(arena, &arena->reply, 0)) {
        return false;
    }
    arena->reply.chunk->reply = sl__blob_ref(reply);
    atomic_fetch_add_explicit(arena->account, reply->size, memory_order_relaxed);
    return true;
}

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

struct sl__token *sl__token_create(struct sl__origin *origin, struct sl__kept value) {
    struct sl__token *token = malloc(sizeof *token);
    if (token != NULL) {
        sl__token_init(token, origin, value);
    }
    return token;
}

void sl__token_destroy_rest(struct sl__token *token) {
    if (token->laden && token->made != NULL) {
        sl__emissions_finish(token->made);
        free(token->made);
    }
    if (token->laden && token->error != NULL) {
        sl_error_finish(token->error);
        free(token->error);
    }
    if (token != &token->origin->first) {
        free(token);
    }
}

/* ---- emissions --------------------------------------------------------------------------------------------------- */

void sl__emissions_clear(struct sl__emissions *emissions) {
    for (size_t i = 0; i < emissions->count; i++) {
        sl__kept_drop(&emissions->items[i].value);
    }
    emissions->count = 0;
    if (SL_UNLIKELY(emissions->skip != NULL)) {
        free(emissions->skip);
        emissions->skip = NULL;
    }
    if (emissions->error.code != SL_OK) {
        sl_error_finish(&emissions->error);
    }
}

void sl__emissions_finish(struct sl__emissions *emissions) {
    sl__emissions_clear(emissions);
    free(emissions->items);
    emissions->items = NULL;
    emissions->capacity = 0;
}

void sl__emissions_init(struct sl__emissions *emissions) {
    emissions->items = NULL;
    emissions->count = emissions->capacity = 0;
    emissions->skip = NULL;
    sl__error_init(&emissions->error);
}
