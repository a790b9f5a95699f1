/* SPDX-License-Identifier: MIT */
/*
 * A worker that writes what it must not: each field of a reply in turn, the tail, and memory files that are not what they should be. The host
 * must answer with an error, and neither crash, nor read outside, nor hang, nor lose a descriptor.
 */
#include "pair_test.h"

#include <pthread.h>
#include <unistd.h>

#include "doorbell.h"
#include "note.h"
#include "sys/memory_file.h"
#include "sys/packet.h"

#define ITEMS 3
#define SIZE 100

/* A reply as it should be, to the request that send_filled() sent as the first. */
static struct sl__slot good_slot(void) {
    return (struct sl__slot){
        .sequence = 1, .offset = 64, .size = SIZE, .generation = 7, .kind = SL_OK, .item_count = ITEMS};
}

static void publish(struct pair *pair, const struct sl__slot *slot) {
    sl__slot_write(&pair->worker->own, pair->worker->published, slot);
    sl__doorbell_ring(&pair->worker->own, &pair->worker->peer, ++pair->worker->published);
}

static enum sl_code poll_once(struct pair *pair, struct sl_error *error) {
    struct sl__reply reply = {0};
    enum sl_code code = sl__lane_poll(pair->host, &reply, error);
    sl__blob_unref(reply.blob);
    return code;
}

/* Sends a request, publishes `slot` as its reply, and returns what the host says. */
static enum sl_code answer_with(const struct sl__slot *slot, size_t request_size, uint64_t *stale) {
    struct pair pair;
    struct sl_error error = SL_ERROR_INIT;
    pair_open(&pair, &pair_config);
    (void)send_filled(pair.host, request_size, ITEMS, 0);
    publish(&pair, slot);
    enum sl_code code = poll_once(&pair, &error);
    if (code == SL_E_PROTOCOL) {
        assert_true(strlen(error.message) > 10);
    }
    *stale = sl__lane_stale_count(pair.host);
    pair_close(&pair);
    return code;
}

enum field { SEQUENCE, OFFSET, LENGTH, FILE_ID, GENERATION, KIND, FLAGS, HEAD, ITEM_COUNT, PACKETS, UNUSED };

static void set(struct sl__slot *slot, enum field field, uint64_t value) {
    switch (field) {
    case SEQUENCE:
        slot->sequence = value;
        break;
    case OFFSET:
        slot->offset = value;
        break;
    case LENGTH:
        slot->size = value;
        break;
    case FILE_ID:
        slot->file = value;
        break;
    case GENERATION:
        slot->generation = (uint32_t)value;
        break;
    case KIND:
        slot->kind = (uint32_t)value;
        break;
    case FLAGS:
        slot->flags = (uint32_t)value;
        break;
    case HEAD:
        slot->head_size = (uint32_t)value;
        break;
    case ITEM_COUNT:
        slot->item_count = (uint32_t)value;
        break;
    case PACKETS:
        slot->packet_count = (uint32_t)value;
        break;
    case UNUSED:
        slot->unused = value;
        break;
    }
}

