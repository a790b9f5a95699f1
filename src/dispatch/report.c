/* SPDX-License-Identifier: MIT */
/* The report of a run: errors, latencies, hot keys, and its form as a value. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <slither/death.h>
#include <slither/json.h>

#include "base/macros.h"
#include "base/redact.h"
#include "base/utf8.h"
#include "run.h"
#include "sys/clock.h"

const char *sl_status_name(enum sl_status status) {
    static const char *const names[SL_STATUS_COUNT] = {"ok", "failed", "skipped", "routed", "cancelled"};
    return (unsigned)status < SL_STATUS_COUNT ? names[status] : "unknown";
}

/* ---- latencies: 16 buckets for each power of two, so that a percentile is off by at most 1/32 on average ------------- */

static uint32_t latency_bucket(uint64_t ns) {
    if (ns < SL__LATENCY_SUB) {
        return (uint32_t)ns;
    }
    uint32_t exponent = 63 - (uint32_t)__builtin_clzll(ns);
    uint32_t sub = (uint32_t)(ns >> (exponent - 4)) & (SL__LATENCY_SUB - 1);
    return (exponent - 3) * SL__LATENCY_SUB + sub;
}

static uint64_t latency_middle(uint32_t bucket) {
    if (bucket < SL__LATENCY_SUB) {
        return bucket;
    }
    uint32_t exponent = bucket / SL__LATENCY_SUB + 3;
    uint64_t low = (uint64_t)(SL__LATENCY_SUB + bucket % SL__LATENCY_SUB) << (exponent - 4);
    return low + ((uint64_t)1 << (exponent - 4)) / 2;
}

void sl__latency_add(struct sl__latency *latency, uint64_t ns) {
    if (latency == NULL) {
        return;
    }
    latency->count++;
    latency->max_ns = SL_MAX(latency->max_ns, ns);
    latency->buckets[latency_bucket(ns)]++;
}

uint64_t sl__latency_at(const struct sl__latency *latency, double quantile) {
    uint64_t rank = (uint64_t)(quantile * (double)latency->count);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < SL__LATENCY_BUCKETS; i++) {
        seen += latency->buckets[i];
        if (seen > rank) {
            return SL_MIN(latency_middle(i), latency->max_ns);
        }
    }
    return latency->max_ns;
}

/* ---- errors ---------------------------------------------------------------------------------------------------------- */

static struct sl_report_error *add_error(struct sl__run *run, const struct sl_error *error, uint32_t attempt,
                                         bool final) {
    struct sl_report *report = run->report;
    report->error_total++;
    if (report->error_count >= run->options.error_list_max) {
        return NULL;
    }
    /* The list grows by doubling: its capacity is the power of two that holds error_count. */
    if ((report->error_count & (report->error_count - 1)) == 0) {
        size_t capacity = report->error_count == 0 ? 1 : (size_t)report->error_count * 2;
        struct sl_report_error *grown = realloc(report->errors, capacity * sizeof *grown);
        if (grown == NULL) {
            return NULL;
        }
        report->errors = grown;
    }
    struct sl_report_error *added = &report->errors[report->error_count++];
    *added = (struct sl_report_error){.error = SL_ERROR_INIT, .attempt = attempt, .final = final};
    sl_error_copy(&added->error, error);
    return added;
}

static void add_ids(struct sl_report_error *added, const struct sl__entry *entries, uint32_t count) {
    added->item_count = count;
    uint32_t kept = SL_MIN(count, (uint32_t)SL__RUN_IDS_MAX);
    added->ids = malloc(kept * sizeof *added->ids);
    for (uint32_t i = 0; added->ids != NULL && i < kept; i++) {
        added->ids[added->id_count++] = entries[i].id;
    }
}

void sl__report_add_error(struct sl__run *run, const struct sl__batch *batch, const struct sl_error *error,
                          bool final) {
    struct sl_report_error *added = add_error(run, error, batch->count > 0 ? batch->entries[0].attempts : 0, final);
    if (added != NULL) {
        add_ids(added, batch->entries, batch->count);
    }
}

void sl__report_add_item_error(struct sl__run *run, const struct sl__entry *entry, const struct sl_error *error,
                               bool final) {
    struct sl_report_error *added = add_error(run, error, entry->attempts, final);
    if (added != NULL) {
        add_ids(added, entry, 1);
    }
}

