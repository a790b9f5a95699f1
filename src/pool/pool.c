/* SPDX-License-Identifier: MIT */
#include "pool.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/macros.h"
#include "events.h"
#include "sys/clock.h"
#include "sys/processors.h"

#define WORKER_MAX SL__PLACE_MAX
#define WAITER_MAX (1u << 20)
#define SESSION_LIMIT (1u << 24)
#define SEGMENT_MIN ((uint64_t)64 << 10)
#define SEGMENT_MAX ((uint64_t)1 << 30)
#define PAYLOAD_LIMIT ((uint64_t)1 << 30)
#define MEMORY_MIN ((uint64_t)32 << 20) /* an interpreter needs about half of it */
#define NS_PER_MS 1000000u
#define TIMEOUT_MAX_MS (24u * 60 * 60 * 1000)
#define RECYCLE_AGE_MAX_MS ((uint64_t)365 * TIMEOUT_MAX_MS)

/* ---- options -------------------------------------------------------------------------------------------------- */

static enum sl_code out_of_bounds(struct sl_error *error, const char *name, uint64_t value, uint64_t min,
                                  uint64_t max) {
    return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_pool_create: %s is %llu; expected %llu to %llu", name,
                        (unsigned long long)value, (unsigned long long)min, (unsigned long long)max);
}

static enum sl_code check_options(const struct sl_pool_options *options, struct sl_error *error) {
    const struct {
        const char *name;
        uint64_t value, min, max;
    } bounds[] = {
        {"worker_count", options->worker_count, 1, WORKER_MAX},
        {"start_timeout_ms", options->start_timeout_ms, 1, TIMEOUT_MAX_MS},
        {"stop_timeout_ms", options->stop_timeout_ms, 0, TIMEOUT_MAX_MS},
        {"restart_max", options->restart_max, 0, SL__RESTART_MAX_LIMIT},
        {"restart_window_ms", options->restart_window_ms, 1, TIMEOUT_MAX_MS},
        {"restart_backoff_ms", options->restart_backoff_ms, 0, SL__BACKOFF_MAX_MS},
        {"waiter_max", options->waiter_max, 1, WAITER_MAX},
        {"segment_bytes", options->segment_bytes, SEGMENT_MIN, SEGMENT_MAX},
        {"payload_bytes_max", options->payload_bytes_max, SEGMENT_MIN, PAYLOAD_LIMIT},
        {"payload_cache_bytes", options->payload_cache_bytes, 0, UINT64_MAX},
        {"depth_max", options->depth_max, 1, SL_DEPTH_MAX_LIMIT},
        {"memory_max_bytes", options->memory_max_bytes, options->memory_max_bytes > 0 ? MEMORY_MIN : 0, INT64_MAX},
        {"stack_timeout_ms", options->stack_timeout_ms, 0, TIMEOUT_MAX_MS},
        {"term_grace_ms", options->term_grace_ms, 0, TIMEOUT_MAX_MS},
        {"heartbeat_ms", options->heartbeat_ms, 0, TIMEOUT_MAX_MS},
        {"heartbeat_timeout_ms", options->heartbeat_timeout_ms, 0, TIMEOUT_MAX_MS},
        {"start_failure_max", options->start_failure_max, 1, SL__START_FAILURE_LIMIT},
        {"circuit_cooldown_ms", options->circuit_cooldown_ms, 1, SL__COOLDOWN_MAX_MS},
        {"worker_min", options->worker_min, 1, WORKER_MAX},
        {"worker_max", options->worker_max, 1, WORKER_MAX},
        {"worker_idle_ms", options->worker_idle_ms, 1, TIMEOUT_MAX_MS},
        {"start_parallel_max", options->start_parallel_max, 1, WORKER_MAX},
        {"recycle_age_ms", options->recycle_age_ms, 0, RECYCLE_AGE_MAX_MS},
        {"recycle_jitter_percent", options->recycle_jitter_percent, 0, SL__RECYCLE_JITTER_MAX},
        {"session_max", options->session_max, 1, SESSION_LIMIT},
        {"affinity", (uint64_t)options->affinity, SL_AFFINITY_DEFAULT, SL_AFFINITY_SPREAD},
    };
    for (size_t i = 0; i < SL_COUNT_OF(bounds); i++) {
        if (bounds[i].value < bounds[i].min || bounds[i].value > bounds[i].max) {
            return out_of_bounds(error, bounds[i].name, bounds[i].value, bounds[i].min, bounds[i].max);
        }
    }
    if (options->worker_min > options->worker_count || options->worker_count > options->worker_max) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "sl_pool_create: worker_min is %u, worker_count %u, worker_max %u; expected them in this "
                            "order, none below the one before",
                            options->worker_min, options->worker_count, options->worker_max);
    }
    return SL_OK;
}

