/* SPDX-License-Identifier: MIT */
/* How many descriptors this process has open: for tests of what is left behind. */
#ifndef SL_BASE_TESTING_DESCRIPTORS_H
#define SL_BASE_TESTING_DESCRIPTORS_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static inline int descriptor_count(void) {
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count - 3; /* . and .. and the folder itself */
}

#endif
