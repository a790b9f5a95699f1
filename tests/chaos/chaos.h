/* SPDX-License-Identifier: MIT */
/*
 * What the chaos tests share: loads of items whose results can be checked, a ledger that sees each item end once, workers that are signalled at
 * random, and consumers that run a load in each way that the library has. On the public headers only.
 *
 * Threads other than the test's own do not assert: they write the first thing that was wrong into their ledger.
 */
#ifndef SL_TESTS_CHAOS_H
#define SL_TESTS_CHAOS_H

#include "descriptors.h"
#include "testing/crew.h"

#include <slither/slither.h>

/* Sanitizers and busy machines make everything slower; the build says by how much loads are smaller. */
#ifndef CHAOS_SHARE
#define CHAOS_SHARE 1
#endif

/* ---- pools ------------------------------------------------------------------------------------------------------- */

struct site {
    struct sl_runtime *runtime;
    struct sl_pool *pool;
    uint32_t worker_max; /* workers that a killer may pick from */
    bool forked;         /* they are soon replaced */
};
/* Defaults for a pool over modules/: restarts without end and without delay. */
struct sl_pool_options site_options(uint32_t workers, bool forked);
void site_open(struct site *site, const struct sl_pool_options *options);
void site_close(struct site *site);

/* ---- loads ------------------------------------------------------------------------------------------------------- */

enum poison_way { POISON_SEGFAULT = 1, POISON_EXIT = 2, POISON_HANG = 3 };

/* Items [x, salt, work_us, poison, bytes] for chaos_functions:mix, x from 0. */
struct load {
    uint64_t count;
    uint32_t salt;
    uint32_t work_us;      /* each item */
    uint32_t poison_every; /* 0: none is poisoned */
    uint32_t poison_ways;  /* 1: they segfault; 2: or leave; 3: or hang */
    size_t padding;        /* bytes that travel both ways; one item of 16 has them when `padding_rare` */
    bool padding_rare;
    uint64_t cancel_at; /* 0: never */
    uint64_t pulled;
    _Atomic uint32_t *begun; /* counts loads of which something was pulled; may be NULL */
    struct sl_control *control;
    struct sl_writer writer;
    uint8_t *filler;
};
struct sl_source load_source(struct load *load);
void load_finish(struct load *load);
/* 0, or the way in which item x kills its worker. */
uint32_t load_poison(const struct load *load, uint64_t x);

/* ---- ledgers ----------------------------------------------------------------------------------------------------- */

struct ledger {
    struct load *load;
    uint8_t *seen; /* by sequence: status + 1 */
    uint64_t count[SL_STATUS_COUNT];
    uint64_t position; /* outcomes so far */
    bool ordered;
    bool ends; /* its run may be ended: a batch that a kill has failed then has no other attempt */
    uint32_t attempts_max;
    void (*after)(void *context, uint64_t position); /* called in the sink, may be NULL */
    void *context;
    _Atomic uint64_t *progress; /* counts outcomes of all ledgers, may be NULL */
    char wrong[640];            /* the first thing that was; empty: nothing */
};
void ledger_open(struct ledger *ledger, struct load *load, bool ordered);
void ledger_finish(struct ledger *ledger);
void ledger_wrong(struct ledger *ledger, const char *format, ...) SL_PRINTF(2, 3);
void ledger_add(struct ledger *ledger, const struct sl_outcome *outcome);
struct sl_sink ledger_sink(struct ledger *ledger);
/* Each item that was pulled has ended once, and the report says the same. */
void ledger_settle(struct ledger *ledger, const struct sl_report *report);

/* ---- consumers --------------------------------------------------------------------------------------------------- */

enum consumer_kind { RUN_IN_ORDER, RUN_AS_COMPLETED, RUN_BY_KEY, PULL_STREAM, CONSUMER_KIND_COUNT };

/* One dispatch of one load in a thread of its own. */
struct consumer {
    struct site *site;
    enum consumer_kind kind;
    struct load load;
    struct sl_dispatch_options options;              /* function, strategy and ordering are set by the kind */
    enum sl_code expected;                           /* of the run, SL_OK unless it is cancelled */
    void (*after)(void *context, uint64_t position); /* of its ledger */
    void *context;
    struct ledger ledger;
    struct sl_report report;
    pthread_t thread;
};
/* Retries what kills do, times out after `timeout_ms`. */
struct sl_dispatch_options consumer_options(uint32_t timeout_ms);
/* In the calling thread; what was wrong is in the ledger. */
void consumer_run(struct consumer *consumer, _Atomic uint64_t *progress);
void consumer_finish(struct consumer *consumer);
void consumers_start(struct consumer *consumers, uint32_t count, _Atomic uint64_t *progress);
/* Fails the test, from its own thread, when anything was wrong. */
void consumers_join(struct consumer *consumers, uint32_t count);

/* ---- killers ----------------------------------------------------------------------------------------------------- */

/*
 * Sends signals to random workers of one pool at random moments. No faster than the work gets on: one signal more may
 * be sent for each `items_per_kill` outcomes. Workers that start for themselves get pauses ten times as long: else they would all be killed before
 * they are ready, until the backoff of their restarts is what is tested.
 */
struct killer {
    struct site *site;
    uint64_t random;
    uint32_t pause_min_us, pause_max_us;
    uint32_t items_per_kill;
    uint32_t stop_percent;     /* SIGSTOP; the others are SIGKILL and SIGSEGV by halves */
    uint32_t template_percent; /* to the parent of the worker instead, which is its template; */
    uint32_t template_max;     /* so many times, since each further one is started after a longer delay */
    _Atomic uint64_t progress;
    _Atomic bool over;
    uint64_t sent[3];   /* KILL, SEGV, STOP */
    uint64_t templates; /* of these */
    pthread_t thread;
};
void killer_start(struct killer *killer);
void killer_stop(struct killer *killer);

/* ---- sizers ------------------------------------------------------------------------------------------------------ */

/* Changes the size of a pool again and again, between 1 and site->worker_max workers. */
struct sizer {
    struct site *site;
    uint64_t random;
    uint64_t changes;
    char wrong[256];
    _Atomic bool over;
    pthread_t thread;
};
void sizer_start(struct sizer *sizer);
void sizer_stop(struct sizer *sizer); /* the pool then has worker_max workers again */

/* ---- what is left ------------------------------------------------------------------------------------------------ */

/* Fails the test when this process has a child. */
void expect_no_children(void);

#endif
