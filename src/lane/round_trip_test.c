/* SPDX-License-Identifier: MIT */
/* What goes in at one end comes out at the other, whatever its size and wherever it lies; and nothing is left over. */
#include "pair_test.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sys/memory_file.h"
#include "wire/batch.h"

static void each_size_comes_through_unchanged(void **state) {
    (void)state;
    static const size_t sizes[] = {0,
                                   1,
                                   7,
                                   8,
                                   63,
                                   64,
                                   65,
                                   4095,
                                   4096,
                                   4097,
                                   SL__LANE_INLINE_MAX - 1,
                                   SL__LANE_INLINE_MAX,
                                   SL__LANE_INLINE_MAX + 1,
                                   (1u << 20) - 1,
                                   1u << 20,
                                   (1u << 20) + 1,
                                   3u << 20};
    size_t fds = open_fds();
    struct pair pair;
    struct sl_error error = SL_ERROR_INIT;
    pair_open(&pair, &pair_config);
    for (size_t i = 0; i < SL_COUNT_OF(sizes); i++) {
        for (size_t j = 0; j < SL_COUNT_OF(sizes); j++) {
            uint32_t items = sizes[j] > 0;
            uint64_t sequence = send_filled(pair.host, sizes[i], items, (uint32_t)i);
            assert_int_equal(sl__lane_outstanding(pair.host), 1);
            struct sl__request request;
            MUST(sl__lane_take(pair.worker, &request, &error));
            assert_int_equal(request.sequence, sequence);
            assert_int_equal(request.size, sizes[i]);
            assert_int_equal(request.item_count, items);
            assert_int_equal(request.mapping != NULL, sizes[i] > SL__LANE_INLINE_MAX);
            assert_true(filled(request.data, request.size, (uint32_t)i));
            assert_int_equal(sl__lane_started(pair.host), sequence);
            struct sl__reply reply;
            assert_int_equal(sl__lane_poll(pair.host, &reply, &error), SL_E_AGAIN);
            answer_filled(pair.worker, sizes[j], items, (uint32_t)j);
            MUST(sl__lane_poll(pair.host, &reply, &error));
            assert_int_equal(reply.sequence, sequence);
            assert_int_equal(reply.code, SL_OK);
            assert_int_equal(reply.flags, 0);
            assert_int_equal(reply.blob != NULL ? reply.blob->size : 0, sizes[j]);
            assert_true(reply.blob == NULL || filled(reply.blob->data, sizes[j], (uint32_t)j));
            uint64_t size, again;
            const uint8_t *kept = sl__lane_request(pair.host, 0, &size, &again);
            assert_int_equal(again, sequence);
            assert_true(filled(kept, (size_t)size, (uint32_t)i));
            sl__lane_retire(pair.host, false);
            sl__blob_unref(reply.blob);
        }
    }
    assert_int_equal(sl__lane_stale_count(pair.host), 0);
    pair_close(&pair);
    assert_int_equal(open_fds(), fds);
}

