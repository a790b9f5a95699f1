/* SPDX-License-Identifier: MIT */
/* Two sessions that train and predict different models at once, over one worker and over two: they never mix. */
#include "host.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define STEPS 150

struct learner {
    int64_t slope;
    pthread_barrier_t *start;
    const char *problem; /* what went wrong, or NULL: assertions are the main thread's */
    char text[SL_ERROR_MESSAGE_SIZE + 64];
};

static enum sl_code ask(struct sl_object *model, const char *method, const int64_t *numbers, uint32_t count,
                        double *answer, struct sl_error *error) {
    struct sl_writer writer;
    struct sl_value arguments;
    struct sl_result result = SL_RESULT_INIT;
    sl_writer_init(&writer, NULL);
    sl_write_list(&writer, count);
    for (uint32_t i = 0; i < count; i++) {
        sl_write_int(&writer, numbers[i]);
    }
    enum sl_code code = sl_writer_end(&writer, &arguments, error);
    if (code == SL_OK) {
        code = sl_object_call(model, NULL, method, arguments, none, &result, error);
    }
    if (code == SL_OK && answer != NULL) {
        code = sl_value_float(result.value, answer);
    }
    sl_result_finish(&result);
    sl_writer_finish(&writer);
    return code;
}

static enum sl_code learn_and_predict(struct learner *learner, struct sl_session *session, struct sl_object *model,
                                      struct sl_error *error) {
    enum sl_code code = SL_OK;
    for (int64_t x = 1; x <= STEPS && code == SL_OK; x++) {
        const int64_t sample[] = {x, learner->slope * x};
        double predicted = 0;
        code = ask(model, "learn", sample, 2, NULL, error);
        code = code == SL_OK ? ask(model, "predict", &x, 1, &predicted, error) : code;
        if (code == SL_OK && (int64_t)(predicted + (predicted < 0 ? -0.5 : 0.5)) != learner->slope * x) {
            snprintf(learner->text, sizeof learner->text, "step %d of slope %d: predicted %g", (int)x,
                     (int)learner->slope, predicted);
            learner->problem = learner->text;
        }
    }
    if (code == SL_OK) { /* what it keeps beside the model is its own, too */
        struct sl_call_options options = SL_CALL_OPTIONS_INIT;
        struct sl_result result = SL_RESULT_INIT;
        int64_t steps = 0;
        options.session = session;
        code = sl_call(pool, &options, "call_models:steps", none, none, &result, error);
        if (code == SL_OK && (sl_value_int(result.value, &steps) != SL_OK || steps != STEPS)) {
            snprintf(learner->text, sizeof learner->text, "%d steps", (int)steps);
            learner->problem = learner->text;
        }
        sl_result_finish(&result);
    }
    return code;
}

static void *learn(void *argument) {
    struct learner *learner = argument;
    struct sl_session *session = NULL;
    struct sl_object *model = NULL;
    struct sl_result result = SL_RESULT_INIT;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_call_options options = SL_CALL_OPTIONS_INIT;
    enum sl_code code = sl_session_open(pool, NULL, &session, &error);
    options.session = session;
    if (code == SL_OK) {
        code = sl_call(pool, &options, "call_models:Slope", none, none, &result, &error);
    }
    if (code == SL_OK) {
        code = sl_object_take(&result, result.value, &model, &error);
    }
    (void)pthread_barrier_wait(learner->start);
    if (code == SL_OK) {
        code = learn_and_predict(learner, session, model, &error);
    }
    if (code != SL_OK) {
        snprintf(learner->text, sizeof learner->text, "%s: %s", sl_code_name(code), error.message);
        learner->problem = learner->text;
    }
    sl_object_unref(model);
    sl_result_finish(&result);
    sl_session_close(session);
    sl_error_finish(&error);
    return NULL;
}

static void two_models_never_mix(void **state) {
    (void)state;
    pthread_barrier_t start;
    pthread_t threads[2];
    struct learner learners[2] = {{.slope = 3, .start = &start}, {.slope = -700, .start = &start}};
    assert_int_equal(pthread_barrier_init(&start, NULL, 2), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, learn, &learners[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    pthread_barrier_destroy(&start);
    for (int i = 0; i < 2; i++) {
        if (learners[i].problem != NULL) {
            fail_msg("%s", learners[i].problem);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(two_models_never_mix, forget_values)};
    int failures = cmocka_run_group_tests_name("one worker", tests, start_one, stop);
    return failures + cmocka_run_group_tests_name("two workers", tests, start_two, stop);
}
