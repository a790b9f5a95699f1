/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <slither/json.h>
#include <slither/loader.h>
#include <sqlite3.h>

#include "scratch.h"

static char path[SCRATCH_SIZE];

static int make_file(void **state) {
    (void)state;
    return close(scratch_file(path, "slither-loader"));
}

static int remove_file(void **state) {
    (void)state;
    return unlink(path);
}

static void write_file(const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) >= 0, 1);
    assert_int_equal(fclose(file), 0);
}

static void add(char *out, size_t capacity, const char *text) {
    size_t used = strlen(out);
    snprintf(out + used, capacity - used, "%s", text);
}

static void add_json(char *out, size_t capacity, struct sl_value value) {
    char *text = NULL;
    size_t text_capacity = 0, size;
    assert_int_equal(sl_json_print(value, 0, &text, &text_capacity, &size, NULL), SL_OK);
    add(out, capacity, text);
    free(text);
}

/* All rows as KEY=VALUE; and what ended them, without the name of the file: (code message). */
static const char *drain(enum sl_code code, struct sl_loader *loader, struct sl_error *error) {
    static char out[4096];
    struct sl_row row;
    out[0] = '\0';
    while (code == SL_OK && (code = sl_loader_next(loader, &row, error)) == SL_OK) {
        add_json(out, sizeof out, row.key);
        add(out, sizeof out, "=");
        add_json(out, sizeof out, row.value);
        add(out, sizeof out, ";");
    }
    if (loader != NULL) {
        assert_int_equal(sl_loader_next(loader, &row, NULL), SL_E_END); /* and stays so */
    }
    if (code != SL_E_END) {
        const char *rest = strstr(error->message, path);
        assert_non_null(rest);
        char ending[600];
        snprintf(ending, sizeof ending, "(%s %s)", sl_code_name(code), rest + strlen(path));
        add(out, sizeof out, ending);
    }
    sl_loader_close(loader);
    return out;
}

static const char *read_ndjson(const char *text, const char *key, const char *value) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_loader_options options = SL_LOADER_OPTIONS_INIT;
    struct sl_loader *loader = NULL;
    options.key = key;
    options.value = value;
    write_file(text);
    enum sl_code code = sl_loader_open_ndjson(path, &options, &loader, &error);
    return drain(code, loader, &error);
}

static void test_ndjson(void **state) {
    (void)state;
    assert_string_equal(read_ndjson("", NULL, NULL), "");
    assert_string_equal(
        read_ndjson("{\"key\": 1, \"value\": \"a\"}\n\n  \r\n{\"key\": [1, \"b\"], \"value\": null}", NULL, "value"),
        "1=\"a\";[1,\"b\"]=null;");
    assert_string_equal(read_ndjson("{\"id\": \"x\", \"n\": 2}\r\n", "id", NULL), "\"x\"={\"id\":\"x\",\"n\":2};");
}

static void test_ndjson_refusals(void **state) {
    (void)state;
    assert_string_equal(read_ndjson("{\"key\": 1}\n[1]\n", NULL, NULL),
                        "1={\"key\":1};(invalid_data :2: expected a JSON object, found a value of type list)");
    assert_string_equal(read_ndjson("\n{\"id\": 1}\n", NULL, NULL),
                        "(invalid_data :2: the object has no member 'key')");
    assert_string_equal(read_ndjson("{\"key\": 1}\n", NULL, "value"),
                        "(invalid_data :1: the object has no member 'value')");
    const char *broken = read_ndjson("{\"key\": 1}\n\n{\"key\": 1\n", NULL, NULL);
    assert_non_null(strstr(broken, "(invalid_data :3: invalid JSON at column "));
}

/* Lines that are longer than what is read at once, and lines that end where a piece does. */
static void test_ndjson_pieces(void **state) {
    (void)state;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    size_t sizes[] = {0, 1, 262100, 262144, 262145, 600000, 3};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fprintf(file, "{\"key\": %zu, \"value\": \"", i);
        for (size_t k = 0; k < sizes[i]; k++) {
            fputc('x', file);
        }
        fprintf(file, "\"}\n");
    }
    assert_int_equal(fclose(file), 0);
    struct sl_error error = SL_ERROR_INIT;
    struct sl_loader_options options = SL_LOADER_OPTIONS_INIT;
    struct sl_loader *loader;
    struct sl_row row;
    options.value = "value";
    assert_int_equal(sl_loader_open_ndjson(path, &options, &loader, &error), SL_OK);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t number;
        const char *text;
        size_t size;
        assert_int_equal(sl_loader_next(loader, &row, &error), SL_OK);
        assert_int_equal(sl_value_uint(row.key, &number), SL_OK);
        assert_int_equal(number, i);
        assert_int_equal(sl_value_str(row.value, &text, &size), SL_OK);
        assert_int_equal(size, sizes[i]);
    }
    assert_int_equal(sl_loader_next(loader, &row, &error), SL_E_END);
    sl_loader_close(loader);
}

