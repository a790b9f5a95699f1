/* SPDX-License-Identifier: MIT */
/* Sets of descriptors, signals and alarms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>

#include "base/macros.h"
#include "sys/clock.h"
#include "sys/descriptor.h"
#include "sys/fault.h"
#include "sys/packet.h"
#include "sys/ready.h"

#define MS 1000000u

static int set;

static int open_set(void **state) {
    (void)state;
    return sl__ready_create(&set, NULL) == SL_OK ? 0 : -1;
}

static int close_set(void **state) {
    (void)state;
    sl__close(&set);
    sl__sys_fail_clear();
    return 0;
}

static void one_packet_wakes_once(void **state) {
    (void)state;
    int pair[2];
    uint64_t key = 0;
    assert_int_equal(sl__packet_pair(pair, NULL), SL_OK);
    assert_int_equal(sl__ready_add(set, pair[0], 77, true, NULL), SL_OK);
    assert_false(sl__ready_wait(set, 0, &key));
    assert_int_equal(sl__packet_send(pair[1], "x", 1, NULL, 0, 0, NULL), SL_OK);
    assert_true(sl__ready_wait(set, -1, &key));
    assert_int_equal(key, 77);
    assert_false(sl__ready_wait(set, 0, &key)); /* still readable, but nobody is to know */
    sl__ready_again(set, pair[0], 78);
    assert_true(sl__ready_wait(set, -1, &key));
    assert_int_equal(key, 78);
    sl__close(&pair[1]); /* neither does the end wake anybody before that */
    assert_false(sl__ready_wait(set, 0, &key));
    sl__ready_remove(set, pair[0]);
    sl__close(&pair[0]);
    assert_false(sl__ready_wait(set, 0, &key));
}

static void a_signal_stays(void **state) {
    (void)state;
    int signal;
    uint64_t key = 0;
    assert_int_equal(sl__signal_create(&signal, NULL), SL_OK);
    assert_true(fcntl(signal, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(sl__ready_add(set, signal, 5, false, NULL), SL_OK);
    assert_false(sl__ready_wait(set, 0, &key));
    sl__signal_set(signal);
    for (int i = 0; i < 3; i++) {
        assert_true(sl__ready_wait(set, -1, &key));
        assert_int_equal(key, 5);
    }
    sl__close(&signal);
}

static void an_alarm_rings_in_time(void **state) {
    (void)state;
    int alarm;
    uint64_t key = 0;
    assert_int_equal(sl__alarm_create(&alarm, NULL), SL_OK);
    assert_int_equal(sl__ready_add(set, alarm, 6, false, NULL), SL_OK);
    uint64_t deadline_ns = sl__clock_now_ns() + 20 * MS;
    sl__alarm_set(alarm, deadline_ns);
    assert_false(sl__ready_wait(set, 0, &key));
    assert_true(sl__ready_wait(set, -1, &key));
    assert_true(sl__clock_now_ns() >= deadline_ns);
    sl__alarm_set(alarm, sl__clock_now_ns() + 3600000 * (uint64_t)MS); /* setting it again takes the ring back */
    assert_false(sl__ready_wait(set, 0, &key));
    sl__alarm_set(alarm, 1); /* long ago */
    assert_true(sl__ready_wait(set, -1, &key));
    sl__alarm_set(alarm, 0);
    assert_false(sl__ready_wait(set, 0, &key));
    sl__close(&alarm);
}

static void room_to_write_is_awaited(void **state) {
    (void)state;
    int pair[2];
    static const uint8_t packet[4096];
    assert_int_equal(sl__packet_pair(pair, NULL), SL_OK);
    assert_true(sl__ready_to_write(pair[0], 0));
    while (sl__packet_send(pair[0], packet, sizeof packet, NULL, 0, SL__PACKET_NOWAIT, NULL) == SL_OK) {
    }
    assert_false(sl__ready_to_write(pair[0], 1));
    sl__close(&pair[0]);
    sl__close(&pair[1]);
}

static void each_failure_is_told(void **state) {
    (void)state;
    struct sl_error error = SL_ERROR_INIT;
    int fd = 0;
    sl__sys_fail_next(SL__CALL_EPOLL_CREATE, EMFILE, 0);
    assert_int_equal(sl__ready_create(&fd, &error), SL_E_SYSTEM);
    assert_int_equal(error.system_errno, EMFILE);
    assert_int_equal(fd, -1);
    sl__sys_fail_next(SL__CALL_EVENTFD, ENFILE, 0);
    assert_int_equal(sl__signal_create(&fd, &error), SL_E_SYSTEM);
    assert_int_equal(fd, -1);
    sl__sys_fail_next(SL__CALL_TIMERFD, ENOMEM, 0);
    assert_int_equal(sl__alarm_create(&fd, &error), SL_E_OUT_OF_MEMORY);
    assert_int_equal(fd, -1);
    sl__sys_fail_next(SL__CALL_EPOLL_CTL, ENOSPC, 0);
    assert_int_equal(sl__ready_add(set, 0, 1, true, &error), SL_E_SYSTEM);
    assert_int_equal(error.system_errno, ENOSPC);
    sl_error_finish(&error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_packet_wakes_once, open_set, close_set),
        cmocka_unit_test_setup_teardown(a_signal_stays, open_set, close_set),
        cmocka_unit_test_setup_teardown(an_alarm_rings_in_time, open_set, close_set),
        cmocka_unit_test_setup_teardown(room_to_write_is_awaited, open_set, close_set),
        cmocka_unit_test_setup_teardown(each_failure_is_told, open_set, close_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
