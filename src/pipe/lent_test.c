/* SPDX-License-Identifier: MIT */
/* Where values lie: what is passed on stays where it is, and what is put down is there as long as it is needed. */
#include "testing/crew.h"

#include <slither/pipe.h>

#define ITEMS 600

/* ---- a source whose memory is gone when it is asked again ---------------------------------------------------------- */

struct fleeting {
    uint64_t next;
    struct sl_writer writer; /* of the value given out last */
};

/* The list [x, [x + 1, x + 2]]. */
static enum sl_code next_fleeting(void *context, struct sl_item *item, struct sl_error *error) {
    struct fleeting *fleeting = context;
    if (fleeting->next > 0) {
        memset(fleeting->writer.data, 0xc1, fleeting->writer.size); /* no value begins so */
    }
    sl_writer_finish(&fleeting->writer);
    if (fleeting->next == ITEMS) {
        return SL_E_END;
    }
    sl_writer_init(&fleeting->writer, NULL);
    sl_write_list(&fleeting->writer, 2);
    sl_write_uint(&fleeting->writer, fleeting->next);
    sl_write_list(&fleeting->writer, 2);
    sl_write_uint(&fleeting->writer, fleeting->next + 1);
    sl_write_uint(&fleeting->writer, fleeting->next + 2);
    item->id = fleeting->next++;
    return sl_writer_end(&fleeting->writer, &item->value, error);
}

static int64_t at(struct sl_value list, uint32_t index) {
    struct sl_value entry;
    assert_int_equal(sl_value_at(list, index, &entry), SL_OK);
    return int_of(entry);
}

/* ---- stages and sinks ---------------------------------------------------------------------------------------------- */

#define HANDLER(name)                                                                              \
    static enum sl_code name(void *context, const struct sl_pipe_item *item, struct sl_emit *emit, \
                             struct sl_error *error)

struct places {
    const uint8_t *data[4]; /* where the value lay: by stage, then at the sink */
    uint64_t landed;
    struct fleeting *source;
    uint64_t moved; /* values that did not lie in the source's memory any more */
};

struct spot {
    struct places *places;
    int place;
};

HANDLER(note_and_pass) {
    const struct spot *spot = context;
    (void)error;
    spot->places->data[spot->place] = item->value.data;
    sl_emit(emit, item->value);
    return SL_OK;
}

static enum sl_code any(void *context, const struct sl_pipe_item *item, bool *taken, struct sl_error *error) {
    (void)context;
    (void)error;
    *taken = at(item->value, 0) >= 0;
    return SL_OK;
}

/* The inner list: a part of the item. */
HANDLER(emit_inner) {
    struct sl_value inner;
    (void)context;
    (void)error;
    assert_int_equal(sl_value_at(item->value, 1, &inner), SL_OK);
    sl_emit(emit, inner);
    return SL_OK;
}

/* The item, its inner list, and a list of its own. */
HANDLER(emit_three) {
    struct sl_value inner;
    (void)context;
    (void)error;
    int64_t x = at(item->value, 0);
    sl_emit(emit, item->value);
    assert_int_equal(sl_value_at(item->value, 1, &inner), SL_OK);
    sl_emit(emit, inner);
    struct sl_writer *writer = sl_emit_begin(emit);
    sl_write_list(writer, 1);
    sl_write_int(writer, x + 3);
    sl_emit_end(emit);
    return SL_OK;
}

HANDLER(write_anew) {
    (void)context;
    (void)error;
    int64_t x = at(item->value, 0);
    struct sl_writer *writer = sl_emit_begin(emit);
    sl_write_list(writer, 2);
    sl_write_int(writer, x);
    sl_write_int(writer, -x);
    sl_emit_end(emit);
    return SL_OK;
}

HANDLER(fail_odd) {
    (void)context;
    if (at(item->value, 0) % 2 != 0) {
        return sl_error_set(error, SL_E_RANGE, "odd");
    }
    sl_emit(emit, item->value);
    return SL_OK;
}

HANDLER(pass) {
    (void)context;
    (void)error;
    sl_emit(emit, item->value);
    return SL_OK;
}

