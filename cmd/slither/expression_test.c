/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "expression.h"

static char problem[EXPRESSION_PROBLEM_SIZE];

static void must_contain(const char *part) {
    if (strstr(problem, part) == NULL) {
        fail_msg("\"%s\" does not contain \"%s\"", problem, part);
    }
}

static void evaluates(void **state) {
    (void)state;
    struct expression *expression = expression_compile("--key", ".user.name", problem);
    assert_non_null(expression);
    for (int i = 0; i < 3; i++) { /* compiled once, used often */
        jv document = jv_parse("{\"user\": {\"name\": \"Ada\"}}");
        jv result;
        assert_true(expression_eval(expression, document, &result, problem));
        assert_string_equal(jv_string_value(result), "Ada");
        jv_free(result);
        jv_free(document);
    }
    /* An error in one document leaves the next one alone. */
    jv bad = jv_parse("{\"user\": 3}");
    jv result;
    assert_false(expression_eval(expression, bad, &result, problem));
    must_contain("--key '.user.name': Cannot index number");
    jv_free(bad);
    jv good = jv_parse("{\"user\": {\"name\": 7}}");
    assert_true(expression_eval(expression, good, &result, problem));
    assert_true(jv_number_value(result) == 7);
    jv_free(result);
    jv_free(good);
    expression_destroy(expression);
}

static void compile_errors(void **state) {
    (void)state;
    assert_null(expression_compile("--weight", ".a +", problem));
    must_contain("--weight '.a +': syntax error");
    assert_null(expression_compile("--weight", "nosuch(1)", problem));
    must_contain("nosuch/1 is not defined");
}

static void one_value_exactly(void **state) {
    (void)state;
    jv document = jv_parse("[1, 2]");
    jv result;
    struct expression *none = expression_compile("--id", "empty", problem);
    assert_false(expression_eval(none, document, &result, problem));
    must_contain("no value");
    struct expression *many = expression_compile("--id", ".[]", problem);
    assert_false(expression_eval(many, document, &result, problem));
    must_contain("more than one value");
    struct expression *fails = expression_compile("--id", "error({\"a\": 1})", problem);
    assert_false(expression_eval(fails, document, &result, problem));
    must_contain("{\"a\":1}");
    expression_destroy(none);
    expression_destroy(many);
    expression_destroy(fails);
    jv_free(document);
}

static void weights(void **state) {
    (void)state;
    struct expression *expression = expression_compile("--weight", ".", problem);
    static const struct {
        const char *json;
        uint64_t weight;
    } good[] = {{"0", 0}, {"3", 3}, {"2.1", 3}, {"9007199254740992", (uint64_t)1 << 53}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        jv document = jv_parse(good[i].json);
        uint64_t weight = 77;
        assert_true(expression_eval_weight(expression, document, &weight, problem));
        assert_true(weight == good[i].weight);
        jv_free(document);
    }
    static const struct {
        const char *json;
        const char *part;
    } bad[] = {
        {"\"3\"", "gave a string as the weight"}, {"null", "gave a null"}, {"-1", "gave -1"}, {"1e300", "gave 1e+300"}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        jv document = jv_parse(bad[i].json);
        uint64_t weight;
        assert_false(expression_eval_weight(expression, document, &weight, problem));
        must_contain(bad[i].part);
        jv_free(document);
    }
    expression_destroy(expression);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evaluates),
        cmocka_unit_test(compile_errors),
        cmocka_unit_test(one_value_exactly),
        cmocka_unit_test(weights),
    };
    return cmocka_run_group_tests_name("expression", tests, NULL, NULL);
}
