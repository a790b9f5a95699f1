/* SPDX-License-Identifier: MIT */
/* A plugin as users write one: strings in capitals, with what its `config` puts behind them. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <slither/plugin.h>

SL_PLUGIN;

struct shout {
    char mark[16];
    struct sl_writer writer;
};

SL_API sl_plugin_init_fn shout_init;
SL_API sl_plugin_finish_fn shout_finish;
SL_API sl_stage_fn shout, plain;

/* Lives as long as the library: the test sees in it that each init had its finish. */
SL_API extern int shouts;
int shouts;

enum sl_code shout_init(const struct sl_plugin_setup *setup, void **context, struct sl_error *error) {
    struct sl_value mark;
    const char *text;
    size_t size;
    if (sl_value_get(setup->config, "mark", &mark) != SL_OK || sl_value_str(mark, &text, &size) != SL_OK || size > 15) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT, "stage %s: config.mark must be a text of at most 15 bytes",
                            setup->stage);
    }
    struct shout *shout_ = calloc(1, sizeof *shout_);
    if (shout_ == NULL) {
        return sl_error_set(error, SL_E_OUT_OF_MEMORY, "no memory");
    }
    memcpy(shout_->mark, text, size);
    *context = shout_;
    shouts++;
    return SL_OK;
}

void shout_finish(void *context) {
    free(context);
    shouts--;
}

enum sl_code shout(void *context, const struct sl_pipe_item *item, struct sl_emit *emit, struct sl_error *error) {
    const struct shout *shout_ = context;
    const char *text;
    char loud[64];
    size_t size;
    if (sl_value_str(item->value, &text, &size) != SL_OK || size > 40) {
        return sl_error_set(error, SL_E_TYPE, "expected a text of at most 40 bytes");
    }
    for (size_t i = 0; i < size; i++) {
        loud[i] = (char)toupper((unsigned char)text[i]);
    }
    memcpy(loud + size, shout_->mark, strlen(shout_->mark));
    sl_write_strn(sl_emit_begin(emit), loud, size + strlen(shout_->mark));
    sl_emit_end(emit);
    return SL_OK;
}

enum sl_code plain(void *context, const struct sl_pipe_item *item, struct sl_emit *emit, struct sl_error *error) {
    (void)error;
    if (context != NULL) {
        return SL_E_INVALID_ARGUMENT;
    }
    sl_emit(emit, item->value);
    return SL_OK;
}