/* Eight requests of random sizes under way at all times, built up item by item, with replies in order. */
static void pipelined_requests_keep_their_bytes(void **state) {
    (void)state;
    uint64_t random = noise_seed();
    struct sl__lane_config config = pair_config;
    config.segment_bytes = 64u << 10; /* small, so that it wraps and overflows all the time */
    config.cache_bytes = 1u << 20;
    size_t fds = open_fds();
    struct pair pair;
    struct sl_error error = SL_ERROR_INIT;
    pair_open(&pair, &config);
    struct {
        uint32_t seed, parts;
        size_t part;
    } sent[SL__LANE_SLOTS];
    uint32_t first = 0, count = 0, unanswered = 0;
    for (int turn = 0; turn < 10000; turn++) {
        uint64_t choice = noise(&random) % 3;
        if (choice == 0 && count < SL__LANE_SLOTS) {
            uint32_t at = (first + count) % SL__LANE_SLOTS;
            uint64_t sequence;
            sent[at].seed = (uint32_t)noise(&random);
            sent[at].parts = 1 + (uint32_t)(noise(&random) % 6);
            sent[at].part = 1 + noise(&random) % (noise(&random) % 32 == 0 ? 200000 : 8000);
            MUST(sl__lane_open(pair.host, &error));
            for (uint32_t i = 0; i < sent[at].parts; i++) {
                uint8_t *memory;
                uint64_t offset;
                MUST(sl__lane_extend(pair.host, sent[at].part, &memory, &offset, &error));
                assert_int_equal(offset, i * sl__batch_pad(sent[at].part));
                fill(memory, sent[at].part, sent[at].seed + i);
                if (noise(&random) % 8 == 0) { /* an item too many is taken back */
                    MUST(sl__lane_extend(pair.host, 5000, &memory, &offset, &error));
                    sl__lane_truncate(pair.host, i * sl__batch_pad(sent[at].part) + sent[at].part);
                }
            }
            if (noise(&random) % 8 == 0) {
                sl__lane_abort(pair.host);
            } else {
                MUST(sl__lane_commit(pair.host, SL__REQUEST_EACH, 0, sent[at].parts, &sequence, &error));
                count++;
                unanswered++;
            }
        } else if (choice == 1 && unanswered > 0) {
            struct sl__request request;
            MUST(sl__lane_take(pair.worker, &request, &error));
            uint32_t at = (first + count - unanswered) % SL__LANE_SLOTS;
            assert_int_equal(request.kind, SL__REQUEST_EACH);
            for (uint32_t i = 0; i < sent[at].parts; i++) {
                assert_true(filled(request.data + i * sl__batch_pad(sent[at].part), sent[at].part, sent[at].seed + i));
            }
            answer_filled(pair.worker, request.size, request.item_count, sent[at].seed);
            unanswered--;
        } else if (choice == 2 && count > unanswered) {
            struct sl__reply reply;
            MUST(sl__lane_poll(pair.host, &reply, &error));
            assert_int_equal(reply.item_count, sent[first].parts);
            assert_true(filled(reply.blob->data, reply.blob->size, sent[first].seed));
            sl__blob_unref(reply.blob);
            sl__lane_retire(pair.host, (reply.flags & SL__REPLY_KEPT) != 0);
            first = (first + 1) % SL__LANE_SLOTS;
            count--;
        }
    }
    assert_true(pair.host->host.cache.bytes <= config.cache_bytes + SL__LANE_INLINE_MAX);
    pair_close(&pair);
    assert_int_equal(open_fds(), fds);
}

static void the_bounds_are_errors(void **state) {
    (void)state;
    struct pair pair;
    struct sl_error error = SL_ERROR_INIT;
    struct sl__lane_config config = pair_config;
    config.payload_bytes_max = 1u << 20;
    pair_open(&pair, &config);
    uint8_t *memory;
    uint64_t offset;
    size_t capacity;
    MUST(sl__lane_open(pair.host, &error));
    assert_int_equal(sl__lane_extend(pair.host, (1u << 20) + 1, &memory, &offset, &error), SL_E_LIMIT);
    MUST(sl__lane_extend(pair.host, 1u << 20, &memory, &offset, &error));
    assert_int_equal(sl__lane_extend(pair.host, 1, &memory, &offset, &error), SL_E_LIMIT);
    assert_int_equal(sl__lane_extend(pair.host, SIZE_MAX, &memory, &offset, &error), SL_E_LIMIT);
    sl__lane_abort(pair.host);
    for (int i = 0; i < SL__LANE_SLOTS; i++) {
        (void)send_filled(pair.host, 10, 1, 1);
    }
    assert_int_equal(sl__lane_open(pair.host, &error), SL_E_LIMIT);
    struct sl__request request;
    MUST(sl__lane_take(pair.worker, &request, &error));
    MUST(sl__lane_reply_open(pair.worker, &memory, &capacity, &error));
    assert_true(capacity <= 1u << 20);
    assert_int_equal(sl__lane_reply_grow(pair.worker, 0, (1u << 20) + 1, &memory, &capacity, &error), SL_E_LIMIT);
    MUST(sl__lane_reply_commit(pair.worker, SL_E_LIMIT, 0, 0, 0, &error));
    struct sl__reply reply;
    MUST(sl__lane_poll(pair.host, &reply, &error));
    assert_int_equal(reply.code, SL_E_LIMIT);
    assert_null(reply.blob);
    pair_close(&pair);
}

