/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sys/descriptor.h"
#include "sys/fault.h"
#include "sys/memory_file.h"

static void a_file_is_made_mapped_and_sealed(void **state) {
    (void)state;
    struct sl_error error = SL_ERROR_INIT;
    int fd;
    void *memory;
    uint32_t seals;
    uint64_t size;
    assert_int_equal(sl__memory_file_create("test", 10000, &fd, &error), SL_OK);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(sl__map(fd, 10000, SL__MAP_WRITE | SL__MAP_POPULATE, &memory, &error), SL_OK);
    assert_int_equal(((char *)memory)[9999], 0);
    memset(memory, 7, 10000);
    assert_int_equal(sl__memory_file_resize(fd, 20000, &error), SL_OK);
    assert_int_equal(sl__remap(&memory, 10000, 20000, &error), SL_OK);
    assert_int_equal(((char *)memory)[9999], 7);
    sl__populate(memory, 5, 19995, true);
    assert_int_equal(sl__memory_file_seal(fd, SL__SEAL_SHRINK | SL__SEAL_FUTURE_WRITE, &error), SL_OK);
    ((char *)memory)[19999] = 8; /* the mapping that there was may still write */
    assert_int_equal(sl__memory_file_inspect(fd, &seals, &size, &error), SL_OK);
    assert_int_equal(seals & (SL__SEAL_SHRINK | SL__SEAL_FUTURE_WRITE | SL__SEAL_WRITE),
                     SL__SEAL_SHRINK | SL__SEAL_FUTURE_WRITE);
    assert_int_equal(size, 20000);
    void *second;
    assert_int_equal(sl__map(fd, 20000, SL__MAP_WRITE, &second, &error), SL_E_SYSTEM);
    assert_int_equal(error.system_errno, EPERM);
    assert_null(second);
    assert_int_equal(sl__map(fd, 20000, 0, &second, &error), SL_OK);
    assert_int_equal(((char *)second)[19999], 8);
    assert_int_equal(sl__memory_file_resize(fd, 10, &error), SL_E_SYSTEM);
    assert_int_equal(sl__memory_file_seal(fd, SL__SEAL_WRITE, &error), SL_E_SYSTEM); /* a writable mapping exists */
    assert_int_equal(error.system_errno, EBUSY);
    sl__unmap(memory, 20000);
    assert_int_equal(sl__memory_file_seal(fd, SL__SEAL_WRITE | SL__SEAL_SEAL, &error), SL_OK);
    assert_int_equal(sl__memory_file_seal(fd, SL__SEAL_GROW, &error), SL_E_SYSTEM);
    sl__unmap(second, 20000);
    sl__unmap(NULL, 0);
    sl__close(&fd);
    assert_int_equal(fd, -1);
    sl__close(&fd);
}

static void what_is_no_memory_file_is_seen(void **state) {
    (void)state;
    struct sl_error error = SL_ERROR_INIT;
    int ends[2];
    uint32_t seals;
    uint64_t size;
    assert_int_equal(sl__pipe_create(&ends[0], &ends[1], &error), SL_OK);
    assert_int_equal(sl__memory_file_inspect(ends[0], &seals, &size, &error), SL_E_PROTOCOL);
    sl__close(&ends[0]);
    sl__close(&ends[1]);
}

static void failures_say_what_and_why(void **state) {
    (void)state;
    struct sl_error error = SL_ERROR_INIT;
    int fd = 5;
    assert_int_equal(sl__memory_file_create("test", UINT64_MAX, &fd, &error), SL_E_INVALID_ARGUMENT);
    assert_int_equal(fd, -1);
    sl__sys_fail_next(SL__CALL_MEMFD_CREATE, EMFILE, 0);
    assert_int_equal(sl__memory_file_create("test", 1, &fd, &error), SL_E_SYSTEM);
    assert_int_equal(error.system_errno, EMFILE);
    assert_non_null(strstr(error.message, "ulimit -n"));
    sl__sys_fail_next(SL__CALL_FTRUNCATE, ENOMEM, 0);
    assert_int_equal(sl__memory_file_create("test", 1, &fd, &error), SL_E_OUT_OF_MEMORY);
    assert_int_equal(fd, -1);
    sl__sys_fail_next(SL__CALL_FTRUNCATE, EINTR, 0); /* tried again */
    assert_int_equal(sl__memory_file_create("test", 1, &fd, &error), SL_OK);
    void *memory;
    sl__sys_fail_next(SL__CALL_MMAP, ENOMEM, 0);
    assert_int_equal(sl__map(fd, 1, 0, &memory, NULL), SL_E_OUT_OF_MEMORY);
    assert_int_equal(sl__map(fd, 1, 0, &memory, NULL), SL_OK); /* once only */
    sl__unmap(memory, 1);
    sl__close(&fd);
}

static void orders_to_fail_are_counted(void **state) {
    (void)state;
    int a, b;
    sl__sys_fail_clear();
    sl__sys_fail_next(SL__CALL_PIPE, ENFILE, 1);
    assert_int_equal(sl__pipe_create(&a, &b, NULL), SL_OK);
    sl__close(&a);
    sl__close(&b);
    assert_int_equal(sl__pipe_create(&a, &b, NULL), SL_E_SYSTEM);
    assert_int_equal(sl__sys_call_count(SL__CALL_PIPE), 2);
    sl__sys_fail_from(SL__CALL_PIPE, ENFILE, 0);
    assert_int_equal(sl__pipe_create(&a, &b, NULL), SL_E_SYSTEM);
    assert_int_equal(sl__pipe_create(&a, &b, NULL), SL_E_SYSTEM);
    sl__sys_fail_clear();
    assert_int_equal(sl__pipe_create(&a, &b, NULL), SL_OK);
    sl__close(&a);
    sl__close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_made_mapped_and_sealed),
        cmocka_unit_test(what_is_no_memory_file_is_seen),
        cmocka_unit_test(failures_say_what_and_why),
        cmocka_unit_test(orders_to_fail_are_counted),
    };
    return cmocka_run_group_tests_name("memory_file", tests, NULL, NULL);
}
