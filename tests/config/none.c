/* SPDX-License-Identifier: MIT */
/* A shared library that is no plugin. */
#include <slither/base.h>

SL_API int plain(void);
int plain(void) {
    return 0;
}
