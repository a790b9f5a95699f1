/* SPDX-License-Identifier: MIT */
#include "directory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/macros.h"
#include "loop/runtime.h"
#include "sys/clock.h"
#include "sys/directory.h"

#define PATIENCE_MS 20000
#define GONE_MS 1000 /* what is promised */

static char scratch[64]; /* stands for $XDG_RUNTIME_DIR: nobody else's directories are in it */

static struct sl_runtime *open_runtime(void) {
    struct sl_runtime *runtime;
    assert_int_equal(sl_runtime_create(NULL, &runtime, NULL), SL_OK);
    return runtime;
}

static const char *directory_of(struct sl_runtime *runtime) {
    const char *path = NULL;
    struct sl_error error = SL_ERROR_INIT;
    if (sl__runtime_directory(runtime, &path, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    return path;
}

static bool is_there(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0;
}

static void join(char path[PATH_MAX], const char *directory, const char *name) {
    int length = snprintf(path, PATH_MAX, "%s/%s", directory, name);
    assert_true(length > 0 && length < PATH_MAX);
}

static void put_file(const char *directory, const char *name) {
    char path[PATH_MAX];
    join(path, directory, name);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
}

static void put_directory(const char *directory, const char *name) {
    char path[PATH_MAX];
    join(path, directory, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

/* Milliseconds until it is gone. */
static uint64_t await_gone(const char *path) {
    uint64_t start = sl__clock_now_ns();
    while (is_there(path)) {
        assert_true(sl__clock_now_ns() - start < (uint64_t)PATIENCE_MS * 1000000u);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return (sl__clock_now_ns() - start) / 1000000u;
}

/* A host of its own: makes a runtime and its directory, says where it is and who the janitor is, and waits. */
struct host {
    pid_t pid;
    struct {
        char path[SL__DIRECTORY_PATH_MAX];
        pid_t janitor;
    } has;
};

static struct host start_host(void) {
    struct host host = {0};
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    host.pid = fork();
    if (host.pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct sl_runtime *runtime = NULL;
        const char *path = NULL;
        if (sl_runtime_create(NULL, &runtime, NULL) != SL_OK || sl__runtime_directory(runtime, &path, NULL) != SL_OK) {
            _exit(1);
        }
        snprintf(host.has.path, sizeof host.has.path, "%s", path);
        host.has.janitor = runtime->directory->janitor_id;
        put_directory(path, "deep");
        put_directory(path, "deep/deeper");
        put_file(path, "deep/deeper/file");
        put_file(path, ".hidden");
        (void)!write(ends[1], &host.has, sizeof host.has);
        for (;;) {
            pause();
        }
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &host.has, sizeof host.has), sizeof host.has);
    close(ends[0]);
    return host;
}

static void kill_host(const struct host *host) {
    assert_int_equal(kill(host->pid, SIGKILL), 0);
    assert_int_equal(waitpid(host->pid, NULL, 0), host->pid);
}

/* A line of /proc/PID/status from its value on; "" when there is no such process. */
static void read_status(pid_t pid, const char *key, char *value, size_t size) {
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
    FILE *file = fopen(path, "re");
    value[0] = '\0';
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0) {
            snprintf(value, size, "%s", line + strlen(key) + 1 + strspn(line + strlen(key) + 1, " \t"));
        }
    }
    if (file != NULL) {
        fclose(file);
    }
}

static bool has_ended(pid_t pid) {
    char state[64];
    read_status(pid, "State", state, sizeof state);
    return state[0] == '\0' || state[0] == 'Z' || state[0] == 'X';
}

static bool ignores_signals(pid_t pid) {
    char mask[64];
    read_status(pid, "SigIgn", mask, sizeof mask);
    return (strtoull(mask, NULL, 16) >> (SIGTERM - 1) & 1) != 0;
}

static void await(bool (*condition)(pid_t), pid_t pid) {
    uint64_t deadline_ns = sl__clock_deadline_ms(PATIENCE_MS);
    while (!condition(pid)) {
        assert_false(sl__clock_passed(deadline_ns));
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

static void it_is_private_and_goes_with_the_runtime(void **unused) {
    (void)unused;
    struct sl_runtime *runtime = open_runtime();
    assert_null(runtime->directory); /* not before somebody wants it */
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", directory_of(runtime));
    assert_string_equal(path, directory_of(runtime));
    assert_int_equal(strncmp(path, scratch, strlen(scratch)), 0);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_true(sl__directory_in_memory(path));
    put_directory(path, "d");
    put_file(path, "d/f");
    pid_t janitor = runtime->directory->janitor_id;
    assert_int_equal(kill(janitor, 0), 0);
    sl_runtime_destroy(runtime);
    assert_false(is_there(path));
    assert_int_equal(kill(janitor, 0), -1); /* has been reaped */
}

static void several_do_not_touch_each_other(void **unused) {
    (void)unused;
    struct sl_runtime *one = open_runtime(), *two = open_runtime();
    char first[PATH_MAX];
    snprintf(first, sizeof first, "%s", directory_of(one));
    const char *second = directory_of(two);
    assert_string_not_equal(first, second);
    struct host host = start_host();
    assert_true(is_there(first) && is_there(second) && is_there(host.has.path));
    sl_runtime_destroy(one);
    assert_true(!is_there(first) && is_there(second) && is_there(host.has.path));
    kill_host(&host);
    (void)await_gone(host.has.path);
    assert_true(is_there(second));
    sl_runtime_destroy(two);
}

static void a_killed_host_leaves_nothing(void **unused) {
    (void)unused;
    for (int i = 0; i < 5; i++) {
        struct host host = start_host();
        await(ignores_signals, host.has.janitor);
        /* What asks an interactive shell or a service to end does not reach the janitor before its work is done. */
        (void)kill(host.has.janitor, SIGTERM);
        (void)kill(host.has.janitor, SIGHUP);
        (void)kill(host.has.janitor, SIGINT);
        assert_true(is_there(host.has.path));
        kill_host(&host);
        assert_true(await_gone(host.has.path) < GONE_MS);
        await(has_ended, host.has.janitor);
    }
}

static void what_nobody_removed_is_removed_at_the_next_start(void **unused) {
    (void)unused;
    struct host stale = start_host();
    assert_int_equal(kill(stale.has.janitor, SIGKILL), 0);
    await(has_ended, stale.has.janitor);
    struct host alive = start_host();
    assert_true(is_there(stale.has.path)); /* its host lives, and needs it */
    kill_host(&stale);
    assert_true(is_there(stale.has.path));
    /* Things that only look alike. */
    char name[64];
    snprintf(name, sizeof name, "slither-%lu-file", sl__user_id());
    put_file(scratch, name);
    put_directory(scratch, "slither-other");
    char link[PATH_MAX], target[PATH_MAX], kept[PATH_MAX];
    join(target, scratch, "target");
    put_directory(scratch, "target");
    put_file(target, "kept");
    join(kept, target, "kept");
    snprintf(link, sizeof link, "%s/slither-%lu-link", scratch, sl__user_id());
    assert_int_equal(symlink(target, link), 0);
    join(link, stale.has.path, "inner");
    assert_int_equal(symlink(target, link), 0);

    struct sl_runtime *runtime = open_runtime();
    (void)directory_of(runtime);
    assert_false(is_there(stale.has.path));
    assert_true(is_there(alive.has.path));
    assert_true(is_there(kept));
    join(link, scratch, name);
    assert_true(is_there(link));
    join(link, scratch, "slither-other");
    assert_true(is_there(link));
    sl_runtime_destroy(runtime);
    kill_host(&alive);
    (void)await_gone(alive.has.path);
}

static void a_lost_or_stopped_janitor_holds_nothing_up(void **unused) {
    (void)unused;
    static const int signals[] = {SIGKILL, SIGSTOP};
    for (size_t i = 0; i < SL_COUNT_OF(signals); i++) {
        struct sl_runtime *runtime = open_runtime();
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s", directory_of(runtime));
        assert_int_equal(kill(runtime->directory->janitor_id, signals[i]), 0);
        sl_runtime_destroy(runtime);
        assert_false(is_there(path));
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    }
}

/* Whoever cleans up may take a directory that is being made for a stale one: its maker must notice. */
static void makers_and_sweepers_at_once(void **unused) {
    (void)unused;
    pid_t pids[4];
    for (size_t i = 0; i < SL_COUNT_OF(pids); i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            int wrong = 0;
            for (int round = 0; round < 20; round++) {
                struct sl_runtime *runtime = NULL;
                const char *path = NULL;
                if (sl_runtime_create(NULL, &runtime, NULL) != SL_OK ||
                    sl__runtime_directory(runtime, &path, NULL) != SL_OK || !is_there(path)) {
                    wrong++;
                }
                sl_runtime_destroy(runtime);
            }
            _exit(wrong);
        }
    }
    for (size_t i = 0; i < SL_COUNT_OF(pids); i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
}

static void a_base_that_others_may_write_to_is_not_used(void **unused) {
    (void)unused;
    struct stat status;
    /* $XDG_RUNTIME_DIR that is not ours alone is not believed; /dev/shm is next. */
    assert_int_equal(chmod(scratch, 0777), 0);
    struct sl_runtime *runtime = open_runtime();
    const char *path = directory_of(runtime);
    assert_int_equal(strncmp(path, "/dev/shm/slither-", 17), 0);
    assert_int_equal(stat(path, &status), 0);
    sl_runtime_destroy(runtime);
    assert_int_equal(chmod(scratch, 0700), 0);
}

static int set_up(void **unused) {
    (void)unused;
    snprintf(scratch, sizeof scratch, "/dev/shm/directory-test-XXXXXX");
    if (!sl__directory_in_memory("/dev/shm") || mkdtemp(scratch) == NULL) {
        print_message("skipped: /dev/shm cannot be written to\n");
        exit(77);
    }
    return setenv("XDG_RUNTIME_DIR", scratch, 1);
}

static int tear_down(void **unused) {
    (void)unused;
    return sl__directory_remove(scratch, NULL) == SL_OK ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_private_and_goes_with_the_runtime),
        cmocka_unit_test(several_do_not_touch_each_other),
        cmocka_unit_test(a_killed_host_leaves_nothing),
        cmocka_unit_test(what_nobody_removed_is_removed_at_the_next_start),
        cmocka_unit_test(a_lost_or_stopped_janitor_holds_nothing_up),
        cmocka_unit_test(makers_and_sweepers_at_once),
        cmocka_unit_test(a_base_that_others_may_write_to_is_not_used),
    };
    return cmocka_run_group_tests_name("private directory", tests, set_up, tear_down);
}
