/* SPDX-License-Identifier: MIT */
#include "item.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

struct sl__pipe_blob *sl__pipe_blob_create(const void *data, size_t size, _Atomic uint64_t *account) {
    struct sl__pipe_blob *blob = malloc(sizeof *blob + size);
    if (blob != NULL) {
        atomic_init(&blob->refs, 1);
        blob->size = size;
        blob->account = account;
        atomic_fetch_add_explicit(account, size, memory_order_relaxed);
        if (size > 0) {
            memcpy(blob->data, data, size);
        }
    }
    return blob;
}

void sl__pipe_blob_unref(struct sl__pipe_blob *blob) {
    if (blob != NULL && atomic_fetch_sub_explicit(&blob->refs, 1, memory_order_acq_rel) == 1) {
        atomic_fetch_sub_explicit(blob->account, blob->size, memory_order_relaxed);
        free(blob);
    }
}

struct sl__pipe_blob *sl__pipe_blob_ref(struct sl__pipe_blob *blob) {
    atomic_fetch_add_explicit(&blob->refs, 1, memory_order_relaxed);
    return blob;
}

void sl__emissions_clear(struct sl__emissions *emissions) {
    for (size_t i = 0; i < emissions->count; i++) {
        sl__pipe_blob_unref(emissions->items[i].blob);
    }
    emissions->count = 0;
    free(emissions->skip);
    emissions->skip = NULL;
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

struct sl__token *sl__token_create(uint64_t origin, struct sl__pipe_blob *blob, uint32_t producer) {
    struct sl__token *token = malloc(sizeof *token);
    if (token != NULL) {
        token->next = NULL;
        token->origin = origin;
        token->blob = blob;
        token->producer = producer;
        token->output = 0;
        token->depth = 0;
        token->enter_ns = 0;
        token->error = NULL;
        token->made = NULL;
    }
    return token;
}
