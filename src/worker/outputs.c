/* SPDX-License-Identifier: MIT */
#include "engine.h"
#include "sys/descriptor.h"

#define READ_SIZE 16384    /* of one read from a worker's output */
#define DRAIN_READS_MAX 64 /* after its death: what a pipe can hold, and more */

static void log_line(struct sl__worker *worker, enum sl_log_origin origin, const char *text, size_t size) {
    const struct sl_log_record record = {
        .size = sizeof(record),
        .level = origin == SL_LOG_WORKER_STDERR ? SL_LOG_WARN : SL_LOG_INFO,
        .origin = origin,
        .pool = worker->config.pool,
        .worker = worker->config.index,
        .generation = worker->generation,
        .pid = worker->child.pid,
        .text = text,
        .text_size = size,
    };
    sl__log_give(worker->config.log, &record);
}

static void out_line(void *context, const char *text, size_t size) {
    log_line(context, SL_LOG_WORKER_STDOUT, text, size);
}

static void err_line(void *context, const char *text, size_t size) {
    log_line(context, SL_LOG_WORKER_STDERR, text, size);
}

static void end_output(struct sl__lines *lines, struct sl__watch **watch, int *fd) {
    sl__watch_destroy(*watch);
    *watch = NULL;
    sl__close(fd);
    sl__lines_flush(lines);
}

/* Reads at most `read_count` times; true when there may be more. */
static bool read_output(struct sl__lines *lines, struct sl__watch **watch, int *fd, int read_count) {
    char bytes[READ_SIZE];
    for (int i = 0; i < read_count && *fd >= 0; i++) {
        size_t size;
        enum sl_code code = sl__read(*fd, bytes, sizeof(bytes), &size, NULL);
        if (code == SL_E_AGAIN) {
            return false;
        }
        if (code != SL_OK) {
            end_output(lines, watch, fd);
            return false;
        }
        sl__lines_feed(lines, bytes, size);
    }
    return *fd >= 0;
}

/* One read each time: a worker that prints without end must not keep the loop from the others. */
static void out_readable(void *context) {
    struct sl__worker *worker = context;
    (void)read_output(&worker->out, &worker->out_watch, &worker->child.out, 1);
}

static void err_readable(void *context) {
    struct sl__worker *worker = context;
    (void)read_output(&worker->err, &worker->err_watch, &worker->child.err, 1);
}

void sl__outputs_init(struct sl__worker *worker) {
    sl__lines_init(&worker->out, false, &worker->config.spec->redact, out_line, worker);
    sl__lines_init(&worker->err, true, &worker->config.spec->redact, err_line, worker);
}

enum sl_code sl__outputs_watch(struct sl__worker *worker, struct sl_error *error) {
    struct sl__loop *loop = worker->config.loop;
    enum sl_code code = sl__watch_create(loop, worker->child.out, out_readable, worker, &worker->out_watch, error);
    if (code == SL_OK) {
        code = sl__watch_create(loop, worker->child.err, err_readable, worker, &worker->err_watch, error);
    }
    return code;
}

void sl__outputs_unwatch(struct sl__worker *worker) {
    sl__watch_destroy(worker->out_watch);
    sl__watch_destroy(worker->err_watch);
    worker->out_watch = worker->err_watch = NULL;
}

/* Its grandchildren may hold the other ends, so the ends of the pipes are not waited for. */
void sl__outputs_drain(struct sl__worker *worker) {
    (void)read_output(&worker->out, &worker->out_watch, &worker->child.out, DRAIN_READS_MAX);
    (void)read_output(&worker->err, &worker->err_watch, &worker->child.err, DRAIN_READS_MAX);
    sl__lines_flush(&worker->out);
    sl__lines_flush(&worker->err);
}

void sl__outputs_finish(struct sl__worker *worker) {
    sl__lines_finish(&worker->out);
    sl__lines_finish(&worker->err);
}
