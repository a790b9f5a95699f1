/* SPDX-License-Identifier: MIT */
/* Clock, futex, processors and seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "base/macros.h"
#include "sys/clock.h"
#include "sys/entropy.h"
#include "sys/fault.h"
#include "sys/futex.h"
#include "sys/processors.h"

static void the_clock_goes_forward(void **state) {
    (void)state;
    uint64_t before = sl__clock_now_ns(), after = sl__clock_now_ns();
    assert_true(before > 0 && after >= before);
    assert_int_equal(sl__clock_deadline_ms(0), 0);
    assert_true(sl__clock_deadline_ms(1000) > after + 900000000u);
    assert_int_equal(sl__clock_deadline_ms(UINT64_MAX), UINT64_MAX);
    assert_false(sl__clock_passed(0));
    assert_false(sl__clock_passed(UINT64_MAX));
    assert_true(sl__clock_passed(1));
}

static void a_wait_ends_for_a_reason(void **state) {
    (void)state;
    _Atomic uint32_t words[3] = {1, 2, 3};
    for (enum sl__futex_scope scope = SL__FUTEX_SHARED; scope <= SL__FUTEX_PRIVATE; scope++) {
        assert_int_equal(sl__futex_wait(&words[0], 7, scope, 0), EAGAIN);
        uint64_t deadline_ns = sl__clock_now_ns() + 2000000;
        assert_int_equal(sl__futex_wait(&words[0], 1, scope, deadline_ns), ETIMEDOUT);
        assert_true(sl__clock_passed(deadline_ns));
        struct sl__futex_word all[] = {{&words[0], 1, scope}, {&words[1], 2, scope}, {&words[2], 9, scope}};
        for (int polling = 0; polling < 2; polling++) {
            if (polling) {
                sl__sys_fail_from(SL__CALL_FUTEX_WAITV, ENOSYS, 0);
            }
            assert_int_equal(sl__futex_wait_any(all, 3, 0), EAGAIN);
            deadline_ns = sl__clock_now_ns() + 3000000;
            assert_int_equal(sl__futex_wait_any(all, 2, deadline_ns), ETIMEDOUT);
            assert_true(sl__clock_passed(deadline_ns));
            assert_int_equal(sl__futex_wait_any(all, 1, 1), ETIMEDOUT);
            sl__sys_fail_clear();
        }
    }
}

static _Atomic uint32_t ping, pong, other;

static void *answer(void *argument) {
    (void)argument;
    for (uint32_t i = 1; i <= 2000; i++) {
        uint32_t now;
        while ((now = atomic_load(&ping)) != i) {
            (void)sl__futex_wait(&ping, now, SL__FUTEX_PRIVATE, 0);
        }
        atomic_store(&pong, i);
        sl__futex_wake(&pong, 1, SL__FUTEX_PRIVATE);
    }
    return NULL;
}

static void a_change_of_any_word_wakes(void **state) {
    (void)state;
    for (int polling = 0; polling < 2; polling++) {
        pthread_t thread;
        atomic_store(&ping, 0);
        atomic_store(&pong, 0);
        if (polling) {
            sl__sys_fail_from(SL__CALL_FUTEX_WAITV, EPERM, 0);
        }
        assert_int_equal(pthread_create(&thread, NULL, answer, NULL), 0);
        for (uint32_t i = 1; i <= 2000; i++) {
            uint64_t deadline_ns = sl__clock_now_ns() + 20000000000u;
            atomic_store(&ping, i);
            sl__futex_wake(&ping, 1, SL__FUTEX_PRIVATE);
            uint32_t now;
            while ((now = atomic_load(&pong)) != i) {
                assert_false(sl__clock_passed(deadline_ns));
                struct sl__futex_word words[] = {{&pong, now, SL__FUTEX_PRIVATE}, {&other, 0, SL__FUTEX_PRIVATE}};
                (void)sl__futex_wait_any(words, 2, deadline_ns);
            }
        }
        assert_int_equal(pthread_join(thread, NULL), 0);
        sl__sys_fail_clear();
    }
}

static void quotas_cut_the_processors(void **state) {
    (void)state;
    assert_int_equal(sl__processor_quota("max 100000\n", 8), 8);
    assert_int_equal(sl__processor_quota("200000 100000\n", 8), 2);
    assert_int_equal(sl__processor_quota("150000 100000", 8), 2);
    assert_int_equal(sl__processor_quota("10000 100000", 8), 1);
    assert_int_equal(sl__processor_quota("1600000 100000", 8), 8);
    assert_int_equal(sl__processor_quota("", 8), 8);
    assert_int_equal(sl__processor_quota("0 100000", 8), 8);
    assert_int_equal(sl__processor_quota("5", 8), 8);
    assert_int_equal(sl__processor_quota("99999999999999999999 1", 8), 8);
    uint32_t count = sl__processor_count();
    assert_true(count >= 1 && count <= sl__processor_affinity());
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    int first = 0;
    while (!CPU_ISSET(first, &before)) {
        first++;
    }
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(sl__processor_affinity(), 1);
    assert_int_equal(sl__processor_count(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

static void seeds_differ(void **state) {
    (void)state;
    assert_int_not_equal(sl__random_seed(), sl__random_seed());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_clock_goes_forward),
        cmocka_unit_test(a_wait_ends_for_a_reason),
        cmocka_unit_test(a_change_of_any_word_wakes),
        cmocka_unit_test(quotas_cut_the_processors),
        cmocka_unit_test(seeds_differ),
    };
    return cmocka_run_group_tests_name("wait", tests, NULL, NULL);
}