static void a_large_reply_grows_in_its_file(void **state) {
    (void)state;
    struct pair pair;
    struct sl_error error = SL_ERROR_INIT;
    pair_open(&pair, &pair_config);
    (void)send_filled(pair.host, 1, 1, 0);
    struct sl__request request;
    MUST(sl__lane_take(pair.worker, &request, &error));
    uint8_t *memory;
    size_t capacity, used = 0, total = 5000000;
    MUST(sl__lane_reply_open(pair.worker, &memory, &capacity, &error));
    uint8_t *pattern = malloc(total);
    assert_non_null(pattern);
    fill(pattern, total, 9);
    for (size_t piece = 1; used < total; piece = piece * 3 + 1) {
        size_t size = SL_MIN(piece, total - used);
        if (used + size > capacity) {
            MUST(sl__lane_reply_grow(pair.worker, used, used + size, &memory, &capacity, &error));
        }
        memcpy(memory + used, pattern + used, size);
        used += size;
    }
    MUST(sl__lane_reply_commit(pair.worker, SL_OK, 1, used, 0, &error));
    struct sl__reply reply;
    MUST(sl__lane_poll(pair.host, &reply, &error));
    assert_int_equal(reply.blob->size, total);
    assert_memory_equal(reply.blob->data, pattern, total);
    assert_true(reply.blob->mapped_size > 0); /* not copied: nobody can change it */
    struct sl__blob *second = sl__blob_ref(reply.blob);
    sl__blob_unref(reply.blob);
    pair_close(&pair); /* a reply outlives its lane */
    assert_memory_equal(second->data, pattern, total);
    sl__blob_unref(second);
    free(pattern);
}

/* ---- memory files of requests --------------------------------------------------------------------------------------- */

static void a_payload_file_is_used_again(void **state) {
    (void)state;
    struct pair pair;
    struct sl_error error = SL_ERROR_INIT;
    pair_open(&pair, &pair_config);
    uint64_t id = 0;
    for (int i = 0; i < 5; i++) {
        (void)send_filled(pair.host, (1u << 20) - 1000u * (unsigned)i, 0, (uint32_t)i);
        struct sl__request request;
        struct sl__reply reply;
        MUST(sl__lane_take(pair.worker, &request, &error));
        assert_non_null(request.mapping);
        assert_true(id == 0 || id == request.mapping->id);
        id = request.mapping->id;
        assert_true(filled(request.data, request.size, (uint32_t)i));
        uint32_t flags = i % 2 == 0 ? 0 : SL__REPLY_STATE; /* what the worker says arrives */
        MUST(sl__lane_reply_commit(pair.worker, SL_OK, 0, 0, flags, &error));
        MUST(sl__lane_poll(pair.host, &reply, &error));
        assert_int_equal(reply.flags, flags);
        sl__lane_retire(pair.host, false);
    }
    pair_close(&pair);
}

static void a_kept_view_stays_valid_and_its_file_is_left_alone(void **state) {
    (void)state;
    size_t fds = open_fds();
    struct pair pair;
    struct sl_error error = SL_ERROR_INIT;
    pair_open(&pair, &pair_config);
    (void)send_filled(pair.host, 1u << 20, 0, 1);
    struct sl__request request;
    struct sl__reply reply;
    MUST(sl__lane_take(pair.worker, &request, &error));
    struct sl__mapping *view = sl__mapping_ref(request.mapping);
    MUST(sl__lane_reply_commit(pair.worker, SL_OK, 0, 0, 0, &error));
    MUST(sl__lane_poll(pair.host, &reply, &error));
    assert_int_equal(reply.flags, SL__REPLY_KEPT);
    sl__lane_retire(pair.host, true);
    assert_null(pair.host->host.cache.first);
    for (uint32_t i = 2; i < 5; i++) { /* later requests of the same size go elsewhere */
        (void)send_filled(pair.host, 1u << 20, 0, i);
        MUST(sl__lane_take(pair.worker, &request, &error));
        assert_int_not_equal(request.mapping->id, view->id);
        assert_true(filled(request.data, request.size, i));
        MUST(sl__lane_reply_commit(pair.worker, SL_OK, 0, 0, 0, &error));
        MUST(sl__lane_poll(pair.host, &reply, &error));
        sl__lane_retire(pair.host, (reply.flags & SL__REPLY_KEPT) != 0);
    }
    pair_close(&pair);
    assert_int_equal(open_fds(), fds);
    assert_true(filled(view->data, 1u << 20, 1));
    sl__mapping_unref(view);
}

