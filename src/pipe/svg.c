/* SPDX-License-Identifier: MIT */
/*
 * The graph of a pipe as SVG, laid out here: columns from left to right, the source in the first, the outputs in the last, each stage one column behind
 * the last of those that lead to it.
 *
 * A way out with a label is a row of its stage's box and begins there, so that labels never meet. An edge that passes columns runs through lanes: a lane takes
 * its place among the boxes of its column, so that no edge crosses a box, and edges to one target share their lanes, so that there are at most as many
 * as targets in each column. Letters are of one width (0.6 of their size), which makes the width of a box known.
 */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/utf8.h"
#include "draw.h"

#define LETTER 7 /* px: 12 px monospace is 7.2 wide, rounded; a box has PAD to spare on both sides */
#define LETTERS_MAX 46
#define PAD 10
#define TITLE 24
#define ROW 18
#define GAP_X 70
#define GAP_Y 18
#define LANE 10
#define MARGIN 16
#define SWEEPS 6
#define NONE UINT32_MAX

enum shape { SHAPE_SOURCE, SHAPE_STAGE, SHAPE_OUTPUT, SHAPE_LANE };

/* Something that takes room in a column. */
struct vertex {
    enum shape shape;
    uint32_t index; /* of the stage or output */
    uint32_t column;
    uint32_t rows;
    double place; /* in its column, while it is ordered */
    double sum;   /* of its neighbours' places */
    uint32_t count;
    int x, y, width, height;
};
struct vertices {
    struct vertex *items;
    size_t count, capacity;
};

/* From one column to the next. */
struct segment {
    uint32_t from, to;
    uint32_t row; /* of a stage: 0 its title, else its labelled ways out */
    bool on_error;
};
struct segments {
    struct segment *items;
    size_t count, capacity;
};

struct layout {
    const struct sl_pipe *pipe;
    struct vertices vertices;
    struct segments segments;
    uint32_t *columns;       /* of stages */
    uint32_t column_count;   /* the last one has the outputs */
    uint32_t *lanes;         /* vertex, by target and column */
    uint32_t *output_vertex; /* or NONE: nothing leads there */
    uint32_t *order;         /* vertices by column and place */
    uint32_t *starts;        /* of each column in `order`; one more than columns */
    uint32_t row;            /* while edges are added: of the stage */
    int width, height;
    bool failed; /* no memory */
};

/* ---- the graph --------------------------------------------------------------------------------------------------- */

static uint32_t add_vertex(struct layout *layout, enum shape shape, uint32_t index, uint32_t column) {
    if (!SL_ARRAY_RESERVE(&layout->vertices, 1)) {
        layout->failed = true;
        return 0;
    }
    layout->vertices.items[layout->vertices.count] = (struct vertex){.shape = shape, .index = index, .column = column};
    return (uint32_t)layout->vertices.count++;
}

static void add_segment(struct layout *layout, struct segment segment) {
    if (!SL_ARRAY_RESERVE(&layout->segments, 1)) {
        layout->failed = true;
        return;
    }
    layout->segments.items[layout->segments.count++] = segment;
}

static void push_column(void *context, uint32_t from, sl__target to, const char *label) {
    struct layout *layout = context;
    (void)label;
    if (!sl__target_is_output(to) && layout->columns[to] < layout->columns[from] + 1) {
        layout->columns[to] = layout->columns[from] + 1;
    }
}

/* Vertex 0 is the source, stage i is vertex 1 + i. */
static uint32_t target_vertex(struct layout *layout, sl__target to) {
    uint32_t index = sl__target_index(to);
    if (!sl__target_is_output(to)) {
        return 1 + index;
    }
    if (layout->output_vertex[index] == NONE) {
        layout->output_vertex[index] = add_vertex(layout, SHAPE_OUTPUT, index, layout->column_count - 1);
    }
    return layout->output_vertex[index];
}

