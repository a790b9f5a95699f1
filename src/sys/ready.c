/* SPDX-License-Identifier: MIT */
#include "sys/ready.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "sys/failure.h"
#include "sys/fault.h"

#define NS_PER_S 1000000000u

enum sl_code sl__ready_create(int *set, struct sl_error *error) {
    *set = sl__sys_fails(SL__CALL_EPOLL_CREATE) ? -1 : epoll_create1(EPOLL_CLOEXEC);
    return *set >= 0 ? SL_OK : sl__system_error(error, errno, "cannot create a set of descriptors to wait for");
}

enum sl_code sl__ready_add(int set, int fd, uint64_t key, bool once, struct sl_error *error) {
    struct epoll_event event = {.events = (uint32_t)EPOLLIN | (once ? (uint32_t)EPOLLONESHOT : 0), .data.u64 = key};
    if (sl__sys_fails(SL__CALL_EPOLL_CTL) || epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) != 0) {
        return sl__system_error(error, errno, "cannot wait for descriptor %d", fd);
    }
    return SL_OK;
}

void sl__ready_again(int set, int fd, uint64_t key) {
    struct epoll_event event = {.events = (uint32_t)EPOLLIN | (uint32_t)EPOLLONESHOT, .data.u64 = key};
    int failed = epoll_ctl(set, EPOLL_CTL_MOD, fd, &event);
    SL_ASSERT(failed == 0);
    (void)failed;
}

void sl__ready_remove(int set, int fd) {
    struct epoll_event unused = {0};
    (void)epoll_ctl(set, EPOLL_CTL_DEL, fd, &unused);
}

bool sl__ready_wait(int set, int timeout_ms, uint64_t *key) {
    struct epoll_event event;
    for (;;) {
        int count = epoll_wait(set, &event, 1, timeout_ms);
        if (count > 0) {
            *key = event.data.u64;
            return true;
        }
        if (count == 0) {
            return false;
        }
        SL_ASSERT(errno == EINTR); /* all else is a mistake of the caller's */
    }
}

bool sl__ready_to_write(int fd, int timeout_ms) {
    struct pollfd entry = {.fd = fd, .events = POLLOUT};
    return poll(&entry, 1, timeout_ms) > 0;
}

enum sl_code sl__signal_create(int *fd, struct sl_error *error) {
    *fd = sl__sys_fails(SL__CALL_EVENTFD) ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return *fd >= 0 ? SL_OK : sl__system_error(error, errno, "cannot create an event descriptor");
}

void sl__signal_set(int fd) {
    const uint64_t one = 1;
    ssize_t put = write(fd, &one, sizeof one);
    (void)put; /* fails only when it has been set 2^64 times */
}

enum sl_code sl__alarm_create(int *fd, struct sl_error *error) {
    *fd = sl__sys_fails(SL__CALL_TIMERFD) ? -1 : timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    return *fd >= 0 ? SL_OK : sl__system_error(error, errno, "cannot create a timer descriptor");
}

void sl__alarm_set(int fd, uint64_t deadline_ns) {
    const struct itimerspec at = {
        .it_value = {.tv_sec = (time_t)(deadline_ns / NS_PER_S), .tv_nsec = (long)(deadline_ns % NS_PER_S)}};
    int failed = timerfd_settime(fd, TFD_TIMER_ABSTIME, &at, NULL);
    SL_ASSERT(failed == 0);
    (void)failed;
}
