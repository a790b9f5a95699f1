/* SPDX-License-Identifier: MIT */
/* The graph of a pipe, for people. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "draw.h"

static const char *kind_name(const struct sl__node *node) {
    switch (node->stage.kind) {
    case SL_STAGE_NATIVE:
        return "native";
    case SL_STAGE_PYTHON:
        return "python";
    case SL_STAGE_ROUTER:
        break;
    }
    return "router";
}

void sl__draw_about(FILE *out, const struct sl__node *node) {
    const struct sl_stage *stage = &node->stage;
    fprintf(out, "%s", kind_name(node));
    if (stage->kind == SL_STAGE_PYTHON) {
        fprintf(out, " %s, batch %u, in flight %u", stage->function, stage->batch_size, stage->max_in_flight);
    }
    if (node->threaded && stage->kind == SL_STAGE_NATIVE) {
        fprintf(out, ", %u thread%s", node->threads, node->threads == 1 ? "" : "s");
    }
    if (stage->cardinality != SL_CARDINALITY_ONE) {
        fprintf(out, ", %s", stage->cardinality == SL_CARDINALITY_MANY ? "many" : "filter");
    }
    if (stage->note != NULL) {
        fprintf(out, ": %s", stage->note);
    }
}

void sl__draw_edges(const struct sl_pipe *pipe, uint32_t index, sl__draw_edge_fn *edge, void *context) {
    const struct sl__node *node = &pipe->nodes[index];
    for (uint32_t i = 0; i < node->route_count; i++) {
        const struct sl_route *route = &node->stage.routes[i];
        bool rest = node->stage.kind == SL_STAGE_ROUTER && route->when == NULL;
        edge(context, index, node->routes[i], route->note != NULL ? route->note : rest ? "otherwise" : "route");
    }
    if (node->stage.kind == SL_STAGE_ROUTER) {
        if (node->otherwise != SL__NOWHERE) {
            edge(context, index, node->otherwise, "otherwise");
        }
    } else {
        edge(context, index, node->next, "");
    }
    if (node->on_error != SL__NOWHERE) {
        edge(context, index, node->on_error, SL__DRAW_ON_ERROR);
    }
}

struct printer {
    FILE *out;
    const struct sl_pipe *pipe;
};

static void text_edge(void *context, uint32_t from, sl__target to, const char *label) {
    const struct printer *printer = context;
    (void)from;
    fprintf(printer->out, "    %s %s%s%s%s\n", sl__target_is_output(to) ? "=>" : "->",
            sl__plan_target_name(printer->pipe, to), label[0] != '\0' ? "  (" : "", label, label[0] != '\0' ? ")" : "");
}

static void print_text(FILE *out, const struct sl_pipe *pipe) {
    struct printer printer = {out, pipe};
    fprintf(out, "pipe %s\n", pipe->name);
    for (uint32_t i = 0; i < pipe->node_count; i++) {
        fprintf(out, "  %s  ", pipe->nodes[i].stage.name);
        sl__draw_about(out, &pipe->nodes[i]);
        fprintf(out, "\n");
        sl__draw_edges(pipe, i, text_edge, &printer);
    }
}

static void print_quoted(FILE *out, const char *text) {
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            fputc('\\', out);
        }
        fputc(*text == '\n' ? ' ' : *text, out);
    }
}

static void dot_edge(void *context, uint32_t from, sl__target to, const char *label) {
    FILE *out = ((const struct printer *)context)->out;
    fprintf(out, "  s%u -> %s%u", from, sl__target_is_output(to) ? "o" : "s", sl__target_index(to));
    if (label[0] != '\0') {
        fprintf(out, " [label=\"");
        print_quoted(out, label);
        fprintf(out, "\"]");
    }
    fprintf(out, ";\n");
}

static void print_dot(FILE *out, const struct sl_pipe *pipe) {
    struct printer printer = {out, pipe};
    fprintf(out, "digraph \"%s\" {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n", pipe->name);
    fprintf(out, "  source [shape=circle, label=\"\", width=0.2];\n  source -> s0;\n");
    for (uint32_t i = 0; i < pipe->node_count; i++) {
        const struct sl__node *node = &pipe->nodes[i];
        fprintf(out, "  s%u [%slabel=\"%s\\n", i, node->stage.kind == SL_STAGE_ROUTER ? "shape=diamond, " : "",
                node->stage.name);
        char *about = NULL;
        size_t size = 0;
        FILE *text = open_memstream(&about, &size);
        if (text != NULL) {
            sl__draw_about(text, node);
            fclose(text);
            print_quoted(out, about);
            free(about);
        }
        fprintf(out, "\"];\n");
        sl__draw_edges(pipe, i, dot_edge, &printer);
    }
    for (uint32_t i = 0; i < pipe->output_count; i++) {
        fprintf(out, "  o%u [shape=box, style=rounded, label=\"%s\"];\n", i, pipe->outputs[i]);
    }
    fprintf(out, "}\n");
}

char *sl_pipe_draw(const struct sl_pipe *pipe, enum sl_pipe_picture picture) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        return NULL;
    }
    bool drawn = true;
    switch (picture) {
    case SL_PIPE_PICTURE_DOT:
        print_dot(out, pipe);
        break;
    case SL_PIPE_PICTURE_SVG:
        drawn = sl__draw_svg(out, pipe);
        break;
    case SL_PIPE_PICTURE_TEXT:
        print_text(out, pipe);
        break;
    }
    if (fclose(out) != 0 || !drawn) {
        free(text);
        return NULL;
    }
    return text;
}