static void run(const struct sl_pipe_definition *definition, struct sl_pipe_options options, struct fleeting *source) {
    struct sl_pipe *pipe = NULL;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_pipe_report report = SL_PIPE_REPORT_INIT;
    if (sl_pipe_create(definition, &pipe, &error) != SL_OK ||
        sl_pipe_run(pipe, &options, (struct sl_source){next_fleeting, source}, &report, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    assert_int_equal(report.finished, ITEMS);
    sl_pipe_report_finish(&report);
    sl_pipe_destroy(pipe);
}

/* ---- tests --------------------------------------------------------------------------------------------------------- */

static enum sl_code look(void *context, const struct sl_pipe_outcome *outcome, struct sl_error *error) {
    struct places *places = context;
    (void)error;
    places->landed++;
    places->data[3] = outcome->value.data;
    for (int i = 0; i < 4; i++) {
        places->moved += places->data[i] != places->source->writer.data;
    }
    return SL_OK;
}

static void what_is_passed_on_stays_where_it_is(void **state) {
    (void)state;
    struct fleeting source = {0};
    struct places places = {.source = &source};
    struct spot spots[] = {{&places, 0}, {&places, 1}, {&places, 2}};
    const struct sl_pipe_definition definition = {
        SL_PIPE("pass"),
        .stages =
            SL_STAGES(SL_NATIVE("one", note_and_pass, .context = &spots[0]),
                      SL_NATIVE("two", note_and_pass, .context = &spots[1]), SL_ROUTER("route", {any, .to = "three"}),
                      SL_NATIVE("three", note_and_pass, .context = &spots[2])),
    };
    const struct sl_pipe_sink sink = {NULL, look, &places};
    for (int ordering = SL_ORDERING_PRESERVE; ordering <= SL_ORDERING_AS_COMPLETED; ordering++) {
        struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
        options.sinks = &sink;
        options.sink_count = 1;
        options.ordering = (enum sl_ordering)ordering;
        source.next = places.landed = 0;
        run(&definition, options, &source);
        assert_int_equal(places.landed, ITEMS);
        assert_int_equal(places.moved, 0);
    }
}

struct sums {
    pthread_mutex_t lock;
    uint64_t count;
    int64_t first, last; /* sums of the first and the last number of each list */
};

static int64_t last_of(struct sl_value list) {
    uint32_t count = 0;
    assert_int_equal(sl_value_count(list, &count), SL_OK);
    struct sl_value entry;
    assert_int_equal(sl_value_at(list, count - 1, &entry), SL_OK);
    return sl_value_type(entry) == SL_TYPE_LIST ? last_of(entry) : int_of(entry);
}

static enum sl_code add_up(void *context, const struct sl_pipe_outcome *outcome, struct sl_error *error) {
    struct sums *sums = context;
    (void)error;
    pthread_mutex_lock(&sums->lock);
    sums->count++;
    sums->first += at(outcome->value, 0);
    sums->last += last_of(outcome->value);
    pthread_mutex_unlock(&sums->lock);
    return SL_OK;
}

/* The sum of n, n + 1, ..., one for each item. */
static int64_t sum_from(int64_t n) {
    return n * ITEMS + (int64_t)ITEMS * (ITEMS - 1) / 2;
}

/* Each stage once on the reading thread and once on threads of its own, so that values are put down before, behind and between all of them. */
static void sums_of(struct sums *sums, const struct sl_pipe_definition *definition, enum sl_ordering ordering) {
    struct fleeting source = {0};
    struct sl_pipe_options options = SL_PIPE_OPTIONS_INIT;
    const struct sl_pipe_sink sink = {NULL, add_up, sums};
    *sums = (struct sums){0};
    pthread_mutex_init(&sums->lock, NULL);
    options.sinks = &sink;
    options.sink_count = 1;
    options.in_flight_max = 64;
    options.ordering = ordering;
    run(definition, options, &source);
    pthread_mutex_destroy(&sums->lock);
}

static void parts_are_passed_on(void **state) {
    (void)state;
    for (uint32_t way = 0; way < 16; way++) {
        uint32_t before = way & 1 ? 2 : 0, within = way & 2 ? 2 : 0, behind = way & 4 ? 2 : 0;
        const struct sl_pipe_definition definition = {
            SL_PIPE("parts"),
            .stages = SL_STAGES(SL_NATIVE("before", pass, .parallel = before),
                                SL_NATIVE("inner", emit_inner, .parallel = within),
                                SL_NATIVE("behind", pass, .parallel = behind)),
        };
        struct sums sums;
        sums_of(&sums, &definition, way & 8 ? SL_ORDERING_AS_COMPLETED : SL_ORDERING_PRESERVE);
        assert_int_equal(sums.count, ITEMS);
        assert_int_equal(sums.first, sum_from(1));
        assert_int_equal(sums.last, sum_from(2));
    }
}

static void several_are_made_of_one(void **state) {
    (void)state;
    for (uint32_t way = 0; way < 16; way++) {
        uint32_t before = way & 1 ? 2 : 0, within = way & 2 ? 2 : 0, behind = way & 4 ? 2 : 0;
        const struct sl_pipe_definition definition = {
            SL_PIPE("several"),
            .stages = SL_STAGES(SL_NATIVE("before", pass, .parallel = before),
                                SL_NATIVE("three", emit_three, .parallel = within, .cardinality = SL_CARDINALITY_MANY),
                                SL_NATIVE("behind", pass, .parallel = behind)),
        };
        struct sums sums;
        sums_of(&sums, &definition, way & 8 ? SL_ORDERING_AS_COMPLETED : SL_ORDERING_PRESERVE);
        assert_int_equal(sums.count, 3 * ITEMS);
        assert_int_equal(sums.first, sum_from(0) + sum_from(1) + sum_from(3));
        assert_int_equal(sums.last, sum_from(2) + sum_from(2) + sum_from(3));
    }
}

static void what_failed_comes_as_it_was(void **state) {
    (void)state;
    for (uint32_t way = 0; way < 16; way++) {
        uint32_t before = way & 1 ? 2 : 0, within = way & 2 ? 2 : 0, behind = way & 4 ? 2 : 0;
        const struct sl_pipe_definition definition = {
            SL_PIPE("dead"),
            .stages = SL_STAGES(SL_NATIVE("anew", write_anew, .parallel = before),
                                SL_NATIVE("strict", fail_odd, .parallel = within,
                                          .on_error = {.on_error = SL_ON_ERROR_ROUTE}, .on_error_to = "dead"),
                                SL_NATIVE("behind", pass, .parallel = behind)),
            .outputs = SL_OUTPUTS("dead"),
        };
        struct sums sums;
        sums_of(&sums, &definition, way & 8 ? SL_ORDERING_AS_COMPLETED : SL_ORDERING_PRESERVE);
        assert_int_equal(sums.count, ITEMS);
        assert_int_equal(sums.first, sum_from(0));
        assert_int_equal(sums.last, -sum_from(0));
    }
}

/* All paths that one writer's values can take: two stages in a row that write, and a join behind a stage with threads. */
static void writers_are_used_again(void **state) {
    (void)state;
    for (uint32_t way = 0; way < 4; way++) {
        const struct sl_pipe_definition definition = {
            SL_PIPE("writers"),
            .stages = SL_STAGES(SL_NATIVE("one", write_anew), SL_NATIVE("two", write_anew),
                                SL_ROUTER("split", {any, .to = "left"}, {.to = "join"}),
                                SL_NATIVE("left", pass, .parallel = way & 1 ? 3 : 0), SL_NATIVE("join", write_anew)),
        };
        struct sums sums;
        sums_of(&sums, &definition, way & 2 ? SL_ORDERING_AS_COMPLETED : SL_ORDERING_PRESERVE);
        assert_int_equal(sums.count, ITEMS);
        assert_int_equal(sums.first, sum_from(0));
        assert_int_equal(sums.last, -sum_from(0));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_passed_on_stays_where_it_is),
        cmocka_unit_test(parts_are_passed_on),
        cmocka_unit_test(several_are_made_of_one),
        cmocka_unit_test(what_failed_comes_as_it_was),
        cmocka_unit_test(writers_are_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