static void each_field_of_a_reply_is_checked(void **state) {
    (void)state;
    const uint64_t space = 1u << 20;
    const struct {
        enum field field;
        uint64_t value;
        enum sl_code code;
        uint64_t stale;
    } cases[] = {
        {SEQUENCE, 1, SL_OK, 0},
        {SEQUENCE, 0, SL_E_AGAIN, 1},
        {SEQUENCE, 2, SL_E_PROTOCOL, 0},
        {SEQUENCE, UINT64_MAX, SL_E_PROTOCOL, 0},
        {GENERATION, 6, SL_E_AGAIN, 1},
        {GENERATION, 8, SL_E_PROTOCOL, 0},
        {GENERATION, UINT32_MAX, SL_E_PROTOCOL, 0},
        {OFFSET, 0, SL_OK, 0},
        {OFFSET, space - 128, SL_OK, 0},
        {OFFSET, space - 64, SL_E_PROTOCOL, 0},
        {OFFSET, space, SL_E_PROTOCOL, 0},
        {OFFSET, 65, SL_E_PROTOCOL, 0},
        {OFFSET, (uint64_t)0 - 64, SL_E_PROTOCOL, 0},
        {OFFSET, (uint64_t)1 << 40, SL_E_PROTOCOL, 0},
        {LENGTH, space - 64, SL_OK, 0},
        {LENGTH, space - 63, SL_E_PROTOCOL, 0},
        {LENGTH, UINT64_MAX, SL_E_PROTOCOL, 0},
        {LENGTH, (uint64_t)0 - 64, SL_E_PROTOCOL, 0},
        {LENGTH, (64u << 20) + 1, SL_E_PROTOCOL, 0},
        {LENGTH, ITEMS - 1, SL_E_PROTOCOL, 0},
        {LENGTH, 0, SL_E_PROTOCOL, 0},
        {FILE_ID, 1, SL_E_PROTOCOL, 0},
        {FILE_ID, SL__BLOCK_ID_BIT | 1, SL_E_PROTOCOL, 0},
        {KIND, SL_E_AGAIN, SL_E_PROTOCOL, 0},
        {KIND, 17, SL_E_PROTOCOL, 0},
        {KIND, UINT32_MAX, SL_E_PROTOCOL, 0},
        {KIND, SL_E_PYTHON, SL_E_PROTOCOL, 0},     /* with three values */
        {FLAGS, SL__REPLY_KEPT, SL_E_PROTOCOL, 0}, /* the request lies in no file */
        {FLAGS, SL__REPLY_STATE, SL_OK, 0},
        {FLAGS, 4, SL_E_PROTOCOL, 0},
        {FLAGS, UINT32_MAX, SL_E_PROTOCOL, 0},
        {HEAD, 1, SL_E_PROTOCOL, 0},
        {HEAD, UINT32_MAX, SL_E_PROTOCOL, 0},
        {ITEM_COUNT, ITEMS - 1, SL_E_PROTOCOL, 0},
        {ITEM_COUNT, ITEMS + 1, SL_E_PROTOCOL, 0},
        {ITEM_COUNT, UINT32_MAX, SL_E_PROTOCOL, 0},
        {PACKETS, 1, SL_E_PROTOCOL, 0},
        {PACKETS, UINT32_MAX, SL_E_PROTOCOL, 0},
        {UNUSED, 1, SL_E_PROTOCOL, 0},
    };
    size_t fds = open_fds();
    for (size_t i = 0; i < SL_COUNT_OF(cases); i++) {
        struct sl__slot slot = good_slot();
        uint64_t stale;
        set(&slot, cases[i].field, cases[i].value);
        enum sl_code code = answer_with(&slot, SIZE, &stale);
        if (code != cases[i].code || stale != cases[i].stale) {
            print_error("case %zu: code %s, stale %llu\n", i, sl_code_name(code), (unsigned long long)stale);
        }
        assert_int_equal(code, cases[i].code);
        assert_int_equal(stale, cases[i].stale);
    }
    assert_int_equal(open_fds(), fds);
}

static void an_error_reply_has_at_most_one_value(void **state) {
    (void)state;
    struct sl__slot slot = good_slot();
    uint64_t stale;
    slot.kind = SL_E_PYTHON;
    slot.item_count = 1;
    assert_int_equal(answer_with(&slot, SIZE, &stale), SL_OK);
    slot.item_count = 0;
    assert_int_equal(answer_with(&slot, SIZE, &stale), SL_OK);
    slot.size = 0;
    assert_int_equal(answer_with(&slot, SIZE, &stale), SL_OK);
}

