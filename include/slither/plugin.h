/* SPDX-License-Identifier: MIT */
/*
 * Plugins: native stages of a pipe file, in a shared library.
 *
 *     #include <slither/plugin.h>
 *
 *     SL_PLUGIN;
 *
 *     enum sl_code shout(void *context, const struct sl_pipe_item *item, struct sl_emit *emit, struct sl_error *error) {...}
 *     enum sl_code shout_init(const struct sl_plugin_setup *setup, void **context, struct sl_error *error) {...}  // optional
 *     void shout_finish(void *context) {...}                                                                      // optional
 *
 * and in the file: `plugin: ./libshout.so:shout`, with a `config` of any kind. The library is built against these headers, and uses the host's
 * libslither; one that was built for another layout of them is refused by name. The functions need default visibility.
 */
#ifndef SLITHER_PLUGIN_H
#define SLITHER_PLUGIN_H

#include <slither/base.h>
#include <slither/error.h>
#include <slither/pipe.h>
#include <slither/value.h>
#include <slither/version.h>

SL_BEGIN_DECLS

/** Grows when plugins of before cannot be used any more. */
#define SL_PLUGIN_ABI 1

/** What a library says of itself, under the symbol `sl_plugin`. */
struct sl_plugin {
    size_t size; /**< sizeof(struct sl_plugin) */
    uint32_t abi;
    uint32_t reserved;
    const char *version; /**< of the headers that it was built with */
    size_t value_size;
    size_t writer_size;
    size_t error_size;
    size_t item_size;
    size_t context_size;
};

#define SL_PLUGIN_INIT                                                                          \
    {                                                                                           \
        sizeof(struct sl_plugin), SL_PLUGIN_ABI, 0, SL_VERSION_STRING, sizeof(struct sl_value), \
            sizeof(struct sl_writer), sizeof(struct sl_error), sizeof(struct sl_pipe_item),     \
            sizeof(struct sl_pipe_context)                                                      \
    }

/** Stands once in the library, outside of functions. */
#define SL_PLUGIN                                   \
    SL_API extern const struct sl_plugin sl_plugin; \
    const struct sl_plugin sl_plugin = SL_PLUGIN_INIT

/** What an init function is told. Valid during the call. */
struct sl_plugin_setup {
    size_t size;            /**< sizeof(struct sl_plugin_setup) of the library */
    const char *pipe;       /**< name */
    const char *stage;      /**< name */
    const char *directory;  /**< of the pipe file; "" is the host's */
    struct sl_value config; /**< of the stage; nil where the file has none */
};

/**
 * NAME_init: called once for each stage, before the first run (sl_pipe_file_start()). `*context` is what the stage's function gets; it is NULL before. On failure
 * the pipe does not start, and NAME_finish is not called.
 */
typedef enum sl_code sl_plugin_init_fn(const struct sl_plugin_setup *setup, void **context, struct sl_error *error);
/** NAME_finish: called once after the last run, for each init that succeeded. */
typedef void sl_plugin_finish_fn(void *context);

SL_END_DECLS

#endif
