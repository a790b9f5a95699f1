/* SPDX-License-Identifier: MIT */
#include "failing_memory.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);
int __wrap_asprintf(char **text, const char *format, ...);

static _Atomic bool armed;
static _Atomic int64_t left; /* that succeed before; below 0: they fail */
static _Atomic uint64_t failed;
static _Atomic int wanted;
static _Atomic bool all_after;
static _Thread_local bool asked_here;

bool memory_fails(void) {
    if (!atomic_load(&armed) || (wanted != MEMORY_ALL && asked_here != (wanted == MEMORY_MINE))) {
        return false;
    }
    int64_t before = atomic_fetch_sub(&left, 1);
    bool now = before == 0 || (before < 0 && all_after);
    if (now) {
        atomic_fetch_add(&failed, 1);
    }
    return now;
}

void memory_fail(enum memory_whose whose, uint32_t after, bool lasting) {
    atomic_store(&armed, false);
    wanted = whose;
    all_after = lasting;
    asked_here = true;
    atomic_store(&left, after);
    atomic_store(&failed, 0);
    atomic_store(&armed, true);
}

bool memory_restore(void) {
    atomic_store(&armed, false);
    asked_here = false;
    return atomic_load(&failed) > 0;
}

void *__wrap_malloc(size_t size) {
    return memory_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    return memory_fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size) {
    return memory_fails() ? NULL : __real_realloc(memory, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return memory_fails() ? NULL : __real_aligned_alloc(alignment, size);
}

char *__wrap_strndup(const char *text, size_t size) {
    size = strnlen(text, size);
    char *copy = __wrap_malloc(size + 1);
    if (copy != NULL) {
        memcpy(copy, text, size);
        copy[size] = '\0';
    }
    return copy;
}

char *__wrap_strdup(const char *text) {
    return __wrap_strndup(text, strlen(text));
}

int __wrap_asprintf(char **text, const char *format, ...) {
    va_list arguments;
    if (memory_fails()) {
        return -1;
    }
    va_start(arguments, format);
    int size = vasprintf(text, format, arguments);
    va_end(arguments);
    return size;
}