/* What is not given depends on the machine, and on what is given. */
static void complete_sizes(struct sl_pool_options *options) {
    uint32_t processor_count = sl__processor_count();
    if (options->worker_count == 0) {
        options->worker_count = SL_MIN(processor_count, (uint32_t)WORKER_MAX);
        if (options->worker_max != 0) {
            options->worker_count = SL_MIN(options->worker_count, options->worker_max);
        }
        options->worker_count = SL_MAX(options->worker_count, options->worker_min);
    }
    options->worker_min = options->worker_min != 0 ? options->worker_min : options->worker_count;
    options->worker_max = options->worker_max != 0 ? options->worker_max : options->worker_count;
    if (options->start_parallel_max == 0) {
        options->start_parallel_max = SL_MIN(2 * processor_count, (uint32_t)WORKER_MAX);
    }
}

static enum sl_code take_options(const struct sl_pool_options *given, struct sl_pool_options *options,
                                 struct sl_error *error) {
    *options = (struct sl_pool_options)SL_POOL_OPTIONS_INIT;
    if (given != NULL) {
        if (given->size < offsetof(struct sl_pool_options, name) + sizeof(given->name)) {
            return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                                "sl_pool_create: options.size is %zu; set the options up with SL_POOL_OPTIONS_INIT",
                                given->size);
        }
        memcpy(options, given, SL_MIN(given->size, sizeof(*options)));
    }
    if (options->name == NULL) {
        options->name = "pool";
    }
    complete_sizes(options);
    return check_options(options, error);
}

/* ---- what runs on the loop thread ----------------------------------------------------------------------------- */

struct start {
    struct sl_pool *pool;
    const struct sl_pool_options *options;
    struct sl__upcalls *upcalls;
    struct sl_error *error;
    enum sl_code code;
};

static void start_template(struct start *start) {
    struct sl_pool *pool = start->pool;
    const struct sl__template_config config = {
        .loop = pool->runtime->loop,
        .log = &pool->runtime->log,
        .spec = &pool->spec,
        .pool = pool->name,
        .start_timeout_ms = start->options->start_timeout_ms,
        .stop_timeout_ms = start->options->stop_timeout_ms,
        .ready = sl__pool_template_ready,
        .stopped = sl__pool_template_stopped,
        .context = pool,
    };
    start->code = sl__template_create(&config, &pool->template, start->error);
    if (start->code == SL_OK) {
        sl__template_start(pool->template);
    }
}

static void start_workers(void *context) {
    struct start *start = context;
    struct sl_pool *pool = start->pool;
    pool->worker_config = (struct sl__worker_config){
        .loop = pool->runtime->loop,
        .log = &pool->runtime->log,
        .spec = &pool->spec,
        .owner = &sl__pool_owner,
        .pool = pool->name,
        .start_timeout_ms = start->options->start_timeout_ms,
        .stop_timeout_ms = start->options->stop_timeout_ms,
        .stack_timeout_ms = start->options->stack_timeout_ms,
        .term_grace_ms = start->options->term_grace_ms,
        .memory_max_bytes = start->options->memory_max_bytes,
        .cgroup = pool->cgroup,
        .upcalls = start->upcalls,
        .telemetry = &pool->runtime->telemetry,
        .caller = pool,
        .lane =
            {
                .segment_bytes = start->options->segment_bytes,
                .payload_bytes_max = start->options->payload_bytes_max,
                .cache_bytes = start->options->payload_cache_bytes,
                .limits = {sizeof(struct sl_limits), start->options->depth_max, start->options->payload_bytes_max},
            },
    };
    start->code = sl__breaker_start(pool, start->error);
    if (start->code == SL_OK) {
        start->code = sl__drain_start(pool, start->error);
    }
    if (start->code == SL_OK) {
        start->code = sl__pulse_init(pool, start->error);
    }
    if (start->code == SL_OK) {
        start->code = sl__size_begin(pool, start->error);
    }
    if (start->code == SL_OK) {
        start_template(start);
        pool->worker_config.template = pool->template;
    }
    for (uint32_t i = 0; i < pool->wanted_count && start->code == SL_OK; i++) {
        start->code = sl__occupant_make(&pool->places[i]->occupants[0], start->error);
    }
    if (start->code == SL_OK) {
        sl__size_adjust(pool);
    }
}