/* Where an edge to the target passes through a column: a lane, or the target itself. */
static uint32_t passage(struct layout *layout, sl__target to, uint32_t column) {
    uint32_t vertex = target_vertex(layout, to);
    if (layout->vertices.items[vertex].column == column) {
        return vertex;
    }
    uint32_t target = sl__target_index(to) + (sl__target_is_output(to) ? layout->pipe->node_count : 0);
    uint32_t *lane = &layout->lanes[(size_t)target * layout->column_count + column];
    if (*lane == NONE) {
        *lane = add_vertex(layout, SHAPE_LANE, 0, column);
        uint32_t made = *lane;
        add_segment(layout, (struct segment){made, passage(layout, to, column + 1), 0, false});
        return made;
    }
    return *lane;
}

static void add_edge(void *context, uint32_t from, sl__target to, const char *label) {
    struct layout *layout = context;
    layout->row += label[0] != '\0' ? 1 : 0;
    add_segment(layout, (struct segment){1 + from, passage(layout, to, layout->columns[from] + 1),
                                         label[0] != '\0' ? layout->row : 0, strcmp(label, SL__DRAW_ON_ERROR) == 0});
}

static bool build(struct layout *layout) {
    const struct sl_pipe *pipe = layout->pipe;
    uint32_t last = 1;
    for (uint32_t i = 0; i < pipe->node_count; i++) {
        layout->columns[i] = layout->columns[i] > 0 ? layout->columns[i] : 1;
        last = layout->columns[i] > last ? layout->columns[i] : last;
        sl__draw_edges(pipe, i, push_column, layout);
    }
    layout->column_count = last + 2;
    size_t lane_count = (size_t)(pipe->node_count + pipe->output_count) * layout->column_count;
    layout->lanes = malloc(lane_count * sizeof *layout->lanes);
    if (layout->lanes == NULL) {
        return false;
    }
    memset(layout->lanes, 0xff, lane_count * sizeof *layout->lanes);
    memset(layout->output_vertex, 0xff, pipe->output_count * sizeof *layout->output_vertex);
    (void)add_vertex(layout, SHAPE_SOURCE, 0, 0);
    for (uint32_t i = 0; i < pipe->node_count; i++) {
        (void)add_vertex(layout, SHAPE_STAGE, i, layout->columns[i]);
    }
    if (layout->failed) {
        return false;
    }
    add_segment(layout, (struct segment){0, 1, 0, false});
    for (uint32_t i = 0; i < pipe->node_count && !layout->failed; i++) {
        layout->row = 0;
        sl__draw_edges(pipe, i, add_edge, layout);
        layout->vertices.items[1 + i].rows = layout->row;
    }
    return !layout->failed;
}

/* ---- order in the columns ---------------------------------------------------------------------------------------- */

static void sort_column(struct layout *layout, uint32_t column) {
    uint32_t *order = &layout->order[layout->starts[column]];
    uint32_t count = layout->starts[column + 1] - layout->starts[column];
    const struct vertex *vertices = layout->vertices.items;
    for (uint32_t i = 1; i < count; i++) { /* by insertion: stable, and columns are short or nearly in order */
        uint32_t moved = order[i], at = i;
        while (at > 0 && vertices[order[at - 1]].place > vertices[moved].place) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = moved;
    }
    for (uint32_t i = 0; i < count; i++) {
        layout->vertices.items[order[i]].place = i;
    }
}