static const char *read_csv(const char *text, enum sl_csv_types types, const char *key, const char *value) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_loader_options options = SL_LOADER_OPTIONS_INIT;
    struct sl_loader *loader = NULL;
    options.key = key;
    options.value = value;
    options.csv_types = types;
    write_file(text);
    enum sl_code code = sl_loader_open_csv(path, &options, &loader, &error);
    return drain(code, loader, &error);
}

static void test_csv(void **state) {
    (void)state;
    assert_string_equal(read_csv("id,n\n1,2\n", SL_CSV_TEXT, NULL, NULL), "\"1\"={\"id\":\"1\",\"n\":\"2\"};");
    assert_string_equal(read_csv("id,n\n1,2\n", SL_CSV_TEXT, "n", "id"), "\"2\"=\"1\";");
    assert_string_equal(read_csv("k,v\n", SL_CSV_TEXT, NULL, NULL), "");
    assert_string_equal(
        read_csv("k,v\n1,-2.5\n\"2\",\"3\"\n3,\n4,true\n5,1e3\n6,007\n7,1-2\n8,0x10\n", SL_CSV_INFER, NULL, "v"),
        "1=-2.5;\"2\"=\"3\";3=null;4=true;5=1000.0;6=\"007\";7=\"1-2\";8=\"0x10\";");
    assert_string_equal(read_csv("k,v\na,\"\"\n", SL_CSV_INFER, NULL, "v"), "\"a\"=\"\";");
    assert_string_equal(read_csv("k,v\na,99999999999999999999\n", SL_CSV_INFER, NULL, "v"),
                        "\"a\"=\"99999999999999999999\";");
}

static void test_csv_refusals(void **state) {
    (void)state;
    assert_string_equal(read_csv("", SL_CSV_TEXT, NULL, NULL),
                        "(invalid_data : the file is empty; its first line must name the columns)");
    assert_string_equal(read_csv("a,b,a\n", SL_CSV_TEXT, NULL, NULL),
                        "(invalid_data : two columns are named 'a'; rename one)");
    assert_string_equal(read_csv("a,b\n", SL_CSV_TEXT, "c", NULL),
                        "(invalid_data : there is no column 'c'; there are: a, b)");
    assert_string_equal(read_csv("a,b\n1,2\n1\n", SL_CSV_TEXT, "a", "b"),
                        "\"1\"=\"2\";(invalid_data :3: expected 2 fields, as in the first record, found 1)");
    assert_string_equal(
        read_csv("a\n\"two\nlines\"\n\"x\n", SL_CSV_TEXT, NULL, "a"),
        "\"two\\nlines\"=\"two\\nlines\";(invalid_data :4: a quote in the record that begins here is never closed; "
        "quotes inside a field are doubled)");
    assert_non_null(strstr(read_csv("a\n\xff\n", SL_CSV_TEXT, NULL, NULL), "(invalid_utf8 :2: "));
}

static void run_sql(const char *sql) {
    sqlite3 *database;
    unlink(path);
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(database), SQLITE_OK);
}

static const char *query(const char *sql, const char *key, const char *value) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_loader_options options = SL_LOADER_OPTIONS_INIT;
    struct sl_loader *loader = NULL;
    options.key = key;
    options.value = value;
    enum sl_code code = sl_loader_open_sqlite(path, sql, &options, &loader, &error);
    return drain(code, loader, &error);
}

static void test_sqlite(void **state) {
    (void)state;
    run_sql("CREATE TABLE t (id INTEGER, x); INSERT INTO t VALUES (1, 2.5), (2, 'two'), (3, NULL), (4, x'00ff');");
    assert_string_equal(query("SELECT id, x FROM t ORDER BY id", NULL, "x"),
                        "1=2.5;2=\"two\";3=null;4={\"$bytes\":\"AP8=\"};");
    assert_string_equal(query("SELECT x, id FROM t WHERE id = 2;  ", "id", NULL), "2={\"x\":\"two\",\"id\":2};");
    assert_string_equal(query("SELECT id FROM t WHERE id = 99", NULL, NULL), "");
}

