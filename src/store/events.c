/* SPDX-License-Identifier: MIT */
/* What handlers of the runtime's events are told. */
#include "base/macros.h"
#include "inside.h"
#include "telemetry/telemetry.h"

void sl__store_note_write(const struct sl_transaction *transaction, struct sl__write_told *told) {
    const struct sl__change_list *changes = &transaction->changes;
    told->version = mdb_txn_id(transaction->txn);
    told->change_overflow = changes->overflow;
    told->expired_count = transaction->expired_count;
    told->evicted_count = transaction->evicted_count;
    for (size_t at = 0; at < changes->count; at += changes->items[at] & 0xffff) {
        told->change_count++;
    }
}

void sl__store_tell_write(const struct sl_store *store, const struct sl__write_told *told) {
    struct sl_event_field fields[5] = {SL__TEXT("store", store->name), SL__UINT("version", told->version)};
    uint32_t count = 2;
    if (!told->change_overflow) {
        fields[count++] = (struct sl_event_field)SL__UINT("changes", told->change_count);
    }
    fields[count++] = (struct sl_event_field)SL__UINT("expired", told->expired_count);
    fields[count++] = (struct sl_event_field)SL__UINT("evicted", told->evicted_count);
    sl__telemetry_tell(store->telemetry, SL__TELEMETRY_STORE_WRITE, 0, fields, count);
}

void sl__reload_tell_start(const struct sl_table *table, struct sl__span *span) {
    const struct sl_event_field fields[] = {SL__TEXT("store", table->store->name),
                                            SL__TEXT("table", table->name->name)};
    sl__span_begin(span, table->store->telemetry, SL__TELEMETRY_STORE_RELOAD_START, 0, 0, fields, SL_COUNT_OF(fields));
}

void sl__reload_tell_end(const struct sl_table *table, struct sl__span *span, enum sl_code code, uint64_t row_count) {
    const struct sl_event_field stop[] = {SL__TEXT("store", table->store->name), SL__TEXT("table", table->name->name),
                                          SL__UINT("rows", row_count)};
    const struct sl_event_field exception[] = {SL__TEXT("store", table->store->name),
                                               SL__TEXT("table", table->name->name), SL__CODE("code", code)};
    if (code == SL_OK) {
        sl__span_end(span, table->store->telemetry, SL__TELEMETRY_STORE_RELOAD_STOP, stop, SL_COUNT_OF(stop));
    } else {
        sl__span_end(span, table->store->telemetry, SL__TELEMETRY_STORE_RELOAD_EXCEPTION, exception,
                     SL_COUNT_OF(exception));
    }
}
