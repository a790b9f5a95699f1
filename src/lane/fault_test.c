/* SPDX-License-Identifier: MIT */
/*
 * Each system call that a lane makes fails in turn, once and from then on, in the middle of a scenario that uses all of a lane. Whatever fails, the
 * answer is an error code, every descriptor is closed, and a lane that refused one request takes the next.
 */
#include "pair_test.h"

#include <errno.h>

#include "sys/fault.h"

#define LARGE (1u << 20)

struct run {
    struct sl__lane *host, *worker;
    struct sl_buffer *buffer;
    struct sl__buffer_home home;
    struct sl_error error;
};

#define TRY(call)                    \
    do {                             \
        enum sl_code code_ = (call); \
        if (code_ != SL_OK) {        \
            return code_;            \
        }                            \
    } while (0)

static enum sl_code make_lane(struct run *run) {
    int fds[SL__LANE_FDS], own[SL__LANE_FDS] = {-1, -1, -1};
    TRY(sl__lane_create(&pair_config, &run->host, &run->error));
    sl__lane_worker_fds(run->host, fds);
    enum sl_code code = SL_OK;
    for (int i = 0; i < SL__LANE_FDS && code == SL_OK; i++) {
        code = sl__duplicate(fds[i], &own[i], &run->error);
    }
    if (code != SL_OK) {
        for (int i = 0; i < SL__LANE_FDS; i++) {
            sl__close(&own[i]);
        }
        return code;
    }
    sl__lane_close_worker_fds(run->host);
    return sl__lane_attach(own, &pair_config, &run->worker, &run->error);
}

static enum sl_code round_trip(struct run *run, size_t size, size_t reply_size) {
    uint8_t *memory;
    uint64_t offset, sequence;
    size_t capacity;
    TRY(sl__lane_open(run->host, &run->error));
    enum sl_code code = run->buffer != NULL ? sl__lane_attach_buffer(run->host, run->buffer, &run->error) : SL_OK;
    if (code == SL_OK) { /* in two steps, so that it moves from the segment to a file, and grows there */
        code = sl__lane_extend(run->host, size / 4 + 1, &memory, &offset, &run->error);
    }
    if (code == SL_OK) {
        fill(memory, size / 4 + 1, 1);
        code = sl__lane_extend(run->host, size, &memory, &offset, &run->error);
    }
    if (code != SL_OK) {
        sl__lane_abort(run->host);
        return code;
    }
    TRY(sl__lane_commit(run->host, SL__REQUEST_BATCH, 0, 1, &sequence, &run->error));
    struct sl__request request;
    TRY(sl__lane_take(run->worker, &request, &run->error));
    assert_true(filled(request.data, size / 4 + 1, 1));
    TRY(sl__lane_reply_open(run->worker, &memory, &capacity, &run->error));
    for (size_t needed = reply_size / 4 + 1; needed <= reply_size; needed *= 2) {
        if (needed > capacity) {
            TRY(sl__lane_reply_grow(run->worker, 0, needed, &memory, &capacity, &run->error));
        }
    }
    if (capacity < reply_size) {
        TRY(sl__lane_reply_grow(run->worker, 0, reply_size, &memory, &capacity, &run->error));
    }
    fill(memory, reply_size, 2);
    TRY(sl__lane_reply_commit(run->worker, SL_OK, 1, reply_size, 0, &run->error));
    struct sl__reply reply;
    TRY(sl__lane_poll(run->host, &reply, &run->error));
    assert_true(filled(reply.blob->data, reply_size, 2));
    sl__blob_unref(reply.blob);
    sl__lane_retire(run->host, (reply.flags & SL__REPLY_KEPT) != 0);
    return SL_OK;
}

static enum sl_code scenario(struct run *run) {
    TRY(make_lane(run));
    TRY(sl__buffer_create(&run->home, 5000, &run->buffer, &run->error));
    TRY(round_trip(run, 100, 100));
    TRY(round_trip(run, LARGE, 3 * LARGE));
    TRY(round_trip(run, 3 * LARGE, 100)); /* outgrows the file that is kept */
    sl_buffer_unref(run->buffer);
    run->buffer = NULL;
    return round_trip(run, 100, 100); /* with a note to forget the buffer */
}

static void finish(struct run *run) {
    sl_buffer_unref(run->buffer);
    sl__lane_destroy(run->worker);
    sl__lane_destroy(run->host);
}

static void each_call_may_fail(void **state) {
    (void)state;
    size_t fds = open_fds();
    uint32_t counts[SL__CALL_COUNT_];
    struct run run = {.error = SL_ERROR_INIT};
    sl__sys_fail_clear();
    assert_int_equal(scenario(&run), SL_OK);
    for (int call = 0; call < SL__CALL_COUNT_; call++) {
        counts[call] = sl__sys_call_count((enum sl__sys_call)call);
    }
    finish(&run);
    assert_int_equal(open_fds(), fds);
    assert_true(counts[SL__CALL_MEMFD_CREATE] >= 5 && counts[SL__CALL_SENDMSG] >= 4 && counts[SL__CALL_MREMAP] >= 1);
    uint32_t failed = 0, total = 0;
    for (int call = 0; call < SL__CALL_COUNT_; call++) {
        static const int numbers[] = {ENOMEM, EMFILE, EAGAIN};
        for (uint32_t i = 0; i < counts[call] * SL_COUNT_OF(numbers) * 2; i++) {
            uint32_t after = i / 2 % counts[call];
            int number = numbers[i / 2 / counts[call]];
            run = (struct run){.error = SL_ERROR_INIT};
            sl__sys_fail_clear();
            if (i % 2 == 0) {
                sl__sys_fail_next((enum sl__sys_call)call, number, after);
            } else {
                sl__sys_fail_from((enum sl__sys_call)call, number, after);
            }
            enum sl_code code = scenario(&run);
            sl__sys_fail_clear();
            if (code != SL_OK) {
                failed++;
                assert_int_equal(run.error.code, code);
                assert_true(run.error.message[0] != '\0');
            }
            total++;
            finish(&run);
            assert_int_equal(open_fds(), fds);
        }
    }
    print_message("%u of %u scenarios failed\n", failed, total);
    assert_true(failed * 10 > total * 9); /* what may go unnoticed: notes to forget, which wait for the next request */
}

static void a_lane_that_refused_one_request_takes_the_next(void **state) {
    (void)state;
    static const enum sl__sys_call calls[] = {SL__CALL_MEMFD_CREATE, SL__CALL_FTRUNCATE, SL__CALL_MMAP, SL__CALL_SEAL,
                                              SL__CALL_SENDMSG};
    for (size_t i = 0; i < SL_COUNT_OF(calls); i++) {
        struct run run = {.error = SL_ERROR_INIT};
        sl__sys_fail_clear();
        assert_int_equal(make_lane(&run), SL_OK);
        sl__sys_fail_next(calls[i], EAGAIN, 0);
        enum sl_code code = round_trip(&run, LARGE, 100);
        assert_int_equal(code, calls[i] == SL__CALL_SENDMSG ? SL_E_LIMIT : SL_E_SYSTEM);
        assert_int_equal(sl__lane_outstanding(run.host), 0);
        assert_int_equal(round_trip(&run, 100, 100), SL_OK);
        assert_int_equal(round_trip(&run, LARGE, 100), SL_OK);
        finish(&run);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_call_may_fail),
        cmocka_unit_test(a_lane_that_refused_one_request_takes_the_next),
    };
    return cmocka_run_group_tests_name("lane_fault", tests, NULL, NULL);
}
