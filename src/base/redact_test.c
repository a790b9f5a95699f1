/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/macros.h"
#include "base/redact.h"
#include "base/utf8.h"

static struct sl__redact usual(void) {
    struct sl__redact redact;
    assert_int_equal(sl__redact_init(&redact, NULL, NULL), SL_OK);
    return redact;
}

static void expect(const struct sl__redact *redact, enum sl__redact_kind kind, const char *text, const char *expected) {
    /* A block of just that size: what is read beside it shows under a sanitizer. */
    size_t size = strlen(text);
    char *copy = malloc(size + 1);
    memcpy(copy, text, size);
    size_t got = sl__redact_text(redact, kind, copy, size);
    copy[got] = '\0';
    if (strcmp(copy, expected) != 0) {
        print_error("of    %s\ncame  %s\nnot   %s\n", text, copy, expected);
    }
    assert_string_equal(copy, expected);
    free(copy);
}

struct sample {
    const char *text, *expected;
};

static void test_every_kind_of_text(void **state) {
    (void)state;
    static const struct sample samples[] = {
        /* reprs */
        {"bad item {'user': 'bob', 'password': 'hunter2', 'n': 1}",
         "bad item {'user': 'bob', 'password': '***', 'n': 1}"},
        {"{'api_key': b'a\\'b', 'x': 1}", "{'api_key': b'***', 'x': 1}"},
        {"{'db': {'secret': ['a', ('b', {})], 'port': 1}}", "{'db': {'secret': ***, 'port': 1}}"},
        {"{'pin_secret': 12345, 'b': 2}", "{'pin_secret': ***, 'b': 2}"},
        {"{b'token': b'abc'}", "{b'token': b'***'}"},
        {"{'token': <Secret of bob>, 'b': 2}", "{'token': ***, 'b': 2}"},
        {"{'password': 'ends with \\\\', 'b': 2}", "{'password': '***', 'b': 2}"},
        {"User(name='bob', password='hun)ter2', age=4)", "User(name='bob', password='***', age=4)"},
        {"Login(password=SecretStr('a, b'), n=1)", "Login(password=***, n=1)"},
        {"[('Authorization', 'Bearer abc'), ('Accept', '*/*')]", "[('Authorization', '***'), ('Accept', '*/*')]"},
        {"[('token', 123), ('n', 3)]", "[('token', ***), ('n', 3)]"},
        {"'''multi''' password='''two\nlines''' x", "'''multi''' password='''***''' x"},
        {"{'password':\n     'long one',\n 'b': 2}", "{'password':\n     '***',\n 'b': 2}"},
        /* JSON, also in quotes */
        {"{\"accessToken\":\"abc\",\"id\":7}", "{\"accessToken\":\"***\",\"id\":7}"},
        {"{\"credentials\": {\"a\": \"b\"}, \"id\": 7}", "{\"credentials\": ***, \"id\": 7}"},
        {"body '{\"password\": \"a\\\\\"b\"}' refused", "body '{\"password\": \"***\"}' refused"},
        {"\"{\\\"password\\\": \\\"hun\\\\\\\"ter2\\\", \\\"b\\\": 1}\"",
         "\"{\\\"password\\\": \\\"***\\\", \\\"b\\\": 1}\""},
        /* assignments, comparisons, command lines, query strings, data source names */
        {"password=hunter2 user=bob", "password=*** user=bob"},
        {"PGPASSWORD=abc psql", "PGPASSWORD=*** psql"},
        {"client_secret = abcd ; next", "client_secret = *** ; next"},
        {"assert password == 'hunter2'", "assert password == '***'"},
        {"config['password'] = hunter2", "config['password'] = ***"},
        {"self.db.password='x1y2'", "self.db.password='***'"},
        {"curl --api-key=abc --n=1", "curl --api-key=*** --n=1"},
        {"/get?token=abc&page=2", "/get?token=***&page=2"},
        {"authorization=Bearer abc.def next", "authorization=*** next"},
        {":token => 'abc'", ":token => '***'"},
        /* headers and YAML: to the end of the line */
        {"Authorization: Basic dXNlcjpwdw==\nAccept: text", "Authorization: ***\nAccept: text"},
        {"Set-Cookie: a=b; Path=/\r\nX-Api-Key: abc\r\n", "Set-Cookie: ***\r\nX-Api-Key: ***\r\n"},
        {"passphrase: correct horse battery staple", "passphrase: ***"},
        {"password: 'hunter2' is too short", "password: '***' is too short"},
        /* URLs */
        {"no route to postgres://bob:hunter2@db.example:5432/x?a=b",
         "no route to postgres://bob:***@db.example:5432/x?a=b"},
        {"redis://:hunter2@host/0", "redis://:***@host/0"},
        {"http://example.org:80/a@b", "http://example.org:80/a@b"},
        /* a secret of one or two bytes has as many stars: a text never grows */
        {"token='a' pwd=xy", "token='*' pwd=**"},
        /* the end is missing */
        {"{'password': 'hunt", "{'password': '***"},
        {"{'password': ['hunt", "{'password': ***"},
        {"password=", "password="},
        {"'password':", "'password':"},
        /* names in all their forms */
        {"dbPassword=abc APIKey=abc X-API-KEY=abc user.passwd=abc",
         "dbPassword=*** APIKey=*** X-API-KEY=*** user.passwd=***"},
    };
    struct sl__redact redact = usual();
    for (size_t i = 0; i < SL_COUNT_OF(samples); i++) {
        expect(&redact, SL__REDACT_TEXT, samples[i].text, samples[i].expected);
    }
}

