/* SPDX-License-Identifier: MIT */
/*
 * What a worker is doing: it is asked, and a thread of it that needs no GIL answers. No answer says something too: that
 * thread is stopped with the others, or the processor is not to be had.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "sys/clock.h"
#include "sys/packet.h"
#include "sys/proc.h"

#define NS_PER_MS 1000000u
#define TELL_STUCK_MS 100 /* shorter is not worth a word */

void sl__questions_begin(struct sl__worker *worker) {
    worker->questions = (struct sl__questions){.heard_ns = sl__clock_now_ns()};
}

bool sl__question_ask(struct sl__worker *worker, uint32_t stack_ms) {
    struct sl__questions *questions = &worker->questions;
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (sl__message_ask(questions->asked + 1, stack_ms, &bytes, &size, NULL) != SL_OK) {
        return false;
    }
    bool sent = sl__packet_send(worker->child.socket, bytes, size, NULL, 0, SL__PACKET_NOWAIT, NULL) == SL_OK;
    free(bytes);
    if (sent) {
        if (questions->answered == questions->asked) {
            questions->asked_ns = sl__clock_now_ns();
        }
        questions->asked++;
    }
    return sent;
}

bool sl__question_take(struct sl__worker *worker, const struct sl__told *told, bool *last) {
    struct sl__questions *questions = &worker->questions;
    if (told->number != questions->answered + 1 || told->number > questions->asked) {
        return false;
    }
    questions->answered = told->number;
    questions->heard_ns = sl__clock_now_ns();
    questions->asked_ns = questions->heard_ns; /* of one that is still open: its answer is due from now on */
    questions->activity = told->activity;
    questions->stuck_ms = told->stuck_ms;
    *last = told->number == questions->asked;
    return true;
}

enum sl_activity sl__worker_activity(struct sl__worker *worker) {
    struct sl__questions *questions = &worker->questions;
    char state = sl__proc_state(worker->child.pid);
    if (state == 'T' || state == 't') {
        questions->activity = SL_ACTIVITY_STOPPED;
        questions->stuck_ms = 0; /* since when it is stopped nobody knows */
    }
    return questions->activity;
}

uint64_t sl__worker_silence(const struct sl__worker *worker) {
    return sl__clock_now_ns() - worker->questions.heard_ns;
}

/* The newest last; the oldest goes. */
static void keep_sample(struct sl__worker *worker, uint64_t now) {
    struct sl__questions *questions = &worker->questions;
    uint32_t count = questions->sample_count;
    if (count == SL_DEATH_SAMPLES) {
        memmove(questions->samples, questions->samples + 1, (SL_DEATH_SAMPLES - 1) * sizeof(questions->samples[0]));
        count--;
    }
    questions->samples[count] = (struct sl_death_sample){
        .age_ms = (now - worker->ready_ns) / NS_PER_MS,
        .rss_bytes = questions->rss_bytes,
    };
    questions->sample_count = count + 1;
}

uint64_t sl__worker_beat(struct sl__worker *worker) {
    struct sl__questions *questions = &worker->questions;
    if (worker->state != SL__WORKER_READY) {
        return 0;
    }
    uint64_t now = sl__clock_now_ns();
    if (sl__proc_rss(worker->child.pid, &questions->rss_bytes)) {
        keep_sample(worker, now);
    }
    uint64_t silent_ns = 0;
    if (questions->answered != questions->asked) {
        silent_ns = now - questions->asked_ns;
    } else {
        (void)sl__question_ask(worker, 0);
    }
    if (worker->config.owner->sampled != NULL) {
        worker->config.owner->sampled(worker->config.context, worker->config.index, questions->rss_bytes,
                                      questions->activity);
    }
    return silent_ns;
}

void sl__question_text(const struct sl__worker *worker, char *text, size_t size) {
    static const char *const did[] = {
        [SL_ACTIVITY_IDLE] = " was idle",
        [SL_ACTIVITY_PYTHON] = " was running Python code",
        [SL_ACTIVITY_NATIVE] = " was in native code",
        [SL_ACTIVITY_WAITING] = " was waiting in a system call",
        [SL_ACTIVITY_STOPPED] = " was stopped by a signal",
    };
    const struct sl__questions *questions = &worker->questions;
    text[0] = '\0';
    if (questions->activity == SL_ACTIVITY_UNKNOWN) {
        return;
    }
    if (questions->stuck_ms >= TELL_STUCK_MS && questions->activity >= SL_ACTIVITY_NATIVE) {
        snprintf(text, size, "%s for at least %.1f s and", did[questions->activity],
                 (double)questions->stuck_ms / 1000.0);
    } else {
        snprintf(text, size, "%s and", did[questions->activity]);
    }
}
