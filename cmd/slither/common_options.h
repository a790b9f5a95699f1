/* SPDX-License-Identifier: MIT */
/* Options that mean the same in every command that runs items. */
#ifndef SLITHER_CLI_COMMON_OPTIONS_H
#define SLITHER_CLI_COMMON_OPTIONS_H

#include "options.h"

enum bad_input_policy { BAD_INPUT_SKIP, BAD_INPUT_HALT };
enum nan_policy { NAN_ERROR, NAN_NULL };
enum progress_mode { PROGRESS_OFF = 0, PROGRESS_ON = 1, PROGRESS_AUTO = 2 };

#define LINE_MAX_DEFAULT ((uint64_t)64 << 20)
#define LINE_MAX_LIMIT ((uint64_t)1 << 30)

extern const char *const bad_input_names[];
extern const char *const nan_names[];

#define OPTION_HEADING(text) \
    { text, 0, OPTION_FLAG, NULL, NULL, 0, 0, 0, NULL, NULL }

/* clang-format off */
/* `type` is the options struct, whose members have these names. */
#define OPTION_MAX_LINE(type) \
    {"max-line", 0, OPTION_SIZE, "SIZE", "Treat input lines longer than SIZE as bad input (default 64M)", \
     offsetof(type, max_line), 1, LINE_MAX_LIMIT, NULL, NULL}
#define OPTION_ON_BAD_INPUT(type) \
    {"on-bad-input", 0, OPTION_CHOICE, "POLICY", \
     "What follows when an input line is not JSON: skip (report it and go on, the default) or halt", \
     offsetof(type, on_bad_input), 0, 0, bad_input_names, NULL}
#define OPTION_NAN(type) \
    {"nan", 0, OPTION_CHOICE, "POLICY", \
     "A result with NaN or an infinity is an error (the default), or printed as null", offsetof(type, nan), 0, 0, \
     nan_names, NULL}
#define OPTION_ERRORS(type) \
    {"errors", 0, OPTION_FILE, "FILE", "Write one JSON object for each failed item and each bad line to FILE", \
     offsetof(type, errors_path), 0, 0, NULL, NULL}
#define OPTIONS_TERMINAL(type) \
    OPTION_HEADING("terminal"), \
    {"progress", 0, OPTION_FLAG, NULL, "Show progress, even if standard error is not a terminal", \
     offsetof(type, progress), PROGRESS_ON, 0, NULL, NULL}, \
    {"no-progress", 0, OPTION_FLAG, NULL, "Show no progress", offsetof(type, progress), PROGRESS_OFF, 0, NULL, NULL}, \
    {"quiet", 'q', OPTION_FLAG, NULL, \
     "No progress, no summary, no word on single lines; only what the workers print and what ends the run", \
     offsetof(type, quiet), 1, 0, NULL, NULL}, \
    {"verbose", 'v', OPTION_COUNTER, NULL, "Tell what the workers' supervision does; twice: more of it", \
     offsetof(type, verbose), 0, 0, NULL, NULL}
/* clang-format on */

#endif
