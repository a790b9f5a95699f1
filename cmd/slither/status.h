/* SPDX-License-Identifier: MIT */
/* Exit statuses of the program; slither(1) documents them. */
#ifndef SLITHER_CLI_STATUS_H
#define SLITHER_CLI_STATUS_H

enum exit_status {
    STATUS_OK = 0,            /* every item came out well, was skipped or was routed */
    STATUS_ITEMS_FAILED = 1,  /* the run went to its end; some items failed, or some input lines were bad */
    STATUS_USAGE = 2,         /* the command line, or a file that it names, is not acceptable; nothing was run */
    STATUS_HALTED = 3,        /* an error ended the run before its end, or did not let it begin */
    STATUS_INTERRUPTED = 130, /* a signal ended the run */
    STATUS_PIPE_CLOSED = 141  /* whoever read our output went away; what a shell shows for SIGPIPE */
};

#endif
