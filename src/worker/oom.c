/* SPDX-License-Identifier: MIT */
#include "oom.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sys/proc.h"

#define KEY "oom_kill" /* in all of these files */
#define GROUP_FILE "/proc/self/cgroup"

/* The path behind the line of /proc/self/cgroup that has this list of controllers (version 2: an empty one), or NULL. Writes into `text`. */
static const char *group_path(char *text, const char *controllers) {
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        char *fields = line;
        (void)strsep(&fields, ":");
        const char *list = strsep(&fields, ":");
        if (list != NULL && fields != NULL && strcmp(list, controllers) == 0) {
            return fields;
        }
    }
    return NULL;
}

static void find_group(struct sl__oom_source *source) {
    char text[4096];
    const char *path = NULL;
    source->what = "of the control group of this process";
    if (sl__proc_read(GROUP_FILE, text, sizeof(text)) && (path = group_path(text, "memory")) != NULL) {
        snprintf(source->path, sizeof(source->path), "/sys/fs/cgroup/memory%s/memory.oom_control", path);
    } else if (sl__proc_read(GROUP_FILE, text, sizeof(text)) && (path = group_path(text, "")) != NULL) {
        snprintf(source->path, sizeof(source->path), "/sys/fs/cgroup%s/memory.events", path);
    }
}

void sl__oom_sources_find(struct sl__oom_sources *sources) {
    memset(sources, 0, sizeof(*sources));
    find_group(&sources->sources[1]);
    sources->sources[2].what = "of the machine";
    snprintf(sources->sources[2].path, sizeof(sources->sources[2].path), "/proc/vmstat");
}

void sl__oom_read(const struct sl__oom_sources *sources, struct sl__oom_count *count) {
    for (int i = 0; i < SL__OOM_SOURCES; i++) {
        const char *path = sources->sources[i].path;
        count->known[i] = path[0] != '\0' && sl__proc_counter(path, KEY, &count->kills[i]);
    }
}

int sl__oom_rose(const struct sl__oom_sources *sources, const struct sl__oom_count *before, char *text, size_t size) {
    struct sl__oom_count now;
    bool any = false;
    sl__oom_read(sources, &now);
    for (int i = 0; i < SL__OOM_SOURCES; i++) {
        any = any || (before->known[i] && now.known[i]);
        if (before->known[i] && now.known[i] && now.kills[i] > before->kills[i]) {
            snprintf(text, size,
                     "SIGKILL, not sent by this library; the count of OOM kills %s (%s in %s) rose from %" PRIu64
                     " to %" PRIu64 " while it lived",
                     sources->sources[i].what, KEY, sources->sources[i].path, before->kills[i], now.kills[i]);
            return i;
        }
    }
    snprintf(text, size, "SIGKILL, not sent by this library; the kernel's count of OOM kills %s",
             any ? "did not change" : "could not be read");
    return -1;
}
