/* SPDX-License-Identifier: MIT */
/*
 * Minutes of everything at once, and a host that must not grow: killed, stopped and poisoned workers, large payloads, cancelled runs, runs
 * out of time, workers that are recycled, too many and too few, templates that are killed, pools that come and go. Prints a line a minute and a verdict.
 *
 * Sampled is the moment after a round, when all of its runs have ended: resident memory of this process alone and shared with workers, live heap,
 * descriptors, memory files, processes that descend from this one. Flat means: the most in the last part of the time is no more than the most in an earlier part, and a margin.
 *
 * SOAK_SECONDS  how long; default 300
 */
#include "chaos.h"

#include <dirent.h>
#include <malloc.h>
#include <unistd.h>

#define SECONDS 300
#define WORKERS 4
#define TIMEOUT_MS 300
#define LINES_MAX 32 /* of the table */
#define PARTS 5      /* the first is the warm-up, the second is compared with the last */
#define PROCESSES_MAX 4096

/* ---- samples ------------------------------------------------------------------------------------------------------ */

enum figure { RSS_KB, SHARED_KB, HEAP_KB, DESCRIPTORS, MEMORY_FILES, PROCESSES, FIGURE_COUNT };

static const struct {
    const char *name;
    uint64_t margin, percent; /* of the earlier part's, that the last part may have more */
} figures[FIGURE_COUNT] = {
    {"rss kB", 3072, 10}, {"shared kB", 16384, 20}, {"heap kB", 512, 10},
    {"fds", 8, 0},        {"memfds", 8, 0},         {"processes", 2, 0},
};

struct sample {
    uint64_t most[FIGURE_COUNT];
};

