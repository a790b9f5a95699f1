/* SPDX-License-Identifier: MIT */
/*
 * Thumbnails of images from 100x100 to 4K, in batches that weigh at most two megapixels, two of them in flight; and once more without bounds.
 *
 * What it proves: with bounds the workers' memory stays near that of the largest image, whatever comes; without, it does not. And the thumbnails
 * are those of sequential Pillow, pixel by pixel.
 */
#include <stdlib.h>
#include <string.h>

#include "example.h"

#define IMAGES_MAX 10000
#define WORKERS_MAX 256
#define MEGAPIXELS_2 2000000

struct image {
    char *path;
    uint64_t pixel_count;
    uint8_t *thumbnail; /* NULL: none so far */
    size_t thumbnail_size;
};

struct images {
    struct image *list;
    uint32_t count;
    uint32_t large_count; /* of 4K */
};

struct run {
    struct images *images;
    uint32_t position;
    struct sl_writer item_writer;
    uint32_t ok, failed, changed; /* changed: another thumbnail than the run before */
    uint32_t worker_count;
    int64_t pids[WORKERS_MAX];
    int64_t peak_kib[WORKERS_MAX];
    struct sl_report report;
};

static void *must_have(void *memory) {
    struct sl_error error = SL_ERROR_INIT;
    if (memory == NULL) {
        example_must(sl_error_set(&error, SL_E_OUT_OF_MEMORY, "no memory"), &error, "the images");
    }
    return memory;
}

static struct images read_images(const struct example *example) {
    struct images images = {.list = must_have(calloc(IMAGES_MAX, sizeof *images.list))};
    struct example_lines lines;
    struct sl_item item = {0};
    struct sl_error error = SL_ERROR_INIT;
    example_lines_open(&lines, example, "images.ndjson");
    struct sl_source source = example_lines_source(&lines);
    while (images.count < IMAGES_MAX && source.next(source.context, &item, &error) == SL_OK) {
        struct image *image = &images.list[images.count++];
        size_t size;
        const char *path = example_text(item.value, "path", &size);
        image->path = must_have(strndup(path, size));
        image->pixel_count = (uint64_t)(example_int(item.value, "width") * example_int(item.value, "height"));
        images.large_count += image->pixel_count >= (uint64_t)3840 * 2160;
    }
    example_lines_close(&lines);
    return images;
}

/* ---- one run ---------------------------------------------------------------------------------------------------------- */

static enum sl_code next_image(void *context, struct sl_item *item, struct sl_error *error) {
    struct run *run = context;
    if (run->position == run->images->count) {
        return SL_E_END;
    }
    item->id = run->position;
    sl_writer_reset(&run->item_writer);
    sl_write_map(&run->item_writer, 2);
    sl_write_str(&run->item_writer, "id");
    sl_write_uint(&run->item_writer, item->id);
    sl_write_str(&run->item_writer, "path");
    sl_write_str(&run->item_writer, run->images->list[run->position++].path);
    return sl_writer_end(&run->item_writer, &item->value, error);
}

static enum sl_code pixels_of(void *context, const struct sl_item *item, uint64_t *weight, struct sl_error *error) {
    struct run *run = context;
    (void)error;
    *weight = run->images->list[item->id].pixel_count;
    return SL_OK;
}

static enum sl_code take(void *context, const struct sl_outcome *outcome, struct sl_error *error) {
    struct run *run = context;
    const void *pixels;
    size_t size;
    if (outcome->status != SL_STATUS_OK) {
        run->failed++;
        return SL_OK;
    }
    enum sl_code code = sl_value_bytes(example_member(outcome->value, "pixels"), &pixels, &size);
    if (code != SL_OK) {
        return sl_error_set(error, code, "a thumbnail is not made of bytes");
    }
    struct image *image = &run->images->list[outcome->id];
    if (image->thumbnail == NULL) {
        image->thumbnail = must_have(malloc(size + 1));
        memcpy(image->thumbnail, pixels, size);
        image->thumbnail_size = size;
    }
    run->changed += image->thumbnail_size != size || memcmp(image->thumbnail, pixels, size) != 0;
    run->ok++;
    int64_t pid = example_int(outcome->value, "pid"), peak = example_int(outcome->value, "peak_kib");
    uint32_t i = 0;
    while (i < run->worker_count && run->pids[i] != pid) {
        i++;
    }
    if (i == WORKERS_MAX) {
        return sl_error_set(error, SL_E_LIMIT, "more than %d workers", WORKERS_MAX);
    }
    run->worker_count += i == run->worker_count;
    run->pids[i] = pid;
    run->peak_kib[i] = peak > run->peak_kib[i] ? peak : run->peak_kib[i];
    return SL_OK;
}

/* In workers of its own: what the run before has used does not show in the peaks. */
static void run_all(struct example *example, struct sl_runtime *runtime, struct run *run, bool bounded) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_strategy_functions functions = {pixels_of, NULL, run};
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    struct sl_pool *pool = example_pool(example, runtime, (const char *const[]){"image_pipeline", NULL});
    options.function = "image_pipeline:thumbnails";
    options.policy.on_error = SL_ON_ERROR_SKIP;
    options.timeout_ms = 300000;
    options.ordering = SL_ORDERING_AS_COMPLETED;
    if (bounded) {
        options.strategy = sl_strategy_weighted(&functions);
        options.max_weight = MEGAPIXELS_2;
        options.max_in_flight = 2;
    } else {
        options.batch_size = run->images->count / example->workers + 1; /* all at once, a part for each worker */
        options.max_in_flight = 1024;
    }
    sl_writer_init(&run->item_writer, NULL);
    run->report = (struct sl_report)SL_REPORT_INIT;
    example_must(sl_dispatch_run(pool, &options, (struct sl_source){next_image, run},
                                 &(struct sl_sink){take, run, NULL}, &run->report, &error),
                 &error, bounded ? "the bounded run" : "the unbounded run");
    sl_writer_finish(&run->item_writer);
    sl_pool_destroy(pool);
}

