/* SPDX-License-Identifier: MIT */
#include <slither/version.h>

const char *sl_version(void) {
    return SL_VERSION_STRING;
}
