/* SPDX-License-Identifier: MIT */
/*
 * Hosts that get SIGKILL at random moments, from before the first worker is ready to the middle of a pool's end: within a second no process that came
 * from one of them lives, whatever session it went to, and no file is left.
 *
 * A process is known by a mark in its environment, which all that descends from a host inherits.
 */
#include "chaos.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scratch.h"

#define KILLS (100 / CHAOS_SHARE)
#define AT_ONCE 3
#define PROMISED_MS 1000 /* which a stalled machine may keep from some, but not from half of them */
#define LIMIT_MS 20000
#define FULL_SWING 8 /* processes: template, workers, janitor, and what the workers have started */
#define SLOWER 5     /* times, where processors are scarce */
#define MARK "SLITHER_CHAOS_MARK"
#define LEFT_MAX 16
#define QUIET_SCANS 3 /* a process in the middle of exec shows no environment for a moment */

/* ---- what is left ------------------------------------------------------------------------------------------------- */

static size_t read_file(const char *path, char *text, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    ssize_t count = 0;
    while (fd >= 0 && length < size - 1 && (count = read(fd, text + length, size - 1 - length)) > 0) {
        length += (size_t)count;
    }
    if (fd >= 0) {
        close(fd);
    }
    text[length] = '\0';
    return length;
}

static bool holds(const char *path, char *text, size_t size, const char *mark, size_t mark_size) {
    size_t length = read_file(path, text, size);
    return length > 0 && memmem(text, length, mark, mark_size) != NULL;
}