static void a_tail_that_jumps_is_refused(void **state) {
    (void)state;
    static const uint32_t tails[] = {SL__LANE_SLOTS + 1, 100, 0x80000000u, UINT32_MAX, UINT32_MAX - 3};
    for (size_t i = 0; i < SL_COUNT_OF(tails); i++) {
        struct pair pair;
        struct sl_error error = SL_ERROR_INIT;
        pair_open(&pair, &pair_config);
        (void)send_filled(pair.host, SIZE, ITEMS, 0);
        sl__doorbell_ring(&pair.worker->own, &pair.worker->peer, tails[i]);
        assert_int_equal(poll_once(&pair, &error), SL_E_PROTOCOL);
        assert_int_equal(poll_once(&pair, &error), SL_E_PROTOCOL); /* and stays refused */
        pair_close(&pair);
    }
}

static void late_and_repeated_replies_are_dropped(void **state) {
    (void)state;
    struct pair pair;
    struct sl_error error = SL_ERROR_INIT;
    pair_open(&pair, &pair_config);
    struct sl__slot slot = good_slot();
    (void)send_filled(pair.host, SIZE, ITEMS, 0);
    publish(&pair, &slot);
    publish(&pair, &slot); /* twice */
    assert_int_equal(poll_once(&pair, &error), SL_OK);
    assert_int_equal(poll_once(&pair, &error), SL_E_AGAIN);
    assert_int_equal(sl__lane_stale_count(pair.host), 1);
    sl__lane_retire(pair.host, false);
    publish(&pair, &slot); /* after it was retired */
    assert_int_equal(poll_once(&pair, &error), SL_E_AGAIN);
    assert_int_equal(sl__lane_stale_count(pair.host), 2);
    (void)send_filled(pair.host, SIZE, ITEMS, 0);
    publish(&pair, &slot); /* the old one before the new one */
    slot.sequence = 2;
    publish(&pair, &slot);
    assert_int_equal(poll_once(&pair, &error), SL_OK);
    assert_int_equal(sl__lane_stale_count(pair.host), 3);
    sl__lane_retire(pair.host, false);
    slot.sequence = 3; /* of a request that there is not */
    publish(&pair, &slot);
    assert_int_equal(poll_once(&pair, &error), SL_E_PROTOCOL);
    pair_close(&pair);
}

static void a_flood_of_stale_replies_ends(void **state) {
    (void)state;
    struct pair pair;
    struct sl_error error = SL_ERROR_INIT;
    pair_open(&pair, &pair_config);
    struct sl__slot slot = good_slot();
    slot.sequence = 0;
    enum sl_code code = SL_E_AGAIN;
    uint32_t count = 0;
    for (; code == SL_E_AGAIN && count < 1000000; count++) {
        publish(&pair, &slot);
        code = poll_once(&pair, &error);
    }
    assert_int_equal(code, SL_E_PROTOCOL);
    assert_int_equal(count, 1025);
    pair_close(&pair);
}

static void replies_out_of_order_are_refused(void **state) {
    (void)state;
    struct pair pair;
    struct sl_error error = SL_ERROR_INIT;
    pair_open(&pair, &pair_config);
    struct sl__slot slot = good_slot();
    for (int i = 0; i < 3; i++) {
        (void)send_filled(pair.host, SIZE, ITEMS, 0);
    }
    publish(&pair, &slot);
    slot.sequence = 3;
    publish(&pair, &slot);
    assert_int_equal(poll_once(&pair, &error), SL_OK);
    assert_int_equal(poll_once(&pair, &error), SL_E_PROTOCOL);
    pair_close(&pair);
}

/* ---- memory files ------------------------------------------------------------------------------------------------------- */

enum { LARGE = 2 << 20 };

struct gift {
    const char *what;
    uint32_t seals;
    uint64_t file_size, note_size, id;
    uint32_t kind;
    size_t notes, fds;
    bool pipe; /* instead of a memory file */
    enum sl_code code;
};

