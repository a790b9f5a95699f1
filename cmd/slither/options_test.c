/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "call_options.h"

static char problem[OPTION_PROBLEM_SIZE];

/* `words` is split at spaces. */
static enum options_result parse(struct call_options *options, const char *words) {
    static char text[512];
    static char *argv[64];
    int argc = 0;
    snprintf(text, sizeof(text), "call %s", words);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    argv[argc] = NULL;
    problem[0] = '\0';
    return call_options_parse(options, argc, argv, problem);
}

static void refuse(const char *words, const char *part) {
    struct call_options options;
    assert_int_equal(parse(&options, words), OPTIONS_PROBLEM);
    if (strstr(problem, part) == NULL) {
        fail_msg("'%s' gave \"%s\", without \"%s\"", words, problem, part);
    }
    call_options_finish(&options);
}

static void takes_all(void **state) {
    (void)state;
    struct call_options options;
    assert_int_equal(
        parse(&options, "--batch-size 7 m:f -j 3 --timeout=1.5s in.ndjson --max-in-flight-bytes 64M -qvv --each "
                        "--pythonpath a --pythonpath b --ordering as-completed --key .k --nan null "
                        "--route a=x --route b=y=z --pool-min 2 --pool-max 6 --recycle-batches 1000 --recycle-age 1h "
                        "--recycle-rss 1G"),
        OPTIONS_OK);
    assert_string_equal(options.function, "m:f");
    assert_string_equal(options.input, "in.ndjson");
    assert_int_equal(options.batch_size, 7);
    assert_int_equal(options.pool_size, 3);
    assert_int_equal(options.pool_min, 2);
    assert_int_equal(options.pool_max, 6);
    assert_int_equal(options.recycle_batches, 1000);
    assert_int_equal(options.recycle_age_ms, 3600000);
    assert_int_equal(options.recycle_rss_bytes, 1 << 30);
    assert_int_equal(options.timeout_ms, 1500);
    assert_int_equal(options.max_in_flight_bytes, 64 << 20);
    assert_int_equal(options.quiet, 1);
    assert_int_equal(options.verbose, 2);
    assert_int_equal(options.each, 1);
    assert_int_equal(options.python_path.count, 2);
    assert_string_equal(options.python_path.texts[1], "b");
    assert_null(options.python_path.texts[2]);
    assert_int_equal(options.ordering, SL_ORDERING_AS_COMPLETED);
    assert_int_equal(options.strategy, STRATEGY_KEY);
    assert_int_equal(options.nan, NAN_NULL);
    assert_int_equal(options.route_count, 2);
    assert_string_equal(options.routes[1].name, "b");
    assert_string_equal(options.routes[1].path, "y=z");
    call_options_finish(&options);
}

static void defaults(void **state) {
    (void)state;
    struct call_options options;
    assert_int_equal(parse(&options, "m:f -"), OPTIONS_OK);
    assert_null(options.input);
    assert_int_equal(options.policy.on_error, SL_ON_ERROR_SKIP);
    assert_int_equal(options.strategy, STRATEGY_FIXED);
    assert_int_equal(options.batch_size, 64);
    assert_int_equal(options.timeout_ms, 30000);
    assert_int_equal(options.progress, PROGRESS_AUTO);
    assert_true(options.max_delay_ms == MAX_DELAY_UNSET);
    call_options_finish(&options);
}

static void help_wins(void **state) {
    (void)state;
    struct call_options options;
    assert_int_equal(parse(&options, "--help"), OPTIONS_HELP);
    call_options_finish(&options);
    assert_int_equal(parse(&options, "m:f -qh"), OPTIONS_HELP);
    call_options_finish(&options);
}

static void refuses(void **state) {
    (void)state;
    refuse("", "the function is missing");
    refuse("m:f a b", "'b' is one too many");
    refuse("--btach-size 3 m:f", "unknown option --btach-size; did you mean --batch-size?");
    refuse("--frobnicate m:f", "unknown option --frobnicate");
    refuse("--max 3 m:f", "--max is ambiguous: --max-weight, --max-delay");
    refuse("m:f --batch-size", "option --batch-size needs an argument");
    refuse("m:f -x", "unknown option -x");
    refuse("m:f --each=3", "--each takes no argument");
    refuse("m:f --batch-size 0", "out of range: expected 1 to 65536");
    refuse("m:f --batch-size ten", "'ten' is not a whole number");
    refuse("m:f --timeout 30", "is not a duration: expected a number with ms, s, m");
    refuse("m:f --max-line 12Q", "is not a size");
    refuse("m:f --ordering random", "expected preserve or as_completed");
    refuse("m:f --strategy weight", "expected fixed, weighted or key");
    refuse("m:f --strategy weighted", "needs --weight EXPR");
    refuse("m:f --strategy key", "needs --key EXPR");
    refuse("m:f --strategy fixed --weight .w", "--weight goes with");
    refuse("m:f --strategy weighted --weight .w --key .k", "--key goes with");
    refuse("m:f --max-weight 5", "--max-weight needs --weight");
    refuse("m:f --meta .m", "--meta needs --with-id");
    refuse("m:f --on-error route:dead", "add --route NAME=FILE");
    refuse("m:f --route dead", "is not NAME=FILE");
    refuse("m:f --route a=x --route a=y", "'a' has a file already: x");
    refuse("name.py", "'name:function' for the file name.py");
    refuse("name", "expected MODULE:FUNCTION");
    refuse("dir/name.py:f", "--pythonpath dir name:FUNCTION");
    refuse("a:b:c", "is not MODULE:FUNCTION");
    refuse("m:f --errors=", "its argument is empty");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_all),
        cmocka_unit_test(defaults),
        cmocka_unit_test(help_wins),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
