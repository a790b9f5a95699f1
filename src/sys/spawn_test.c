/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macros.h"
#include "sys/descriptor.h"
#include "sys/fault.h"
#include "sys/process.h"
#include "sys/spawn.h"

/* Runs a shell script whose standard output comes back in `text`; returns how it ended. */
static struct sl__process_end run(const char *script, struct sl__spawn spawn, char *text, size_t capacity) {
    struct sl_error error = SL_ERROR_INIT;
    const char *argv[] = {"sh", "-c", script, NULL};
    struct sl__spawn_fd fds[4];
    int out[2], pidfd;
    pid_t pid;
    assert_int_equal(sl__pipe_create(&out[0], &out[1], &error), SL_OK);
    spawn.program = "/bin/sh";
    spawn.argv = argv;
    assert_true(spawn.fd_count < SL_COUNT_OF(fds));
    if (spawn.fd_count > 0) {
        memcpy(fds, spawn.fds, sizeof fds[0] * spawn.fd_count);
    }
    fds[spawn.fd_count++] = (struct sl__spawn_fd){out[1], 1};
    spawn.fds = fds;
    if (sl__spawn(&spawn, &pid, &pidfd, &error) != SL_OK) {
        print_error("%s\n", error.message);
        fail();
    }
    assert_int_equal(fcntl(pidfd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    sl__close(&out[1]);
    size_t used = 0, size;
    while (used + 1 < capacity && sl__read(out[0], text + used, capacity - 1 - used, &size, &error) == SL_OK) {
        used += size;
    }
    text[used] = '\0';
    struct sl__process_end end;
    assert_int_equal(sl__process_reap(pidfd, true, &end, &error), SL_OK);
    sl__close(&pidfd);
    sl__close(&out[0]);
    return end;
}

static void a_child_gets_what_it_was_given(void **state) {
    (void)state;
    char text[4096];
    const char *const environment[] = {"COLOUR=green", "PATH=/usr/bin:/bin", NULL};
    struct sl__process_end end = run("echo $COLOUR; pwd; exit 3",
                                     (struct sl__spawn){.envp = environment, .directory = "/usr"}, text, sizeof text);
    assert_string_equal(text, "green\n/usr\n");
    assert_int_equal(end.exit_status, 3);
    assert_int_equal(end.term_signal, 0);
    assert_int_equal(setenv("SLITHER_TEST_INHERITED", "yes", 1), 0);
    end = run("echo $SLITHER_TEST_INHERITED; kill -9 $$", (struct sl__spawn){0}, text, sizeof text);
    assert_string_equal(text, "yes\n");
    assert_int_equal(end.exit_status, -1);
    assert_int_equal(end.term_signal, SIGKILL);
}

static void only_the_descriptors_of_the_list_are_there(void **state) {
    (void)state;
    char text[4096];
    int leaky = open("/dev/null", O_RDONLY); /* not close-on-exec */
    int high = fcntl(leaky, F_DUPFD, 200);
    int input[2];
    assert_true(leaky >= 0 && high >= 200);
    assert_int_equal(sl__pipe_create(&input[0], &input[1], NULL), SL_OK);
    assert_int_equal(sl__write_all(input[1], "hello\n", 6, NULL), SL_OK);
    /* Swapped numbers: each source is the other's target, or would be overwritten by another's. */
    const struct sl__spawn_fd fds[] = {{input[0], 5}, {leaky, 3}, {leaky, 0}};
    (void)run("read line <&5; echo $line; ls /proc/self/fd | wc -l", (struct sl__spawn){.fds = fds, .fd_count = 3},
              text, sizeof text);
    /* 0, 1, 3, 5 and the one with which ls reads the folder. Standard error was not given. */
    assert_string_equal(text, "hello\n5\n");
    sl__close(&input[0]);
    sl__close(&input[1]);
    close(leaky);
    close(high);
}

static void on_signal(int number) {
    (void)number;
}

static void signals_are_as_in_a_fresh_process(void **state) {
    (void)state;
    char text[4096];
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    void (*old_pipe)(int) = signal(SIGPIPE, SIG_IGN);
    void (*old_user)(int) = signal(SIGUSR1, on_signal);
    (void)run("exec grep -E 'SigBlk|SigIgn' /proc/self/status", (struct sl__spawn){0}, text, sizeof text);
    unsigned long long blocked = 1, ignored = 1;
    assert_int_equal(sscanf(text, "SigBlk: %llx SigIgn: %llx", &blocked, &ignored), 2);
    assert_int_equal(blocked, 0);
    assert_int_equal(ignored, 0);
    signal(SIGPIPE, old_pipe);
    signal(SIGUSR1, old_user);
    sigset_t after;
    pthread_sigmask(SIG_SETMASK, &before, &after);
    assert_int_equal(sigismember(&after, SIGUSR2), 1); /* the caller's mask was left as it was */
    assert_int_equal(sigismember(&after, SIGINT), 0);
}

static void groups_and_sessions(void **state) {
    (void)state;
    char text[256];
    long pid, group, session;
    const char *script = "cut -d' ' -f1,5,6 /proc/$$/stat";
    (void)run(script, (struct sl__spawn){.group = SL__SPAWN_GROUP_OWN}, text, sizeof text);
    assert_int_equal(sscanf(text, "%ld %ld %ld", &pid, &group, &session), 3);
    assert_int_equal(pid, group);
    assert_int_equal(session, getsid(0));
    (void)run(script, (struct sl__spawn){.group = SL__SPAWN_SESSION_OWN}, text, sizeof text);
    assert_int_equal(sscanf(text, "%ld %ld %ld", &pid, &group, &session), 3);
    assert_int_equal(pid, session);
    (void)run(script, (struct sl__spawn){0}, text, sizeof text);
    assert_int_equal(sscanf(text, "%ld %ld %ld", &pid, &group, &session), 3);
    assert_int_equal(group, getpgrp());
}

static void what_cannot_start_says_why(void **state) {
    (void)state;
    const char *argv[] = {"x", NULL};
    const struct sl__spawn_fd bad_source[] = {{987, 0}}, bad_target[] = {{0, 64}};
    const struct {
        struct sl__spawn spawn;
        enum sl_code code;
        int number;
        const char *says;
    } cases[] = {
        {{.program = "/nonexistent/x", .argv = argv}, SL_E_NOT_FOUND, ENOENT, "/nonexistent/x"},
        {{.program = "/etc/passwd", .argv = argv}, SL_E_SYSTEM, EACCES, "execute"},
        {{.program = "/bin/sh", .argv = argv, .directory = "/nonexistent"}, SL_E_SYSTEM, ENOENT, "directory"},
        {{.program = "/bin/sh", .argv = argv, .fds = bad_source, .fd_count = 1}, SL_E_SYSTEM, EBADF, "descriptor"},
        {{.program = "/bin/sh", .argv = argv, .fds = bad_target, .fd_count = 1}, SL_E_INVALID_ARGUMENT, 0, "64"},
        {{.program = "/bin/sh", .argv = argv, .fds = bad_source, .fd_count = 17}, SL_E_INVALID_ARGUMENT, 0, "16"},
        {{.program = NULL, .argv = argv}, SL_E_INVALID_ARGUMENT, 0, "path"},
    };
    for (size_t i = 0; i < SL_COUNT_OF(cases); i++) {
        struct sl_error error = SL_ERROR_INIT;
        pid_t pid = 1;
        int pidfd = 1;
        assert_int_equal(sl__spawn(&cases[i].spawn, &pid, &pidfd, &error), cases[i].code);
        assert_int_equal(error.system_errno, cases[i].number);
        assert_non_null(strstr(error.message, cases[i].says));
        assert_int_equal(pid, -1);
        assert_int_equal(pidfd, -1);
    }
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left unreaped */
    assert_int_equal(errno, ECHILD);
    struct sl__spawn good = {.program = "/bin/sh", .argv = argv};
    struct sl_error error = SL_ERROR_INIT;
    pid_t pid;
    int pidfd;
    sl__sys_fail_next(SL__CALL_CLONE, EAGAIN, 0);
    assert_int_equal(sl__spawn(&good, &pid, &pidfd, &error), SL_E_SYSTEM);
    assert_non_null(strstr(error.message, "ulimit -u"));
    sl__sys_fail_next(SL__CALL_EXEC, ENOMEM, 0);
    assert_int_equal(sl__spawn(&good, &pid, &pidfd, &error), SL_E_OUT_OF_MEMORY);
}

static void a_child_is_watched_and_signalled(void **state) {
    (void)state;
    struct sl_error error = SL_ERROR_INIT;
    const char *argv[] = {"sh", "-c", "sleep 1000 & wait", NULL};
    struct sl__spawn spawn = {.program = "/bin/sh", .argv = argv, .group = SL__SPAWN_GROUP_OWN};
    pid_t pid;
    int pidfd, second;
    struct sl__process_end end;
    assert_int_equal(sl__spawn(&spawn, &pid, &pidfd, &error), SL_OK);
    assert_int_equal(sl__process_reap(pidfd, false, &end, &error), SL_E_AGAIN);
    assert_int_equal(sl__process_open(pid, &second, &error), SL_OK);
    assert_int_equal(sl__process_signal(second, 0, &error), SL_OK);
    assert_int_equal(sl__process_signal_group(pidfd, pid, SIGKILL, &error), SL_OK); /* also the one that sleeps */
    struct pollfd entry = {.fd = pidfd, .events = POLLIN};
    assert_int_equal(poll(&entry, 1, 20000), 1);
    assert_int_equal(sl__process_signal(pidfd, SIGTERM, &error), SL_OK); /* ended, not reaped: reached */
    assert_int_equal(sl__process_reap(pidfd, true, &end, &error), SL_OK);
    assert_int_equal(end.term_signal, SIGKILL);
    assert_int_equal(sl__process_signal(pidfd, SIGTERM, &error), SL_E_NOT_FOUND);
    assert_int_equal(sl__process_reap(pidfd, false, &end, &error), SL_E_NOT_FOUND);
    sl__close(&pidfd);
    sl__close(&second);
    assert_int_equal(sl__process_open(pid, &second, &error), SL_E_SYSTEM);
}

/* Threads that allocate and spawn at the same time: what a fork of a threaded process would trip over. */
static void *spawn_often(void *argument) {
    const char *argv[] = {"true", NULL};
    struct sl__spawn spawn = {.program = "/bin/true", .argv = argv};
    uintptr_t failures = 0;
    (void)argument;
    for (int i = 0; i < 50; i++) {
        pid_t pid;
        int pidfd;
        struct sl__process_end end = {.exit_status = -1};
        void *memory = malloc((size_t)i * 1000 + 1);
        if (sl__spawn(&spawn, &pid, &pidfd, NULL) != SL_OK || sl__process_reap(pidfd, true, &end, NULL) != SL_OK ||
            end.exit_status != 0) {
            failures++;
        }
        sl__close(&pidfd);
        free(memory);
    }
    return (void *)failures;
}

static void threads_may_spawn_at_once(void **state) {
    (void)state;
    pthread_t threads[3];
    for (size_t i = 0; i < SL_COUNT_OF(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, spawn_often, NULL), 0);
    }
    for (size_t i = 0; i < SL_COUNT_OF(threads); i++) {
        void *failures;
        assert_int_equal(pthread_join(threads[i], &failures), 0);
        assert_null(failures);
    }
}

/* A grandchild in a session of its own, whose parent is gone. */
static void what_carries_a_mark_is_found(void **state) {
    (void)state;
    char text[256];
    long pid = 0;
    char mark[48];
    snprintf(mark, sizeof mark, "spawn-test-%ld", (long)getpid());
    char variable[64];
    snprintf(variable, sizeof variable, "MARK=a:%s:b", mark);
    const char *const environment[] = {"PATH=/usr/bin:/bin", variable, NULL};
    (void)run("setsid sleep 1000 >/dev/null 2>&1 & echo $!", (struct sl__spawn){.envp = environment}, text,
              sizeof text);
    assert_int_equal(sscanf(text, "%ld", &pid), 1);
    int pidfd;
    assert_int_equal(sl__process_open((pid_t)pid, &pidfd, NULL), SL_OK);
    assert_int_equal(sl__process_kill_marked("spawn-test-of-nobody"), 0);
    struct pollfd entry = {.fd = pidfd, .events = POLLIN};
    assert_int_equal(poll(&entry, 1, 0), 0);
    assert_true(sl__process_kill_marked(mark) >= 1);
    assert_int_equal(poll(&entry, 1, 20000), 1);
    assert_int_equal(sl__process_kill_marked(mark), 0);
    sl__close(&pidfd);
}

/* While a program replaces another the kernel shows no environment: such a process is looked at again. */
static void what_is_busy_with_exec_is_found(void **state) {
    (void)state;
    char mark[48], variable[64], text[256];
    snprintf(mark, sizeof mark, "exec-test-%ld", (long)getpid());
    snprintf(variable, sizeof variable, "MARK=%s", mark);
    const char *const environment[] = {"PATH=/usr/bin:/bin", variable, NULL};
    for (int round = 0; round < 20; round++) {
        long pid = 0;
        (void)run("again='exec /bin/sh -c \"$again\"'; export again; sh -c \"$again\" >/dev/null 2>&1 & echo $!",
                  (struct sl__spawn){.envp = environment}, text, sizeof text);
        assert_int_equal(sscanf(text, "%ld", &pid), 1);
        int pidfd;
        assert_int_equal(sl__process_open((pid_t)pid, &pidfd, NULL), SL_OK);
        uint32_t count = sl__process_kill_marked(mark);
        struct pollfd entry = {.fd = pidfd, .events = POLLIN};
        int ended = poll(&entry, 1, count > 0 ? 20000 : 0);
        if (ended != 1) {
            (void)sl__process_signal(pidfd, SIGKILL, NULL);
        }
        sl__close(&pidfd);
        assert_true(count >= 1);
        assert_int_equal(ended, 1);
    }
}

static void a_child_may_die_with_its_parent(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(sl__pipe_create(&ends[0], &ends[1], NULL), SL_OK);
    pid_t parent = fork();
    if (parent == 0) {
        const char *argv[] = {"sleep", "1000", NULL};
        struct sl__spawn spawn = {.program = "/bin/sleep", .argv = argv, .death_signal = SIGKILL};
        pid_t pid = 0;
        int pidfd;
        if (sl__spawn(&spawn, &pid, &pidfd, NULL) != SL_OK) {
            _exit(1);
        }
        (void)!write(ends[1], &pid, sizeof pid);
        pause();
    }
    pid_t pid;
    int pidfd;
    assert_int_equal(read(ends[0], &pid, sizeof pid), sizeof pid);
    assert_int_equal(sl__process_open(pid, &pidfd, NULL), SL_OK);
    assert_int_equal(kill(parent, SIGKILL), 0);
    struct pollfd entry = {.fd = pidfd, .events = POLLIN};
    assert_int_equal(poll(&entry, 1, 20000), 1);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    sl__close(&pidfd);
    sl__close(&ends[0]);
    sl__close(&ends[1]);
}

static void programs_are_found(void **state) {
    (void)state;
    struct sl_error error = SL_ERROR_INIT;
    char *path;
    assert_int_equal(sl__program_find("sh", "/nonexistent:/bin", &path, &error), SL_OK);
    assert_string_equal(path, "/bin/sh");
    free(path);
    assert_int_equal(sl__program_find("/bin/sh", "", &path, &error), SL_OK);
    assert_string_equal(path, "/bin/sh");
    free(path);
    assert_int_equal(sl__program_find("sh", NULL, &path, &error), SL_OK);
    free(path);
    static const char *const missing[] = {"/bin/nonexistent", "/bin", "", "no such program", "passwd/"};
    for (size_t i = 0; i < SL_COUNT_OF(missing); i++) {
        assert_int_equal(sl__program_find(missing[i], "/etc:/bin", &path, &error), SL_E_NOT_FOUND);
        assert_null(path);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_gets_what_it_was_given),
        cmocka_unit_test(only_the_descriptors_of_the_list_are_there),
        cmocka_unit_test(signals_are_as_in_a_fresh_process),
        cmocka_unit_test(groups_and_sessions),
        cmocka_unit_test(what_cannot_start_says_why),
        cmocka_unit_test(a_child_is_watched_and_signalled),
        cmocka_unit_test(threads_may_spawn_at_once),
        cmocka_unit_test(what_carries_a_mark_is_found),
        cmocka_unit_test(what_is_busy_with_exec_is_found),
        cmocka_unit_test(a_child_may_die_with_its_parent),
        cmocka_unit_test(programs_are_found),
    };
    return cmocka_run_group_tests_name("spawn", tests, NULL, NULL);
}
