/* SPDX-License-Identifier: MIT */
/* The payload allocator against a model that marks bytes. */
#include "pair_test.h"

#include "base/macros.h"
#include "space.h"

#define CAPACITY 4096

struct model {
    uint8_t owner[CAPACITY]; /* 0: free, else number of the piece */
    struct {
        uint64_t offset, size;
        uint8_t owner;
    } pieces[SL__LANE_SLOTS];
    uint32_t count;
};

static void model_take(struct model *model, uint64_t offset, uint64_t size, uint8_t owner) {
    for (uint64_t i = offset; i < offset + size; i++) {
        assert_int_equal(model->owner[i], 0); /* no byte is handed out twice */
        model->owner[i] = owner;
    }
    model->pieces[model->count].offset = offset;
    model->pieces[model->count].size = size;
    model->pieces[model->count++].owner = owner;
}

static void model_release(struct model *model) {
    for (uint64_t i = 0; i < model->pieces[0].size; i++) {
        assert_int_equal(model->owner[model->pieces[0].offset + i], model->pieces[0].owner);
        model->owner[model->pieces[0].offset + i] = 0;
    }
    memmove(&model->pieces[0], &model->pieces[1], sizeof model->pieces[0] * --model->count);
}

static void random_use_agrees_with_the_model(void **state) {
    (void)state;
    uint64_t random = noise_seed();
    struct model model = {0};
    struct sl__space space;
    sl__space_init(&space, CAPACITY + 13); /* what is no multiple of the alignment is left out */
    assert_int_equal(space.capacity, CAPACITY);
    for (int i = 0; i < 60000; i++) {
        if (model.count < SL__LANE_SLOTS && noise(&random) % 2 == 0) {
            uint64_t needed = 1 + noise(&random) % (noise(&random) % 4 == 0 ? CAPACITY : CAPACITY / 6);
            uint64_t offset, room;
            sl__space_find(&space, needed, &offset, &room);
            assert_int_equal(offset % SL__PAYLOAD_ALIGNMENT, 0);
            assert_true(offset + room <= CAPACITY);
            if (model.count == 0) {
                assert_int_equal(offset, 0);
                assert_int_equal(room, CAPACITY);
            }
            for (uint64_t at = offset; at < offset + room; at++) {
                assert_int_equal(model.owner[at], 0);
            }
            if (room >= needed) {
                sl__space_take(&space, offset, needed);
                uint64_t whole = (needed + SL__PAYLOAD_ALIGNMENT - 1) / SL__PAYLOAD_ALIGNMENT * SL__PAYLOAD_ALIGNMENT;
                model_take(&model, offset, whole, (uint8_t)(1 + i % 255));
            }
        } else if (model.count > 0) {
            sl__space_release(&space);
            model_release(&model);
        }
        assert_int_equal(space.count, model.count);
    }
}

static void an_exact_fit_fills_the_space(void **state) {
    (void)state;
    struct sl__space space;
    uint64_t offset, room;
    sl__space_init(&space, CAPACITY);
    sl__space_take(&space, 0, CAPACITY / 2);
    sl__space_find(&space, CAPACITY / 2, &offset, &room);
    assert_int_equal(offset, CAPACITY / 2);
    assert_int_equal(room, CAPACITY / 2);
    sl__space_take(&space, offset, room);
    sl__space_find(&space, 1, &offset, &room);
    assert_int_equal(room, 0);
    sl__space_release(&space);
    sl__space_find(&space, 64, &offset, &room);
    assert_int_equal(offset, 0);
    assert_int_equal(room, CAPACITY / 2);
    sl__space_take(&space, offset, room); /* wraps, and is full again */
    sl__space_find(&space, 64, &offset, &room);
    assert_int_equal(room, 0);
}

/* Memory that was never touched costs nothing: how far pieces reach must not depend on the capacity. */
static void pieces_stay_in_front(void **state) {
    (void)state;
    struct sl__space space;
    uint64_t offset, room, reach = 0;
    sl__space_init(&space, CAPACITY);
    for (int i = 0; i < 1000; i++) {
        sl__space_find(&space, space.expected, &offset, &room);
        assert_true(room >= 64);
        sl__space_take(&space, offset, 64);
        reach = SL_MAX(reach, offset + 64);
        if (i >= 2) {
            sl__space_release(&space); /* three at a time, never none */
        }
    }
    assert_in_range(reach, 64 * 3, 64 * 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_use_agrees_with_the_model),
        cmocka_unit_test(an_exact_fit_fills_the_space),
        cmocka_unit_test(pieces_stay_in_front),
    };
    return cmocka_run_group_tests_name("space", tests, NULL, NULL);
}
