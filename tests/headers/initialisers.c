/* SPDX-License-Identifier: MIT */
/* The _INIT macros where programs expand them: complete, in the order of the members, as C11 and as C++17. */
#include <slither/slither.h>

int main(void) {
    struct sl_error error = SL_ERROR_INIT;
    struct sl_limits limits = SL_LIMITS_INIT;
    struct sl_runtime_options runtime = SL_RUNTIME_OPTIONS_INIT;
    struct sl_pool_options pool = SL_POOL_OPTIONS_INIT;
    struct sl_pool_stats stats = SL_POOL_STATS_INIT;
    struct sl_dispatch_options dispatch = SL_DISPATCH_OPTIONS_INIT;
    struct sl_report report = SL_REPORT_INIT;
    struct sl_executor_options executor = SL_EXECUTOR_OPTIONS_INIT;
    struct sl_store_options store = SL_STORE_OPTIONS_INIT;
    struct sl_store_stat store_stat = SL_STORE_STAT_INIT;
    struct sl_table_options table = SL_TABLE_OPTIONS_INIT;
    struct sl_scan_options scan = SL_SCAN_OPTIONS_INIT;
    struct sl_put_options put = SL_PUT_OPTIONS_INIT;
    struct sl_change change = SL_CHANGE_INIT;
    struct sl_watch_options watch = SL_WATCH_OPTIONS_INIT;

    /* Each struct says its own size, and a member near the end still has the default that the header documents. */
    if (error.size != sizeof(error) || error.exit_status != -1 || error.worker != UINT32_MAX) {
        return 1;
    }
    if (limits.size != sizeof(limits) || limits.depth_max != 128) {
        return 2;
    }
    if (runtime.size != sizeof(runtime) || runtime.lane_max != 1024) {
        return 3;
    }
    if (pool.size != sizeof(pool) || pool.depth_max != 128 || pool.stop_timeout_ms != 2000 ||
        pool.start_failure_max != 5 || pool.circuit_cooldown_ms != 1000) {
        return 4;
    }
    if (stats.size != sizeof(stats) || stats.protocol_error_count != 0 || stats.circuit != SL_CIRCUIT_CLOSED) {
        return 5;
    }
    if (dispatch.size != sizeof(dispatch) || dispatch.batch_size != 64 || dispatch.max_in_flight != 8 ||
        dispatch.timeout_ms != 30000 || dispatch.error_list_max != 64 || dispatch.progress_ms != 100) {
        return 6;
    }
    if (report.size != sizeof(report) || report.errors != NULL || report.hot_keys[0].item_count != 0) {
        return 7;
    }
    if (store.size != sizeof(store) || store.tables_max != 64 || store.change_bytes != 1 << 20 ||
        store_stat.size != sizeof(store_stat) || store_stat.oldest_snapshot_pid != 0) {
        return 9;
    }
    if (table.size != sizeof(table) || table.policy != SL_TABLE_FULL_REFUSE || scan.size != sizeof(scan) ||
        scan.context != NULL || put.size != sizeof(put) || put.ttl_ms != 0) {
        return 10;
    }
    if (change.size != sizeof(change) || change.version != 0 || watch.size != sizeof(watch) ||
        watch.pending_max != 4096) {
        return 11;
    }
    return executor.size == sizeof(executor) && executor.capacity == 1 ? 0 : 8;
}
