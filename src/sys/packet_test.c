/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "descriptors.h"
#include "sys/descriptor.h"
#include "sys/fault.h"
#include "sys/packet.h"

static void packets_and_descriptors_arrive_whole(void **state) {
    (void)state;
    struct sl_error error = SL_ERROR_INIT;
    int pair[2], ends[2], got[4];
    char text[16];
    int before = descriptor_count();
    size_t size, fds;
    assert_int_equal(sl__packet_pair(pair, &error), SL_OK);
    assert_int_equal(sl__packet_receive(pair[1], text, sizeof text, &size, got, 4, &fds, SL__PACKET_NOWAIT, &error),
                     SL_E_AGAIN);
    assert_false(sl__packet_waiting(pair[1]));
    assert_int_equal(sl__pipe_create(&ends[0], &ends[1], &error), SL_OK);
    assert_int_equal(sl__packet_send(pair[0], "one", 3, ends, 2, 0, &error), SL_OK);
    assert_int_equal(sl__packet_send(pair[0], "second", 6, NULL, 0, 0, &error), SL_OK);
    sl__close(&ends[0]);
    sl__close(&ends[1]);
    assert_true(sl__packet_waiting(pair[1]));
    assert_int_equal(sl__packet_receive(pair[1], text, sizeof text, &size, got, 4, &fds, 0, &error), SL_OK);
    assert_int_equal(size, 3);
    assert_int_equal(fds, 2);
    assert_int_equal(fcntl(got[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(sl__write_all(got[1], "x", 1, &error), SL_OK);
    assert_int_equal(sl__read(got[0], text, sizeof text, &size, &error), SL_OK);
    assert_int_equal(size, 1);
    sl__close(&got[1]);
    assert_int_equal(sl__read(got[0], text, sizeof text, &size, &error), SL_E_END);
    sl__close(&got[0]);
    assert_int_equal(sl__packet_receive(pair[1], text, sizeof text, &size, NULL, 0, &fds, 0, &error), SL_OK);
    assert_memory_equal(text, "second", 6);
    sl__close(&pair[0]);
    assert_int_equal(sl__packet_receive(pair[1], text, sizeof text, &size, got, 4, &fds, 0, &error), SL_E_END);
    assert_int_equal(sl__packet_send(pair[1], "x", 1, NULL, 0, 0, &error), SL_E_CLOSED);
    sl__close(&pair[1]);
    assert_int_equal(descriptor_count(), before);
}

static void what_does_not_fit_is_refused_and_closed(void **state) {
    (void)state;
    int pair[2], ends[2], many[SL__PACKET_FDS_MAX], got[SL__PACKET_FDS_MAX];
    char text[16];
    size_t size, fds;
    assert_int_equal(sl__packet_pair(pair, NULL), SL_OK);
    assert_int_equal(sl__pipe_create(&ends[0], &ends[1], NULL), SL_OK);
    for (int i = 0; i < SL__PACKET_FDS_MAX; i++) {
        many[i] = ends[0];
    }
    int before = descriptor_count();
    for (size_t allowed = 0; allowed < 4; allowed++) { /* one too many, two too many, all */
        for (size_t sent = allowed + 1; sent <= SL__PACKET_FDS_MAX; sent += 21) {
            assert_int_equal(sl__packet_send(pair[0], "x", 1, many, sent, 0, NULL), SL_OK);
            assert_int_equal(sl__packet_receive(pair[1], text, sizeof text, &size, got, allowed, &fds, 0, NULL),
                             SL_E_PROTOCOL);
            assert_int_equal(fds, 0);
            assert_int_equal(descriptor_count(), before);
        }
    }
    assert_int_equal(sl__packet_send(pair[0], "this is longer than 16", 22, many, 3, 0, NULL), SL_OK);
    assert_int_equal(sl__packet_receive(pair[1], text, sizeof text, &size, got, 8, &fds, 0, NULL), SL_E_PROTOCOL);
    assert_int_equal(descriptor_count(), before);
    assert_int_equal(sl__packet_send(pair[0], "x", 1, many, SL__PACKET_FDS_MAX, 0, NULL), SL_OK);
    assert_int_equal(sl__packet_receive(pair[1], text, sizeof text, &size, got, SL__PACKET_FDS_MAX, &fds, 0, NULL),
                     SL_OK);
    assert_int_equal(fds, SL__PACKET_FDS_MAX);
    for (size_t i = 0; i < fds; i++) {
        sl__close(&got[i]);
    }
    sl__close(&ends[0]);
    sl__close(&ends[1]);
    sl__close(&pair[0]);
    sl__close(&pair[1]);
}

static void a_full_queue_says_again(void **state) {
    (void)state;
    int pair[2];
    static char large[1000];
    assert_int_equal(sl__packet_pair(pair, NULL), SL_OK);
    enum sl_code code = SL_OK;
    for (int i = 0; i < 100000 && code == SL_OK; i++) {
        code = sl__packet_send(pair[0], large, sizeof large, NULL, 0, SL__PACKET_NOWAIT, NULL);
    }
    assert_int_equal(code, SL_E_AGAIN);
    /* Closing with something unread resets the other end: it still reads what was sent to it before. */
    size_t size, fds;
    assert_int_equal(sl__packet_send(pair[1], "last", 4, NULL, 0, 0, NULL), SL_OK);
    sl__close(&pair[1]);
    assert_int_equal(sl__packet_receive(pair[0], large, sizeof large, &size, NULL, 0, &fds, 0, NULL), SL_OK);
    assert_int_equal(size, 4);
    assert_int_equal(sl__packet_receive(pair[0], large, sizeof large, &size, NULL, 0, &fds, 0, NULL), SL_E_END);
    sl__close(&pair[0]);
}

static void failing_calls_are_reported(void **state) {
    (void)state;
    int pair[2];
    char text[4];
    size_t size, fds;
    struct sl_error error = SL_ERROR_INIT;
    sl__sys_fail_next(SL__CALL_SOCKETPAIR, EMFILE, 0);
    assert_int_equal(sl__packet_pair(pair, &error), SL_E_SYSTEM);
    assert_int_equal(pair[0], -1);
    assert_int_equal(sl__packet_pair(pair, &error), SL_OK);
    sl__sys_fail_next(SL__CALL_SENDMSG, EINTR, 0); /* tried again */
    assert_int_equal(sl__packet_send(pair[0], "x", 1, NULL, 0, 0, &error), SL_OK);
    sl__sys_fail_next(SL__CALL_SENDMSG, ETOOMANYREFS, 0);
    assert_int_equal(sl__packet_send(pair[0], "x", 1, NULL, 0, 0, &error), SL_E_LIMIT);
    assert_int_equal(error.code, SL_E_LIMIT);
    sl__sys_fail_next(SL__CALL_SENDMSG, ENOBUFS, 0);
    assert_int_equal(sl__packet_send(pair[0], "x", 1, NULL, 0, 0, &error), SL_E_SYSTEM);
    sl__sys_fail_next(SL__CALL_RECVMSG, EINTR, 0);
    assert_int_equal(sl__packet_receive(pair[1], text, 4, &size, NULL, 0, &fds, 0, &error), SL_OK);
    sl__sys_fail_from(SL__CALL_RECVMSG, ECONNRESET, 0); /* bounded */
    assert_int_equal(sl__packet_receive(pair[1], text, 4, &size, NULL, 0, &fds, 0, &error), SL_E_END);
    sl__sys_fail_clear();
    sl__close(&pair[0]);
    sl__close(&pair[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_and_descriptors_arrive_whole),
        cmocka_unit_test(what_does_not_fit_is_refused_and_closed),
        cmocka_unit_test(a_full_queue_says_again),
        cmocka_unit_test(failing_calls_are_reported),
    };
    return cmocka_run_group_tests_name("packet", tests, NULL, NULL);
}
