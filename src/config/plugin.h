/* SPDX-License-Identifier: MIT */
/* Loading what a stage names as PATH:FUNCTION. */
#ifndef SLITHER_CONFIG_PLUGIN_H
#define SLITHER_CONFIG_PLUGIN_H

#include <slither/plugin.h>

struct sl__plugin {
    void *library;
    sl_stage_fn *call;
    sl_plugin_init_fn *init;     /* may be NULL */
    sl_plugin_finish_fn *finish; /* may be NULL */
};

/* Loads and checks. Errors: not_found (library or function), version_mismatch, invalid_data (no plugin). */
enum sl_code sl__plugin_load(const char *path, const char *function, struct sl__plugin *plugin, struct sl_error *error);
/* A zeroed one is fine. */
void sl__plugin_unload(struct sl__plugin *plugin);

#endif