/* ---- hot keys: the space-saving sketch of Metwally, Agrawal and El Abbadi (2005) -------------------------------------- */

void sl__run_count_key(struct sl__run *run, uint64_t hash, struct sl_value key) {
    if (run->hot == NULL && (run->hot = calloc(SL__HOT_COUNTERS, sizeof *run->hot)) == NULL) {
        return; /* the report comes without hot keys */
    }
    struct sl__hot_key *least = &run->hot[0];
    for (uint32_t i = 0; i < SL__HOT_COUNTERS; i++) {
        struct sl__hot_key *counter = &run->hot[i];
        if (counter->hash == hash && counter->count > 0) {
            counter->count++;
            return;
        }
        if (counter->count < least->count) {
            least = counter;
        }
    }
    /* The newcomer inherits the count of the one that it drives out, and remembers how much of it is not its own. */
    least->inherited = least->count;
    least->count++;
    least->hash = hash;
    least->text[0] = '\0';
    const struct sl__redact *redact = run->pool != NULL ? sl__pool_redact(run->pool) : &sl__redact_usual;
    char *text = NULL;
    size_t capacity = 0, size = 0;
    if (key.size > 0 && key.size <= 4096 &&
        sl_json_print(key, SL_JSON_NAN_AS_NULL, &text, &capacity, &size, NULL) == SL_OK) {
        text[sl__redact_text(redact, SL__REDACT_TEXT, text, size)] = '\0';
        snprintf(least->text, sizeof least->text, "%s", text);
        least->text[sl__utf8_valid_size(least->text, strlen(least->text))] =
            '\0'; /* not in the middle of a character */
    }
    free(text);
}

static int by_count(const void *a, const void *b) {
    const struct sl__hot_key *x = a, *y = b;
    uint64_t left = x->count - x->inherited, right = y->count - y->inherited;
    return left < right ? 1 : left > right ? -1 : 0;
}

static void complete_hot_keys(struct sl__run *run) {
    if (run->hot == NULL) {
        return;
    }
    qsort(run->hot, SL__HOT_COUNTERS, sizeof *run->hot, by_count);
    for (uint32_t i = 0; i < SL_REPORT_HOT_KEYS; i++) {
        struct sl_report_key *key = &run->report->hot_keys[i];
        key->key_hash = run->hot[i].hash;
        key->item_count = run->hot[i].count - run->hot[i].inherited;
        memcpy(key->text, run->hot[i].text, sizeof key->text);
    }
}

void sl__report_complete(struct sl__run *run) {
    struct sl_report *report = run->report;
    report->elapsed_ns = sl__clock_now_ns() - run->start_ns;
    if (run->latency != NULL) {
        report->latency_p50_ns = sl__latency_at(run->latency, 0.50);
        report->latency_p95_ns = sl__latency_at(run->latency, 0.95);
        report->latency_p99_ns = sl__latency_at(run->latency, 0.99);
        report->latency_max_ns = run->latency->max_ns;
    }
    complete_hot_keys(run);
}

void sl_report_finish(struct sl_report *report) {
    if (report == NULL) {
        return;
    }
    for (uint32_t i = 0; i < report->error_count; i++) {
        sl_error_finish(&report->errors[i].error);
        free(report->errors[i].ids);
    }
    free(report->errors);
    *report = (struct sl_report)SL_REPORT_INIT;
}

/* ---- as a value ------------------------------------------------------------------------------------------------------ */

static void put_uint(struct sl_writer *writer, const char *name, uint64_t value) {
    sl_write_str(writer, name);
    sl_write_uint(writer, value);
}

/* What a dead worker left or an executor said need not be UTF-8, and must not keep the report from being written. */
static void write_any(struct sl_writer *writer, const char *text) {
    size_t size = strlen(text), at = sl__utf8_valid_size(text, size);
    char *copy = at == size ? NULL : strdup(text);
    if (copy == NULL) {
        sl_write_strn(writer, text, at);
        return;
    }
    while (at < size) {
        copy[at] = '?';
        at += sl__utf8_valid_size(copy + at, size - at);
    }
    sl_write_strn(writer, copy, size);
    free(copy);
}

