/* SPDX-License-Identifier: MIT */
/* What is found wrong with a definition, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <slither/pipe.h>

static enum sl_code pass(void *context, const struct sl_pipe_item *item, struct sl_emit *emit, struct sl_error *error) {
    (void)context;
    (void)error;
    sl_emit(emit, item->value);
    return SL_OK;
}

static enum sl_code always(void *context, const struct sl_pipe_item *item, bool *taken, struct sl_error *error) {
    (void)context;
    (void)item;
    (void)error;
    *taken = true;
    return SL_OK;
}

static const struct sl_pipe_definition scoring = {
    SL_PIPE("scoring"),
    .stages = SL_STAGES(SL_NATIVE("prepare", pass),
                        SL_PYTHON("predict", "model:predict_batch", .batch_size = 32, .max_in_flight = 4,
                                  .on_error = {.on_error = SL_ON_ERROR_SKIP}),
                        SL_ROUTER("route", {always, .to = "accept", .note = "sure"}, {always, .to = "review"})),
    .outputs = SL_OUTPUTS("accept", "review"),
};

static void a_sound_definition_has_no_problems(void **state) {
    (void)state;
    uint32_t count = 99;
    struct sl_error error = SL_ERROR_INIT;
    assert_int_equal(sl_pipe_check(&scoring, NULL, 0, &count, &error), SL_OK);
    assert_int_equal(count, 0);
    struct sl_pipe *pipe = NULL;
    assert_int_equal(sl_pipe_create(&scoring, &pipe, &error), SL_OK);
    char *text = sl_pipe_draw(pipe, SL_PIPE_PICTURE_TEXT);
    assert_string_equal(text, "pipe scoring\n"
                              "  prepare  native\n"
                              "    -> predict\n"
                              "  predict  python model:predict_batch, batch 32, in flight 4\n"
                              "    -> route\n"
                              "  route  router\n"
                              "    => accept  (sure)\n"
                              "    => review  (route)\n"
                              "    => default  (otherwise)\n");
    free(text);
    char *dot = sl_pipe_draw(pipe, SL_PIPE_PICTURE_DOT);
    assert_non_null(strstr(dot, "digraph \"scoring\""));
    assert_non_null(strstr(dot, "s2 -> o0 [label=\"sure\"]"));
    free(dot);
    sl_pipe_destroy(pipe);
    sl_pipe_destroy(NULL);
}

struct expected {
    const char *place, *message; /* parts of */
};

static void expect(const struct sl_pipe_definition *definition, const struct expected *expected, uint32_t count) {
    struct sl_pipe_problem problems[16];
    uint32_t found = 0;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_pipe *pipe = (void *)&found;
    assert_int_equal(sl_pipe_create(definition, &pipe, &error), SL_E_INVALID_ARGUMENT);
    assert_null(pipe);
    assert_int_equal(sl_pipe_check(definition, problems, 16, &found, &error), SL_E_INVALID_ARGUMENT);
    for (uint32_t i = 0; i < found && i < count; i++) {
        if (strstr(problems[i].place, expected[i].place) == NULL ||
            strstr(problems[i].message, expected[i].message) == NULL) {
            fail_msg("problem %u is \"%s: %s\", expected \"%s: %s\"", i, problems[i].place, problems[i].message,
                     expected[i].place, expected[i].message);
        }
    }
    assert_int_equal(found, count);
    assert_non_null(strstr(error.message, expected[0].message));
    sl_error_finish(&error);
}

static void all_that_is_wrong_is_found_at_once(void **state) {
    (void)state;
    const struct sl_pipe_definition definition = {
        SL_PIPE("bad pipe"),
        .stages = SL_STAGES(SL_NATIVE("a", NULL), SL_PYTHON("b", "model.predict", .to = "nowhere"),
                            SL_ROUTER("c", {always, .to = "a"}, {.to = "out"}, {always, .to = "out"}),
                            SL_NATIVE("a", pass, .to = "a")),
        .outputs = SL_OUTPUTS("out", "never", "out"),
    };
    const struct expected expected[] = {
        {"name", "\"bad pipe\" is not a name"},
        {"outputs", "output \"out\" is named twice"},
        {"stage a", "stage 4 has the name of stage 1"},
        {"stage a, call", "needs a function"},
        {"stage b, function", "not of the form"},
        {"stage b, to", "\"nowhere\" is neither an output nor a stage"},
        {"stage c, routes", "a cycle: stage a stands before this one"},
        {"stage c, routes", "the route to out has no predicate and takes all"},
        {"stage a, to", "a cycle"},
        {"stage c", "nothing leads to it"},
        {"stage a", "nothing leads to it"},
        {"outputs", "output \"never\" is never fed"},
    };
    expect(&definition, expected, sizeof expected / sizeof expected[0]);
}

static void policies_are_checked_with_where_they_send(void **state) {
    (void)state;
    const struct sl_pipe_definition definition = {
        SL_PIPE("policies"),
        .stages = SL_STAGES(SL_NATIVE("a", pass, .on_error = {.on_error = SL_ON_ERROR_ROUTE}),
                            SL_NATIVE("b", pass, .on_error_to = "dead"),
                            SL_NATIVE("c", pass, .on_error = {.on_error = SL_ON_ERROR_ROUTE}, .on_error_to = "gone")),
        .outputs = SL_OUTPUTS("dead"),
    };
    const struct expected expected[] = {
        {"stage a, on_error", "policy route needs on_error_to"},
        {"stage b, on_error_to", "only the policies route and isolate"},
        {"stage c, on_error_to", "\"gone\" is neither"},
    };
    expect(&definition, expected, 3);
}

static void members_of_another_kind_are_refused(void **state) {
    (void)state;
    const struct sl_pipe_definition definition = {
        SL_PIPE("kinds"),
        .stages = SL_STAGES(
            SL_NATIVE("a", pass, .function = "m:f"), SL_PYTHON("b", "m:f", .parallel = 2),
            SL_NATIVE("c", pass, .routes = (const struct sl_route[]){{always, .to = "default"}, {.to = NULL}}),
            SL_NATIVE("d", pass, .queue_max = 99999999), {.name = "e"}),
    };
    const struct expected expected[] = {
        {"stage a, function", "only a Python stage"}, {"stage b, parallel", "only native stages have threads"},
        {"stage c, routes", "only routers have"},     {"stage d, queue_max", "99999999 is too much"},
        {"stage e, kind", "0 is no kind of stage"},
    };
    expect(&definition, expected, 5);
}

static void an_empty_or_foreign_definition_is_refused(void **state) {
    (void)state;
    const struct sl_pipe_definition empty = {SL_PIPE("empty")}, foreign = {.name = "foreign"};
    expect(&empty, (const struct expected[]){{"stages", "at least one stage"}}, 1);
    expect(&foreign, (const struct expected[]){{"size", "begin the definition with SL_PIPE"}}, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_definition_has_no_problems),
        cmocka_unit_test(all_that_is_wrong_is_found_at_once),
        cmocka_unit_test(policies_are_checked_with_where_they_send),
        cmocka_unit_test(members_of_another_kind_are_refused),
        cmocka_unit_test(an_empty_or_foreign_definition_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