static void test_what_is_no_secret_stays(void **state) {
    (void)state;
    static const char *const samples[] = {
        "",
        ":",
        "=",
        "KeyError: 'password'",
        "the key 'password' is missing",
        "max_tokens=512, tokens: 7, tokenizer='bpe', author='x', key='y'",
        "{'password': None, 'token': '', 'secret': True}",
        "password=None, token=null",
        "File \"a.py\", line 3: n = 4",
        "Token::parse(x)",
        "12:30:59 http://host:80/path",
        "getattr(config, 'password', fallback)",
    };
    struct sl__redact redact = usual();
    for (size_t i = 0; i < SL_COUNT_OF(samples); i++) {
        expect(&redact, SL__REDACT_TEXT, samples[i], samples[i]);
    }
}

static void test_source_stays_readable(void **state) {
    (void)state;
    struct sl__redact redact = usual();
    const char *code = "    token = tokenizer.next(password=config[0], secret=f(x))";
    expect(&redact, SL__REDACT_SOURCE, code, code);
    expect(&redact, SL__REDACT_SOURCE, "    login(\"bob\", password=\"hunter2\", token=other)",
           "    login(\"bob\", password=\"***\", token=other)");
}

static void test_patterns(void **state) {
    (void)state;
    struct sl__redact redact;
    const char *const none[] = {NULL}, *const own[] = {"iban", "Card-No*", NULL},
                      *const more[] = {"default", "iban", NULL};
    assert_int_equal(sl__redact_init(&redact, none, NULL), SL_OK);
    expect(&redact, SL__REDACT_TEXT, "password=hunter2", "password=hunter2");
    assert_int_equal(sl__redact_init(&redact, own, NULL), SL_OK);
    expect(&redact, SL__REDACT_TEXT, "password=hunter2 IBAN=DE89 cardNo1=77 iban2=3",
           "password=hunter2 IBAN=*** cardNo1=** iban2=3");
    assert_int_equal(sl__redact_init(&redact, more, NULL), SL_OK);
    expect(&redact, SL__REDACT_TEXT, "password=hunter2 iban=DE89", "password=*** iban=***");

    struct sl_error error = SL_ERROR_INIT;
    char longest[SL__REDACT_PATTERN_SIZE + 1];
    memset(longest, 'a', sizeof longest);
    longest[SL__REDACT_PATTERN_SIZE] = '\0';
    const char *const bad[] = {"", "--", longest};
    for (size_t i = 0; i < SL_COUNT_OF(bad); i++) {
        const char *const list[] = {bad[i], NULL};
        assert_int_equal(sl__redact_init(&redact, list, &error), SL_E_INVALID_ARGUMENT);
        assert_non_null(strstr(error.message, "redact"));
    }
    const char *many[SL__REDACT_PATTERNS_MAX + 2];
    for (size_t i = 0; i <= SL__REDACT_PATTERNS_MAX; i++) {
        many[i] = "same";
    }
    many[SL__REDACT_PATTERNS_MAX + 1] = NULL;
    assert_int_equal(sl__redact_init(&redact, many, &error), SL_E_LIMIT);
    many[SL__REDACT_PATTERNS_MAX] = NULL;
    assert_int_equal(sl__redact_init(&redact, many, &error), SL_OK);
    sl_error_finish(&error);
}