static void put_text(struct sl_writer *writer, const char *name, const char *text) {
    sl_write_str(writer, name);
    if (text == NULL) {
        sl_write_nil(writer);
    } else {
        write_any(writer, text);
    }
}

/* An executor of the user's may have filled it in with anything. */
static void put_death(struct sl_writer *writer, const struct sl_death *death) {
    struct sl_writer aside;
    struct sl_value map;
    sl_write_str(writer, "death");
    sl_writer_init(&aside, NULL);
    sl_death_write(death, &aside);
    if (sl_writer_end(&aside, &map, NULL) == SL_OK) {
        sl_write_value(writer, map);
    } else {
        sl_write_nil(writer);
    }
    sl_writer_finish(&aside);
}

static void put_error(struct sl_writer *writer, const struct sl_report_error *entry) {
    const struct sl_error *error = &entry->error;
    bool process = error->term_signal != 0 || error->exit_status >= 0;
    sl_write_map(writer,
                 7u + (process ? 3 : 0) + (error->worker != UINT32_MAX ? 2 : 0) + (error->death != NULL ? 1 : 0));
    put_text(writer, "kind", sl_code_name(error->code));
    put_text(writer, "message", error->message);
    put_text(writer, "traceback", error->traceback);
    put_uint(writer, "items", entry->item_count);
    sl_write_str(writer, "ids");
    sl_write_list(writer, entry->id_count);
    for (uint32_t i = 0; i < entry->id_count; i++) {
        sl_write_uint(writer, entry->ids[i]);
    }
    put_uint(writer, "attempt", entry->attempt);
    sl_write_str(writer, "final");
    sl_write_bool(writer, entry->final);
    if (process) {
        sl_write_str(writer, "exit_status");
        error->exit_status >= 0 ? sl_write_int(writer, error->exit_status) : sl_write_nil(writer);
        put_uint(writer, "signal", (uint64_t)error->term_signal);
        put_text(writer, "stderr", error->stderr_tail);
    }
    if (error->worker != UINT32_MAX) {
        put_uint(writer, "worker", error->worker);
        put_uint(writer, "generation", error->generation);
    }
    if (error->death != NULL) {
        put_death(writer, error->death);
    }
}

void sl_report_write(const struct sl_report *report, struct sl_writer *writer) {
    uint32_t hot_count = 0;
    while (hot_count < SL_REPORT_HOT_KEYS && report->hot_keys[hot_count].item_count > 0) {
        hot_count++;
    }
    sl_write_map(writer, 1 + SL_STATUS_COUNT + 10 + 4 + 2);
    put_uint(writer, "input", report->input);
    for (int i = 0; i < SL_STATUS_COUNT; i++) {
        put_uint(writer, sl_status_name((enum sl_status)i), report->count[i]);
    }
    put_uint(writer, "batches", report->batch_count);
    put_uint(writer, "batches_failed", report->batch_failed_count);
    put_uint(writer, "retries", report->retry_count);
    put_uint(writer, "requeues", report->requeue_count);
    put_uint(writer, "worker_deaths", report->worker_death_count);
    put_uint(writer, "stale_replies", report->stale_reply_count);
    put_uint(writer, "in_flight_peak", report->in_flight_peak);
    put_uint(writer, "bytes_peak", report->bytes_peak);
    put_uint(writer, "elapsed_ns", report->elapsed_ns);
    put_uint(writer, "errors_total", report->error_total);
    put_uint(writer, "latency_p50_ns", report->latency_p50_ns);
    put_uint(writer, "latency_p95_ns", report->latency_p95_ns);
    put_uint(writer, "latency_p99_ns", report->latency_p99_ns);
    put_uint(writer, "latency_max_ns", report->latency_max_ns);
    sl_write_str(writer, "errors");
    sl_write_list(writer, report->error_count);
    for (uint32_t i = 0; i < report->error_count; i++) {
        put_error(writer, &report->errors[i]);
    }
    sl_write_str(writer, "hot_keys");
    sl_write_list(writer, hot_count);
    for (uint32_t i = 0; i < hot_count; i++) {
        sl_write_map(writer, 2);
        put_text(writer, "key", report->hot_keys[i].text);
        put_uint(writer, "items", report->hot_keys[i].item_count);
    }
}
