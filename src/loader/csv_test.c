/* SPDX-License-Identifier: MIT */
#include "csv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Reads `text` and writes what was read as [field|field]LINE..., or the error's message in parentheses. */
static const char *read_all(const char *text, size_t size) {
    static char out[4 * SL__CSV_FIELD_COUNT_MAX];
    size_t used = 0;
    FILE *file = size > 0 ? fmemopen((void *)(uintptr_t)text, size, "r") : fopen("/dev/null", "r");
    assert_non_null(file);
    struct sl__csv csv = {.file = file, .name = "f.csv"};
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code;
    while ((code = sl__csv_next(&csv, &error)) == SL_OK) {
        out[used++] = '[';
        for (size_t i = 0; i < csv.field_count; i++) {
            if (i > 0) {
                out[used++] = '|';
            }
            memcpy(out + used, csv.fields[i].text, csv.fields[i].size);
            used += csv.fields[i].size;
        }
        used += (size_t)snprintf(out + used, sizeof out - used, "]%d", (int)csv.line);
    }
    out[used] = '\0';
    if (code != SL_E_END) {
        snprintf(out + used, sizeof out - used, "(%s %s)", sl_code_name(code), error.message);
    }
    sl__csv_finish(&csv);
    fclose(file);
    return out;
}

#define assert_read(text, expected) assert_string_equal(read_all(text, sizeof(text) - 1), expected)
#define assert_refused(text, expected) assert_non_null(strstr(read_all(text, sizeof(text) - 1), expected))

static void test_records(void **state) {
    (void)state;
    assert_read("", "");
    assert_read("a,b\n1,2\n", "[a|b]1[1|2]2");
    assert_read("a,b\r\n1,2\r\n", "[a|b]1[1|2]2");
    assert_read("a,b", "[a|b]1");
    assert_read(",\n", "[|]1");
    assert_read("a,\n", "[a|]1");
    assert_read(" a , b \n", "[ a | b ]1");
    assert_read("\n\r\na\n\n", "[a]3");
    assert_read("\xef\xbb\xbf"
                "a\n",
                "[a]1");
    assert_read("\xef\xbb\xbf\"a,b\"\n", "[a,b]1");
    assert_read("\xef\xbb\x80"
                "a\n",
                "[\xef\xbb\x80"
                "a]1"); /* U+FEC0, which begins like the mark */
}

static void test_quotes(void **state) {
    (void)state;
    assert_read("\"a,b\",c\n", "[a,b|c]1");
    assert_read("\"say \"\"hi\"\"\"\n", "[say \"hi\"]1");
    assert_read("\"\"\n", "[]1");
    assert_read("\"\"", "[]1");
    assert_read("\"\"\"\"\n", "[\"]1");
    assert_read("a,\"two\nlines\"\nb,c\n", "[a|two\nlines]1[b|c]3");
    assert_read("\"a\r\nb\"\r\n", "[a\r\nb]1");
    assert_read("\"lone\rreturn\"\n", "[lone\rreturn]1");
}

static void test_refusals(void **state) {
    (void)state;
    assert_refused("a,b\nx\"y,z\n", "(invalid_data f.csv:2: a quote stands inside");
    assert_refused("a\n\"b\"c\n", "(invalid_data f.csv:2: text follows a closing quote");
    assert_refused("a\n\"b\n\nc\n", "(invalid_data f.csv:2: a quote in the record that begins here is never closed");
    assert_refused("a\rb\n", "(invalid_data f.csv:1: a CR is not followed");
    assert_refused("a\r", "(invalid_data f.csv:1: a CR is not followed");
}

static void test_bounds(void **state) {
    (void)state;
    static char many[2 * SL__CSV_FIELD_COUNT_MAX + 2];
    for (size_t i = 0; i < SL__CSV_FIELD_COUNT_MAX; i++) {
        many[i] = ',';
    }
    many[SL__CSV_FIELD_COUNT_MAX] = '\n';
    assert_non_null(
        strstr(read_all(many, SL__CSV_FIELD_COUNT_MAX + 1), "(limit_exceeded f.csv:1: a record has more than 4096"));
    many[SL__CSV_FIELD_COUNT_MAX - 1] = '\n';
    assert_null(strstr(read_all(many, SL__CSV_FIELD_COUNT_MAX), "limit_exceeded"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_quotes),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
