/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "problems.h"

static struct sl__yaml *parse(struct sl__arena *arena, const char *text) {
    struct sl__problems problems = {.file = "t"};
    struct sl__yaml *root = sl__yaml_parse(arena, text, strlen(text), NULL, &problems);
    assert_int_equal(problems.total, 0);
    assert_non_null(root);
    sl__problems_finish(&problems);
    return root;
}

static void each_node_knows_where_it_stands(void **state) {
    (void)state;
    struct sl__arena arena = {NULL};
    const struct sl__yaml *root = parse(&arena, "# first\na: 1\nb:\n  - x\n  - {\xc3\xa9: y}\n");
    assert_int_equal(root->count, 2);
    assert_int_equal(root->keys[1]->line, 3);
    const struct sl__yaml *b = sl__yaml_get(root, "b");
    assert_int_equal(b->items[0]->line, 4);
    assert_int_equal(b->items[0]->column, 5);
    const struct sl__yaml *y = sl__yaml_get(b->items[1], "\xc3\xa9");
    assert_int_equal(y->line, 5);
    assert_int_equal(y->column, 9); /* characters, not bytes */
    sl__arena_finish(&arena);
}

static void an_alias_is_its_anchor_again(void **state) {
    (void)state;
    struct sl__arena arena = {NULL};
    const struct sl__yaml *root = parse(&arena, "a: &x {k: 1}\nb: *x\nc: &x 2\nd: *x\n");
    assert_ptr_equal(sl__yaml_get(root, "a"), sl__yaml_get(root, "b"));
    assert_string_equal(sl__yaml_get(root, "d")->text, "2");
    sl__arena_finish(&arena);
}

static void plain_scalars_have_types(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum sl__yaml_type type;
    } cases[] = {
        {"~", SL__YAML_NULL},          {"null", SL__YAML_NULL},   {"''", SL__YAML_TEXT},    {"true", SL__YAML_BOOL},
        {"yes", SL__YAML_TEXT},        {"12", SL__YAML_INT},      {"-12", SL__YAML_INT},    {"+1", SL__YAML_INT},
        {"0x1f", SL__YAML_INT},        {"0o7", SL__YAML_INT},     {"0x", SL__YAML_TEXT},    {"1.5", SL__YAML_FLOAT},
        {"1.", SL__YAML_FLOAT},        {".5", SL__YAML_FLOAT},    {"1e3", SL__YAML_FLOAT},  {"1e", SL__YAML_TEXT},
        {".inf", SL__YAML_FLOAT},      {"-.inf", SL__YAML_FLOAT}, {".nan", SL__YAML_FLOAT}, {"-.nan", SL__YAML_TEXT},
        {".", SL__YAML_TEXT},          {"1.2.3", SL__YAML_TEXT},  {"'1'", SL__YAML_TEXT},   {"!!str 1", SL__YAML_TEXT},
        {"!!int \"1\"", SL__YAML_INT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sl__arena arena = {NULL};
        const struct sl__yaml *scalar = parse(&arena, cases[i].text);
        assert_int_equal(scalar->kind, SL__YAML_SCALAR);
        assert_int_equal(sl__yaml_type(scalar), cases[i].type);
        sl__arena_finish(&arena);
    }
}

static void values_can_be_set(void **state) {
    (void)state;
    struct sl__arena arena = {NULL};
    struct sl__yaml *root = parse(&arena, "a: 1\n"), *value = parse(&arena, "2");
    for (int i = 0; i < 100; i++) {
        char key[8] = {'k', (char)('0' + i / 10), (char)('0' + i % 10), '\0'};
        assert_true(sl__yaml_set(&arena, root, key, value));
    }
    assert_true(sl__yaml_set(&arena, root, "a", value));
    assert_int_equal(root->count, 101);
    assert_string_equal(sl__yaml_get(root, "a")->text, "2");
    assert_string_equal(sl__yaml_get(root, "k99")->text, "2");
    assert_null(sl__yaml_get(root, "k"));
    sl__arena_finish(&arena);
}

static void long_messages_are_cut_between_characters(void **state) {
    (void)state;
    struct sl__problems problems = {.file = "t"};
    struct sl_pipe_file_problem problem;
    char text[2 * 400 + 2] = "x", file[400];
    for (size_t i = 1; i + 2 < sizeof text; i += 2) {
        memcpy(text + i, "\xc3\xa9", 3);
    }
    memset(file, 'f', sizeof file - 1);
    file[sizeof file - 1] = '\0';
    memcpy(file + sizeof file - 6, "/name", 6);
    problems.file = file;
    sl__problem_at(&problems, 1, 1, "%s", text);
    uint32_t count;
    assert_int_equal(sl__problems_give(&problems, &problem, 1, &count, NULL), SL_E_INVALID_ARGUMENT);
    size_t size = strlen(problem.message);
    assert_in_range(size, sizeof problem.message - 3, sizeof problem.message - 1);
    assert_int_equal(size % 2, 1);
    assert_memory_equal(problem.file, "...fff", 6);
    assert_string_equal(problem.file + strlen(problem.file) - 5, "/name");
    sl__problems_finish(&problems);
}

static void problems_come_in_the_order_of_the_file(void **state) {
    (void)state;
    struct sl__problems problems = {.file = "t"};
    struct sl_pipe_file_problem given[3];
    uint32_t count;
    static const uint32_t places[][2] = {{5, 1}, {2, 9}, {2, 3}, {9, 1}, {2, 3}};
    for (size_t i = 0; i < 5; i++) {
        sl__problem_at(&problems, places[i][0], places[i][1], "number %zu", i);
    }
    assert_int_equal(sl__problems_give(&problems, given, 3, &count, NULL), SL_E_INVALID_ARGUMENT);
    assert_int_equal(count, 5);
    assert_string_equal(given[0].message, "number 2");
    assert_string_equal(given[1].message, "number 4");
    assert_string_equal(given[2].message, "number 1");
    sl__problems_finish(&problems);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_node_knows_where_it_stands),
        cmocka_unit_test(an_alias_is_its_anchor_again),
        cmocka_unit_test(plain_scalars_have_types),
        cmocka_unit_test(values_can_be_set),
        cmocka_unit_test(long_messages_are_cut_between_characters),
        cmocka_unit_test(problems_come_in_the_order_of_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