static void the_cache_is_bounded_and_the_worker_forgets(void **state) {
    (void)state;
    struct pair pair;
    struct sl_error error = SL_ERROR_INIT;
    struct sl__lane_config config = pair_config;
    config.cache_bytes = 2u << 20;
    pair_open(&pair, &config);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 6; i++) {
            (void)send_filled(pair.host, 1u << 20, 0, (uint32_t)i);
        }
        for (int i = 0; i < 6; i++) {
            struct sl__request request;
            struct sl__reply reply;
            MUST(sl__lane_take(pair.worker, &request, &error));
            assert_true(filled(request.data, request.size, (uint32_t)i));
            MUST(sl__lane_reply_commit(pair.worker, SL_OK, 0, 0, 0, &error));
            MUST(sl__lane_poll(pair.host, &reply, &error));
            sl__lane_retire(pair.host, false);
        }
        assert_true(pair.host->host.cache.bytes <= config.cache_bytes + SL__LANE_INLINE_MAX);
    }
    (void)send_filled(pair.host, 1, 0, 0);
    struct sl__request request;
    MUST(sl__lane_take(pair.worker, &request, &error));
    assert_int_equal(pair.worker->worker.files.count, 2);
    pair_close(&pair);
}

/* ---- shared buffers --------------------------------------------------------------------------------------------------- */

static void send_with(struct pair *pair, struct sl_buffer *const *buffers, size_t count, struct sl__request *request) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl__reply reply;
    uint64_t sequence;
    MUST(sl__lane_open(pair->host, &error));
    for (size_t i = 0; i < count; i++) {
        MUST(sl__lane_attach_buffer(pair->host, buffers[i], &error));
        MUST(sl__lane_attach_buffer(pair->host, buffers[i], &error)); /* twice is once */
    }
    MUST(sl__lane_commit(pair->host, SL__REQUEST_BATCH, 0, 0, &sequence, &error));
    MUST(sl__lane_take(pair->worker, request, &error));
    MUST(sl__lane_reply_commit(pair->worker, SL_OK, 0, 0, 0, &error));
    MUST(sl__lane_poll(pair->host, &reply, &error));
    sl__lane_retire(pair->host, false);
}

static void buffers_are_attached_once_and_forgotten(void **state) {
    (void)state;
    enum { COUNT = SL__LANE_ATTACH_MAX - 1 };
    size_t fds = open_fds();
    struct sl__buffer_home home = {0};
    struct sl_buffer *buffers[COUNT + 1];
    struct sl_error error = SL_ERROR_INIT;
    struct sl__request request;
    struct pair pair;
    pair_open(&pair, &pair_config);
    for (size_t i = 0; i <= COUNT; i++) {
        MUST(sl__buffer_create(&home, 100 + i, &buffers[i], &error));
        assert_int_equal(sl_buffer_size(buffers[i]), 100 + i);
        assert_int_equal(sl_buffer_id(buffers[i]), i + 1);
        fill(sl_buffer_data(buffers[i]), 100 + i, (uint32_t)i);
    }
    send_with(&pair, buffers, COUNT, &request);
    for (size_t i = 0; i < COUNT; i++) {
        struct sl__mapping *mapping = sl__lane_buffer(pair.worker, i + 1);
        assert_non_null(mapping);
        assert_int_equal(mapping->size, 100 + i);
        assert_true(filled(mapping->data, 100 + i, (uint32_t)i));
    }
    assert_null(sl__lane_buffer(pair.worker, COUNT + 1));
    assert_null(sl__lane_buffer(pair.worker, 0));
    struct sl__mapping *seen = sl__mapping_ref(sl__lane_buffer(pair.worker, 5));
    send_with(&pair, buffers, COUNT, &request); /* known: no packet */
    assert_ptr_equal(sl__lane_buffer(pair.worker, 5), seen);
    for (size_t i = 0; i < COUNT; i++) {
        sl_buffer_unref(buffers[i]);
    }
    assert_int_equal(home.death_count, COUNT);
    send_with(&pair, &buffers[COUNT], 1, &request);
    assert_null(sl__lane_buffer(pair.worker, 5));
    assert_non_null(sl__lane_buffer(pair.worker, COUNT + 1));
    assert_int_equal(pair.worker->worker.files.count, 1);
    assert_true(filled(seen->data, 104, 4)); /* the view that was kept */
    sl__mapping_unref(seen);
    sl_buffer_unref(buffers[COUNT]);
    pair_close(&pair);
    assert_int_equal(open_fds(), fds);
}

