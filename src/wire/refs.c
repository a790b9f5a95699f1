/* SPDX-License-Identifier: MIT */
#include "wire/refs.h"

#include "wire/ext.h"
#include "wire/token.h"

/* Containers need no stack: their entries follow them. A mark is only ever a whole value, whose payload is looked through in its place. */
bool sl__ref_walk_next(struct sl__ref_walk *walk, struct sl_value *place, struct sl_ref *ref) {
    while (walk->at < walk->end) {
        struct sl__token token;
        struct sl_mark mark;
        const uint8_t *start = walk->at;
        const char *what;
        if (!sl__token_read(&walk->at, walk->end, &token)) {
            return false;
        }
        if (token.kind != SL__TOKEN_EXT) {
            continue;
        }
        if (token.ext_type == SL__EXT_REF && sl__ext_read_ref(token.payload, token.size, ref, &what) == SL_OK) {
            *place = (struct sl_value){start, (size_t)(walk->at - start)};
            return true;
        }
        if (token.ext_type == SL__EXT_MARK && sl__ext_read_mark(token.payload, token.size, &mark, &what) == SL_OK &&
            mark.payload.size > 0) {
            *walk = sl__ref_walk_of(mark.payload);
        }
    }
    return false;
}