/* Puts vertices in their columns, in the order in which they were made, and segments in the order of their columns. */
static bool arrange(struct layout *layout) {
    size_t count = layout->vertices.count, segment_count = layout->segments.count;
    uint32_t columns = layout->column_count;
    layout->order = calloc(count, sizeof *layout->order);
    layout->starts = calloc(columns + 1, sizeof *layout->starts);
    uint32_t *fill = calloc(columns + 1, sizeof *fill);
    struct segment *sorted = calloc(segment_count, sizeof *sorted);
    bool done = layout->order != NULL && layout->starts != NULL && fill != NULL && sorted != NULL;
    if (done) {
        for (size_t i = 0; i < count; i++) {
            layout->starts[layout->vertices.items[i].column + 1]++;
        }
        for (uint32_t c = 0; c < columns; c++) {
            layout->starts[c + 1] += layout->starts[c];
            fill[c] = layout->starts[c];
        }
        for (uint32_t i = 0; i < count; i++) {
            struct vertex *vertex = &layout->vertices.items[i];
            vertex->place = fill[vertex->column] - layout->starts[vertex->column];
            layout->order[fill[vertex->column]++] = i;
        }
        memset(fill, 0, (columns + 1) * sizeof *fill);
        for (size_t i = 0; i < segment_count; i++) {
            fill[layout->vertices.items[layout->segments.items[i].from].column + 1]++;
        }
        for (uint32_t c = 0; c < columns; c++) {
            fill[c + 1] += fill[c];
        }
        for (size_t i = 0; i < segment_count; i++) {
            const struct segment *segment = &layout->segments.items[i];
            sorted[fill[layout->vertices.items[segment->from].column]++] = *segment;
        }
        memcpy(layout->segments.items, sorted, segment_count * sizeof *sorted);
    }
    free(fill);
    free(sorted);
    return done;
}

/* The place in its column that a segment begins at: rows of one box are apart. */
static double port_place(const struct layout *layout, const struct segment *segment) {
    const struct vertex *from = &layout->vertices.items[segment->from];
    return from->place + 0.9 * segment->row / (from->rows + 1);
}

/* Each vertex goes to the mean of those that it is joined with on one side. */
static void sweep(struct layout *layout, bool forward) {
    struct vertex *vertices = layout->vertices.items;
    size_t segment_count = layout->segments.count, next = forward ? 0 : segment_count;
    for (uint32_t step = 1; step < layout->column_count; step++) {
        uint32_t column = forward ? step : layout->column_count - 1 - step;
        for (uint32_t i = layout->starts[column]; i < layout->starts[column + 1]; i++) {
            vertices[layout->order[i]].sum = 0;
            vertices[layout->order[i]].count = 0;
        }
        for (;;) {
            const struct segment *segment;
            if (forward && next < segment_count && vertices[layout->segments.items[next].from].column == column - 1) {
                segment = &layout->segments.items[next++];
                vertices[segment->to].sum += port_place(layout, segment);
                vertices[segment->to].count++;
            } else if (!forward && next > 0 && vertices[layout->segments.items[next - 1].from].column == column) {
                segment = &layout->segments.items[--next];
                vertices[segment->from].sum += vertices[segment->to].place;
                vertices[segment->from].count++;
            } else {
                break;
            }
        }
        for (uint32_t i = layout->starts[column]; i < layout->starts[column + 1]; i++) {
            struct vertex *vertex = &vertices[layout->order[i]];
            vertex->place = vertex->count > 0 ? vertex->sum / vertex->count : vertex->place;
        }
        sort_column(layout, column);
    }
}

/* ---- places ------------------------------------------------------------------------------------------------------ */

static int letters_of(const char *text) {
    int letters = 0;
    for (; *text != '\0' && letters < LETTERS_MAX; text++) {
        letters += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return letters;
}

struct widest {
    int letters;
};

static void widen(void *context, uint32_t from, sl__target to, const char *label) {
    struct widest *widest = context;
    int letters = letters_of(label) + 2;
    (void)from;
    (void)to;
    widest->letters = letters > widest->letters ? letters : widest->letters;
}

/* The caller frees it; NULL: no memory. */
static char *about_text(const struct sl__node *node) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        return NULL;
    }
    sl__draw_about(out, node);
    return fclose(out) == 0 ? text : NULL;
}

