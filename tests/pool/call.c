/* SPDX-License-Identifier: MIT */
#include "call.h"

#include <stdio.h>
#include <string.h>

#include "sys/clock.h"
#include "wire/batch.h"

static void extend_by_value(struct sl__lease *lease, struct sl_writer *writer) {
    struct sl_value value;
    uint8_t *memory;
    uint64_t offset;
    assert_int_equal(sl_writer_end(writer, &value, NULL), SL_OK);
    assert_int_equal(sl__lane_extend(lease->lane, value.size, &memory, &offset, NULL), SL_OK);
    memcpy(memory, value.data, value.size);
}

void ask(struct sl__lease *lease, const char *function, items_fn *item) {
    struct sl_writer writer;
    struct sl_value head;
    uint64_t sequence;
    assert_int_equal(sl__lane_open(lease->lane, NULL), SL_OK);
    sl_writer_init(&writer, NULL);
    sl_write_list(&writer, 2);
    sl_write_str(&writer, function);
    sl_write_nil(&writer);
    assert_int_equal(sl_writer_end(&writer, &head, NULL), SL_OK);
    uint32_t head_size = (uint32_t)head.size;
    extend_by_value(lease, &writer);
    sl_writer_reset(&writer);
    item(&writer);
    extend_by_value(lease, &writer);
    sl_writer_finish(&writer);
    assert_int_equal(sl__lane_commit(lease->lane, SL__REQUEST_BATCH, head_size, 1, &sequence, NULL), SL_OK);
}

static enum sl_code take_result(struct sl__reply *reply, struct sl_writer *writer, struct sl_value *result) {
    size_t offset = 0;
    struct sl_value item;
    sl_writer_init(writer, NULL);
    if (reply->blob == NULL) {
        return reply->code;
    }
    if (sl__batch_next(reply->blob->data, reply->blob->size, &offset, NULL, &item, NULL) == SL_OK) {
        sl_write_value(writer, item);
        assert_int_equal(sl_writer_end(writer, result, NULL), SL_OK);
    }
    return reply->code;
}

enum sl_code hear_reply(struct seeker *seeker, struct sl__lease *lease, struct sl_writer *writer,
                        struct sl_value *result) {
    uint64_t deadline_ns = sl__clock_deadline_ms(PATIENCE_S * 1000);
    for (;;) {
        uint32_t seen = seeker->bell.value;
        struct sl__reply reply = {0};
        enum sl_code code = sl__lane_poll(lease->lane, &reply, NULL);
        if (code == SL_OK) {
            code = take_result(&reply, writer, result);
            sl__blob_unref(reply.blob);
            sl__lane_retire(lease->lane, (reply.flags & SL__REPLY_KEPT) != 0);
            return code;
        }
        assert_int_equal(code, SL_E_AGAIN);
        if (atomic_load_explicit(&lease->lost, memory_order_acquire) != 0) {
            sl_writer_init(writer, NULL);
            return lease->death.code;
        }
        assert_false(sl__clock_passed(deadline_ns));
        sl__lanes_wait(&lease->lane, 1, &seeker->bell, seen, deadline_ns, &seeker->spin, true);
    }
}

static enum sl_code call(struct sl_pool *pool, uint32_t worker, const char *function, items_fn *item,
                         struct sl_writer *writer, struct sl_value *result) {
    struct seeker seeker;
    struct sl__lease *lease;
    seeker_init(&seeker);
    assert_int_equal(seek(pool, &seeker, worker, &lease, NULL), SL_OK);
    ask(lease, function, item);
    enum sl_code code = hear_reply(&seeker, lease, writer, result);
    sl__pool_release(pool, lease, 1);
    return code;
}

enum sl_code call_int(struct sl_pool *pool, uint32_t worker, const char *function, items_fn *item, int64_t *result) {
    struct sl_writer writer;
    struct sl_value value;
    enum sl_code code = call(pool, worker, function, item, &writer, &value);
    if (code == SL_OK) {
        assert_int_equal(sl_value_int(value, result), SL_OK);
    }
    sl_writer_finish(&writer);
    return code;
}

enum sl_code call_text(struct sl_pool *pool, uint32_t worker, const char *function, items_fn *item, char *text,
                       size_t size) {
    struct sl_writer writer;
    struct sl_value value;
    const char *found;
    size_t found_size;
    enum sl_code code = call(pool, worker, function, item, &writer, &value);
    text[0] = '\0';
    if (code == SL_OK && sl_value_type(value) != SL_TYPE_NIL) {
        assert_int_equal(sl_value_str(value, &found, &found_size), SL_OK);
        snprintf(text, size, "%.*s", (int)found_size, found);
    }
    sl_writer_finish(&writer);
    return code;
}
