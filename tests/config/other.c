/* SPDX-License-Identifier: MIT */
/* A plugin that was built for another layout. */
#include <slither/plugin.h>

SL_API extern const struct sl_plugin sl_plugin;
const struct sl_plugin sl_plugin = {sizeof(struct sl_plugin),
                                    SL_PLUGIN_ABI,
                                    0,
                                    "9.9.9",
                                    sizeof(struct sl_value),
                                    sizeof(struct sl_writer) + 8,
                                    sizeof(struct sl_error),
                                    sizeof(struct sl_pipe_item),
                                    sizeof(struct sl_pipe_context)};

SL_API sl_stage_fn plain;
enum sl_code plain(void *context, const struct sl_pipe_item *item, struct sl_emit *emit, struct sl_error *error) {
    (void)context, (void)error;
    sl_emit(emit, item->value);
    return SL_OK;
}
