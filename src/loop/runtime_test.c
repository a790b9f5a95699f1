/* SPDX-License-Identifier: MIT */
#include "loop/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <slither/buffer.h>

#include "base/macros.h"
#include "descriptors.h"

static void several_live_side_by_side_and_leave_nothing(void **unused) {
    (void)unused;
    struct sl_runtime *runtimes[3];
    assert_int_equal(sl_runtime_create(NULL, &runtimes[0], NULL), SL_OK);
    sl_runtime_destroy(runtimes[0]); /* libuv opens a few descriptors of its own at its first loop */
    int before = descriptor_count();
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(sl_runtime_create(NULL, &runtimes[i], NULL), SL_OK);
    }
    for (size_t i = 0; i < 3; i++) {
        sl_runtime_destroy(runtimes[i]);
    }
    sl_runtime_destroy(NULL);
    assert_int_equal(descriptor_count(), before);
}

static void wrong_options_are_named(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = (void *)&unused;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_runtime_options options = SL_RUNTIME_OPTIONS_INIT;
    options.lane_max = 0;
    assert_int_equal(sl_runtime_create(&options, &runtime, &error), SL_E_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "lane_max"));
    assert_null(runtime);
    options.lane_max = 1025;
    assert_int_equal(sl_runtime_create(&options, &runtime, &error), SL_E_INVALID_ARGUMENT);
    options = (struct sl_runtime_options)SL_RUNTIME_OPTIONS_INIT;
    options.log_level = 9;
    assert_int_equal(sl_runtime_create(&options, &runtime, &error), SL_E_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "log_level"));
    options.size = 0;
    assert_int_equal(sl_runtime_create(&options, &runtime, &error), SL_E_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "SL_RUNTIME_OPTIONS_INIT"));
    assert_int_equal(sl_runtime_create(&options, NULL, &error), SL_E_INVALID_ARGUMENT);
    sl_error_finish(&error);
}

static void options_of_an_older_caller_are_completed(void **unused) {
    (void)unused;
    struct sl_runtime_options options = SL_RUNTIME_OPTIONS_INIT;
    options.lane_max = 0; /* past the end of what the caller knows */
    options.size = offsetof(struct sl_runtime_options, lane_max);
    struct sl_runtime *runtime;
    assert_int_equal(sl_runtime_create(&options, &runtime, NULL), SL_OK);
    assert_int_equal(runtime->lane_max, 1024);
    sl_runtime_destroy(runtime);
}

struct tenant {
    struct sl__tenant tenant;
    struct sl_runtime *runtime;
    uint32_t lane_count;
    bool destroyed;
};

static void destroy_tenant(struct sl__tenant *base) {
    struct tenant *tenant = SL_CONTAINER_OF(base, struct tenant, tenant);
    tenant->destroyed = true;
    sl__runtime_part(tenant->runtime, base, tenant->lane_count);
}

static void tenants_share_the_lanes_and_are_taken_down(void **unused) {
    (void)unused;
    struct sl_runtime_options options = SL_RUNTIME_OPTIONS_INIT;
    options.lane_max = 10;
    struct sl_runtime *runtime;
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(sl_runtime_create(&options, &runtime, NULL), SL_OK);
    struct tenant tenants[4];
    for (size_t i = 0; i < 4; i++) {
        tenants[i] = (struct tenant){.tenant = {.destroy = destroy_tenant}, .runtime = runtime, .lane_count = 4};
    }
    assert_int_equal(sl__runtime_join(runtime, &tenants[0].tenant, 4, &error), SL_OK);
    assert_int_equal(sl__runtime_join(runtime, &tenants[1].tenant, 4, &error), SL_OK);
    assert_int_equal(sl__runtime_join(runtime, &tenants[2].tenant, 4, &error), SL_E_LIMIT);
    assert_non_null(strstr(error.message, "2 left of its lane_max of 10"));
    sl__runtime_part(runtime, &tenants[0].tenant, 4);
    assert_int_equal(sl__runtime_join(runtime, &tenants[2].tenant, 4, &error), SL_OK);
    sl_runtime_destroy(runtime);
    assert_false(tenants[0].destroyed);
    assert_true(tenants[1].destroyed);
    assert_true(tenants[2].destroyed);
    assert_false(tenants[3].destroyed);
    sl_error_finish(&error);
}

static void buffers_have_ids_of_their_own(void **unused) {
    (void)unused;
    struct sl_runtime *runtime;
    struct sl_buffer *one, *two, *none;
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(sl_runtime_create(NULL, &runtime, NULL), SL_OK);
    assert_int_equal(sl_buffer_create(runtime, 4096, &one, NULL), SL_OK);
    assert_int_equal(sl_buffer_create(runtime, 4096, &two, NULL), SL_OK);
    assert_int_not_equal(sl_buffer_id(one), 0);
    assert_int_not_equal(sl_buffer_id(one), sl_buffer_id(two));
    sl_buffer_unref(one);
    sl_buffer_unref(two);
    assert_int_equal(sl_buffer_create(NULL, 4096, &none, &error), SL_E_INVALID_ARGUMENT);
    assert_int_equal(sl_buffer_create(runtime, 4096, NULL, &error), SL_E_INVALID_ARGUMENT);
    sl_error_finish(&error);
    sl_runtime_destroy(runtime);
}

static void a_forked_child_may_destroy_its_copy(void **unused) {
    (void)unused;
    struct sl_runtime *runtime;
    assert_int_equal(sl_runtime_create(NULL, &runtime, NULL), SL_OK);
    assert_false(sl__runtime_foreign(runtime));
    pid_t pid = fork();
    if (pid == 0) {
        bool foreign = sl__runtime_foreign(runtime);
        sl_runtime_destroy(runtime);
        _exit(foreign ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    sl_runtime_destroy(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_live_side_by_side_and_leave_nothing),
        cmocka_unit_test(wrong_options_are_named),
        cmocka_unit_test(options_of_an_older_caller_are_completed),
        cmocka_unit_test(tenants_share_the_lanes_and_are_taken_down),
        cmocka_unit_test(buffers_have_ids_of_their_own),
        cmocka_unit_test(a_forked_child_may_destroy_its_copy),
    };
    return cmocka_run_group_tests_name("runtime", tests, NULL, NULL);
}