static bool measure(struct layout *layout) {
    for (size_t i = 0; i < layout->vertices.count; i++) {
        struct vertex *vertex = &layout->vertices.items[i];
        struct widest widest = {0};
        switch (vertex->shape) {
        case SHAPE_SOURCE:
            vertex->width = vertex->height = 16;
            break;
        case SHAPE_LANE:
            vertex->width = 0;
            vertex->height = LANE;
            break;
        case SHAPE_OUTPUT:
            vertex->width = letters_of(layout->pipe->outputs[vertex->index]) * (LETTER + 1) + 2 * PAD;
            vertex->height = TITLE + 6;
            break;
        case SHAPE_STAGE: {
            const struct sl__node *node = &layout->pipe->nodes[vertex->index];
            char *about = about_text(node);
            if (about == NULL) {
                return false;
            }
            widen(&widest, 0, 0, about);
            free(about);
            sl__draw_edges(layout->pipe, vertex->index, widen, &widest);
            int title = letters_of(node->stage.name) * (LETTER + 1), rest = widest.letters * LETTER;
            vertex->width = (title > rest ? title : rest) + 2 * PAD;
            vertex->height = TITLE + ROW + (int)vertex->rows * ROW + 6;
            break;
        }
        }
    }
    return true;
}

static int port_y(const struct layout *layout, const struct segment *segment) {
    const struct vertex *from = &layout->vertices.items[segment->from];
    if (from->shape == SHAPE_STAGE && segment->row > 0) {
        return from->y + TITLE + ROW + (int)segment->row * ROW - ROW / 2;
    }
    return from->y + (from->shape == SHAPE_STAGE ? TITLE / 2 + 2 : from->height / 2);
}

static int entry_y(const struct vertex *vertex) {
    return vertex->y + (vertex->shape == SHAPE_STAGE ? TITLE / 2 + 2 : vertex->height / 2);
}

/* As near as may be to where its edges come from, none above the one before it; then all of the column up by what that pushed it down. */
static void place_column(struct layout *layout, uint32_t column, int x) {
    struct vertex *vertices = layout->vertices.items;
    const uint32_t *order = &layout->order[layout->starts[column]];
    uint32_t count = layout->starts[column + 1] - layout->starts[column];
    int64_t pushed = 0;
    int bottom = MARGIN - GAP_Y;
    for (uint32_t i = 0; i < count; i++) {
        struct vertex *vertex = &vertices[order[i]];
        int entry = entry_y(vertex) - vertex->y;
        int wanted = vertex->count > 0 ? (int)(vertex->sum / vertex->count) - entry : MARGIN;
        vertex->x = x;
        vertex->y = wanted > bottom + GAP_Y ? wanted : bottom + GAP_Y;
        pushed += vertex->y - wanted;
        bottom = vertex->y + vertex->height;
    }
    int up = count > 0 ? (int)(pushed / count) : 0;
    if (up > 0) {
        int room = vertices[order[0]].y - MARGIN;
        up = up < room ? up : room;
        for (uint32_t i = 0; i < count; i++) {
            vertices[order[i]].y -= up;
        }
        bottom -= up;
    }
    layout->height = bottom + MARGIN > layout->height ? bottom + MARGIN : layout->height;
}

static void place(struct layout *layout) {
    struct vertex *vertices = layout->vertices.items;
    size_t next = 0;
    int x = MARGIN;
    for (size_t i = 0; i < layout->vertices.count; i++) {
        vertices[i].sum = 0;
        vertices[i].count = 0;
    }
    for (uint32_t column = 0; column < layout->column_count; column++) {
        int width = 0;
        place_column(layout, column, x);
        for (; next < layout->segments.count && vertices[layout->segments.items[next].from].column == column; next++) {
            const struct segment *segment = &layout->segments.items[next];
            vertices[segment->to].sum += port_y(layout, segment);
            vertices[segment->to].count++;
        }
        for (uint32_t i = layout->starts[column]; i < layout->starts[column + 1]; i++) {
            const struct vertex *vertex = &vertices[layout->order[i]];
            width = vertex->width > width ? vertex->width : width;
        }
        for (uint32_t i = layout->starts[column]; i < layout->starts[column + 1]; i++) {
            struct vertex *vertex = &vertices[layout->order[i]];
            vertex->width = vertex->shape == SHAPE_LANE ? width : vertex->width;
        }
        x += width;
        layout->width = x + MARGIN;
        x += GAP_X;
    }
}

