/* SPDX-License-Identifier: MIT */
/* A device without room: each write fails with an error, none with a signal, and nothing that was acknowledged is lost. */
#include "store_testing.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "wire/writer.h"

#define EXIT_NO_MOUNT 77
#define DEVICE "size=3m"
#define LARGER_DEVICE "size=4m"

static void fill_device(const char *path) {
    static char block[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    while (write(fd, block, sizeof(block)) > 0) {
    }
    assert_int_equal(errno, ENOSPC);
    close(fd);
}

static enum sl_code put_large(struct sl_table *table, int64_t number, struct sl_error *error) {
    static uint8_t bytes[6000];
    struct sl_writer writer;
    struct sl_key key;
    sl_writer_init(&writer, NULL);
    memset(bytes, (int)number, sizeof(bytes));
    sl_write_bytes(&writer, bytes, sizeof(bytes));
    enum sl_code code = sl_table_put(table, sl_key_int(&key, number), testing_end(&writer), NULL, error);
    sl_writer_finish(&writer);
    return code;
}

static void check_rows(struct sl_table *table, int64_t count) {
    struct sl_scan *scan;
    struct sl_value key, value;
    const void *bytes;
    size_t size;
    int64_t number, seen = 0;
    OK(sl_scan_begin(table, NULL, NULL, &scan, error));
    while (sl_scan_next(scan, &key, &value, NULL) == SL_OK) {
        assert_int_equal(sl_value_int(key, &number), SL_OK);
        assert_int_equal(number, seen);
        assert_int_equal(sl_value_bytes(value, &bytes, &size), SL_OK);
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(((const uint8_t *)bytes)[i], (uint8_t)number);
        }
        seen++;
    }
    sl_scan_end(scan);
    assert_int_equal(seen, count);
}

/* In a mount namespace of its own: nothing of it is seen outside, or left. */
static int on_a_small_device(char *path) {
    struct sl_store_options options = SL_STORE_OPTIONS_INIT;
    struct sl_error failure = SL_ERROR_INIT;
    struct sl_store *store, *second;
    struct sl_table *table;
    char filler[4200], other[4200], inside[4200];
    int64_t count = 0;
    enum sl_code code;
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", path, "tmpfs", MS_NOSUID, DEVICE) != 0) {
        return EXIT_NO_MOUNT;
    }
    snprintf(filler, sizeof(filler), "%s/filler", path);
    snprintf(other, sizeof(other), "%s/other", path);
    snprintf(inside, sizeof(inside), "%s/store", path);
    options.path = inside;
    options.bytes_max = 64 << 20; /* more than there is */
    OK(sl_store_create(NULL, &options, &store, error));
    table = testing_table(store, "t", SL_TABLE_SET);
    while ((code = put_large(table, count, &failure)) == SL_OK) {
        count++;
        assert_true(count < 1000);
    }
    if (code != SL_E_SYSTEM || strstr(failure.message, "room") == NULL) {
        fail_msg("%s: %s", sl_code_name(code), failure.message);
    }
    assert_true(count > 100);
    check_rows(table, count);
    /* A second store finds no room for what it maps, and says so. */
    fill_device(filler);
    options.path = other;
    FAILS(sl_store_create(NULL, &options, &second, error), SL_E_SYSTEM, "No space left");
    assert_int_equal(put_large(table, count, NULL), SL_E_SYSTEM);
    check_rows(table, count);
    assert_int_equal(unlink(filler), 0);
    assert_int_equal(mount(NULL, path, NULL, MS_REMOUNT | MS_NOSUID, LARGER_DEVICE), 0);
    sl_store_destroy(store);
    /* With some room again it goes on. */
    options.path = inside;
    OK(sl_store_create(NULL, &options, &store, error));
    OK(sl_table_open(store, "t", NULL, &table, error));
    check_rows(table, count);
    struct sl_key key;
    OK(sl_table_delete(table, sl_key_int(&key, count - 1), NULL, error));
    OK(put_large(table, count - 1, error));
    check_rows(table, count);
    sl_store_destroy(store);
    return 0;
}

static void a_full_device_is_an_error_and_nothing_is_lost(void **state) {
    char *path = testing_directory();
    int status;
    (void)state;
    pid_t child = testing_fork();
    if (child == 0) {
        _exit(on_a_small_device(path));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    testing_remove(path);
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NO_MOUNT) {
        print_message("skipped: this user may not mount a small tmpfs\n");
        skip();
    }
    assert_int_equal(status, 0); /* and no signal, of which SIGBUS would be the one */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_device_is_an_error_and_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
