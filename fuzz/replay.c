/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target once over each file of the folders that are named: the corpora as plain tests, with any compiler. */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_SIZE_MAX (1 << 20)

/* The input lies in memory of exactly its size, so that a sanitizer sees each read past its end. */
static bool replay_file(const char *path) {
    FILE *file = fopen(path, "rb");
    struct stat status;
    bool done = false;
    uint8_t *data = NULL;
    if (file == NULL || fstat(fileno(file), &status) != 0 || status.st_size > INPUT_SIZE_MAX) {
        fprintf(stderr, "%s: cannot be read, or is larger than %d bytes\n", path, INPUT_SIZE_MAX);
    } else {
        size_t size = (size_t)status.st_size;
        data = malloc(size > 0 ? size : 1);
        if (data != NULL && fread(data, 1, size, file) == size) {
            (void)LLVMFuzzerTestOneInput(data, size);
            done = true;
        }
    }
    free(data);
    if (file != NULL) {
        fclose(file);
    }
    return done;
}

static int replay_folder(const char *path, bool *failed) {
    int count = 0;
    DIR *folder = opendir(path);
    if (folder == NULL) {
        fprintf(stderr, "%s: cannot be opened\n", path);
        *failed = true;
        return 0;
    }
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char name[4096];
        if (entry->d_name[0] == '.') {
            continue;
        }
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        if (replay_file(name)) {
            count++;
        } else {
            *failed = true;
        }
    }
    closedir(folder);
    return count;
}

int main(int argc, char **argv) {
    int count = 0;
    bool failed = false;
    for (int i = 1; i < argc; i++) {
        count += replay_folder(argv[i], &failed);
    }
    printf("%d inputs replayed\n", count);
    return failed || count == 0;
}
