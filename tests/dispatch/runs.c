/* SPDX-License-Identifier: MIT */
#include "runs.h"

#include <fcntl.h>
#include <unistd.h>

struct sl_dispatch_options host_options(const char *function) {
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    options.function = function;
    return options;
}

struct trial trial_of(const char *function, uint64_t count) {
    struct trial trial = {.options = host_options(function), .numbers = {.count = count}, .report = SL_REPORT_INIT};
    trial.options.policy.on_error = SL_ON_ERROR_SKIP;
    return trial;
}

void trial_run(struct host *host, struct trial *trial, enum sl_code expected) {
    run_numbers(host->pool, &trial->options, &trial->numbers, &trial->record, &trial->report, expected);
}

void trial_finish(struct trial *trial) {
    sl_report_finish(&trial->report);
    record_finish(&trial->record);
    numbers_finish(&trial->numbers);
}

uint64_t status_kb(const char *line) {
    FILE *file = fopen("/proc/self/status", "r");
    char text[256];
    uint64_t found = 0;
    while (file != NULL && fgets(text, sizeof text, file) != NULL) {
        if (strncmp(text, line, strlen(line)) == 0) {
            found = strtoull(text + strlen(line) + 1, NULL, 10);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return found;
}

void forget_peak(void) {
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, "5", 1);
        close(fd);
    }
}
