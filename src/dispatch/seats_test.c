/* SPDX-License-Identifier: MIT */
/* Where the next batch flies, by what flies already. */
#include <string.h>

#include "run.h"
#include "testing/crew.h"

#define WORKERS 4

/* A run that holds all lanes of its pool, and so needs nothing of the pool. */
struct scene {
    struct sl__run run;
    struct sl__seat seats[WORKERS];
    struct sl__lease leases[WORKERS];
};

#define NOW 1000000000u

/* `counts`: batches in each lane, of which the oldest began just now. */
static void arrange(struct scene *scene, uint32_t processors, uint64_t batch_ns, const uint32_t counts[WORKERS]) {
    memset(scene, 0, sizeof *scene);
    scene->run.seats = scene->seats;
    scene->run.seat_capacity = scene->run.pool_capacity = scene->run.held_seats = WORKERS;
    scene->run.processor_count = processors;
    scene->run.batch_ns = batch_ns;
    scene->run.options.max_in_flight = 4 * WORKERS;
    for (uint32_t i = 0; i < WORKERS; i++) {
        scene->leases[i].worker = i;
        scene->seats[i].lease = &scene->leases[i];
        scene->seats[i].count = counts[i];
        scene->seats[i].began_ns = NOW;
    }
}

static uint32_t choose(struct scene *scene) {
    struct sl__seat *seat = sl__run_choose_seat(&scene->run, SL__ANY_WORKER, NOW);
    return seat == NULL ? SL__ANY_WORKER : seat->lease->worker;
}

#define CHOSEN(expected, processors, batch_ns, ...)                                  \
    do {                                                                             \
        struct scene scene;                                                          \
        arrange(&scene, processors, batch_ns, (const uint32_t[WORKERS])__VA_ARGS__); \
        assert_int_equal(choose(&scene), expected);                                  \
    } while (0)

static void an_idle_worker_is_woken_while_a_processor_is_left(void **state) {
    (void)state;
    CHOSEN(0, 2, 50000, {0, 0, 0, 0});
    CHOSEN(1, 4, 50000, {1, 0, 0, 0});
    CHOSEN(2, 4, 50000, {1, 1, 0, 0});
    CHOSEN(3, 8, 50000, {1, 1, 1, 0});
}

static void else_a_short_batch_goes_behind_others(void **state) {
    (void)state;
    CHOSEN(0, 2, 50000, {1, 0, 0, 0});
    CHOSEN(0, 1, 50000, {1, 0, 0, 0});
    CHOSEN(2, 4, 50000, {2, 2, 1, 0});
}

static void of_too_many_that_run_one_may_run_dry(void **state) {
    (void)state;
    CHOSEN(1, 2, 50000, {1, 3, 0, 0});
    CHOSEN(0, 2, 50000, {3, 2, 2, 2});
    CHOSEN(3, 4, 50000, {2, 1, 2, 3});
    CHOSEN(0, 4, 100000, {2, 1, 2, 3}); /* behind three it is not soon any more */
}

static void behind_a_long_queue_it_does_not_go(void **state) {
    (void)state;
    CHOSEN(1, 2, 50000, {4, 0, 0, 0});  /* full */
    CHOSEN(1, 2, 100000, {3, 0, 0, 0}); /* 300 us */
    CHOSEN(1, 2, 400000, {1, 0, 0, 0}); /* no short batches */
    CHOSEN(3, 2, 1000000, {1, 1, 1, 0});
}

static void of_idle_ones_the_one_that_has_waited_longest_is_woken(void **state) {
    (void)state;
    struct scene scene;
    arrange(&scene, 8, 50000, (const uint32_t[WORKERS]){0, 0, 0, 0});
    for (uint32_t i = 0; i < WORKERS; i++) {
        scene.seats[i].last_send = i == 2 ? 5 : 7 + i;
    }
    assert_int_equal(choose(&scene), 2);
}

static void nothing_is_supposed_of_batches_that_nobody_has_seen(void **state) {
    (void)state;
    CHOSEN(1, 2, 0, {1, 0, 0, 0});
}

static void nor_does_it_go_behind_one_that_is_late(void **state) {
    (void)state;
    struct scene scene;
    arrange(&scene, 2, 50000, (const uint32_t[WORKERS]){1, 0, 0, 0});
    scene.seats[0].began_ns = NOW - 1000000;
    assert_int_equal(choose(&scene), 1);
}

static void a_worker_that_retires_gets_nothing_more(void **state) {
    (void)state;
    struct scene scene;
    arrange(&scene, 2, 50000, (const uint32_t[WORKERS]){2, 1, 0, 0});
    atomic_store(&scene.leases[0].retire, 1);
    assert_int_equal(choose(&scene), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_worker_is_woken_while_a_processor_is_left),
        cmocka_unit_test(else_a_short_batch_goes_behind_others),
        cmocka_unit_test(of_too_many_that_run_one_may_run_dry),
        cmocka_unit_test(behind_a_long_queue_it_does_not_go),
        cmocka_unit_test(of_idle_ones_the_one_that_has_waited_longest_is_woken),
        cmocka_unit_test(nothing_is_supposed_of_batches_that_nobody_has_seen),
        cmocka_unit_test(nor_does_it_go_behind_one_that_is_late),
        cmocka_unit_test(a_worker_that_retires_gets_nothing_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
