/* SPDX-License-Identifier: MIT */
/*
 * Waiting for descriptors with many threads (epoll), and two descriptors to wait for: one that a thread sets, one that a clock sets.
 * A room that runs on the loop thread uses loop/loop.h instead.
 */
#ifndef SLITHER_SYS_READY_H
#define SLITHER_SYS_READY_H

#include <stdint.h>

#include <slither/error.h>

/** A set of descriptors to wait for, itself a descriptor, close-on-exec. */
enum sl_code sl__ready_create(int *set, struct sl_error *error);

/**
 * `fd` is waited for from now on; `key` says which it was. `once`: it wakes one thread, and then nobody until sl__ready_again. It leaves the
 * set when it is closed.
 */
enum sl_code sl__ready_add(int set, int fd, uint64_t key, bool once, struct sl_error *error);
/** A descriptor that was added as `once` is waited for again. Cannot fail for one that is in the set. */
void sl__ready_again(int set, int fd, uint64_t key);
void sl__ready_remove(int set, int fd);

/** Waits until a descriptor can be read or has ended. `timeout_ms` -1: without end. Returns false when the time is up. Any thread. */
bool sl__ready_wait(int set, int timeout_ms, uint64_t *key);

/** Waits until one descriptor can be written. False when the time is up. */
bool sl__ready_to_write(int fd, int timeout_ms);

/** A descriptor that is readable for ever once sl__signal_set was called; close-on-exec. */
enum sl_code sl__signal_create(int *fd, struct sl_error *error);
void sl__signal_set(int fd);

/** A descriptor that is readable from a point in time on; close-on-exec, non-blocking. */
enum sl_code sl__alarm_create(int *fd, struct sl_error *error);
/** At `deadline_ns` (CLOCK_MONOTONIC, not 0) instead of any time set before; 0: never. It is not readable before. */
void sl__alarm_set(int fd, uint64_t deadline_ns);

#endif
