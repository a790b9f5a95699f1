/* SPDX-License-Identifier: MIT */
/* Each system call that opening a store makes fails once: an error comes of it, and the next try finds everything as it should be. */
#include "store_testing.h"

#include <errno.h>

#include "sys/fault.h"

#define CALLS_MAX 12 /* more than opening makes of any kind */

static enum sl_code open_and_use(const char *path, struct sl_error *error) {
    struct sl_store_options options = SL_STORE_OPTIONS_INIT;
    struct sl_store *store = NULL;
    options.path = path;
    options.sync = SL_STORE_SYNC_NONE;
    enum sl_code code = sl_store_create(NULL, &options, &store, error);
    if (code == SL_OK) {
        sl__sys_fail_clear();
        struct sl_table *table = testing_table(store, "t", SL_TABLE_SET);
        testing_put(table, 1, 2);
        assert_int_equal(testing_get(table, 1), 2);
    } else {
        assert_null(store);
    }
    sl_store_destroy(store);
    return code;
}

static void fail_each(enum sl__sys_call call, int number) {
    char *path = testing_directory();
    uint32_t failed = 0;
    for (uint32_t i = 0; i < CALLS_MAX; i++) {
        struct sl_error failure = SL_ERROR_INIT;
        sl__sys_fail_clear();
        sl__sys_fail_next(call, number, i);
        enum sl_code code = open_and_use(path, &failure); /* not every call is needed */
        sl__sys_fail_clear();
        if (code != SL_OK) {
            failed++;
            assert_true(failure.message[0] != '\0');
            assert_true(code == SL_E_SYSTEM || code == SL_E_OUT_OF_MEMORY);
        }
        OK(open_and_use(path, error));
    }
    assert_in_range(failed, 1, CALLS_MAX - 1);
    testing_remove(path);
}

static void each_call_may_fail(void **state) {
    (void)state;
    fail_each(SL__CALL_DIRECTORY, EACCES);
    fail_each(SL__CALL_FILE, ENOSPC);
    fail_each(SL__CALL_MMAP, ENOMEM);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_call_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