static void test_sqlite_refusals(void **state) {
    (void)state;
    run_sql("CREATE TABLE t (id INTEGER, x); INSERT INTO t VALUES (1, 'fine'), (2, CAST(x'ff' AS TEXT));");
    assert_string_equal(query("SELECT colour FROM t", NULL, NULL),
                        "(invalid_data : the query cannot be run: no such column: colour)");
    assert_string_equal(query("SELECT id FROM t; SELECT x FROM t", NULL, NULL),
                        "(invalid_data : one SELECT was expected, and \" SELECT x FROM t\" follows it)");
    assert_non_null(strstr(query("INSERT INTO t VALUES (5, 6)", NULL, NULL), "gives no rows; a SELECT was expected)"));
    assert_non_null(strstr(query("", NULL, NULL), "gives no rows; a SELECT was expected)"));
    assert_string_equal(query("SELECT id, x FROM t", "y", NULL),
                        "(invalid_data : there is no column 'y'; there are: id, x)");
    assert_string_equal(query("SELECT id, x, x FROM t", NULL, NULL),
                        "(invalid_data : two columns are named 'x'; rename one)");
    assert_non_null(strstr(query("SELECT id, x FROM t ORDER BY id", NULL, "x"), "1=\"fine\";(invalid_utf8 , row 2: "));
    write_file(
        "this is no database, and long enough to be looked at by anybody who expects the header of one, 100 bytes");
    assert_non_null(strstr(query("SELECT x FROM t", NULL, NULL),
                           "(invalid_data : the query cannot be run: file is not a database)"));
}

static void test_sqlite_locked(void **state) {
    (void)state;
    run_sql("CREATE TABLE t (id INTEGER);");
    sqlite3 *database;
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    struct sl_error error = SL_ERROR_INIT;
    struct sl_loader_options options = SL_LOADER_OPTIONS_INIT;
    struct sl_loader *loader = NULL;
    options.busy_timeout_ms = 1;
    enum sl_code code = sl_loader_open_sqlite(path, "SELECT id FROM t", &options, &loader, &error);
    assert_non_null(strstr(drain(code, loader, &error), "database is locked)"));
    assert_int_equal(sqlite3_close(database), SQLITE_OK);
}

static void test_arguments(void **state) {
    (void)state;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_loader_options options = SL_LOADER_OPTIONS_INIT;
    struct sl_loader *loader = NULL;
    struct sl_row row;
    assert_int_equal(sl_loader_open_csv(NULL, NULL, &loader, &error), SL_E_INVALID_ARGUMENT);
    assert_int_equal(sl_loader_open_ndjson("x", NULL, NULL, &error), SL_E_INVALID_ARGUMENT);
    assert_int_equal(sl_loader_open_sqlite("x", NULL, NULL, &loader, &error), SL_E_INVALID_ARGUMENT);
    options.csv_types = 9;
    assert_int_equal(sl_loader_open_csv(path, &options, &loader, &error), SL_E_INVALID_ARGUMENT);
    assert_int_equal(sl_loader_open_csv("/nonexistent/file", NULL, &loader, &error), SL_E_SYSTEM);
    assert_int_not_equal(error.system_errno, 0);
    assert_string_equal(error.message, "/nonexistent/file cannot be opened: No such file or directory");
    assert_int_equal(sl_loader_open_ndjson("/", NULL, &loader, &error), SL_OK);
    assert_int_equal(sl_loader_next(loader, &row, &error), SL_E_SYSTEM);
    assert_string_equal(error.message, "/:1: reading failed: Is a directory");
    sl_loader_close(loader);
    assert_int_equal(sl_loader_next(NULL, &row, &error), SL_E_INVALID_ARGUMENT);
    sl_loader_close(NULL);
    sl_error_finish(&error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ndjson),          cmocka_unit_test(test_ndjson_refusals),
        cmocka_unit_test(test_ndjson_pieces),   cmocka_unit_test(test_csv),
        cmocka_unit_test(test_csv_refusals),    cmocka_unit_test(test_sqlite),
        cmocka_unit_test(test_sqlite_refusals), cmocka_unit_test(test_sqlite_locked),
        cmocka_unit_test(test_arguments),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
