/* SPDX-License-Identifier: MIT */
/* Results, and the debts that come with them. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "invoke.h"
#include "session/session.h"
#include "wire/refs.h"

#define TAKEN_SIZE_MIN 8u

struct sl__taken {
    const uint8_t *place; /* of the ref's value; NULL: free */
    struct sl_object *object;
};

/* ---- results --------------------------------------------------------------------------------------------------------- */

enum sl_code sl__answer_make(struct sl__keeper *keeper, struct sl_results *results, uint64_t ref_count,
                             struct sl_result *result, struct sl_error *error) {
    struct sl_value value = results->values[0], place;
    struct sl__ref_walk walk = sl__ref_walk_of(value);
    struct sl_ref ref;
    uint64_t session = sl_session_id(keeper->session);
    struct sl__answer *answer = calloc(1, sizeof *answer);
    uint32_t debt_count = 0;
    while (ref_count > 0 && sl__ref_walk_next(&walk, &place, &ref)) {
        if (ref.session != session) {
            continue;
        }
        if (answer != NULL) {
            debt_count++;
        } else {
            sl__session_drop_ref(keeper->session, ref.worker, ref.generation, ref.object, 1);
        }
    }
    if (answer == NULL) {
        sl_results_finish(results);
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a result");
    }
    answer->keeper = sl__keeper_ref(keeper);
    answer->results = *results;
    answer->debt_count = debt_count;
    if (debt_count > 0) {
        sl__session_count_refs(keeper->session, debt_count);
    }
    *result = (struct sl_result){value, answer};
    return SL_OK;
}

static struct sl__taken *find_taken(const struct sl__answer *answer, const uint8_t *place) {
    uint32_t mask = answer->taken_size - 1;
    uint32_t i = (uint32_t)((uintptr_t)place * UINT64_C(0x9e3779b97f4a7c15) >> 32) & mask;
    while (answer->taken[i].place != NULL && answer->taken[i].place != place) {
        i = (i + 1) & mask;
    }
    return &answer->taken[i];
}

static bool grow_taken(struct sl__answer *answer) {
    if (answer->taken_count * 2 < answer->taken_size) {
        return true;
    }
    struct sl__answer grown = *answer;
    grown.taken_size = SL_MAX(answer->taken_size * 2, TAKEN_SIZE_MIN);
    grown.taken = calloc(grown.taken_size, sizeof *grown.taken);
    if (grown.taken == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < answer->taken_size; i++) {
        if (answer->taken[i].place != NULL) {
            *find_taken(&grown, answer->taken[i].place) = answer->taken[i];
        }
    }
    free(answer->taken);
    *answer = grown;
    return true;
}

enum sl_code sl_object_take(const struct sl_result *result, struct sl_value value, struct sl_object **object,
                            struct sl_error *error) {
    struct sl__answer *answer = result->owner;
    struct sl_ref ref;
    *object = NULL;
    if (answer == NULL || sl_value_ref(value, &ref) != SL_OK || value.data < result->value.data ||
        value.data + value.size > result->value.data + result->value.size) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "sl_object_take: the value is of type %s%s; expected a ref that is a part of result->value",
                            sl_type_name(sl_value_type(value)), answer == NULL ? ", and the result is empty" : "");
    }
    if (ref.session != sl_session_id(answer->keeper->session)) {
        return sl_error_set(
            error, SL_E_INVALID_ARGUMENT, "sl_object_take: the ref is of session %llu, the result of session %llu",
            (unsigned long long)ref.session, (unsigned long long)sl_session_id(answer->keeper->session));
    }
    if (!grow_taken(answer)) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for an object");
    }
    struct sl__taken *taken = find_taken(answer, value.data);
    if (taken->place == NULL) {
        struct sl_object *made = sl__object_make(answer->keeper, value);
        if (made == NULL) {
            return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for an object");
        }
        *taken = (struct sl__taken){value.data, made}; /* the reference of the result */
        answer->taken_count++;
    }
    *object = sl_object_ref(taken->object);
    return SL_OK;
}

/* What nobody has taken goes back. */
static void pay(struct sl__answer *answer, struct sl_value value) {
    struct sl__ref_walk walk = sl__ref_walk_of(value);
    uint64_t session = sl_session_id(answer->keeper->session);
    struct sl_value place;
    struct sl_ref ref;
    while (sl__ref_walk_next(&walk, &place, &ref)) {
        if (ref.session == session && (answer->taken_size == 0 || find_taken(answer, place.data)->place == NULL)) {
            sl__session_drop_ref(answer->keeper->session, ref.worker, ref.generation, ref.object, 1);
        }
    }
}

void sl_result_finish(struct sl_result *result) {
    if (result == NULL || result->owner == NULL) {
        return;
    }
    struct sl__answer *answer = result->owner;
    if (answer->debt_count > answer->taken_count) {
        pay(answer, answer->results.values[0]);
    }
    for (uint32_t i = 0; i < answer->taken_size; i++) {
        sl_object_unref(answer->taken[i].object);
    }
    free(answer->taken);
    sl_results_finish(&answer->results);
    sl__keeper_unref(answer->keeper);
    free(answer);
    *result = (struct sl_result)SL_RESULT_INIT;
}
