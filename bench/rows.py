# SPDX-License-Identifier: MIT
"""The rows of the benchmark. docs/benchmarks.md says what each of them measures."""
import importlib.util
import shutil
from dataclasses import dataclass

EXECUTOR = "ProcessPoolExecutor"
POOL = "multiprocessing.Pool"
MANAGER = "multiprocessing.Manager dict"
REDIS = "redis-py, Unix socket"
ETS = "Erlang ETS"

# How a figure is taken: asked of both sides in turn; in new processes each round; from the start of a process to
# its `ready`; the processor time of a side that has nothing to do.
WARM, FRESH, START, IDLE = "warm", "fresh", "start", "idle"


@dataclass(frozen=True)
class Row:
    name: str
    unit: str
    ours: str  # row of slither-bench
    # "PEER ROW" of peers.py or store_peers.py; "ets ROW" of ets.escript; "host ROW" of slither-bench; "same": the second
    # figure of our own side
    peer: str
    peer_name: str
    target: float = None  # the ratio to reach
    rounds: int = 7
    kind: str = WARM
    needs: str = None  # a package without which the row is left out
    program: str = None  # a program without which the row is left out

    @property
    def more_is_better(self):
        return self.unit in ("items/s", "gets/s")

    def missing(self):
        """What the peer needs and is not installed, or None."""
        if self.needs and importlib.util.find_spec(self.needs) is None:
            return f"the Python package {self.needs}"
        if self.program and shutil.which(self.program) is None:
            return f"the program {self.program}"
        return None

    def ratio(self, ours, peer):
        """Above 1: we are better."""
        if self.kind == IDLE:
            # Less than a microsecond a second is nothing; nothing against nothing is even.
            ours, peer = max(ours, 1), max(peer, 1)
        return ours / peer if self.more_is_better else peer / ours


