/* SPDX-License-Identifier: MIT */
/*
 * The list of all events: X(identifier, name, phase, when it happens, fields), where fields are F(name, type, what it is). The documents are checked against it.
 *
 * A span is three entries in a row, START, STOP and EXCEPTION, of one stem. Emitters give the fields in this order, and may leave some out.
 */
#ifndef SLITHER_TELEMETRY_EVENTS_H
#define SLITHER_TELEMETRY_EVENTS_H

/* clang-format off */
#define SL__OF_WORKER(F) \
    F("pool", TEXT, "name of the pool") \
    F("worker", UINT, "index of the worker in its pool") \
    F("generation", UINT, "of the worker: how often it had been started")

#define SL__OF_BATCH(F) \
    F("pool", TEXT, "name of the pool or the executor") \
    F("function", TEXT, "the Python function, or what the executor was told") \
    F("worker", UINT, "index of the worker in its pool; not with an executor") \
    F("generation", UINT, "of the worker: how often it had been started") \
    F("session", UINT, "id of the session that it works for") \
    F("items", UINT, "in the batch")

#define SL__OF_VIEW(F) \
    F("view", TEXT, "name of the view") \
    F("pool", TEXT, "name of the pool whose worker calls") \
    F("worker", UINT, "index of the worker in its pool") \
    F("generation", UINT, "of the worker: how often it had been started") \
    F("session", UINT, "id of the session that the calling code works for")

#define SL__OF_STAGE(F) \
    F("pipe", TEXT, "name of the pipe") \
    F("stage", TEXT, "name of the stage") \
    F("kind", TEXT, "native, python or router")

#define SL__OF_STAGE_END(F) \
    F("input", UINT, "items that came to it") \
    F("ok", UINT, "of them") \
    F("failed", UINT, "of them") \
    F("skipped", UINT, "of them") \
    F("routed", UINT, "of them") \
    F("cancelled", UINT, "of them") \
    F("busy_ns", UINT, "time inside of its functions, where it has some that are native")

#define SL__OF_CALL(F) \
    F("pool", TEXT, "name of the pool") \
    F("function", TEXT, "what was called, as errors name it: \"math:sqrt\", \"Model.predict\"") \
    F("session", UINT, "id of the session that it is made in")

#define SL__OF_SESSION(F) \
    F("pool", TEXT, "name of the pool") \
    F("session", UINT, "its id") \
    F("name", TEXT, "its name, where the host gave it one")

