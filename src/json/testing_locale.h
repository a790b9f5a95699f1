/* SPDX-License-Identifier: MIT */
/* A locale whose decimal point is a comma, for the tests that must not notice it. */
#ifndef SL_JSON_TESTING_LOCALE_H
#define SL_JSON_TESTING_LOCALE_H

#include <ftw.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scratch.h"

static int testing_remove(const char *path, const struct stat *status, int kind, struct FTW *walk) {
    (void)status, (void)kind, (void)walk;
    return remove(path);
}

static bool testing_has_comma(const char *name) {
    return setlocale(LC_ALL, name) != NULL && strcmp(localeconv()->decimal_point, ",") == 0;
}

/** Switches the process to it: to one that is installed, or to one that is compiled for the test. setlocale(LC_ALL, "C") goes back. */
static bool testing_enter_comma_locale(void) {
    static const char *const installed[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR"};
    for (size_t i = 0; i < sizeof(installed) / sizeof(installed[0]); i++) {
        if (testing_has_comma(installed[i])) {
            return true;
        }
    }
    char folder[SCRATCH_SIZE], command[SCRATCH_SIZE + 128];
    scratch_folder(folder, "slither-locale");
    snprintf(command, sizeof(command), "localedef --no-archive -c -i de_DE -f UTF-8 %s/de_DE.UTF-8 >/dev/null 2>&1",
             folder);
    bool found = system(command) != -1 && setenv("LOCPATH", folder, 1) == 0 && testing_has_comma("de_DE.UTF-8");
    nftw(folder, testing_remove, 8, FTW_DEPTH | FTW_PHYS);
    if (!found) {
        print_message("skipped: no locale with a decimal comma is installed, and localedef cannot compile one\n");
    }
    return found;
}

#endif