static void too_many_new_buffers_are_refused(void **state) {
    (void)state;
    struct sl__buffer_home home = {0};
    struct sl_buffer *buffers[SL__LANE_ATTACH_MAX];
    struct sl_error error = SL_ERROR_INIT;
    struct pair pair;
    pair_open(&pair, &pair_config);
    MUST(sl__lane_open(pair.host, &error));
    for (size_t i = 0; i < SL__LANE_ATTACH_MAX; i++) {
        MUST(sl__buffer_create(&home, 1, &buffers[i], &error));
        assert_int_equal(sl__lane_attach_buffer(pair.host, buffers[i], &error),
                         i + 1 < SL__LANE_ATTACH_MAX ? SL_OK : SL_E_LIMIT);
        sl_buffer_unref(buffers[i]);
    }
    struct sl__buffer_home elsewhere = {0};
    struct sl_buffer *foreign;
    MUST(sl__buffer_create(&elsewhere, 1, &foreign, &error));
    assert_int_equal(sl__lane_attach_buffer(pair.host, foreign, &error), SL_E_INVALID_ARGUMENT);
    sl_buffer_unref(foreign);
    sl__lane_abort(pair.host);
    assert_int_equal(home.death_count, SL__LANE_ATTACH_MAX);
    assert_int_equal(sl__buffer_create(&home, 0, &buffers[0], &error), SL_E_INVALID_ARGUMENT);
    assert_null(buffers[0]);
    pair_close(&pair);
}

/* A request is refused when the worker does not empty the socket; what was sent before belongs to the next one. */
static void a_full_socket_refuses_one_request_only(void **state) {
    (void)state;
    struct sl__buffer_home home = {0};
    struct sl_error error = SL_ERROR_INIT;
    struct pair pair;
    pair_open(&pair, &pair_config);
    enum sl_code code = SL_OK;
    uint32_t sent = 0;
    uint64_t sequence;
    for (int i = 0; i < 100000 && code == SL_OK; i++) {
        struct sl_buffer *buffer;
        MUST(sl__buffer_create(&home, 1, &buffer, &error));
        MUST(sl__lane_open(pair.host, &error));
        MUST(sl__lane_attach_buffer(pair.host, buffer, &error));
        code = sl__lane_commit(pair.host, SL__REQUEST_BATCH, 0, 0, &sequence, &error);
        sl_buffer_unref(buffer);
        if (code == SL_OK) {
            sl__lane_retire(pair.host, true); /* the slots are not what is tested */
            pair.host->host.packet_count = ++sent;
            pair.host->published--;
        }
    }
    assert_int_equal(code, SL_E_LIMIT);
    assert_int_equal(sl__lane_outstanding(pair.host), 0);
    pair.host->host.forget.count = 0;
    pair.host->host.death_seen = home.death_count;
    MUST(sl__lane_open(pair.host, &error)); /* without files the lane still works */
    MUST(sl__lane_commit(pair.host, SL__REQUEST_BATCH, 0, 0, &sequence, &error));
    struct sl__request request;
    MUST(sl__lane_take(pair.worker, &request, &error));
    assert_int_equal(request.sequence, sequence);
    pair_close(&pair);
}

static void arrays_in_buffers_are_checked(void **state) {
    (void)state;
    struct sl__buffer_home home = {0};
    struct sl_buffer *buffer;
    struct sl_error error = SL_ERROR_INIT;
    MUST(sl__buffer_create(&home, 800, &buffer, &error));
    static const struct {
        uint64_t offset, shape[2];
        enum sl_code code;
    } cases[] = {{0, {10, 10}, SL_OK},
                 {8, {9, 11}, SL_OK},
                 {8, {10, 10}, SL_E_INVALID_ARGUMENT},
                 {801, {0, 1}, SL_E_INVALID_ARGUMENT},
                 {0, {UINT64_MAX, UINT64_MAX}, SL_E_INVALID_ARGUMENT}};
    for (size_t i = 0; i < SL_COUNT_OF(cases); i++) {
        struct sl_writer writer;
        struct sl_value value;
        struct sl_array array;
        sl_writer_init(&writer, NULL);
        sl_write_array_in(&writer, buffer, cases[i].offset, SL_DTYPE_F64, 2, cases[i].shape);
        assert_int_equal(sl_writer_end(&writer, &value, &error), cases[i].code);
        if (cases[i].code == SL_OK) {
            MUST(sl_value_array(value, &array));
            assert_int_equal(array.buffer_id, sl_buffer_id(buffer));
            assert_int_equal(array.buffer_offset, cases[i].offset);
            assert_int_equal(array.data_size, cases[i].shape[0] * cases[i].shape[1] * 8);
            assert_null(array.data);
        }
        sl_writer_finish(&writer);
    }
    sl_buffer_unref(buffer);
}