#define SL__EVENT_TABLE(X, F) \
    X(DISPATCH_BATCH_START, "slither.dispatch.batch.start", START, "a batch has been given to a worker or an executor", \
      SL__OF_BATCH(F) \
      F("attempt", UINT, "of its first item, from 1")) \
    X(DISPATCH_BATCH_STOP, "slither.dispatch.batch.stop", STOP, "its results have come, one for each item", \
      SL__OF_BATCH(F) \
      F("ok", UINT, "items") \
      F("failed", UINT, "items that the function has marked, and that are not tried again") \
      F("skipped", UINT, "items") \
      F("routed", UINT, "items") \
      F("retried", UINT, "items that the function has marked, and that are tried again in another batch")) \
    X(DISPATCH_BATCH_EXCEPTION, "slither.dispatch.batch.exception", EXCEPTION, "it has failed as a whole, or is not waited for", \
      SL__OF_BATCH(F) \
      F("attempt", UINT, "of its first item, from 1") \
      F("code", CODE, "why") \
      F("outcome", TEXT, "failed: counted in the report, the error policy decides; requeued: its worker was lost by no fault of it; cancelled")) \
    X(PIPE_RUN_START, "slither.pipe.run.start", START, "a run of a pipe has begun", \
      F("pipe", TEXT, "name of the pipe") \
      F("stages", UINT, "of the pipe")) \
    X(PIPE_RUN_STOP, "slither.pipe.run.stop", STOP, "all of it is through", \
      F("pipe", TEXT, "name of the pipe") \
      F("input", UINT, "items of the source") \
      F("finished", UINT, "of them, those that nothing is left of")) \
    X(PIPE_RUN_EXCEPTION, "slither.pipe.run.exception", EXCEPTION, "it was halted or cancelled, or its source or a sink failed", \
      F("pipe", TEXT, "name of the pipe") \
      F("input", UINT, "items of the source") \
      F("finished", UINT, "of them, those that nothing is left of") \
      F("code", CODE, "why")) \
    X(PIPE_STAGE_START, "slither.pipe.stage.start", START, "a stage of a run is ready for items; its parent is the run", \
      SL__OF_STAGE(F)) \
    X(PIPE_STAGE_STOP, "slither.pipe.stage.stop", STOP, "nothing can come to it any more, and it is through", \
      SL__OF_STAGE(F) \
      SL__OF_STAGE_END(F)) \
    X(PIPE_STAGE_EXCEPTION, "slither.pipe.stage.exception", EXCEPTION, "it has ended the run, or was ended with it before it was through", \
      SL__OF_STAGE(F) \
      SL__OF_STAGE_END(F) \
      F("code", CODE, "why")) \
    X(STORE_WRITE, "slither.store.write", SINGLE, "a transaction has been committed", \
      F("store", TEXT, "name of the store") \
      F("version", UINT, "that it has made") \
      F("changes", UINT, "rows and tables that it has changed, as watches see them") \
      F("expired", UINT, "rows that it has removed because their time was up") \
      F("evicted", UINT, "rows that it has removed because their table was full")) \
    X(STORE_RELOAD_START, "slither.store.reload.start", START, "a table is being reloaded", \
      F("store", TEXT, "name of the store") \
      F("table", TEXT, "name of the table")) \
    X(STORE_RELOAD_STOP, "slither.store.reload.stop", STOP, "the new rows have replaced the old ones", \
      F("store", TEXT, "name of the store") \
      F("table", TEXT, "name of the table") \
      F("rows", UINT, "that the table has now")) \
    X(STORE_RELOAD_EXCEPTION, "slither.store.reload.exception", EXCEPTION, "the old rows stay", \
      F("store", TEXT, "name of the store") \
      F("table", TEXT, "name of the table") \
      F("code", CODE, "why; cancelled: it was aborted")) \
    X(BRIDGE_VIEW_START, "slither.bridge.view.start", START, "Python has called a view, which begins", \
      SL__OF_VIEW(F) \
      F("depth", UINT, "1, or more when another view has dispatched the batch that calls") \
      F("keys", UINT, "of a call for many; else missing")) \
    X(BRIDGE_VIEW_STOP, "slither.bridge.view.stop", STOP, "it has given a result", \
      SL__OF_VIEW(F) \
      F("bytes", UINT, "of the result, encoded") \
      F("wanted", BOOL, "false: it came too late, and was dropped")) \
    X(BRIDGE_VIEW_EXCEPTION, "slither.bridge.view.exception", EXCEPTION, "it has failed", \
      SL__OF_VIEW(F) \
      F("code", CODE, "why") \
      F("wanted", BOOL, "false: it came too late, and was dropped")) \
    X(POOL_STARTED, "slither.pool.started", SINGLE, "a pool is there, all of its first workers ready", \
      F("pool", TEXT, "name of the pool") \
      F("worker_min", UINT, "workers that it has at least") \
      F("worker_max", UINT, "workers that it may have") \
      F("start_ns", UINT, "how long it took")) \
    X(POOL_START_FAILED, "slither.pool.start_failed", SINGLE, "it could not be made", \
      F("pool", TEXT, "name of the pool") \
      F("code", CODE, "why") \
      F("start_ns", UINT, "how long it took")) \
    X(POOL_TEMPLATE_READY, "slither.pool.template_ready", SINGLE, "the pool's template process is there", \
      F("pool", TEXT, "name of the pool") \
      F("forks", BOOL, "false: it cannot be forked, and workers are started one by one")) \
    X(POOL_RESIZED, "slither.pool.resized", SINGLE, "it has other bounds from now on", \
      F("pool", TEXT, "name of the pool") \
      F("worker_min", UINT, "workers that it has at least") \
      F("worker_max", UINT, "workers that it may have")) \
    X(POOL_EXHAUSTED, "slither.pool.exhausted", SINGLE, "a run that wanted a lane was turned away: waiter_max others wait, or it would wait for itself", \
      F("pool", TEXT, "name of the pool") \
      F("waiting", UINT, "threads that wait for a lane")) \
    X(POOL_CIRCUIT_OPENED, "slither.pool.circuit_opened", SINGLE, "its workers keep dying: calls fail at once, for a while", \
      F("pool", TEXT, "name of the pool") \
      F("code", CODE, "of the last death") \
      F("cooldown_ms", UINT, "until the next trial")) \
    X(POOL_CIRCUIT_HALF_OPENED, "slither.pool.circuit_half_opened", SINGLE, "a worker is wanted for a trial", \
      F("pool", TEXT, "name of the pool")) \
    X(POOL_CIRCUIT_CLOSED, "slither.pool.circuit_closed", SINGLE, "the trial has succeeded", \
      F("pool", TEXT, "name of the pool")) \
    X(POOL_DRAINING, "slither.pool.draining", SINGLE, "no lane is given out any more; runs finish what they have in it", \
      F("pool", TEXT, "name of the pool") \
      F("timeout_ms", UINT, "then they are killed; 0: at once")) \
    X(POOL_STOPPED, "slither.pool.stopped", SINGLE, "all of its workers are gone", \
      F("pool", TEXT, "name of the pool")) \
    X(WORKER_STARTED, "slither.worker.started", SINGLE, "there is a process", \
      SL__OF_WORKER(F) \
      F("pid", UINT, "its process id") \
      F("forked", BOOL, "it is a copy of the pool's template")) \
    X(WORKER_READY, "slither.worker.ready", SINGLE, "it takes batches", \
      SL__OF_WORKER(F) \
      F("pid", UINT, "its process id") \
      F("start_ns", UINT, "since there was a process")) \
    X(WORKER_STATE, "slither.worker.state", SINGLE, "it has come from one state to another (docs/worker-states.md)", \
      SL__OF_WORKER(F) \
      F("from", TEXT, "a state") \
      F("to", TEXT, "another") \
      F("event", TEXT, "what brought it there")) \
    X(WORKER_START_FAILED, "slither.worker.start_failed", SINGLE, "it ended before it was ready, or there never was a process", \
      SL__OF_WORKER(F) \
      F("code", CODE, "why") \
      F("cause", TEXT, "as in a death certificate; missing: there was no process") \
      F("exit_status", INT, "where it ended by itself") \
      F("signal", INT, "that ended it")) \
    X(WORKER_LOST, "slither.worker.lost", SINGLE, "it has died, or was killed, while it was needed", \
      SL__OF_WORKER(F) \
      F("code", CODE, "that the error of its batch has") \
      F("cause", TEXT, "as in a death certificate: signal, out_of_memory, timeout ...") \
      F("exit_status", INT, "where it ended by itself") \
      F("signal", INT, "that ended it") \
      F("alive_ns", UINT, "since it was ready")) \
    X(WORKER_EXITED, "slither.worker.exited", SINGLE, "it has ended because it was to end", \
      SL__OF_WORKER(F) \
      F("exit_status", INT, "where it ended by itself") \
      F("signal", INT, "that ended it") \
      F("alive_ns", UINT, "since it was ready")) \
    X(WORKER_RESTARTING, "slither.worker.restarting", SINGLE, "another will take the place of one that was lost or could not start", \
      SL__OF_WORKER(F) \
      F("delay_ms", UINT, "before that")) \
    X(WORKER_RECYCLED, "slither.worker.recycled", SINGLE, "its successor is ready and takes over; it ends when its lease has come back", \
      SL__OF_WORKER(F) \
      F("reason", TEXT, "the limit of its life that it has come to: batches, age or memory")) \
    X(SESSION_OPENED, "slither.session.opened", SINGLE, "a session is there", \
      SL__OF_SESSION(F)) \
    X(SESSION_CLOSED, "slither.session.closed", SINGLE, "it has ended, and its state is dropped", \
      SL__OF_SESSION(F) \
      F("reason", TEXT, "closed, process, thread, lease, ttl, idle or pool: who ended it") \
      F("calls", UINT, "that were made in it") \
      F("age_ns", UINT, "since it was opened")) \
    X(SESSION_LOST, "slither.session.lost", SINGLE, "it was seen that its state is gone with a worker", \
      SL__OF_SESSION(F) \
      F("worker", UINT, "index of the worker that held it") \
      F("generation", UINT, "of that worker")) \
    X(SESSION_MOVED, "slither.session.moved", SINGLE, "its worker is gone; its next call restores the last checkpoint in another", \
      SL__OF_SESSION(F) \
      F("worker", UINT, "index of the worker that held it") \
      F("generation", UINT, "of that worker")) \
    X(SESSION_CHECKPOINTED, "slither.session.checkpointed", SINGLE, "its code has given the host a checkpoint", \
      SL__OF_SESSION(F) \
      F("bytes", UINT, "of the checkpoint")) \
    X(CALL_START, "slither.call.start", START, "a call begins: a function, a method, an attribute, an item of an object", \
      SL__OF_CALL(F)) \
    X(CALL_STOP, "slither.call.stop", STOP, "it has an answer", \
      SL__OF_CALL(F)) \
    X(CALL_EXCEPTION, "slither.call.exception", EXCEPTION, "it has failed", \
      SL__OF_CALL(F) \
      F("code", CODE, "why")) \
    X(CALL_PROGRESS, "slither.call.progress", SINGLE, "Python code says by slither.progress() how far it has come, in a call or a batch", \
      F("pool", TEXT, "name of the pool") \
      F("function", TEXT, "of the run whose batch says it; missing: the batch began before anybody had attached") \
      F("session", UINT, "id of the session that the code works for") \
      F("worker", UINT, "index of the worker in its pool") \
      F("generation", UINT, "of the worker: how often it had been started") \
      F("done", FLOAT, "of total, in the unit that the code counts in") \
      F("total", FLOAT, "0: not known") \
      F("text", TEXT, "a few words, without what looks like a secret"))
/* clang-format on */

enum sl__telemetry_event {
#define SL__TELEMETRY_F(name, type, text)
#define SL__TELEMETRY_ENUM(identifier, name, phase, text, fields) SL__TELEMETRY_##identifier,
    SL__EVENT_TABLE(SL__TELEMETRY_ENUM, SL__TELEMETRY_F)
#undef SL__TELEMETRY_ENUM
#undef SL__TELEMETRY_F
        SL__TELEMETRY_COUNT
};

#endif
