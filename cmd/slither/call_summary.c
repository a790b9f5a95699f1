/* SPDX-License-Identifier: MIT */
#include "call_summary.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "console.h"
#include "summary.h"
#include "units.h"

static void print_counts(const struct results *results, const struct sl_report *dispatch) {
    static const enum sl_status order[] = {SL_STATUS_OK, SL_STATUS_FAILED, SL_STATUS_SKIPPED, SL_STATUS_ROUTED,
                                           SL_STATUS_CANCELLED};
    uint64_t counts[SL_STATUS_COUNT];
    char text[240] = "";
    size_t used = 0;
    results_counts(results, dispatch, counts);
    for (size_t i = 0; i < SL_STATUS_COUNT; i++) {
        uint64_t count = counts[order[i]];
        if (count > 0 || order[i] == SL_STATUS_OK) {
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%" PRIu64 " %s", used == 0 ? "" : ", ", count,
                                     sl_status_name(order[i]));
        }
    }
    if (atomic_load(&results->errors.bad_lines) > 0) {
        snprintf(text + used, sizeof(text) - used, ", %" PRIu64 " bad input line%s",
                 atomic_load(&results->errors.bad_lines), plural(atomic_load(&results->errors.bad_lines)));
    }
    summary_print_line(dispatch->input, dispatch->elapsed_ns, text);
}

/* The first thing that a newcomer gets wrong: a function of one item was called with the list of them. */
static bool wants_each(const struct call_report *report) {
    const struct failures *failures = &report->results->errors.failures;
    if (report->options->each || report->dispatch->count[SL_STATUS_OK] > 0 || failures->group_count != 1) {
        return false;
    }
    const struct failure_group *group = &failures->groups[0];
    if (group->code == SL_E_BAD_RESULT) {
        return strstr(group->message, "returned an object of type") != NULL;
    }
    return group->code == SL_E_PYTHON && strstr(group->message, "list") != NULL &&
           (strstr(group->message, "TypeError: ") != NULL || strstr(group->message, "AttributeError: ") != NULL);
}

void call_summary_print(const struct call_report *report) {
    const struct results *results = report->results;
    const struct sl_report *dispatch = report->dispatch;
    const struct sl_error *error = report->error;
    bool quiet = report->options->quiet != 0;
    if (!quiet && dispatch != NULL) {
        failures_print(&results->errors.failures);
        if (wants_each(report)) {
            console_message(CONSOLE_PLAIN, "%s is given a list of items: --each gives it one at a time",
                            report->options->function);
        }
    }
    if (summary_is_news(error, report->signal != NULL)) {
        summary_print_error(error, !quiet && results->errors.failures.group_count > 0);
    }
    if (quiet || dispatch == NULL || results->out.reader_gone) {
        return;
    }
    if (results->unrouted > 0 && !report->options->with_id) {
        console_message(CONSOLE_PLAIN,
                        "%" PRIu64 " routed to names without --route NAME=FILE: their payloads were not kept",
                        results->unrouted);
    }
    if (dispatch->worker_death_count > 0) {
        console_message(CONSOLE_PLAIN, "%" PRIu64 " worker%s died and %s restarted", dispatch->worker_death_count,
                        plural(dispatch->worker_death_count), dispatch->worker_death_count == 1 ? "was" : "were");
    }
    if (report->signal != NULL) {
        console_message(CONSOLE_PLAIN, "interrupted after line %" PRIu64, input_line(report->input));
    }
    print_counts(results, dispatch);
}