static uint64_t status_kb(const char *line) {
    FILE *file = fopen("/proc/self/status", "r");
    char text[256];
    uint64_t found = 0;
    while (file != NULL && fgets(text, sizeof text, file) != NULL) {
        if (strncmp(text, line, strlen(line)) == 0) {
            found = strtoull(text + strlen(line), NULL, 10);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return found;
}

static uint64_t memory_files(void) {
    DIR *folder = opendir("/proc/self/fd");
    struct dirent *entry;
    uint64_t count = 0;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char path[280], target[64];
        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        ssize_t length = readlink(path, target, sizeof target - 1);
        count += length > 7 && strncmp(target, "/memfd:", 7) == 0;
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return count;
}

/* Children, their children and so on. Pids are not in the order of descent, so that it takes some passes. */
static uint64_t descendants(void) {
    static struct {
        long pid, parent;
        bool ours;
    } processes[PROCESSES_MAX];
    DIR *folder = opendir("/proc");
    struct dirent *entry;
    size_t count = 0;
    uint64_t found = 0;
    while (folder != NULL && (entry = readdir(folder)) != NULL && count < PROCESSES_MAX) {
        char path[280], text[512];
        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        FILE *file = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' ? fopen(path, "r") : NULL;
        if (file == NULL) {
            continue;
        }
        size_t length = fread(text, 1, sizeof text - 1, file);
        fclose(file);
        text[length] = '\0';
        const char *rest = strrchr(text, ')'); /* the name before may hold anything */
        char state;
        if (rest != NULL && sscanf(rest + 1, " %c %ld", &state, &processes[count].parent) == 2) {
            processes[count].pid = strtol(entry->d_name, NULL, 10);
            processes[count++].ours = false;
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < count; i++) {
            bool ours = processes[i].parent == (long)getpid();
            for (size_t k = 0; k < count && !ours; k++) {
                ours = processes[k].ours && processes[k].pid == processes[i].parent;
            }
            if (ours && !processes[i].ours) {
                processes[i].ours = more = true;
                found++;
            }
        }
    }
    return found;
}

static void sample(struct sample *sample) {
    (void)malloc_trim(0); /* what the allocator keeps for later is not what the library holds */
    struct mallinfo2 heap = mallinfo2();
    uint64_t now[FIGURE_COUNT] = {status_kb("RssAnon:"), status_kb("RssShmem:"), (heap.uordblks + heap.hblkhd) / 1024,
                                  descriptor_count(),    memory_files(),         descendants()};
    for (int i = 0; i < FIGURE_COUNT; i++) {
        sample->most[i] = now[i] > sample->most[i] ? now[i] : sample->most[i];
    }
}

/* ---- rounds ------------------------------------------------------------------------------------------------------- */

struct totals {
    uint64_t rounds, items, failed, cancelled, signals, pools;
};

static void draw_consumer(struct consumer *consumer, uint64_t *random) {
    static const size_t paddings[] = {0, 0, 0, 3000, 60000};
    consumer->kind = (enum consumer_kind)draw_below(random, CONSUMER_KIND_COUNT);
    consumer->options = consumer_options(TIMEOUT_MS);
    consumer->options.batch_size = 1 + draw_below(random, 64);
    consumer->options.max_in_flight = 1 + draw_below(random, 16);
    consumer->load = (struct load){.count = 200 + draw_below(random, 6000), .salt = draw_below(random, 1000)};
    consumer->load.padding = paddings[draw_below(random, 5)];
    consumer->load.padding_rare = draw_below(random, 2) == 0;
    consumer->load.count /= consumer->load.padding > 10000 ? 20 : 1;
    consumer->load.work_us = draw_below(random, 60);
    switch (draw_below(random, 6)) {
    case 0:
        consumer->load.cancel_at = 1 + draw_below(random, (uint32_t)consumer->load.count);
        consumer->expected = SL_E_CANCELLED;
        break;
    case 1:
        consumer->options.run_timeout_ms = 1 + draw_below(random, 300);
        consumer->expected = SL_E_TIMEOUT;
        break;
    case 2:
        consumer->options.policy = (struct sl_error_policy){.on_error = SL_ON_ERROR_ISOLATE};
        consumer->options.policy.max_attempts = 8;
        consumer->options.policy.backoff_ms = 1;
        consumer->load.count /= 8;
        consumer->load.poison_every = 100;
        consumer->load.poison_ways = POISON_EXIT;
        break;
    default:
        break;
    }
    if (sl_control_create(&consumer->load.control, NULL) != SL_OK) {
        fail_msg("no memory for a control");
    }
    consumer->options.control = consumer->load.control;
}

/* A pool whose template is killed every second no longer forks: only those that go soon are treated so. */
static void round_on(struct site *site, uint64_t *random, struct totals *totals, uint32_t template_max) {
    struct consumer consumers[4] = {{0}};
    uint32_t count = 1 + draw_below(random, 4);
    struct killer killer = {.site = site,
                            .random = draw(random) | 1,
                            .pause_min_us = 500,
                            .pause_max_us = 20000,
                            .items_per_kill = 100,
                            .stop_percent = 6,
                            .template_percent = 2,
                            .template_max = template_max};
    struct sizer sizer = {.site = site, .random = draw(random) | 1};
    bool resizes = draw_below(random, 3) == 0;
    for (uint32_t i = 0; i < count; i++) {
        consumers[i].site = site;
        draw_consumer(&consumers[i], random);
    }
    bool kills = draw_below(random, 4) != 0;
    if (kills) {
        killer_start(&killer);
    }
    if (resizes) {
        sizer_start(&sizer);
    }
    consumers_start(consumers, count, &killer.progress);
    consumers_join(consumers, count);
    if (resizes) {
        sizer_stop(&sizer);
    }
    if (kills) {
        killer_stop(&killer);
    }
    for (uint32_t i = 0; i < count; i++) {
        totals->items += consumers[i].ledger.position;
        totals->failed += consumers[i].ledger.count[SL_STATUS_FAILED];
        totals->cancelled += consumers[i].ledger.count[SL_STATUS_CANCELLED];
        sl_control_destroy(consumers[i].load.control);
        consumer_finish(&consumers[i]);
    }
    totals->signals += killer.sent[0] + killer.sent[1] + killer.sent[2];
    totals->rounds++;
}

static struct sl_pool_options draw_pool(uint64_t *random) {
    struct sl_pool_options options = site_options(1 + draw_below(random, WORKERS), draw_below(random, 3) != 0);
    options.segment_bytes = draw_below(random, 2) == 0 ? 65536 : 1 << 20;
    options.payload_cache_bytes = 4 << 20;
    options.worker_min = 1;
    options.worker_max = options.worker_count + draw_below(random, 3);
    options.worker_idle_ms = 10 + draw_below(random, 1000);
    options.recycle_batches = draw_below(random, 2) == 0 ? 0 : 5 + draw_below(random, 100);
    options.recycle_age_ms = draw_below(random, 2) == 0 ? 0 : 50 + draw_below(random, 2000);
    return options;
}

/* A pool in a runtime of its own, ended while some of its workers may be stopped or dead. */
static void pool_that_goes(uint64_t *random, struct totals *totals) {
    struct site site;
    struct sl_pool_options options = draw_pool(random);
    site_open(&site, &options);
    round_on(&site, random, totals, 1);
    site_close(&site);
    totals->pools++;
}

/* ---- table and verdict -------------------------------------------------------------------------------------------- */

static void print_line(uint64_t second, const struct totals *totals, const struct sample *most) {
    printf("%6llu %7llu %9llu %7llu %9llu %8llu %6llu", (unsigned long long)second, (unsigned long long)totals->rounds,
           (unsigned long long)totals->items, (unsigned long long)totals->failed, (unsigned long long)totals->cancelled,
           (unsigned long long)totals->signals, (unsigned long long)totals->pools);
    for (int i = 0; i < FIGURE_COUNT; i++) {
        printf(" %9llu", (unsigned long long)most->most[i]);
    }
    printf("\n");
    fflush(stdout);
}

static void soak(void **state) {
    (void)state;
    const char *given = getenv("SOAK_SECONDS");
    uint64_t seconds = given != NULL ? strtoull(given, NULL, 10) : SECONDS;
    if (seconds < 10 || seconds > 86400) {
        fail_msg("SOAK_SECONDS is %s; expected 10 to 86400", given);
    }
    uint64_t random = draw_seed() | 1, slowest_ms = 0, start_ms = now_ms(), line_ms = start_ms, rounds = 0;
    uint64_t step_ms = seconds * 1000 / LINES_MAX > 60000 ? seconds * 1000 / LINES_MAX : 60000;
    step_ms = seconds < 300 ? seconds * 1000 / PARTS : step_ms;
    struct totals totals = {0};
    struct sample parts[PARTS] = {{{0}}}, line = {{0}};
    struct site site;
    struct sl_pool_options options = site_options(WORKERS, true);
    options.payload_cache_bytes = 4 << 20;
    options.recycle_batches = 50;
    options.recycle_jitter_percent = 50;
    site_open(&site, &options);
    printf("%6s %7s %9s %7s %9s %8s %6s", "second", "rounds", "items", "failed", "cancelled", "signals", "pools");
    for (int i = 0; i < FIGURE_COUNT; i++) {
        printf(" %9s", figures[i].name);
    }
    printf("\n");
    for (uint64_t now = start_ms; now - start_ms < seconds * 1000; now = now_ms()) {
        if (rounds++ % 5 == 4) {
            pool_that_goes(&random, &totals);
        } else {
            round_on(&site, &random, &totals, 0);
        }
        uint64_t taken_ms = now_ms() - now;
        slowest_ms = taken_ms > slowest_ms ? taken_ms : slowest_ms;
        uint64_t part = (now - start_ms) * PARTS / (seconds * 1000);
        sample(&parts[part]);
        sample(&line);
        if (now_ms() - line_ms >= step_ms) {
            line_ms += step_ms;
            print_line((line_ms - start_ms) / 1000, &totals, &line);
            line = (struct sample){{0}};
        }
    }
    site_close(&site);
    expect_no_children();
    printf("the slowest round took %llu ms\n", (unsigned long long)slowest_ms);
    int grown = 0;
    for (int i = 0; i < FIGURE_COUNT; i++) {
        uint64_t early = parts[1].most[i], late = parts[PARTS - 1].most[i];
        bool flat = late <= early + figures[i].margin + early * figures[i].percent / 100;
        printf("%s: %llu at most in the second fifth, %llu in the last: %s\n", figures[i].name,
               (unsigned long long)early, (unsigned long long)late, flat ? "flat" : "GROWN");
        grown += !flat || early == 0 || (late == 0 && i != MEMORY_FILES);
    }
    printf("soak: %s\n", grown == 0 ? "flat" : "NOT flat");
    assert_int_equal(grown, 0);
}

int main(void) {
    /* One arena: the others keep what was freed at their ends, which looks like growth and is none. */
    (void)mallopt(M_ARENA_MAX, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(soak),
    };
    return cmocka_run_group_tests_name("soak", tests, NULL, NULL);
}