static void stop_workers(void *context) {
    struct sl_pool *pool = context;
    pthread_mutex_lock(&pool->lock);
    pool->stopping_all = true;
    for (uint32_t i = 0; i < pool->place_count * 2; i++) {
        pool->occupied_count += pool->places[i / 2]->occupants[i % 2].worker != NULL ? 1 : 0;
    }
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->place_count * 2; i++) {
        struct sl__occupant *occupant = &pool->places[i / 2]->occupants[i % 2];
        if (occupant->worker != NULL) {
            sl__worker_stop(occupant->worker);
        }
    }
}

/* Only after the workers, whose ends it tells; and it ends what they have left behind. */
static void stop_template(void *context) {
    struct sl_pool *pool = context;
    sl__template_stop(pool->template);
}

static void destroy_workers(void *context) {
    struct sl_pool *pool = context;
    for (uint32_t i = 0; i < pool->place_count * 2; i++) {
        struct sl__occupant *occupant = &pool->places[i / 2]->occupants[i % 2];
        sl__worker_destroy(occupant->worker);
        occupant->worker = NULL;
    }
    for (int kind = 0; kind < SL__GUEST_KINDS; kind++) {
        struct sl__guest *guest = sl__pool_guest(pool, (enum sl__guest_kind)kind);
        if (guest != NULL && guest->stopped != NULL) {
            guest->stopped(guest);
        }
    }
    sl__pulse_finish(pool);
    sl__size_end(pool);
    sl__template_destroy(pool->template);
    pool->template = NULL;
    sl__breaker_stop(pool);
    sl__drain_stop(pool);
}

/* ---- creation and destruction --------------------------------------------------------------------------------- */

void sl__pool_free(struct sl_pool *pool) {
    for (int kind = 0; kind < SL__GUEST_KINDS; kind++) {
        struct sl__guest *guest = sl__pool_guest(pool, (enum sl__guest_kind)kind);
        if (guest != NULL) {
            guest->destroy(guest);
        }
    }
    sl__tally_finish(&pool->tally);
    sl__allot_finish(&pool->allot);
    sl__budget_finish(&pool->budget);
    sl__spec_finish(&pool->spec);
    sl_error_finish(&pool->failure);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->resize_lock);
    sl__places_free(pool);
    sl__runtime_let_go(pool->runtime);
    free(pool->name);
    free(pool->cgroup);
    free(pool);
}

static enum sl_code allocate_pool(struct sl_runtime *runtime, const struct sl_pool_options *options,
                                  struct sl_pool **out, struct sl_error *error) {
    struct sl_pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a pool");
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_mutex_init(&pool->resize_lock, NULL);
    pthread_cond_init(&pool->changed, NULL);
    sl__tally_init(&pool->tally);
    pool->pulse.every_ms = options->heartbeat_ms;
    pool->pulse.timeout_ns = (uint64_t)options->heartbeat_timeout_ms * 1000000;
    sl__runtime_hold(runtime);
    pool->runtime = runtime;
    pool->worker_min = options->worker_min;
    pool->worker_max = options->worker_max;
    pool->wanted_count = options->worker_count;
    pool->worker_idle_ms = options->worker_idle_ms;
    pool->start_parallel_max = options->start_parallel_max;
    pool->tick_ns = UINT64_MAX;
    pool->recycle = (struct sl__recycle){
        .batches = options->recycle_batches,
        .age_ms = options->recycle_age_ms,
        .rss_bytes = options->recycle_rss_bytes,
        .jitter_percent = options->recycle_jitter_percent,
    };
    sl__list_init(&pool->admission[0]);
    sl__list_init(&pool->admission[1]);
    pool->processor_count = sl__processor_count();
    pool->waiter_max = options->waiter_max;
    pool->session_max = options->session_max;
    pool->affinity = options->affinity;
    pool->restart_backoff_ms = options->restart_backoff_ms;
    pool->restart_window_ms = options->restart_window_ms;
    pool->failure = (struct sl_error)SL_ERROR_INIT;
    sl__breaker_init(&pool->breaker, options);
    sl__drain_init(&pool->drain);
    pool->name = strdup(options->name);
    pool->cgroup = options->cgroup != NULL ? strdup(options->cgroup) : NULL;
    bool fits = pool->name != NULL && (pool->cgroup != NULL || options->cgroup == NULL) &&
                sl__places_grow(pool, pool->worker_max);
    for (uint32_t i = 0; fits && i < pool->wanted_count; i++) {
        pool->places[i]->wanted = true;
    }
    fits = sl__allot_init(&pool->allot, SL__PLACE_MAX) && fits;
    fits = sl__budget_init(&pool->budget, options->restart_max, options->restart_window_ms) && fits;
    if (!fits) {
        sl__pool_free(pool);
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory for a pool of %u workers", options->worker_max);
    }
    *out = pool;
    return SL_OK;
}