static void give(struct pair *pair, const struct gift *gift) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl__note notes[SL__NOTES_MAX] = {{0}};
    int fds[SL__NOTES_MAX];
    for (size_t i = 0; i < gift->notes; i++) {
        notes[i] = (struct sl__note){.kind = gift->kind, .id = gift->id, .size = gift->note_size};
    }
    for (size_t i = 0; i < gift->fds; i++) {
        if (gift->pipe) {
            int other;
            MUST(sl__pipe_create(&fds[i], &other, &error));
            sl__close(&other);
        } else {
            MUST(sl__memory_file_create("gift", gift->file_size, &fds[i], &error));
            if (gift->seals != 0) {
                MUST(sl__memory_file_seal(fds[i], gift->seals, &error));
            }
        }
    }
    if (gift->notes > 0) {
        MUST(sl__packet_send(pair->worker->socket, notes, sizeof notes[0] * gift->notes, fds, gift->fds, 0, &error));
    }
    for (size_t i = 0; i < gift->fds; i++) {
        sl__close(&fds[i]);
    }
}

static void files_that_are_not_what_they_should_be_are_refused(void **state) {
    (void)state;
    const uint32_t good = SL__SEAL_SHRINK | SL__SEAL_GROW | SL__SEAL_WRITE | SL__SEAL_SEAL;
    const uint64_t id = SL__BLOCK_ID_BIT | 1;
    const uint32_t reply = SL__NOTE_REPLY;
    const struct gift gifts[] = {
        {"as it should be", good, LARGE, LARGE, id, reply, 1, 1, false, SL_OK},
        {"larger", good, LARGE * 2, LARGE, id, reply, 1, 1, false, SL_OK},
        {"not sealed", 0, LARGE, LARGE, id, reply, 1, 1, false, SL_E_PROTOCOL},
        {"not sealed against writing", good & ~(uint32_t)SL__SEAL_WRITE, LARGE, LARGE, id, reply, 1, 1, false,
         SL_E_PROTOCOL},
        {"sealed against future writing only", SL__SEAL_SHRINK | SL__SEAL_GROW | SL__SEAL_FUTURE_WRITE, LARGE, LARGE,
         id, reply, 1, 1, false, SL_E_PROTOCOL},
        {"not sealed against shrinking", good & ~(uint32_t)SL__SEAL_SHRINK, LARGE, LARGE, id, reply, 1, 1, false,
         SL_E_PROTOCOL},
        {"too small", good, LARGE - 1, LARGE, id, reply, 1, 1, false, SL_E_PROTOCOL},
        {"one byte", good, 1, 1, id, reply, 1, 1, false, SL_E_PROTOCOL},
        {"no file at all", good, LARGE, LARGE, id, reply, 0, 0, false, SL_E_PROTOCOL},
        {"a note without a file", good, LARGE, LARGE, id, reply, 1, 0, false, SL_E_PROTOCOL},
        {"two files for a note", good, LARGE, LARGE, id, reply, 1, 2, false, SL_E_PROTOCOL},
        {"two notes with files", good, LARGE, LARGE, id, reply, 2, 2, false, SL_E_PROTOCOL},
        {"many files", good, 4096, LARGE, id, reply, SL__NOTES_MAX, SL__NOTES_MAX, false, SL_E_PROTOCOL},
        {"another id", good, LARGE, LARGE, id + 1, reply, 1, 1, false, SL_E_PROTOCOL},
        {"id 0", good, LARGE, LARGE, 0, reply, 1, 1, false, SL_E_PROTOCOL},
        {"a note of the host", good, LARGE, LARGE, id, SL__NOTE_ATTACH, 1, 1, false, SL_E_PROTOCOL},
        {"a note without a meaning", good, LARGE, LARGE, id, 77, 1, 0, false, SL_E_PROTOCOL},
        {"a pipe", 0, 0, LARGE, id, reply, 1, 1, true, SL_E_PROTOCOL},
    };
    size_t fds = open_fds();
    for (size_t i = 0; i < SL_COUNT_OF(gifts); i++) {
        struct pair pair;
        struct sl_error error = SL_ERROR_INIT;
        pair_open(&pair, &pair_config);
        (void)send_filled(pair.host, SIZE, ITEMS, 0);
        give(&pair, &gifts[i]);
        struct sl__slot slot = good_slot();
        slot.offset = 0;
        slot.size = LARGE;
        slot.file = id;
        slot.packet_count = 1;
        publish(&pair, &slot);
        enum sl_code code = poll_once(&pair, &error);
        if (code != gifts[i].code) {
            print_error("%s: %s %s\n", gifts[i].what, sl_code_name(code), error.message);
        }
        assert_int_equal(code, gifts[i].code);
        pair_close(&pair);
        assert_int_equal(open_fds(), fds);
    }
}

