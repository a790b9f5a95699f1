/* SPDX-License-Identifier: MIT */
/* The strategies that come with the library: each is one way to place an item. */
#include <slither/dispatch.h>

struct sl_strategy sl_strategy_fixed(void) {
    return (struct sl_strategy){.name = "fixed", .place = NULL, .context = NULL};
}

static enum sl_code place_weighted(void *context, const struct sl_item *item, struct sl_placement *placement,
                                   struct sl_error *error) {
    const struct sl_strategy_functions *functions = context;
    placement->weight = 1;
    if (functions->weight == NULL) {
        return SL_OK;
    }
    return functions->weight(functions->context, item, &placement->weight, error);
}

struct sl_strategy sl_strategy_weighted(struct sl_strategy_functions *functions) {
    return (struct sl_strategy){.name = "weighted", .place = place_weighted, .context = functions};
}

static enum sl_code place_key(void *context, const struct sl_item *item, struct sl_placement *placement,
                              struct sl_error *error) {
    const struct sl_strategy_functions *functions = context;
    if (functions->key == NULL) {
        return sl_error_set(error, SL_E_INVALID_ARGUMENT,
                            "sl_strategy_key: functions->key is NULL; give a function that reads the key off an item");
    }
    struct sl_value key = {NULL, 0};
    enum sl_code code = functions->key(functions->context, item, &key, error);
    if (code != SL_OK) {
        return code;
    }
    if (key.size == 0) {
        return SL_OK; /* an item without a key goes where there is room */
    }
    placement->key_value = key;
    placement->key = sl_value_hash(key);
    if (placement->key == 0) {
        placement->key = 1; /* 0 says that there is no key */
    }
    if (functions->weight == NULL) {
        return SL_OK;
    }
    return functions->weight(functions->context, item, &placement->weight, error);
}

struct sl_strategy sl_strategy_key(struct sl_strategy_functions *functions) {
    return (struct sl_strategy){.name = "key", .place = place_key, .context = functions};
}
