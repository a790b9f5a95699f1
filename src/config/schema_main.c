/* SPDX-License-Identifier: MIT */
/* Prints the JSON Schema of pipe files: the build installs what it prints. */
#include <stdio.h>
#include <stdlib.h>

#include <slither/pipe_file.h>

int main(void) {
    char *schema = sl_pipe_file_schema();
    if (schema == NULL || puts(schema) < 0 || fflush(stdout) != 0) {
        free(schema);
        return 1;
    }
    free(schema);
    return 0;
}