/* Pids of living processes with that mark in their environment or their command. A zombie has neither any more. */
static uint32_t find_marked(const char *mark, pid_t *pids) {
    static const size_t size = 65536;
    char *text = malloc(size), path[64];
    DIR *folder = opendir("/proc");
    struct dirent *entry;
    uint32_t count = 0;
    while (text != NULL && folder != NULL && (entry = readdir(folder)) != NULL && count < LEFT_MAX) {
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid <= 0) {
            continue;
        }
        snprintf(path, sizeof path, "/proc/%ld/environ", pid);
        bool found = holds(path, text, size, mark, strlen(mark) + 1);
        snprintf(path, sizeof path, "/proc/%ld/cmdline", pid);
        if (found || holds(path, text, size, mark, strlen(mark))) {
            pids[count++] = (pid_t)pid;
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    free(text);
    return count;
}

static void describe(pid_t pid, char *text, size_t size) {
    char path[64], command[200], status[1024];
    snprintf(path, sizeof path, "/proc/%ld/cmdline", (long)pid);
    size_t length = read_file(path, command, sizeof command);
    for (size_t i = 0; i + 1 < length; i++) {
        command[i] = command[i] == '\0' ? ' ' : command[i];
    }
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    (void)read_file(path, status, sizeof status);
    snprintf(text, size, "\n  %.60s: %.150s", status, command);
}

/* Entries of a folder, at most `size` characters of their names; "" when it is empty. */
static void list(const char *path, const char *prefix, char *names, size_t size) {
    DIR *folder = opendir(path);
    struct dirent *entry;
    names[0] = '\0';
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        size_t length = strlen(names);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            strncmp(entry->d_name, prefix, strlen(prefix)) == 0) {
            snprintf(names + length, size - length, " %s/%s", path, entry->d_name);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
}

/* ---- one host ----------------------------------------------------------------------------------------------------- */

struct executioner {
    char scratch[SCRATCH_SIZE]; /* TMPDIR and XDG_RUNTIME_DIR of its hosts */
    uint32_t number;            /* of AT_ONCE */
    uint32_t kills;
    uint64_t random;
    uint64_t worst_ms;
    uint32_t most;  /* processes that one host had when it was killed */
    uint32_t late;  /* hosts of which something was left for longer than promised */
    uint32_t early; /* hosts that had not come to start a process */
    char wrong[4096];
    pthread_t thread;
};

struct end {
    const char *how;
    const char *import_starts; /* processes that the module starts when it is imported: chaos_family.WAYS */
    const char *import_takes;  /* seconds */
};

/* The moments at which something is going on differ by a factor of ten: the first worker is ready after 50 ms to a second. */
static uint32_t draw_delay_ms(uint64_t *random) {
    static const uint32_t bounds[] = {40, 150, 400, 1000};
    return draw_below(random, bounds[draw_below(random, 4)]);
}

static pid_t start(const struct executioner *executioner, const struct end *end, const char *mark, uint64_t seed) {
    extern char **environ;
    char directory[SCRATCH_SIZE + 16], run_directory[SCRATCH_SIZE + 32], starts[64], takes[64], number[32];
    char *environment[512];
    size_t count = 0;
    snprintf(directory, sizeof directory, "TMPDIR=%s", executioner->scratch);
    snprintf(run_directory, sizeof run_directory, "XDG_RUNTIME_DIR=%s", executioner->scratch);
    snprintf(starts, sizeof starts, "CHAOS_IMPORT_STARTS=%s", end->import_starts);
    snprintf(takes, sizeof takes, "CHAOS_IMPORT_TAKES=%s", end->import_takes);
    snprintf(number, sizeof number, "%llu", (unsigned long long)seed);
    for (char **from = environ; *from != NULL && count < 500; from++) {
        if (strncmp(*from, "TMPDIR=", 7) != 0 && strncmp(*from, "XDG_RUNTIME_DIR=", 16) != 0) {
            environment[count++] = *from;
        }
    }
    environment[count++] = directory;
    environment[count++] = run_directory;
    environment[count++] = starts;
    environment[count++] = takes;
    environment[count++] = (char *)(uintptr_t)mark;
    environment[count] = NULL;
    char *arguments[] = {(char *)(uintptr_t)SL_TEST_HOST, (char *)(uintptr_t)end->how, number, NULL};
    pid_t pid = -1;
    return posix_spawn(&pid, SL_TEST_HOST, NULL, NULL, arguments, environment) == 0 ? pid : -1;
}

static void kill_one(struct executioner *executioner, uint32_t round) {
    static const struct end ends[] = {
        {"template", "", "0.05"}, {"template", "", "0"},   {"template", "0124", "0.05"},
        {"template", "3", "0.3"}, {"preload", "", "0.05"}, {"preload", "12", "0.05"},
        {"bare", "", "0"},        {"bare", "4", "0"},      {"template", "5", "0"},
        {"bare", "6", "0"},
    };
    const struct end *end = &ends[draw_below(&executioner->random, sizeof ends / sizeof ends[0])];
    char mark[80], names[1024] = "", *wrong = executioner->wrong;
    size_t size = sizeof executioner->wrong;
    uint64_t seed = draw_below(&executioner->random, 1000000);
    uint32_t delay_ms = draw_delay_ms(&executioner->random);
    if (round * 2 > executioner->kills && executioner->most < FULL_SWING) {
        delay_ms *= SLOWER; /* so long does it take here */
    }
    snprintf(mark, sizeof mark, MARK "=%ld.%u.%u.", (long)getpid(), executioner->number, round);
    pid_t host = start(executioner, end, mark, seed), left[LEFT_MAX];
    if (host < 0) {
        snprintf(wrong, size, "the host could not be started");
        return;
    }
    struct timespec pause = {delay_ms / 1000, 1000000 * (long)(delay_ms % 1000)};
    nanosleep(&pause, NULL);
    char own[64]; /* as the private directory of a runtime is named; others in /dev/shm are of tests that run besides */
    snprintf(own, sizeof own, "slither-%lu-%ld-", (unsigned long)getuid(), (long)host);
    uint32_t before = find_marked(mark, left);
    int status = 0;
    if (kill(host, SIGKILL) != 0 || waitpid(host, &status, 0) != host || !WIFSIGNALED(status)) {
        snprintf(wrong, size, "the host had ended before it was killed, with status %x (%s, seed %llu)",
                 (unsigned)status, end->how, (unsigned long long)seed);
        return;
    }
    executioner->early += before <= 1;
    executioner->most = before > executioner->most ? before : executioner->most;
    uint64_t start_ms = now_ms(), now = start_ms, gone_ms = start_ms;
    uint32_t count, quiet = 0;
    do {
        count = find_marked(mark, left);
        list(executioner->scratch, "", names, sizeof names);
        list("/dev/shm", own, names + strlen(names), sizeof names - strlen(names));
        now = now_ms();
        quiet = count > 0 || names[0] != '\0' ? 0 : quiet + 1;
        gone_ms = quiet == 1 ? now : gone_ms;
        struct timespec moment = {0, 2000000};
        nanosleep(&moment, NULL);
    } while (quiet < QUIET_SCANS && (quiet > 0 || now - start_ms < LIMIT_MS));
    uint64_t taken_ms = quiet > 0 ? gone_ms - start_ms : now - start_ms;
    executioner->worst_ms = taken_ms > executioner->worst_ms ? taken_ms : executioner->worst_ms;
    executioner->late += taken_ms > PROMISED_MS;
    if (quiet == 0) {
        snprintf(
            wrong, size,
            "killed after %u ms (%s, import starts \"%s\" and takes %s s, seed %llu): %u processes are left; files:%s",
            delay_ms, end->how, end->import_starts, end->import_takes, (unsigned long long)seed, count, names);
        for (uint32_t i = 0; i < count; i++) {
            size_t length = strlen(wrong);
            describe(left[i], wrong + length, size - length);
        }
    }
    while ((count = find_marked(mark, left)) > 0) { /* the test leaves nothing either */
        for (uint32_t i = 0; i < count; i++) {
            kill(left[i], SIGKILL);
        }
    }
}

static void *execute(void *context) {
    struct executioner *executioner = context;
    for (uint32_t round = 0; round < executioner->kills && executioner->wrong[0] == '\0'; round++) {
        kill_one(executioner, round);
    }
    return NULL;
}

static void a_killed_host_leaves_nothing(void **state) {
    (void)state;
    uint64_t seed = draw_seed(), worst_ms = 0;
    uint32_t early = 0, most = 0, late = 0, wrong = 0;
    struct executioner executioners[AT_ONCE];
    for (uint32_t i = 0; i < AT_ONCE; i++) {
        struct executioner *executioner = &executioners[i];
        *executioner = (struct executioner){.number = i, .random = (seed + i) * 0x9e3779b97f4a7c15u | 1};
        executioner->kills = (KILLS + AT_ONCE - 1) / AT_ONCE;
        (void)draw(&executioner->random);
        scratch_folder(executioner->scratch, "slither-chaos");
        assert_int_equal(pthread_create(&executioner->thread, NULL, execute, executioner), 0);
    }
    for (uint32_t i = 0; i < AT_ONCE; i++) {
        struct executioner *executioner = &executioners[i];
        pthread_join(executioner->thread, NULL);
        worst_ms = executioner->worst_ms > worst_ms ? executioner->worst_ms : worst_ms;
        early += executioner->early;
        late += executioner->late;
        most = executioner->most > most ? executioner->most : most;
        if (executioner->wrong[0] != '\0') {
            print_error("%s\n", executioner->wrong);
            wrong++;
        }
        /* Empty, or the test has failed and names what is in it. */
        if (rmdir(executioner->scratch) != 0) {
            print_error("%s: %s\n", executioner->scratch, strerror(errno));
            wrong++;
        }
    }
    print_message("%u hosts, %u of them killed before they had a process, one with %u; the last to go took %llu ms\n",
                  executioners[0].kills * AT_ONCE, early, most, (unsigned long long)worst_ms);
    if (KILLS >= 100) { /* enough of them for one to be killed in full swing */
        assert_true(most >= FULL_SWING);
    }
    assert_int_equal(wrong, 0);
    assert_true(late * 2 <= executioners[0].kills * AT_ONCE);
    expect_no_children();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_host_leaves_nothing),
    };
    return cmocka_run_group_tests_name("killed hosts", tests, NULL, NULL);
}
