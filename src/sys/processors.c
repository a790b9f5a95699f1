/* SPDX-License-Identifier: MIT */
#include "sys/processors.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sys/fault.h"

#define GROUP_ROOT "/sys/fs/cgroup"
#define GROUP_DEPTH_MAX 64

/* Reads a small file whole; false when it cannot be had. */
static bool read_text(const char *path, char *text, size_t capacity) {
    int fd = sl__sys_fails(SL__CALL_OPEN) ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t size = read(fd, text, capacity - 1);
    (void)close(fd);
    if (size < 0) {
        return false;
    }
    text[size] = '\0';
    return true;
}

uint32_t sl__processor_quota(const char *text, uint32_t count) {
    char *end;
    if (text[0] < '0' || text[0] > '9') {
        return count; /* "max": no quota */
    }
    unsigned long long quota_us = strtoull(text, &end, 10);
    unsigned long long period_us = strtoull(end, &end, 10);
    if (quota_us == 0 || period_us == 0) {
        return count;
    }
    unsigned long long allowed = quota_us / period_us + (quota_us % period_us != 0);
    return allowed < count ? (uint32_t)allowed : count;
}

uint32_t sl__processor_affinity(void) {
    /* The kernel refuses a mask that is too small for the machine: double it until it fits. */
    for (int capacity = 1024; capacity <= 1 << 20; capacity *= 2) {
        cpu_set_t *mask = CPU_ALLOC(capacity);
        if (mask == NULL) {
            break;
        }
        size_t size = CPU_ALLOC_SIZE(capacity);
        CPU_ZERO_S(size, mask);
        int failed = sched_getaffinity(0, size, mask);
        int number = errno;
        int count = failed == 0 ? CPU_COUNT_S(size, mask) : 0;
        CPU_FREE(mask);
        if (failed == 0) {
            return count > 0 ? (uint32_t)count : 1;
        }
        if (number != EINVAL) {
            break;
        }
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (uint32_t)online : 1;
}

uint32_t sl__processor_count(void) {
    uint32_t count = sl__processor_affinity();
    char text[4096];
    if (!read_text("/proc/self/cgroup", text, sizeof text)) {
        return count;
    }
    /* The line of cgroup v2 is "0::/path". */
    char *group = strncmp(text, "0::/", 4) == 0 ? text + 3 : strstr(text, "\n0::/");
    if (group == NULL) {
        return count;
    }
    if (*group == '\n') {
        group += 4;
    }
    group[strcspn(group, "\n")] = '\0';
    for (int depth = 0; depth < GROUP_DEPTH_MAX; depth++) {
        char path[sizeof text + 64];
        char quota[64];
        (void)snprintf(path, sizeof path, "%s%s/cpu.max", GROUP_ROOT, strcmp(group, "/") == 0 ? "" : group);
        if (read_text(path, quota, sizeof quota)) {
            count = sl__processor_quota(quota, count);
        }
        char *slash = strrchr(group, '/');
        if (slash == NULL || strcmp(group, "/") == 0) {
            break;
        }
        slash[slash == group ? 1 : 0] = '\0';
    }
    return count > 0 ? count : 1;
}
