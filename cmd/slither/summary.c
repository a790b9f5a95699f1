/* SPDX-License-Identifier: MIT */
#include "summary.h"

#include <inttypes.h>

#include "console.h"
#include "units.h"

void summary_print_error(const struct sl_error *error, bool known) {
    console_message(CONSOLE_ERROR, "%s", error->message[0] != '\0' ? error->message : sl_code_text(error->code));
    if (error->traceback != NULL && !known) {
        console_text(error->traceback);
    }
}

bool summary_is_news(const struct sl_error *error, bool interrupted) {
    return error != NULL && error->code != SL_E_END && !(error->code == SL_E_CANCELLED && interrupted);
}

const char *plural(uint64_t count) {
    return count == 1 ? "" : "s";
}

void summary_print_line(uint64_t items, uint64_t elapsed_ns, const char *text) {
    char elapsed[UNIT_TEXT_SIZE];
    char rate[UNIT_TEXT_SIZE];
    double seconds = (double)elapsed_ns / 1e9;
    format_duration(elapsed_ns, elapsed);
    format_short(seconds > 0 ? (double)items / seconds : 0, rate);
    console_message(CONSOLE_PLAIN, "%" PRIu64 " item%s in %s (%s/s): %s", items, plural(items), elapsed, rate, text);
}
