/* SPDX-License-Identifier: MIT */
/* A death certificate as a value. What is not known is left out. */
#include <slither/death.h>
#include <slither/value.h>

#include <string.h>

#include "base/macros.h"

struct map {
    struct sl_writer *writer; /* NULL: only count */
    uint32_t count;
};

static bool key(struct map *map, const char *name) {
    map->count++;
    if (map->writer != NULL) {
        sl_write_str(map->writer, name);
    }
    return map->writer != NULL;
}

static void put_uint(struct map *map, const char *name, uint64_t number) {
    if (key(map, name)) {
        sl_write_uint(map->writer, number);
    }
}

static void put_text(struct map *map, const char *name, const char *text) {
    if (text != NULL && key(map, name)) {
        sl_write_str(map->writer, text);
    }
}

static void put_samples(struct map *map, const struct sl_death *death) {
    uint32_t count = 0;
    while (count < SL_DEATH_SAMPLES && (death->samples[count].age_ms != 0 || death->samples[count].rss_bytes != 0)) {
        count++;
    }
    if (count > 0 && key(map, "rss")) {
        sl_write_list(map->writer, count);
        for (uint32_t i = 0; i < count; i++) {
            sl_write_list(map->writer, 2);
            sl_write_uint(map->writer, death->samples[i].age_ms);
            sl_write_uint(map->writer, death->samples[i].rss_bytes);
        }
    }
}

static void put_items(struct map *map, const struct sl_death *death) {
    if (death->item_count == 0) {
        return;
    }
    put_uint(map, "item_count", death->item_count);
    uint32_t count = SL_MIN(death->item_count, (uint32_t)SL_DEATH_ITEMS);
    if (key(map, "items")) {
        sl_write_list(map->writer, count);
        for (uint32_t i = 0; i < count; i++) {
            sl_write_uint(map->writer, death->item_ids[i]);
        }
    }
}

static void put_all(struct map *map, const struct sl_death *death) {
    put_text(map, "cause", sl_death_cause_name(death->cause));
    put_uint(map, "worker", death->worker);
    put_uint(map, "generation", death->generation);
    put_uint(map, "pid", (uint64_t)death->pid);
    put_uint(map, "time_ms", (uint64_t)death->time_ms);
    if (death->exit_status >= 0) {
        put_uint(map, "exit_status", (uint64_t)death->exit_status);
    }
    if (death->term_signal != 0) {
        put_uint(map, "signal", (uint64_t)death->term_signal);
        if (key(map, "core_dumped")) {
            sl_write_bool(map->writer, death->core_dumped);
        }
    }
    put_text(map, "activity", death->activity != SL_ACTIVITY_UNKNOWN ? sl_activity_name(death->activity) : NULL);
    put_uint(map, "age_ms", death->age_ms);
    put_uint(map, "batches", death->batch_count);
    put_samples(map, death);
    put_items(map, death);
    put_text(map, "evidence", death->evidence);
    put_text(map, "traceback", death->traceback);
    put_text(map, "stderr", death->stderr_tail);
}

void sl_death_write(const struct sl_death *death, struct sl_writer *writer) {
    struct map map = {0};
    put_all(&map, death);
    sl_write_map(writer, map.count);
    map = (struct map){.writer = writer};
    put_all(&map, death);
}
