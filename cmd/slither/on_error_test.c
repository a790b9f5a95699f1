/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "on_error.h"

static char problem[300];

static void plain_policies(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum sl_on_error on_error;
    } good[] = {{"skip", SL_ON_ERROR_SKIP},
                {"halt", SL_ON_ERROR_HALT},
                {"retry", SL_ON_ERROR_RETRY},
                {"isolate", SL_ON_ERROR_ISOLATE}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct sl_error_policy policy;
        char *route;
        assert_true(parse_on_error(good[i].text, &policy, &route, problem, sizeof(problem)));
        assert_int_equal(policy.on_error, good[i].on_error);
        assert_int_equal(policy.max_attempts, 0);
        assert_null(route);
    }
}

static void settings(void **state) {
    (void)state;
    struct sl_error_policy policy;
    char *route;
    assert_true(
        parse_on_error("retry:max=5,backoff=100ms,backoff-max=2s,jitter=0.5,kinds=worker_crashed+python_exception",
                       &policy, &route, problem, sizeof(problem)));
    assert_int_equal(policy.max_attempts, 5);
    assert_int_equal(policy.backoff_ms, 100);
    assert_int_equal(policy.backoff_max_ms, 2000);
    assert_true(policy.jitter == 0.5);
    assert_true(policy.retry_kinds == ((uint64_t)1 << SL_E_PYTHON | (uint64_t)1 << SL_E_WORKER_CRASHED));
    assert_null(route);

    assert_true(parse_on_error("route:dead", &policy, &route, problem, sizeof(problem)));
    assert_int_equal(policy.on_error, SL_ON_ERROR_ROUTE);
    assert_string_equal(route, "dead");
    free(route);

    assert_true(parse_on_error("isolate:max=3,route=poison", &policy, &route, problem, sizeof(problem)));
    assert_int_equal(policy.on_error, SL_ON_ERROR_ISOLATE);
    assert_int_equal(policy.max_attempts, 3);
    assert_string_equal(route, "poison");
    free(route);
}

static void refuses(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *part;
    } bad[] = {
        {"", "policy ''"},
        {"ignore", "expected skip, halt, retry, isolate or route:NAME"},
        {"skip:max=3", "no settings"},
        {"route", "route:NAME"},
        {"route:", "route:NAME"},
        {"retry:", "NAME=VALUE"},
        {"retry:max", "NAME=VALUE"},
        {"retry:max=0", "from 1 to 1000"},
        {"retry:backoff=100", "a duration"},
        {"retry:jitter=2", "from 0 to 1"},
        {"retry:times=3", "max, backoff"},
        {"retry:kinds=worker_crash", "did you mean 'worker_crashed'"},
        {"retry:kinds=ok", "not a kind"},
        {"isolate:backoff=3s", "route=NAME or max=N"},
        {"isolate:route=a,max=0", "from 1 to 1000"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct sl_error_policy policy;
        char *route;
        assert_false(parse_on_error(bad[i].text, &policy, &route, problem, sizeof(problem)));
        assert_null(route);
        if (strstr(problem, bad[i].part) == NULL) {
            fail_msg("'%s' gave \"%s\", without \"%s\"", bad[i].text, problem, bad[i].part);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_policies),
        cmocka_unit_test(settings),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests_name("on_error", tests, NULL, NULL);
}
