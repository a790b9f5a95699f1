/* SPDX-License-Identifier: MIT */
/*
 * Loop: one thread that supervises. Everything that happens to a worker process outside of its batches happens here,
 * one thing at a time, so the rooms above need no locks among themselves.
 *
 *   task    work that any thread hands to the loop thread; the memory is the poster's
 *   watch   a descriptor whose readiness calls a function
 *   timer   a point in time that calls a function, once
 *
 * The loop sleeps in the kernel when none of the three is due: an idle runtime uses no processor time. It blocks all
 * signals, so the host's handlers never run on it. libuv stays behind this header.
 */
#ifndef SLITHER_LOOP_LOOP_H
#define SLITHER_LOOP_LOOP_H

#include <slither/error.h>

struct sl__loop;

enum sl_code sl__loop_create(struct sl__loop **loop, struct sl_error *error);
/* Runs the tasks that were posted before, then ends the thread. No watch and no timer may be left. NULL is fine. Not from the loop thread. */
void sl__loop_destroy(struct sl__loop *loop);
/* Whether the caller is the loop thread. */
bool sl__loop_inside(const struct sl__loop *loop);

/* ---- tasks ---------------------------------------------------------------------------------------------------- */

struct sl__task {
    struct sl__task *next;              /* the loop's */
    void (*run)(struct sl__task *task); /* on the loop thread, once for each post; may release the task */
};
/* Any thread, also the loop's own; never blocks, never fails. Tasks run in the order of their posts. A task is posted once at a time. */
void sl__loop_post(struct sl__loop *loop, struct sl__task *task);
/* Runs `function` on the loop thread and waits until it has returned. Not from the loop thread. */
void sl__loop_call(struct sl__loop *loop, void (*function)(void *context), void *context);

/* ---- watches and timers: loop thread only --------------------------------------------------------------------- */

struct sl__watch;
/*
 * Calls `function` whenever `fd` can be read, has reached its end or is in error. The fd stays the caller's, who closes it
 * after sl__watch_destroy. Sets it to non-blocking. Errors: out_of_memory, system (for what epoll does not take).
 */
enum sl_code sl__watch_create(struct sl__loop *loop, int fd, void (*function)(void *context), void *context,
                              struct sl__watch **watch, struct sl_error *error);
/* Legal from within its own function, which is not called again. NULL is fine. */
void sl__watch_destroy(struct sl__watch *watch);

struct sl__timer;
enum sl_code sl__timer_create(struct sl__loop *loop, void (*function)(void *context), void *context,
                              struct sl__timer **timer, struct sl_error *error);
/* Once, `delay_ms` from now, instead of any time set before. */
void sl__timer_set(struct sl__timer *timer, uint64_t delay_ms);
void sl__timer_cancel(struct sl__timer *timer);
/* Legal from within its own function. NULL is fine. */
void sl__timer_destroy(struct sl__timer *timer);

#endif