static enum sl_code make_spec(struct sl_pool *pool, const struct sl_pool_options *options, struct sl_error *error) {
    char *package_path = NULL;
    enum sl_code code = sl__package_find(pool->runtime->package_path, &package_path, error);
    if (code == SL_OK) {
        code =
            sl__spec_init(&pool->spec, options, options->worker_max, package_path, (const char *const *)environ, error);
        free(package_path);
    }
    return code;
}

void sl__pool_stop_workers(struct sl_pool *pool) {
    sl__loop_call(pool->runtime->loop, stop_workers, pool);
    pthread_mutex_lock(&pool->lock);
    while (pool->occupied_count > 0) {
        pthread_cond_wait(&pool->changed, &pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    if (pool->template != NULL) {
        sl__loop_call(pool->runtime->loop, stop_template, pool);
        pthread_mutex_lock(&pool->lock);
        while (!pool->template_stopped) {
            pthread_cond_wait(&pool->changed, &pool->lock);
        }
        pthread_mutex_unlock(&pool->lock);
    }
    sl__loop_call(pool->runtime->loop, destroy_workers, pool);
    if (pool->opened) {
        sl__pool_tell_stopped(pool);
    }
    sl__runtime_part(pool->runtime, &pool->tenant, pool->worker_max);
}

/* Each worker answers within its start timeout, with ready or with its death. */
static enum sl_code await_start(struct sl_pool *pool, struct sl_error *error) {
    pthread_mutex_lock(&pool->lock);
    while (pool->started_count < pool->wanted_count && pool->failure.code == SL_OK) {
        pthread_cond_wait(&pool->changed, &pool->lock);
    }
    /* Deaths after a first success have not touched `failure`, unless the budget was spent: that is a failure, too. */
    enum sl_code code = pool->failure.code;
    if (code == SL_OK) {
        pool->phase = SL__POOL_OPEN;
        pool->opened = true;
        sl__size_look(pool);
    } else {
        sl_error_copy(error, &pool->failure);
    }
    pthread_mutex_unlock(&pool->lock);
    return code;
}

enum sl_code sl_pool_create(struct sl_runtime *runtime, const struct sl_pool_options *given, struct sl_pool **out,
                            struct sl_error *error) {
    if (runtime == NULL || out == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "sl_pool_create: `%s` is NULL",
                            runtime == NULL ? "runtime" : "pool");
    }
    *out = NULL;
    if (sl__runtime_foreign(runtime)) {
        return sl_error_set(
            error, SL_E_UNSUPPORTED,
            "sl_pool_create: the runtime was made before this process was forked; make one in the child");
    }
    struct sl_pool_options options;
    struct sl_pool *pool = NULL;
    enum sl_code code = take_options(given, &options, error);
    uint64_t begin_ns = sl__clock_now_ns();
    if (code == SL_OK) {
        code = allocate_pool(runtime, &options, &pool, error);
    }
    if (code != SL_OK) {
        return code;
    }
    code = options.cgroup != NULL ? sl__worker_check_cgroup(options.cgroup, error) : SL_OK;
    if (code == SL_OK) {
        code = make_spec(pool, &options, error);
    }
    if (code == SL_OK) {
        pool->tenant.hold = sl__pool_tenant_hold;
        pool->tenant.destroy = sl__pool_tenant_destroy;
        code = sl__runtime_join(runtime, &pool->tenant, pool->worker_max, error);
    }
    if (code != SL_OK) {
        sl__pool_tell_start_failed(pool, begin_ns, code);
        sl__pool_free(pool);
        return code;
    }
    struct start start = {.pool = pool, .options = &options, .error = error};
    start.code = sl__upcalls_of(runtime, &start.upcalls, error);
    if (start.code == SL_OK) {
        sl__loop_call(runtime->loop, start_workers, &start);
    }
    code = start.code == SL_OK ? await_start(pool, error) : start.code;
    if (code != SL_OK) {
        sl__pool_tell_start_failed(pool, begin_ns, code);
        sl__pool_end(pool);
        return code;
    }
    sl__pool_tell_started(pool, begin_ns);
    *out = pool;
    return SL_OK;
}

/* ---- a look from outside -------------------------------------------------------------------------------------- */

void sl_pool_stats(struct sl_pool *pool, struct sl_pool_stats *out) {
    pthread_mutex_lock(&pool->lock);
    struct sl_pool_stats stats = pool->stats;
    for (uint32_t i = 0; i < pool->place_count; i++) {
        const struct sl__place *place = pool->places[i];
        const struct sl__incarnation *incarnation = sl__place_incarnation(place);
        stats.ready_count += incarnation != NULL && !incarnation->killed ? 1 : 0;
        for (int k = 0; k < 2; k++) {
            incarnation = place->occupants[k].incarnation;
            stats.busy_count += incarnation != NULL && !incarnation->killed && incarnation->leased ? 1 : 0;
        }
    }
    stats.worker_count = pool->wanted_count;
    stats.worker_min = pool->worker_min;
    stats.worker_max = sl__pool_capacity(pool);
    stats.waiter_count = pool->allot.waiter_count;
    stats.circuit = sl__circuit_shown(&pool->breaker.circuit);
    stats.circuit_open_count = pool->breaker.circuit.open_count;
    pthread_mutex_unlock(&pool->lock);
    sl__tally_counts(&pool->tally, stats.deaths);
    for (int kind = 0; kind < SL__GUEST_KINDS; kind++) {
        struct sl__guest *guest = sl__pool_guest(pool, (enum sl__guest_kind)kind);
        if (guest != NULL && guest->stats != NULL) {
            guest->stats(guest, &stats);
        }
    }
    stats.size = SL_MIN(out->size, sizeof(stats));
    memcpy(out, &stats, stats.size);
}

uint32_t sl_pool_deaths(struct sl_pool *pool, struct sl_death **deaths, uint32_t count_max) {
    return sl__tally_copy(&pool->tally, deaths, count_max);
}

/* With the lock. */
static void look(const struct sl__occupant *occupant, struct sl_worker_info *info) {
    const struct sl__incarnation *incarnation = occupant->incarnation;
    info->state = sl__worker_state_name(sl__worker_state(occupant->worker));
    info->pid = sl__worker_pid(occupant->worker);
    info->successor = occupant->place->successor != NULL;
    if (incarnation != NULL) {
        uint64_t now = sl__clock_now_ns();
        info->generation = incarnation->life.generation;
        info->busy = incarnation->leased;
        info->age_ms = (now - incarnation->ready_ns) / NS_PER_MS;
        info->batch_count = incarnation->batch_count;
        info->rss_bytes = incarnation->rss_bytes;
        info->activity = incarnation->activity;
        info->heard_ms = (now - incarnation->heard_ns) / NS_PER_MS;
    }
}

enum sl_code sl_pool_worker(struct sl_pool *pool, uint32_t worker, struct sl_worker_info *out) {
    struct sl_worker_info info = SL_WORKER_INFO_INIT;
    info.state = sl__worker_state_name(SL__WORKER_STOPPED);
    pthread_mutex_lock(&pool->lock);
    bool found = worker < pool->place_count;
    if (found && pool->places[worker]->current != NULL && pool->places[worker]->current->worker != NULL) {
        look(pool->places[worker]->current, &info);
    }
    pthread_mutex_unlock(&pool->lock);
    if (!found) {
        return SL_E_NOT_FOUND;
    }
    info.size = SL_MIN(out->size, sizeof(info));
    memcpy(out, &info, info.size);
    return SL_OK;
}

int64_t sl_pool_worker_pid(struct sl_pool *pool, uint32_t worker) {
    int64_t pid = 0;
    pthread_mutex_lock(&pool->lock);
    if (worker < pool->place_count && pool->places[worker]->current != NULL &&
        pool->places[worker]->current->worker != NULL) {
        pid = sl__worker_pid(pool->places[worker]->current->worker);
    }
    pthread_mutex_unlock(&pool->lock);
    return pid;
}

const char *sl_pool_python(const struct sl_pool *pool) {
    return pool->spec.python;
}

const struct sl__redact *sl__pool_redact(const struct sl_pool *pool) {
    return &pool->spec.redact;
}
