/* SPDX-License-Identifier: MIT */
/*
 * Pools that are drained and destroyed in the middle of everything: from another thread, from several at once, from a callback of one of their own runs,
 * while workers are killed and stopped. Each run ends, says closed or went well, and accounts for each of its items; nothing is left.
 */
#include "chaos.h"

#include <sched.h>

#define ROUNDS (60 / CHAOS_SHARE)
#define CONSUMERS_MAX 4
#define TIMEOUT_MS 300

enum ending { DRAIN, DRAIN_FROM_THREADS, DRAIN_FROM_CALLBACK, DESTROY, DESTROY_FROM_CALLBACK, ENDING_COUNT };
static const char *const ending_names[] = {"drain", "drain from threads", "drain from a callback", "destroy",
                                           "destroy from a callback"};

struct scene {
    struct site site;
    enum ending ending;
    uint32_t timeout_ms; /* of drains */
    uint64_t position;   /* of the outcome whose callback ends the pool */
    uint32_t count;
    _Atomic uint32_t begun;
    _Atomic bool ended;
    struct consumer consumers[CONSUMERS_MAX];
};

/* A pool may be destroyed under runs that have begun, not under those that are about to. */
static void wait_until_all_have_begun(struct scene *scene) {
    while (atomic_load(&scene->begun) < scene->count) {
        sched_yield();
    }
}

static void *drain(void *context) {
    struct scene *scene = context;
    enum sl_code code = sl_pool_drain(scene->site.pool, scene->timeout_ms, NULL);
    return code == SL_OK || code == SL_E_TIMEOUT ? NULL : scene;
}

static void end_from_callback(void *context, uint64_t position) {
    struct scene *scene = context;
    if (position != scene->position || atomic_exchange(&scene->ended, true)) {
        return;
    }
    if (scene->ending == DRAIN_FROM_CALLBACK) {
        enum sl_code code = sl_pool_drain(scene->site.pool, scene->timeout_ms, NULL);
        if (code != SL_E_AGAIN) {
            ledger_wrong(&scene->consumers[0].ledger, "drain from a callback returned %s", sl_code_name(code));
        }
    } else if (scene->ending == DESTROY_FROM_CALLBACK && atomic_load(&scene->begun) == scene->count) {
        sl_pool_destroy(scene->site.pool);
        scene->site.pool = NULL;
    }
}

static void end(struct scene *scene, uint64_t *random) {
    pthread_t threads[3];
    void *wrong;
    struct timespec pause = {0, (long)draw_below(random, 60000000)};
    nanosleep(&pause, NULL);
    switch (scene->ending) {
    case DRAIN:
        assert_null(drain(scene));
        break;
    case DRAIN_FROM_THREADS:
        for (int i = 0; i < 3; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, drain, scene), 0);
        }
        for (int i = 0; i < 3; i++) {
            pthread_join(threads[i], &wrong);
            assert_null(wrong);
        }
        break;
    case DESTROY:
        wait_until_all_have_begun(scene);
        sl_pool_destroy(scene->site.pool);
        scene->site.pool = NULL;
        break;
    default: /* the callback does it */
        break;
    }
}

static void one_end(uint64_t seed) {
    uint64_t random = seed * 0x9e3779b97f4a7c15u | 1, start_ms = now_ms();
    (void)draw(&random);
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    struct sl_pool_options options = site_options(1 + draw_below(&random, 3), draw_below(&random, 4) != 0);
    site_open(&scene->site, &options);
    scene->ending = (enum ending)draw_below(&random, ENDING_COUNT);
    scene->timeout_ms = draw_below(&random, 2) == 0 ? 0 : draw_below(&random, 300);
    scene->position = 1 + draw_below(&random, 300);
    scene->count = 1 + draw_below(&random, CONSUMERS_MAX);
    for (uint32_t i = 0; i < scene->count; i++) {
        struct consumer *consumer = &scene->consumers[i];
        consumer->site = &scene->site;
        consumer->kind = (enum consumer_kind)draw_below(&random, CONSUMER_KIND_COUNT);
        consumer->options = consumer_options(TIMEOUT_MS);
        consumer->options.batch_size = 1 + draw_below(&random, 32);
        consumer->expected = SL_E_CLOSED;
        consumer->load = (struct load){.count = 2000, .salt = draw_below(&random, 1000), .begun = &scene->begun};
        consumer->load.work_us = draw_below(&random, 200);
        consumer->load.padding = draw_below(&random, 4) == 0 ? 20000 : 0;
        consumer->after = end_from_callback;
        consumer->context = scene;
    }
    struct killer killer = {.site = &scene->site,
                            .random = draw(&random) | 1,
                            .pause_min_us = 500,
                            .pause_max_us = 10000,
                            .items_per_kill = 50,
                            .stop_percent = 10};
    bool kills = draw_below(&random, 2) == 0 && scene->ending <= DRAIN_FROM_CALLBACK;
    if (kills) {
        killer_start(&killer);
    }
    consumers_start(scene->consumers, scene->count, &killer.progress);
    end(scene, &random);
    consumers_join(scene->consumers, scene->count);
    if (kills) {
        killer_stop(&killer);
    }
    uint64_t ok = 0, cancelled = 0;
    for (uint32_t i = 0; i < scene->count; i++) {
        ok += scene->consumers[i].ledger.count[SL_STATUS_OK];
        cancelled += scene->consumers[i].ledger.count[SL_STATUS_CANCELLED];
        consumer_finish(&scene->consumers[i]);
    }
    if (getenv("SLITHER_TEST_VERBOSE") != NULL) {
        printf("seed %llu: %u runs, %s: %llu ok, %llu cancelled, %llu ms\n", (unsigned long long)seed, scene->count,
               ending_names[scene->ending], (unsigned long long)ok, (unsigned long long)cancelled,
               (unsigned long long)(now_ms() - start_ms));
        fflush(stdout);
    }
    site_close(&scene->site);
    free(scene);
}

static void pools_end_at_any_moment(void **state) {
    (void)state;
    uint64_t seed = draw_seed();
    one_end(seed); /* libuv opens two descriptors with the first loop of a process and keeps them */
    int descriptors = descriptor_count();
    for (uint64_t round = 1; round < ROUNDS; round++) {
        one_end(seed + round);
    }
    expect_no_children();
    assert_int_equal(descriptor_count(), descriptors);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pools_end_at_any_moment),
    };
    return cmocka_run_group_tests_name("ends", tests, NULL, NULL);
}
