/* SPDX-License-Identifier: MIT */
/* Pictures: all that is in the pipe is in them, what XML asks for holds, and no box lies on another. */
#include "testing/crew.h"

#include <slither/pipe.h>

#define STAGES_MAX 24
#define OUTPUTS_MAX 4
#define ROUTES_MAX 4
#define ROUNDS 300

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

/* ---- a reader of XML that knows what the picture may hold ---------------------------------------------------------- */

static void is_text(const char *start, const char *end) {
    for (const char *c = start; c < end; c++) {
        assert_true(*c != '<' && *c != '>');
        assert_true((unsigned char)*c >= 0x20 || *c == '\n');
        if (*c == '&') {
            const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;"};
            bool known = false;
            for (size_t i = 0; i < 4; i++) {
                known = known || strncmp(c, entities[i], strlen(entities[i])) == 0;
            }
            assert_true(known);
        }
    }
}

/* Attributes: name="value", each once. */
static void is_tag(const char *start, const char *end) {
    char names[16][24];
    int count = 0;
    const char *at = start + strcspn(start, " />");
    while (at < end && *at == ' ') {
        at++;
        size_t size = strcspn(at, "=");
        assert_true(size > 0 && size < sizeof names[0] && count < 16);
        snprintf(names[count], sizeof names[0], "%.*s", (int)size, at);
        for (int i = 0; i < count; i++) {
            assert_string_not_equal(names[i], names[count]);
        }
        count++;
        at += size;
        assert_true(at[0] == '=' && at[1] == '"');
        const char *close = strchr(at + 2, '"');
        assert_true(close != NULL && close < end);
        is_text(at + 2, close);
        at = close + 1;
    }
    assert_true(at == end);
}

static void is_well_formed(const char *xml) {
    char open[16][16];
    int depth = 0;
    bool root_seen = false;
    for (const char *at = xml; *at != '\0';) {
        if (*at != '<') {
            const char *end = at + strcspn(at, "<");
            is_text(at, end);
            assert_true(depth > 0 || strspn(at, "\n") == (size_t)(end - at));
            at = end;
            continue;
        }
        const char *end = strchr(at, '>');
        assert_non_null(end);
        size_t size = strcspn(at + 1, " />\n");
        if (at[1] == '/') {
            size = (size_t)(end - at) - 2;
            assert_true(depth > 0);
            depth--;
            assert_true(strlen(open[depth]) == size && strncmp(open[depth], at + 2, size) == 0);
        } else {
            bool empty = end[-1] == '/';
            assert_true(depth > 0 || !root_seen);
            root_seen = true;
            is_tag(at + 1, empty ? end - 1 : end);
            if (!empty) {
                assert_true(depth < 16);
                snprintf(open[depth++], sizeof open[0], "%.*s", (int)size, at + 1);
            }
        }
        at = end + 1;
    }
    assert_int_equal(depth, 0);
    assert_true(root_seen);
}

struct rectangle {
    int x, y, width, height;
};

/* The boxes of the picture, all of which lie within it and none on another. */
static uint32_t boxes(const char *svg, struct rectangle *found, uint32_t max) {
    uint32_t count = 0;
    int width = 0, height = 0;
    assert_int_equal(sscanf(strstr(svg, "viewBox="), "viewBox=\"0 0 %d %d\"", &width, &height), 2);
    for (const char *at = svg; (at = strstr(at, "<rect ")) != NULL; at++) {
        struct rectangle *box = &found[count++];
        assert_true(count <= max);
        assert_int_equal(sscanf(at, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"", &box->x, &box->y, &box->width,
                                &box->height),
                         4);
        assert_true(box->x >= 0 && box->y >= 0 && box->width > 0 && box->height > 0);
        assert_true(box->x + box->width <= width && box->y + box->height <= height);
        for (uint32_t i = 0; i + 1 < count; i++) {
            const struct rectangle *other = &found[i];
            bool apart = box->x + box->width <= other->x || other->x + other->width <= box->x ||
                         box->y + box->height <= other->y || other->y + other->height <= box->y;
            assert_true(apart);
        }
    }
    return count;
}

static uint32_t count_of(const char *text, const char *word) {
    uint32_t count = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += strlen(word)) {
        count++;
    }
    return count;
}

