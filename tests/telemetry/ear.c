/* SPDX-License-Identifier: MIT */
#include "ear.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void hear(void *context, const struct sl_event *event) {
    struct ear *ear = context;
    pthread_mutex_lock(&ear->lock);
    if (ear->count < HEARD_MAX) {
        struct heard *heard = &ear->heard[ear->count];
        heard->event = *event;
        for (uint32_t i = 0; i < event->field_count; i++) {
            heard->fields[i] = event->fields[i];
            if (event->fields[i].type == SL_FIELD_TEXT) {
                snprintf(heard->texts[i], sizeof heard->texts[i], "%s", event->fields[i].as_text);
                heard->fields[i].as_text = heard->texts[i];
            }
        }
        heard->event.fields = heard->fields;
    }
    ear->count++;
    pthread_cond_broadcast(&ear->changed);
    pthread_mutex_unlock(&ear->lock);
}

void ear_open(struct ear *ear, struct sl_runtime *runtime, const char *prefix) {
    struct sl_error error = SL_ERROR_INIT;
    *ear = (struct ear){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    ear->heard = calloc(HEARD_MAX, sizeof *ear->heard);
    assert_non_null(ear->heard);
    if (sl_telemetry_attach(runtime, prefix, hear, ear, &ear->handler, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
}

void ear_detach(struct ear *ear) {
    sl_telemetry_detach(ear->handler);
    ear->handler = NULL;
}

void ear_close(struct ear *ear) {
    ear_expect_whole_spans(ear);
    free(ear->heard);
    ear->heard = NULL;
}

void ear_forget(struct ear *ear) {
    pthread_mutex_lock(&ear->lock);
    ear->count = 0;
    pthread_mutex_unlock(&ear->lock);
}

/* With the lock. */
static uint32_t count_of(const struct ear *ear, const char *name) {
    uint32_t count = 0;
    assert_in_range(ear->count, 0, HEARD_MAX);
    for (uint32_t i = 0; i < ear->count; i++) {
        count += strcmp(ear->heard[i].event.name, name) == 0 ? 1 : 0;
    }
    return count;
}

uint32_t ear_count(struct ear *ear, const char *name) {
    pthread_mutex_lock(&ear->lock);
    uint32_t count = count_of(ear, name);
    pthread_mutex_unlock(&ear->lock);
    return count;
}

void ear_await(struct ear *ear, const char *name, uint32_t count) {
    pthread_mutex_lock(&ear->lock);
    while (count_of(ear, name) < count) {
        pthread_cond_wait(&ear->changed, &ear->lock);
    }
    pthread_mutex_unlock(&ear->lock);
}

const struct heard *ear_find(struct ear *ear, const char *name, uint32_t index) {
    const struct heard *found = NULL;
    pthread_mutex_lock(&ear->lock);
    for (uint32_t i = 0, k = 0; i < ear->count && found == NULL; i++) {
        if (strcmp(ear->heard[i].event.name, name) == 0 && k++ == index) {
            found = &ear->heard[i];
        }
    }
    pthread_mutex_unlock(&ear->lock);
    if (found == NULL) {
        fail_msg("there is no event %s with index %u", name, index);
    }
    return found;
}

static const struct sl_event_field *field_of(const struct heard *heard, const char *name, enum sl_field_type type) {
    const struct sl_event_field *field = sl_event_get(&heard->event, name);
    if (field == NULL || field->type != type) {
        fail_msg("%s has no field %s of type %s", heard->event.name, name, sl_field_type_name(type));
    }
    return field;
}

uint64_t heard_uint(const struct heard *heard, const char *field) {
    return field_of(heard, field, SL_FIELD_UINT)->as_uint;
}

const char *heard_text(const struct heard *heard, const char *field) {
    return field_of(heard, field, SL_FIELD_TEXT)->as_text;
}

enum sl_code heard_code(const struct heard *heard) {
    return field_of(heard, "code", SL_FIELD_CODE)->as_code;
}

uint64_t ear_sum(struct ear *ear, const char *name, const char *field) {
    uint64_t sum = 0;
    for (uint32_t i = 0, count = ear_count(ear, name); i < count; i++) {
        sum += heard_uint(ear_find(ear, name, i), field);
    }
    return sum;
}

uint32_t ear_count_text(struct ear *ear, const char *name, const char *field, const char *text) {
    uint32_t found = 0;
    for (uint32_t i = 0, count = ear_count(ear, name); i < count; i++) {
        found += strcmp(heard_text(ear_find(ear, name, i), field), text) == 0 ? 1 : 0;
    }
    return found;
}

static bool same_stem(const char *a, const char *b) {
    size_t size = (size_t)(strrchr(a, '.') - a);
    return (size_t)(strrchr(b, '.') - b) == size && memcmp(a, b, size) == 0;
}

void ear_expect_whole_spans(struct ear *ear) {
    pthread_mutex_lock(&ear->lock);
    assert_in_range(ear->count, 0, HEARD_MAX);
    for (uint32_t i = 0; i < ear->count; i++) {
        const struct sl_event *event = &ear->heard[i].event;
        uint32_t starts = 0, ends = 0;
        for (uint32_t k = 0; event->phase != SL_EVENT_SINGLE && k < ear->count; k++) {
            const struct sl_event *other = &ear->heard[k].event;
            if (other->span != event->span) {
                continue;
            }
            starts += other->phase == SL_EVENT_START ? 1 : 0;
            ends += other->phase > SL_EVENT_START ? 1 : 0;
            assert_true(same_stem(event->name, other->name));
            assert_true(other->phase != SL_EVENT_START || k <= i);
        }
        if (event->phase == SL_EVENT_SINGLE) {
            assert_int_equal(event->span, 0);
        } else if (starts != 1 || ends != 1) {
            fail_msg("%s of span %llu: %u starts, %u ends", event->name, (unsigned long long)event->span, starts, ends);
        }
    }
    pthread_mutex_unlock(&ear->lock);
}