static void a_stale_reply_takes_its_file_with_it(void **state) {
    (void)state;
    const struct gift gift = {
        "", SL__SEAL_SHRINK | SL__SEAL_WRITE, LARGE, LARGE, SL__BLOCK_ID_BIT | 1, SL__NOTE_REPLY, 1, 1, false, SL_OK};
    struct pair pair;
    struct sl_error error = SL_ERROR_INIT;
    pair_open(&pair, &pair_config);
    size_t fds = open_fds();
    (void)send_filled(pair.host, SIZE, ITEMS, 0);
    struct sl__slot slot = good_slot();
    slot.sequence = 0;
    slot.offset = 0;
    slot.size = LARGE;
    slot.file = gift.id;
    slot.packet_count = 1;
    give(&pair, &gift);
    publish(&pair, &slot);
    slot.sequence = 1;
    give(&pair, &gift);
    publish(&pair, &slot);
    assert_int_equal(poll_once(&pair, &error), SL_OK);
    assert_int_equal(sl__lane_stale_count(pair.host), 1);
    assert_int_equal(open_fds(), fds);
    pair_close(&pair);
}

/* ---- noise --------------------------------------------------------------------------------------------------------------- */

static void noise_in_slots_is_survived(void **state) {
    (void)state;
    uint64_t random = noise_seed();
    size_t fds = open_fds();
    uint32_t accepted = 0;
    for (int round = 0; round < 2000; round++) {
        struct pair pair;
        struct sl_error error = SL_ERROR_INIT;
        struct sl__lane_config config = pair_config;
        config.segment_bytes = 4096;
        config.payload_bytes_max = 1u << 20;
        pair_open(&pair, &config);
        (void)send_filled(pair.host, noise(&random) % 10000, (uint32_t)(noise(&random) % 4), 0);
        enum sl_code code = SL_E_AGAIN;
        for (int i = 0; i < 10 && code != SL_E_PROTOCOL; i++) {
            struct sl__slot slot = good_slot();
            set(&slot, (enum field)(noise(&random) % (UNUSED + 1)), noise(&random) >> noise(&random) % 64);
            set(&slot, (enum field)(noise(&random) % (UNUSED + 1)), noise(&random) >> noise(&random) % 64);
            publish(&pair, &slot);
            code = poll_once(&pair, &error);
            accepted += code == SL_OK;
            assert_true(code == SL_OK || code == SL_E_AGAIN || code == SL_E_PROTOCOL);
        }
        pair_close(&pair);
    }
    print_message("%u of them passed for replies\n", accepted);
    assert_int_equal(open_fds(), fds);
}

/* The worker goes on writing while the host reads: the host uses its own copy of all that decides something. */
struct scribbler {
    struct pair *pair;
    _Atomic uint32_t stop;
};

static void *scribble(void *argument) {
    struct scribbler *scribbler = argument;
    uint64_t random = 88172645463325252u;
    while (atomic_load_explicit(&scribbler->stop, memory_order_relaxed) == 0) {
        struct sl__slot slot = good_slot();
        slot.sequence = 1 + noise(&random) % 3;
        set(&slot, (enum field)(noise(&random) % (UNUSED + 1)), noise(&random) >> noise(&random) % 64);
        sl__slot_write(&scribbler->pair->worker->own, (uint32_t)noise(&random), &slot);
        sl__doorbell_ring(&scribbler->pair->worker->own, &scribbler->pair->worker->peer,
                          (uint32_t)(noise(&random) % 12));
        atomic_store(&scribbler->pair->worker->own.memory->header.waiting, (uint32_t)noise(&random));
        atomic_store(&scribbler->pair->worker->own.memory->header.head, (uint32_t)noise(&random));
        atomic_store(&scribbler->pair->worker->own.memory->header.started, noise(&random));
    }
    return NULL;
}

