/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "chunk.h"

static char problem[EXPRESSION_PROBLEM_SIZE];

static void add(struct line_parser *parser, struct chunk *chunk, const char *text, size_t size, uint64_t number) {
    struct line line = {.text = text, .size = size, .number = number, .end_offset = 10 * number};
    assert_true(line_parser_add(parser, chunk, &line));
}

static void check_json(const struct chunk *chunk, struct span span, const char *expected) {
    char *text = NULL;
    size_t capacity = 0;
    size_t size;
    assert_int_equal(sl_json_print(chunk_value(chunk, span), 0, &text, &capacity, &size, NULL), SL_OK);
    assert_string_equal(text, expected);
    free(text);
}

static void items(void **state) {
    (void)state;
    struct line_parser parser;
    struct chunk *chunk = chunk_create();
    line_parser_init(&parser);
    add(&parser, chunk, "{\"a\": [1, 2.5]}", 15, 1);
    add(&parser, chunk, "", 0, 2);
    add(&parser, chunk, " \t ", 3, 3);
    add(&parser, chunk, "7", 1, 4);
    assert_int_equal(chunk->count, 2);
    check_json(chunk, chunk->entries[0].value, "{\"a\":[1,2.5]}");
    check_json(chunk, chunk->entries[1].value, "7");
    assert_int_equal(chunk->entries[1].line, 4);
    assert_int_equal(chunk->entries[1].end_offset, 40);
    assert_int_equal(chunk->entries[1].weight, 1);
    chunk_reset(chunk);
    assert_int_equal(chunk->count, 0);
    add(&parser, chunk, "null", 4, 5);
    check_json(chunk, chunk->entries[0].value, "null");
    line_parser_finish(&parser);
    chunk_destroy(chunk);
}

static void bad_lines(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t size;
        enum sl_code code;
    } bad[] = {
        {"{", 1, SL_E_INVALID_DATA},   {"{} {}", 5, SL_E_INVALID_DATA},
        {"nan", 3, SL_E_INVALID_DATA}, {"\"\xff\"", 3, SL_E_INVALID_UTF8},
        {"1\0", 2, SL_E_INVALID_DATA}, {"{\"a\":1,\"a\":2}", 13, SL_E_INVALID_DATA},
    };
    struct line_parser parser;
    struct chunk *chunk = chunk_create();
    line_parser_init(&parser);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        add(&parser, chunk, bad[i].text, bad[i].size, i + 1);
        const struct entry *entry = &chunk->entries[i];
        assert_true(entry->bad);
        assert_int_equal(entry->code, bad[i].code);
        assert_true(strlen(chunk_bytes(chunk, entry->problem)) > 5);
        assert_int_equal(entry->value.size, bad[i].size);
        assert_memory_equal(chunk_bytes(chunk, entry->value), bad[i].text, bad[i].size);
    }
    struct line overlong = {.text = "xx", .size = 2, .number = 9, .overlong = 1000};
    assert_true(line_parser_add(&parser, chunk, &overlong));
    assert_int_equal(chunk->entries[chunk->count - 1].code, SL_E_LIMIT);
    line_parser_finish(&parser);
    chunk_destroy(chunk);
}

static void expressions(void **state) {
    (void)state;
    struct line_parser parser;
    struct chunk *chunk = chunk_create();
    line_parser_init(&parser);
    parser.weight = expression_compile("--weight", ".w", problem);
    parser.key = expression_compile("--key", "[.k]", problem);
    parser.id = expression_compile("--id", ".id", problem);
    parser.meta = expression_compile("--meta", "{k}", problem);
    add(&parser, chunk, "{\"w\":3,\"k\":\"x\",\"id\":\"i1\"}", 25, 1);
    const struct entry *entry = &chunk->entries[0];
    assert_false(entry->bad);
    assert_int_equal(entry->weight, 3);
    assert_int_equal(entry->problem.size, 0);
    check_json(chunk, entry->key, "[\"x\"]");
    check_json(chunk, entry->meta, "{\"id\":\"i1\",\"meta\":{\"k\":\"x\"}}");

    /* No weight: an item all the same, which the strategy fails. */
    add(&parser, chunk, "{\"k\":1}", 7, 2);
    entry = &chunk->entries[1];
    assert_false(entry->bad);
    assert_non_null(strstr(chunk_bytes(chunk, entry->problem), "--weight '.w': it gave a null"));

    /* No id: nothing to call it by. */
    add(&parser, chunk, "[]", 2, 3);
    entry = &chunk->entries[2];
    assert_true(entry->bad);
    assert_non_null(strstr(chunk_bytes(chunk, entry->problem), "--id '.id': Cannot index array"));
    expression_destroy(parser.weight);
    expression_destroy(parser.key);
    expression_destroy(parser.id);
    expression_destroy(parser.meta);
    line_parser_finish(&parser);
    chunk_destroy(chunk);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items),
        cmocka_unit_test(bad_lines),
        cmocka_unit_test(expressions),
    };
    return cmocka_run_group_tests_name("chunk", tests, NULL, NULL);
}