/* Texts put together at random from what the pass looks for: it never grows one, nor breaks UTF-8, nor lets a marked secret through. */
static void test_random_texts(void **state) {
    (void)state;
    static const char *const parts[] = {"password", "token",  "user", "'", "\"", "\\", ":",  "=",    " ", "(",
                                        ")",        "{",      "}",    "[", "]",  ",",  "\n", "://",  "@", "ä",
                                        "x",        "Bearer", "<",    ">", "&",  "b",  "''", "\"\"", "1", "\x01"};
    const char *given = getenv("SLITHER_TEST_SEED");
    unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    print_message("SLITHER_TEST_SEED=%u\n", seed);
    struct sl__redact redact = usual();
    for (int round = 0; round < 20000; round++) {
        char text[512] = "", kept[sizeof text];
        size_t size = 0;
        for (int i = rand_r(&seed) % 24; i >= 0; i--) {
            const char *part = parts[(size_t)rand_r(&seed) % SL_COUNT_OF(parts)];
            memcpy(text + size, part, strlen(part));
            size += strlen(part);
        }
        /* and after it, on a line of its own, what has to go, unless the noise has opened a quote, when it has gone before */
        size += (size_t)sprintf(text + size, "\nx-api-key: hunter2\n");
        memcpy(kept, text, size);
        char *copy = malloc(size);
        memcpy(copy, text, size);
        size_t got = sl__redact_text(&redact, SL__REDACT_TEXT, copy, size);
        assert_true(got <= size);
        assert_int_equal(sl__utf8_valid_size(copy, got), got);
        bool leaked = memmem(copy, got, "hunter2", 7) != NULL;
        if (leaked) {
            print_error("of %.*s\ncame %.*s\n", (int)size, kept, (int)got, copy);
        }
        assert_false(leaked);
        free(copy);
    }
}

/* The worst texts take time in proportion to their size: a square would take minutes. */
static void test_bounded_work(void **state) {
    (void)state;
    static const char *const units[] = {"password:(", "token='", "secret=[", "://a:b",
                                        "'token',",   "pwd=<",   "\\\\\\\"", "password=None "};
    struct sl__redact redact = usual();
    size_t size = (size_t)4 << 20;
    char *text = malloc(size + 1);
    for (size_t i = 0; i < SL_COUNT_OF(units); i++) {
        size_t unit = strlen(units[i]);
        for (size_t at = 0; at < size; at++) {
            text[at] = units[i][at % unit];
        }
        struct timespec before, after;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
        (void)sl__redact_text(&redact, SL__REDACT_TEXT, text, size);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
        assert_true(after.tv_sec - before.tv_sec < 20);
    }
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_text),    cmocka_unit_test(test_what_is_no_secret_stays),
        cmocka_unit_test(test_source_stays_readable), cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_random_texts),          cmocka_unit_test(test_bounded_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
