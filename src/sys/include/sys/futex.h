/* SPDX-License-Identifier: MIT */
/*
 * Sleeping on a word of memory. All waits may return without a reason: the caller looks at its condition again.
 * The word may lie in memory that is mapped read-only.
 */
#ifndef SLITHER_SYS_FUTEX_H
#define SLITHER_SYS_FUTEX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sl__futex_scope {
    SL__FUTEX_SHARED = 0, /* the word lies in a memory file that other processes map */
    SL__FUTEX_PRIVATE = 1 /* all threads that wait or wake are of this process: cheaper */
};

struct sl__futex_word {
    const _Atomic uint32_t *word;
    uint32_t expected;
    enum sl__futex_scope scope;
};

#define SL__FUTEX_WORDS_MAX 128 /* of one sl__futex_wait_any; the kernel's bound */

/**
 * Sleeps while `*word` is `expected`, until woken or until `deadline_ns` (CLOCK_MONOTONIC; 0: none).
 * Returns 0, EAGAIN (the word was different), ETIMEDOUT or EINTR.
 */
int sl__futex_wait(const _Atomic uint32_t *word, uint32_t expected, enum sl__futex_scope scope, uint64_t deadline_ns);

/**
 * Sleeps while every word is as expected. Where the kernel lacks futex_waitv or a filter forbids it, it sleeps on the first
 * word and looks at the others every millisecond. `count` 1..SL__FUTEX_WORDS_MAX. Returns as sl__futex_wait.
 */
int sl__futex_wait_any(const struct sl__futex_word *words, size_t count, uint64_t deadline_ns);

/** Wakes at most `count` sleepers. Cannot fail in a way that matters. */
void sl__futex_wake(const _Atomic uint32_t *word, uint32_t count, enum sl__futex_scope scope);

#endif