static void a_worker_that_scribbles_all_the_time_is_survived(void **state) {
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct pair pair;
        struct sl_error error = SL_ERROR_INIT;
        pair_open(&pair, &pair_config);
        struct scribbler scribbler = {.pair = &pair};
        struct sl__bell bell;
        struct sl__spin spin;
        sl__bell_init(&bell);
        sl__spin_init(&spin);
        (void)send_filled(pair.host, SIZE, ITEMS, 0);
        (void)send_filled(pair.host, SIZE, ITEMS, 0);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, scribble, &scribbler), 0);
        for (int i = 0; i < 3000; i++) {
            struct sl__reply reply = {0};
            enum sl_code code = sl__lane_poll(pair.host, &reply, &error);
            assert_true(code == SL_OK || code == SL_E_AGAIN || code == SL_E_PROTOCOL);
            if (code == SL_OK) {
                sl__blob_unref(reply.blob);
                sl__lane_retire(pair.host, (reply.flags & SL__REPLY_KEPT) != 0);
                (void)send_filled(pair.host, SIZE, ITEMS, 0);
            }
            sl__lanes_wait(&pair.host, 1, &bell, 0, sl__clock_now_ns() + 100000, &spin, false);
            (void)sl__lane_started(pair.host);
        }
        atomic_store(&scribbler.stop, 1);
        assert_int_equal(pthread_join(thread, NULL), 0);
        pair_close(&pair);
    }
}

static void what_was_written_before_a_death_can_be_read(void **state) {
    (void)state;
    struct pair pair;
    struct sl_error error = SL_ERROR_INIT;
    pair_open(&pair, &pair_config);
    (void)send_filled(pair.host, LARGE, ITEMS, 0);
    (void)send_filled(pair.host, SIZE, ITEMS, 1);
    struct sl__request request;
    MUST(sl__lane_take(pair.worker, &request, &error));
    answer_filled(pair.worker, LARGE, ITEMS, 5);
    sl__lane_destroy(pair.worker); /* as a dying process would: mappings and sockets go */
    struct sl__reply reply;
    MUST(sl__lane_poll(pair.host, &reply, &error));
    assert_true(filled(reply.blob->data, reply.blob->size, 5));
    sl__blob_unref(reply.blob);
    sl__lane_retire(pair.host, false);
    assert_int_equal(sl__lane_poll(pair.host, &reply, &error), SL_E_AGAIN);
    uint64_t size, sequence;
    assert_true(filled(sl__lane_request(pair.host, 0, &size, &sequence), SIZE, 1)); /* to be repeated elsewhere */
    sl__lane_retire(pair.host, true);
    uint8_t *memory;
    uint64_t offset;
    MUST(sl__lane_open(pair.host, &error));
    MUST(sl__lane_extend(pair.host, LARGE * 2, &memory, &offset, &error));
    assert_int_equal(sl__lane_commit(pair.host, SL__REQUEST_BATCH, 0, 0, &sequence, &error), SL_E_CLOSED);
    sl__lane_destroy(pair.host);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_field_of_a_reply_is_checked),
        cmocka_unit_test(an_error_reply_has_at_most_one_value),
        cmocka_unit_test(a_tail_that_jumps_is_refused),
        cmocka_unit_test(late_and_repeated_replies_are_dropped),
        cmocka_unit_test(a_flood_of_stale_replies_ends),
        cmocka_unit_test(replies_out_of_order_are_refused),
        cmocka_unit_test(files_that_are_not_what_they_should_be_are_refused),
        cmocka_unit_test(a_stale_reply_takes_its_file_with_it),
        cmocka_unit_test(noise_in_slots_is_survived),
        cmocka_unit_test(a_worker_that_scribbles_all_the_time_is_survived),
        cmocka_unit_test(what_was_written_before_a_death_can_be_read),
    };
    return cmocka_run_group_tests_name("hostile", tests, NULL, NULL);
}
