/* SPDX-License-Identifier: MIT */
/*
 * Refs in replies. Who asked for refs will release the objects that they name, and hand the names on, so a worker may only name what is its own: anything
 * else would release or show an object of another session, or of another worker of this one.
 */
#include "wire/refs.h"
#include "run.h"

bool sl__refs_check(struct sl__run *run, const struct sl__batch *batch, const struct sl__lease *lease,
                    struct sl_error *error) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct sl__entry *entry = &batch->entries[i];
        struct sl_value place, value = {batch->blob->data + entry->value_offset, entry->value_size};
        struct sl__ref_walk walk = sl__ref_walk_of(value);
        struct sl_ref ref;
        for (; sl__ref_walk_next(&walk, &place, &ref); count++) {
            if (ref.session == run->use.id && ref.worker == lease->worker && ref.generation == lease->generation) {
                continue;
            }
            (void)sl_error_set(error, SL_E_BAD_RESULT,
                               "%s: result %u names object %llu of session %llu, worker %u, generation %u; this reply "
                               "is of session %llu, worker %u, generation %u, and refs in it can only be of those",
                               run->options.function, i, (unsigned long long)ref.object,
                               (unsigned long long)ref.session, ref.worker, ref.generation,
                               (unsigned long long)run->use.id, lease->worker, lease->generation);
            error->worker = lease->worker;
            error->generation = lease->generation;
            return false;
        }
    }
    run->ref_count += count;
    return true;
}