static char *draw_pipe(const struct sl_pipe_definition *definition, enum sl_pipe_picture picture) {
    struct sl_pipe *pipe = NULL;
    struct sl_error error = SL_ERROR_INIT;
    if (sl_pipe_create(definition, &pipe, &error) != SL_OK) {
        fail_msg("%s", error.message);
    }
    char *text = sl_pipe_draw(pipe, picture);
    assert_non_null(text);
    sl_pipe_destroy(pipe);
    return text;
}

/* ---- the tests ----------------------------------------------------------------------------------------------------- */

static void everything_is_in_it(void **state) {
    (void)state;
    const struct sl_pipe_definition definition = {
        SL_PIPE("scoring"),
        .stages = SL_STAGES(SL_NATIVE("prepare", pass, .note = "{x: .a & \"b\" < 3}"),
                            SL_PYTHON("predict", "model:predict_batch", .batch_size = 32, .on_error_to = "dead",
                                      .on_error = {.on_error = SL_ON_ERROR_ISOLATE}),
                            SL_ROUTER("route", {always, .to = "accept", .note = ".score > 0.9"}, {.to = "review"})),
        .outputs = SL_OUTPUTS("accept", "review", "dead", "default"),
    };
    char *svg = draw_pipe(&definition, SL_PIPE_PICTURE_SVG);
    struct rectangle found[8];
    is_well_formed(svg);
    assert_int_equal(boxes(svg, found, 8), 6); /* nothing leads to `default` */
    const char *const words[] = {">prepare<",
                                 ">predict<",
                                 ">route<",
                                 ">accept<",
                                 ">review<",
                                 ">dead<",
                                 "model:predict_batch, batch 32",
                                 ".score &gt; 0.9<",
                                 ">otherwise<",
                                 ">on error<",
                                 "{x: .a &amp; &quot;b&quot; &lt; 3}"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strstr(svg, words[i]) == NULL) {
            fail_msg("%s is not in %s", words[i], svg);
        }
    }
    assert_int_equal(count_of(svg, "marker-end"), 6); /* in, two to the next, accept, review, dead's lane */
    free(svg);
    char *text = draw_pipe(&definition, SL_PIPE_PICTURE_TEXT);
    assert_non_null(strstr(text, "    => accept  (.score > 0.9)\n"));
    free(text);
    char *dot = draw_pipe(&definition, SL_PIPE_PICTURE_DOT);
    assert_non_null(strstr(dot, "s2 -> o0 [label=\".score > 0.9\"]"));
    free(dot);
}

static void what_is_no_text_does_not_spoil_it(void **state) {
    (void)state;
    const struct sl_pipe_definition definition = {
        SL_PIPE("odd"),
        .stages = SL_STAGES(
            SL_NATIVE("a", pass, .note = "\x01 \xff\xfe \xef\xbf\xbf \xc3\xa9 \xed\xa0\x80 ]]> tab\tnew\nline")),
    };
    char *svg = draw_pipe(&definition, SL_PIPE_PICTURE_SVG);
    is_well_formed(svg);
    assert_non_null(strstr(svg, "? ?? ? \xc3\xa9 ??? ]]&gt; tab?new?line"));
    free(svg);
}

static void long_texts_are_cut_in_the_box_and_whole_in_the_title(void **state) {
    (void)state;
    const char *note =
        "\xc3\xa4 predicate that goes on and on and on, well past any width that a box of a picture should have";
    const struct sl_pipe_definition definition = {
        SL_PIPE("long"),
        .stages = SL_STAGES(SL_NATIVE("a", pass, .note = note)),
    };
    char *svg = draw_pipe(&definition, SL_PIPE_PICTURE_SVG);
    is_well_formed(svg);
    assert_int_equal(count_of(svg, "a picture should have"), 1);
    assert_int_equal(count_of(svg, "\xe2\x80\xa6"), 1);
    free(svg);
}

struct drawn {
    struct sl_stage stages[STAGES_MAX + 1];
    struct sl_route routes[STAGES_MAX][ROUTES_MAX + 1];
    char names[STAGES_MAX][24];
    char notes[STAGES_MAX][ROUTES_MAX][64];
    const char *outputs[OUTPUTS_MAX + 1];
    uint32_t count;
};

static const char *draw_target(struct drawn *drawn, uint64_t *random, uint32_t from) {
    static const char *const names[OUTPUTS_MAX] = {"one", "two", "three", "default"};
    uint32_t later = drawn->count - from - 1, lot = draw_below(random, later + OUTPUTS_MAX);
    return lot < later ? drawn->names[from + 1 + lot] : names[lot - later];
}