ROWS = [
    Row("call_rtt", "us", "call_rtt", "executor call_rtt", f"{EXECUTOR}.submit", 12),
    Row("call_rtt_floor", "us", "call_rtt", "host floor", "futex ping-pong", 0.6, rounds=9),
    Row("call_rtt_pool", "us", "call_rtt", "pool call_rtt", f"{POOL}.apply", 9),
    Row("map_small", "items/s", "map_small", "executor map_small", f"{EXECUTOR}.map", 6),
    Row("map_large_batch", "items/s", "map_large_batch", "executor map_large_batch", f"{EXECUTOR}.map", 4),
    Row("bytes_1mib", "us", "bytes_1mib", "pool bytes_1mib", f"{POOL}.apply", 20),
    Row("array_64mib", "us", "array_64mib", "executor array_64mib", f"{EXECUTOR}.submit", 20, rounds=5),
    Row("stream_rss", "MiB", "stream_rss", "same", "the same run at 1 M items", 0.95, rounds=5, kind=FRESH),
    Row("crash_recovery", "ms", "crash_recovery", "learner crash_recovery", f"{EXECUTOR}, made anew", 20, rounds=5,
        needs="sklearn"),
    Row("pool_start_8_sklearn", "ms", "pool_start_8_sklearn", "learner pool_start_8_sklearn", f"{EXECUTOR}, initializer", 3,
        rounds=5, kind=START, needs="sklearn"),
    Row("idle_worker_pss_mb", "MiB", "idle_worker_pss_mb", "host idle_worker_pss_mb_off", "without the template", 3,
        rounds=3, kind=FRESH, needs="sklearn"),
    Row("store_get_c", "us", "store_get", "ets get", f"{ETS}, lookup", 1.2, program="escript"),
    Row("store_get_python", "us", "store_get_worker", "manager get", MANAGER, 30, rounds=5),
    Row("store_get_redis", "us", "store_get_worker", "redis get", REDIS, 15, rounds=5, needs="redis", program="redis-server"),
    Row("store_put", "us", "store_put", "manager put", MANAGER, 5, rounds=5),
    Row("view_call", "us", "view_call", "server view_call", "multiprocessing Manager method", 2.5),
    Row("callback_rtt", "us", "view_call", "server view_call", "multiprocessing Manager method", 2.5, rounds=5),
    Row("ref_method_call", "us", "ref_method_call", "server view_call", "multiprocessing Manager method", 3),
    Row("stream_items", "items/s", "stream_items", "queue stream_items", "multiprocessing Manager queue", 10, rounds=5),
    Row("session_table", "us", "session_table", "host session_table_1", "the same call, alone", 0.9, rounds=5),
    Row("session_table_1k", "us", "session_table_1k", "host session_table_1", "the same call, alone", 0.9, rounds=5),
    Row("session_open_close", "us", "session_open_close", "host session_open_close_1", "the same, alone", rounds=5),
    Row("pipe_overhead", "items/s", "pipe_overhead", "host map_small", "a bare dispatch", 0.85, rounds=9),
    Row("pipe_layer", "items/s", "pipe_layer", "host pipe_by_hand", "a dispatch, the stages by hand", 0.85, rounds=9),
    Row("pipe_overlap", "items/s", "pipe_overlap", "host pipe_staged", "stage after stage", 1.7),
    Row("pipe_vs_mp", "items/s", "pipe_chain", "pool pipe_chain", f"{POOL}.imap, chained", 3, rounds=5),
    # Beyond what was asked for: other contracts, other ways to hand over the same payload, other peers.
    Row("map_small_each", "items/s", "map_small_each", "executor map_small", f"{EXECUTOR}.map", rounds=5),
    Row("map_small_pool", "items/s", "map_small", "pool map_small", f"{POOL}.map", rounds=5),
    Row("map_small_joblib", "items/s", "map_small", "joblib map_small", "joblib (loky)", rounds=5, needs="joblib"),
    Row("map_small_mpire", "items/s", "map_small", "mpire map_small", "mpire imap", rounds=5, needs="mpire"),
    Row("call_rtt_joblib", "us", "call_rtt", "joblib call_rtt", "joblib (loky)", rounds=3, needs="joblib"),
    Row("call_rtt_mpire", "us", "call_rtt", "mpire call_rtt", "mpire apply", rounds=5, needs="mpire"),
    Row("bytes_1mib_refilled", "us", "bytes_1mib_refilled", "pool bytes_1mib", f"{POOL}.apply", rounds=5),
    Row("bytes_1mib_copied", "us", "bytes_1mib_copied", "pool bytes_1mib", f"{POOL}.apply", rounds=5),
    Row("array_64mib_refilled", "us", "array_64mib_refilled", "executor array_64mib", f"{EXECUTOR}.submit", rounds=5),
    Row("array_64mib_copied", "us", "array_64mib_copied", "executor array_64mib", f"{EXECUTOR}.submit", rounds=5),
    Row("array_64mib_shm", "us", "array_64mib", "executor array_64mib_shm", f"{EXECUTOR} and shared_memory", rounds=5),
    Row("array_64mib_joblib", "us", "array_64mib", "joblib array_64mib", "joblib (memory-mapped)", rounds=5, needs="joblib"),
    Row("stream_rss_worker", "MiB", "stream_rss_worker", "same", "the same worker at 200 k items", rounds=5, kind=FRESH),
    Row("stream_peak", "MiB", "stream_peak", "executor stream_peak", f"{EXECUTOR}.map", rounds=5, kind=FRESH),
    Row("pool_start", "ms", "pool_start", "executor pool_start", EXECUTOR, kind=START),
    Row("pool_start_8_of_1", "ms", "pool_start_8_sklearn", "host pool_start_1_sklearn", "one worker that imports", 0.77,
        rounds=5, kind=START, needs="sklearn"),
    Row("idle_cpu", "us/s", "call_rtt", "executor call_rtt", EXECUTOR, rounds=5, kind=IDLE),
    Row("store_get_many_100", "us", "store_get_many_100_worker", "manager get_many_100", MANAGER, rounds=5),
    Row("store_get_many_100_redis", "us", "store_get_many_100_worker", "redis get_many_100", f"{REDIS}, MGET", rounds=5,
        needs="redis", program="redis-server"),
    Row("store_get_many_100_c", "us", "store_get_many_100", "ets get_many_100", f"{ETS}, 100 lookups", rounds=5,
        program="escript"),
    Row("store_put_ets", "us", "store_put", "ets put", f"{ETS}, insert", rounds=5, program="escript"),
    Row("store_put_worker", "us", "store_put_worker", "manager put", MANAGER, rounds=5),
    Row("store_put_redis", "us", "store_put_worker", "redis put", REDIS, rounds=5, needs="redis", program="redis-server"),
    Row("reload_1m", "ms", "reload_1m", "ets reload_1m", f"{ETS}, new table, rename", rounds=3, program="escript"),
    Row("store_readers_1", "gets/s", "store_readers_1", "manager readers_1", MANAGER, rounds=3),
    Row("store_readers_2", "gets/s", "store_readers_2", "manager readers_2", MANAGER, rounds=3),
    Row("store_readers_4", "gets/s", "store_readers_4", "manager readers_4", MANAGER, rounds=3),
]
