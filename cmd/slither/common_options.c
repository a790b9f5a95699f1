/* SPDX-License-Identifier: MIT */
#include "common_options.h"

const char *const bad_input_names[] = {"skip", "halt", NULL};
const char *const nan_names[] = {"error", "null", NULL};