static double peak_mib(const struct run *run, bool all) {
    int64_t sum = 0, most = 0;
    for (uint32_t i = 0; i < run->worker_count; i++) {
        sum += run->peak_kib[i];
        most = run->peak_kib[i] > most ? run->peak_kib[i] : most;
    }
    return (double)(all ? sum : most) / 1024.0;
}

/* ---- sequential Pillow --------------------------------------------------------------------------------------------------- */

/* Thumbnails whose hash is that of a sequential run in one worker. */
static uint32_t equal_to_sequential(struct example *example, struct sl_runtime *runtime, const struct images *images) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_pool *pool = example_pool(example, runtime, (const char *const[]){"image_pipeline", NULL});
    struct sl_dispatch_options options = SL_DISPATCH_OPTIONS_INIT;
    struct sl_results sequential = {0};
    struct sl_writer writer;
    struct sl_item all = {0};
    uint32_t equal = 0;
    sl_writer_init(&writer, NULL);
    sl_write_map(&writer, 1);
    sl_write_str(&writer, "paths");
    sl_write_list(&writer, images->count);
    for (uint32_t i = 0; i < images->count; i++) {
        sl_write_str(&writer, images->list[i].path);
    }
    example_must(sl_writer_end(&writer, &all.value, &error), &error, "the paths");
    options.function = "image_pipeline:sequential";
    options.timeout_ms = 600000;
    example_must(sl_call_batch(pool, &options, &all, 1, &sequential, &error), &error, "sequential Pillow");
    options.function = "image_pipeline:digests";
    for (uint32_t i = 0; i < images->count; i++) {
        struct sl_results digest = {0};
        struct sl_item pixels = {0};
        struct sl_value expected;
        sl_writer_reset(&writer);
        sl_write_bytes(&writer, images->list[i].thumbnail, images->list[i].thumbnail_size);
        example_must(sl_writer_end(&writer, &pixels.value, &error), &error, "a thumbnail");
        example_must(sl_call_batch(pool, &options, &pixels, 1, &digest, &error), &error, "a hash");
        equal += sl_value_at(sequential.values[0], i, &expected) == SL_OK && sl_value_equal(expected, digest.values[0]);
        sl_results_finish(&digest);
    }
    sl_results_finish(&sequential);
    sl_writer_finish(&writer);
    sl_pool_destroy(pool);
    return equal;
}

int main(int argc, char **argv) {
    struct example example;
    static struct run bounded, unbounded;
    example_begin(&example, "image_pipeline", argc, argv);
    struct images images = read_images(&example);
    struct sl_runtime *runtime = example_runtime(&example);
    bounded.images = unbounded.images = &images;
    example_say(&example, "%u images, %u of them 4K", images.count, images.large_count);

    example_work_begin(&example);
    run_all(&example, runtime, &bounded, true);
    example_work_end(&example);
    run_all(&example, runtime, &unbounded, false);

    uint32_t equal = bounded.ok == images.count ? equal_to_sequential(&example, runtime, &images) : 0;
    double one = peak_mib(&bounded, false), sum = peak_mib(&bounded, true);
    double one_unbounded = peak_mib(&unbounded, false), sum_unbounded = peak_mib(&unbounded, true);
    example_say(&example, "  bounded:   %3llu batches, %4.0f MiB in the largest worker, %4.0f MiB in all",
                (unsigned long long)bounded.report.batch_count, one, sum);
    example_say(&example, "  unbounded: %3llu batches, %4.0f MiB in the largest worker, %4.0f MiB in all",
                (unsigned long long)unbounded.report.batch_count, one_unbounded, sum_unbounded);
    example_prove(&example, bounded.ok == images.count && bounded.failed == 0 && unbounded.ok == images.count,
                  "all %u images have become thumbnails, in both runs", images.count);
    example_prove(&example, equal == images.count && unbounded.changed == 0,
                  "%u of %u thumbnails are pixel for pixel those of sequential Pillow", equal, images.count);
    example_prove(&example, bounded.report.in_flight_peak <= 2, "at most 2 batches were in flight (peak %u)",
                  bounded.report.in_flight_peak);
    example_prove(&example, one < one_unbounded && sum < sum_unbounded,
                  "the largest worker has needed %.0f MiB with bounds and %.0f MiB without", one, one_unbounded);
    example_figure(&example, "images", images.count);
    example_figure(&example, "peak_worker_mib", one);
    example_figure(&example, "peak_workers_mib", sum);
    example_figure(&example, "unbounded_peak_worker_mib", one_unbounded);
    example_figure(&example, "unbounded_peak_workers_mib", sum_unbounded);
    sl_report_finish(&bounded.report);
    sl_report_finish(&unbounded.report);
    for (uint32_t i = 0; i < images.count; i++) {
        free(images.list[i].path);
        free(images.list[i].thumbnail);
    }
    free(images.list);
    sl_runtime_destroy(runtime);
    return example_end(&example);
}