/* ---- printing ---------------------------------------------------------------------------------------------------- */

/* What XML may not hold becomes a question mark. */
static void print_text(FILE *out, const char *text, int letters_max) {
    size_t left = strlen(text), valid = sl__utf8_valid_size(text, left);
    int letters = 0;
    while (left > 0) {
        if (valid == 0) { /* a byte that is no text */
            fputc('?', out);
            letters++;
            text++;
            left--;
            valid = sl__utf8_valid_size(text, left);
            continue;
        }
        unsigned char c = (unsigned char)*text;
        if ((c & 0xc0) != 0x80 && ++letters > letters_max) {
            fputs("\xe2\x80\xa6", out);
            return;
        }
        switch (c) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default: {
            bool odd = c < 0x20 || c == 0x7f;
            bool none = c == 0xef && valid >= 3 && (unsigned char)text[1] == 0xbf && (unsigned char)text[2] >= 0xbe;
            if (none) { /* U+FFFE and U+FFFF */
                text += 2;
                left -= 2;
                valid -= 2;
            }
            fputc(odd || none ? '?' : c, out);
        }
        }
        text++;
        left--;
        valid--;
    }
}

static void print_line(FILE *out, const char *class, int x, int y, const char *text) {
    fprintf(out, "<text class=\"%s\" x=\"%d\" y=\"%d\">", class, x, y);
    print_text(out, text, LETTERS_MAX);
    fprintf(out, "</text>");
}

struct rows {
    FILE *out;
    const struct vertex *vertex;
    uint32_t row;
};

static void print_row(void *context, uint32_t from, sl__target to, const char *label) {
    struct rows *rows = context;
    (void)from;
    (void)to;
    if (label[0] != '\0') {
        int y = rows->vertex->y + TITLE + ROW + (int)rows->row++ * ROW;
        fprintf(rows->out, "<path class=\"rule\" d=\"M%d %dh%d\"/>", rows->vertex->x, y, rows->vertex->width);
        print_line(rows->out, "row", rows->vertex->x + PAD, y + 13, label);
    }
}

static bool print_stage(FILE *out, const struct layout *layout, const struct vertex *vertex) {
    static const char *const kinds[] = {"", "native", "python", "router"};
    const struct sl__node *node = &layout->pipe->nodes[vertex->index];
    char *about = about_text(node);
    if (about == NULL) {
        return false;
    }
    fprintf(out, "<g class=\"stage %s\"><title>", kinds[node->stage.kind]);
    print_text(out, node->stage.name, INT32_MAX);
    fprintf(out, ": ");
    print_text(out, about, INT32_MAX);
    fprintf(out, "</title><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\"/>", vertex->x, vertex->y,
            vertex->width, vertex->height);
    print_line(out, "name", vertex->x + PAD, vertex->y + 18, node->stage.name);
    print_line(out, "about", vertex->x + PAD, vertex->y + TITLE + 12, about);
    struct rows rows = {out, vertex, 0};
    sl__draw_edges(layout->pipe, vertex->index, print_row, &rows);
    fprintf(out, "</g>\n");
    free(about);
    return true;
}

static void print_output(FILE *out, const struct layout *layout, const struct vertex *vertex) {
    const char *name = layout->pipe->outputs[vertex->index];
    fprintf(out, "<g class=\"output\"><title>output ");
    print_text(out, name, INT32_MAX);
    fprintf(out, "</title><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"15\"/>", vertex->x, vertex->y,
            vertex->width, vertex->height);
    print_line(out, "name", vertex->x + PAD, vertex->y + 20, name);
    fprintf(out, "</g>\n");
}

