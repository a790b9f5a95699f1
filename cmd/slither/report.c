/* SPDX-License-Identifier: MIT */
#include "report.h"

#include "status.h"

const char *report_outcome(int status) {
    switch (status) {
    case STATUS_OK:
        return "ok";
    case STATUS_ITEMS_FAILED:
        return "items_failed";
    case STATUS_INTERRUPTED:
        return "interrupted";
    case STATUS_PIPE_CLOSED:
        return "output_closed";
    default:
        return "halted";
    }
}

void report_write_pool(struct sl_writer *writer, const struct sl_pool_stats *stats, const char *python) {
    sl_write_map(writer, 5);
    write_text(writer, "python", python);
    write_count(writer, "workers", stats->worker_count);
    write_count(writer, "starts", stats->start_count);
    write_count(writer, "deaths", stats->death_count);
    write_count(writer, "recycled", stats->recycle_count);
}
