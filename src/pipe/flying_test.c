/* SPDX-License-Identifier: MIT */
/* The ring of what a dispatch has: against a plain array, in the order of any completion. */
#include "testing/crew.h"

#include "flying.h"

#define TOKENS 4000

/* Takes out the sequences [first, first + count). */
static void take(struct sl__flying *flying, struct sl__token *tokens, bool *out, uint64_t first, uint32_t count) {
    for (uint64_t i = first; i < first + count; i++) {
        assert_ptr_equal(sl__flying_take(flying, i), &tokens[i]);
        out[i] = true;
    }
    sl__flying_close(flying, first, count);
}

static void it_spans_from_the_oldest_to_the_youngest(void **state) {
    (void)state;
    uint64_t random = draw_seed() | 1, added = 0, oldest = 0;
    struct sl__token *tokens = calloc(TOKENS, sizeof *tokens);
    bool *out = calloc(TOKENS + 1, sizeof *out);
    struct sl__flying flying = {0};
    while (oldest < TOKENS) {
        for (uint32_t more = draw_below(&random, 20); more > 0 && added < TOKENS; more--) {
            assert_true(sl__flying_add(&flying, &tokens[added++]));
        }
        if (added == oldest) {
            continue;
        }
        /* A row somewhere, as long as nothing of it is out. */
        uint64_t first = oldest + draw_below(&random, (uint32_t)(added - oldest));
        uint32_t count = 0, wanted = 1 + draw_below(&random, 8);
        while (count < wanted && first + count < added && !out[first + count]) {
            count++;
        }
        if (count > 0) {
            take(&flying, tokens, out, first, count);
        }
        while (oldest < added && out[oldest]) {
            oldest++;
        }
        assert_int_equal(flying.base, oldest);
        assert_int_equal(flying.count, added - oldest);
    }
    free(flying.tokens);
    free(out);
    free(tokens);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_spans_from_the_oldest_to_the_youngest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