static void print_segment(FILE *out, const struct layout *layout, const struct segment *segment) {
    const struct vertex *from = &layout->vertices.items[segment->from], *to = &layout->vertices.items[segment->to];
    int start = from->x + from->width, y1 = port_y(layout, segment), y2 = entry_y(to);
    /* The curve begins behind the widest box of the column. */
    int bend = to->x - GAP_X;
    fprintf(out, "<path class=\"edge%s\" d=\"M%d %dH%dC%d %d %d %d %d %d\"%s/>\n", segment->on_error ? " error" : "",
            start, y1, bend, bend + GAP_X / 2, y1, bend + GAP_X / 2, y2, to->x - (to->shape == SHAPE_LANE ? 0 : 1), y2,
            to->shape == SHAPE_LANE ? "" : " marker-end=\"url(#head)\"");
}

static bool print(FILE *out, const struct layout *layout) {
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\" "
            "font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" "
            "font-size=\"11\">\n<title>pipe ",
            layout->width, layout->height, layout->width, layout->height);
    print_text(out, layout->pipe->name, INT32_MAX);
    /* Boxes bring their ground with them and lines are of middle grey: both can be read on white and on black. */
    fprintf(out, "</title>\n<defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" "
                 "markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0 8 4 0 8z\" fill=\"#7d8590\"/></marker>\n<style>\n"
                 ".edge{fill:none;stroke:#7d8590;stroke-width:1.5}.error{stroke:#c4554d;stroke-dasharray:5 3}\n"
                 ".rule{fill:none;stroke:#7d8590;stroke-width:.5}rect,circle{stroke:#6e7781;stroke-width:1.2}\n"
                 "text{fill:#1f2328}.name{font-weight:bold;font-size:12px}.about{fill:#57606a}\n"
                 ".native rect{fill:#e6f0fb}.python rect{fill:#fdf2d2}.router rect{fill:#eee7fb}\n"
                 ".output rect{fill:#e2f4e7}.source circle{fill:#e6e8eb}\n</style></defs>\n");
    for (size_t i = 0; i < layout->segments.count; i++) {
        print_segment(out, layout, &layout->segments.items[i]);
    }
    for (size_t i = 0; i < layout->vertices.count; i++) {
        const struct vertex *vertex = &layout->vertices.items[i];
        if (vertex->shape == SHAPE_STAGE && !print_stage(out, layout, vertex)) {
            return false;
        }
        if (vertex->shape == SHAPE_LANE) {
            fprintf(out, "<path class=\"edge\" d=\"M%d %dh%d\"/>\n", vertex->x, entry_y(vertex), vertex->width);
        }
        if (vertex->shape == SHAPE_OUTPUT) {
            print_output(out, layout, vertex);
        }
        if (vertex->shape == SHAPE_SOURCE) {
            fprintf(out, "<g class=\"source\"><title>the input</title><circle cx=\"%d\" cy=\"%d\" r=\"%d\"/></g>\n",
                    vertex->x + vertex->width / 2, vertex->y + vertex->height / 2, vertex->width / 2);
        }
    }
    fprintf(out, "</svg>\n");
    return true;
}

bool sl__draw_svg(FILE *out, const struct sl_pipe *pipe) {
    struct layout layout = {.pipe = pipe};
    layout.columns = calloc(pipe->node_count, sizeof *layout.columns);
    layout.output_vertex = calloc(pipe->output_count, sizeof *layout.output_vertex);
    bool done = layout.columns != NULL && layout.output_vertex != NULL && build(&layout) && arrange(&layout) &&
                measure(&layout);
    if (done) {
        for (int i = 0; i < SWEEPS; i++) {
            sweep(&layout, i % 2 == 0);
        }
        place(&layout);
        done = print(out, &layout);
    }
    SL_ARRAY_FINISH(&layout.vertices);
    SL_ARRAY_FINISH(&layout.segments);
    free(layout.columns);
    free(layout.lanes);
    free(layout.output_vertex);
    free(layout.order);
    free(layout.starts);
    return done;
}