/* ---- what the worker must not be able to do -------------------------------------------------------------------------- */

static void the_worker_cannot_write_what_the_host_owns(void **state) {
    (void)state;
    struct sl__lane *host;
    struct sl_error error = SL_ERROR_INIT;
    int fds[SL__LANE_FDS];
    MUST(sl__lane_create(&pair_config, &host, &error));
    sl__lane_worker_fds(host, fds);
    size_t size = host->own.mapped_size;
    assert_ptr_equal(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0), MAP_FAILED);
    assert_int_equal(errno, EPERM);
    assert_int_equal(pwrite(fds[0], "x", 1, 0), -1);
    assert_int_equal(errno, EPERM);
    void *memory = mmap(NULL, size, PROT_READ, MAP_SHARED, fds[0], 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(mprotect(memory, size, PROT_READ | PROT_WRITE), -1);
    assert_int_equal(errno, EACCES);
    munmap(memory, size);
    for (int i = 0; i < 2; i++) { /* neither segment changes its size */
        assert_int_equal(ftruncate(fds[i], 0), -1);
        assert_int_equal(ftruncate(fds[i], (off_t)size * 2), -1);
        assert_int_equal(errno, EPERM);
    }
    sl__lane_destroy(host);
}

static void attach_refuses_what_is_not_its_lane(void **state) {
    (void)state;
    size_t before = open_fds();
    for (int what = 0; what < 6; what++) {
        struct sl__lane *host, *worker = NULL;
        struct sl_error error = SL_ERROR_INIT;
        int fds[SL__LANE_FDS], own[SL__LANE_FDS];
        struct sl__lane_config config = pair_config;
        MUST(sl__lane_create(&config, &host, &error));
        sl__lane_worker_fds(host, fds);
        enum sl_code expected = SL_E_PROTOCOL;
        if (what == 0) {
            config.segment_bytes *= 2;
        } else if (what == 1) {
            config.generation++;
        } else if (what == 2) {
            int swapped = fds[0];
            fds[0] = fds[1];
            fds[1] = swapped;
        } else if (what == 3) {
            fds[0] = fds[2];
        } else if (what == 4) {
            host->own.memory->header.layout ^= 1;
            expected = SL_E_VERSION;
        } else {
            host->own.memory->header.magic ^= 1;
        }
        for (int i = 0; i < SL__LANE_FDS; i++) {
            MUST(sl__duplicate(fds[i], &own[i], &error));
        }
        assert_int_equal(sl__lane_attach(own, &config, &worker, &error), expected);
        assert_null(worker);
        assert_true(error.message[0] != '\0');
        sl__lane_destroy(host);
    }
    assert_int_equal(open_fds(), before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_size_comes_through_unchanged),
        cmocka_unit_test(pipelined_requests_keep_their_bytes),
        cmocka_unit_test(the_bounds_are_errors),
        cmocka_unit_test(a_large_reply_grows_in_its_file),
        cmocka_unit_test(a_payload_file_is_used_again),
        cmocka_unit_test(a_kept_view_stays_valid_and_its_file_is_left_alone),
        cmocka_unit_test(the_cache_is_bounded_and_the_worker_forgets),
        cmocka_unit_test(buffers_are_attached_once_and_forgotten),
        cmocka_unit_test(too_many_new_buffers_are_refused),
        cmocka_unit_test(a_full_socket_refuses_one_request_only),
        cmocka_unit_test(arrays_in_buffers_are_checked),
        cmocka_unit_test(the_worker_cannot_write_what_the_host_owns),
        cmocka_unit_test(attach_refuses_what_is_not_its_lane),
    };
    return cmocka_run_group_tests_name("round_trip", tests, NULL, NULL);
}