/* Every stage is fed: the one before it leads to it unless it is a router, which then has a route there. */
static void draw_graph(struct drawn *drawn, uint64_t *random) {
    memset(drawn, 0, sizeof *drawn);
    drawn->count = 1 + draw_below(random, STAGES_MAX);
    for (uint32_t i = 0; i < drawn->count; i++) {
        snprintf(drawn->names[i], sizeof drawn->names[i], "%.*s%u", (int)draw_below(random, 12), "stage_number", i);
        if (drawn->names[i][0] >= '0' && drawn->names[i][0] <= '9') {
            drawn->names[i][0] = (char)('a' + i);
            snprintf(drawn->names[i] + 1, sizeof drawn->names[i] - 1, "%u", i);
        }
    }
    for (uint32_t i = 0; i < drawn->count; i++) {
        struct sl_stage *stage = &drawn->stages[i];
        *stage = (struct sl_stage){.name = drawn->names[i], .kind = SL_STAGE_NATIVE, .call = pass};
        stage->routes = drawn->routes[i];
        uint32_t route_count = draw_below(random, ROUTES_MAX);
        bool router = draw_below(random, 2) == 0 && route_count > 0;
        if (router) {
            stage->kind = SL_STAGE_ROUTER;
            stage->call = NULL;
        }
        for (uint32_t r = 0; r < route_count; r++) {
            snprintf(drawn->notes[i][r], sizeof drawn->notes[i][r], ".key_%u > %.*s", r, (int)draw_below(random, 30),
                     "123456789012345678901234567890");
            drawn->routes[i][r] = (struct sl_route){
                .to = draw_target(drawn, random, i), .note = drawn->notes[i][r], .when = router ? always : NULL};
        }
        if (router && i + 1 < drawn->count) {
            drawn->routes[i][0].to = drawn->names[i + 1];
        }
        if (!router && draw_below(random, 3) == 0) {
            stage->on_error.on_error = SL_ON_ERROR_ROUTE;
            stage->on_error_to = draw_target(drawn, random, i);
        }
    }
    static const char *const outputs[] = {"one", "two", "three"};
    uint32_t kept = 0;
    for (uint32_t o = 0; o < 3; o++) { /* those that something leads to */
        bool fed = false;
        for (uint32_t i = 0; i < drawn->count; i++) {
            const struct sl_stage *stage = &drawn->stages[i];
            fed = fed || (stage->on_error_to != NULL && strcmp(stage->on_error_to, outputs[o]) == 0);
            for (uint32_t r = 0; drawn->routes[i][r].to != NULL; r++) {
                fed = fed || strcmp(drawn->routes[i][r].to, outputs[o]) == 0;
            }
        }
        if (fed) {
            drawn->outputs[kept++] = outputs[o];
        }
    }
}

static void random_graphs_are_laid_out_without_overlap(void **state) {
    (void)state;
    uint64_t random = draw_seed();
    struct drawn *drawn = malloc(sizeof *drawn);
    assert_non_null(drawn);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        draw_graph(drawn, &random);
        const struct sl_pipe_definition definition = {SL_PIPE("random"), .stages = drawn->stages,
                                                      .outputs = drawn->outputs};
        char *svg = draw_pipe(&definition, SL_PIPE_PICTURE_SVG);
        struct rectangle found[STAGES_MAX + OUTPUTS_MAX];
        is_well_formed(svg);
        uint32_t box_count = boxes(svg, found, STAGES_MAX + OUTPUTS_MAX);
        assert_int_equal(count_of(svg, "<g class=\"stage "), drawn->count);
        assert_int_equal(count_of(svg, "<g class=\"output\""), box_count - drawn->count);
        for (uint32_t i = 0; i < drawn->count; i++) {
            char name[32];
            snprintf(name, sizeof name, ">%s</text>", drawn->names[i]);
            assert_non_null(strstr(svg, name));
        }
        for (uint32_t o = 0; drawn->outputs[o] != NULL; o++) {
            char name[32];
            snprintf(name, sizeof name, ">%s</text>", drawn->outputs[o]);
            assert_non_null(strstr(svg, name));
        }
        free(svg);
    }
    free(drawn);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_in_it),
        cmocka_unit_test(what_is_no_text_does_not_spoil_it),
        cmocka_unit_test(long_texts_are_cut_in_the_box_and_whole_in_the_title),
        cmocka_unit_test(random_graphs_are_laid_out_without_overlap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
