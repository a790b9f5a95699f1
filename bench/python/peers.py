# SPDX-License-Identifier: MIT
"""The other side of the benchmarks: the same work through other ways to run Python in parallel.

    peers.py PEER ROW [DIVISOR]

It talks to the runner as the host's program does: `ready TIME` when it is warm, `figure NUMBER...` for each line of standard
input. Only what a row needs is imported, because one row measures how long a start takes.
"""
import sys
import time

WORKERS = 2
ITEMS = 200_000
ITEMS_WARM = 20_000
CALLS = 500
CALLS_WARM = 100


def median(samples):
    samples = sorted(samples)
    middle = len(samples) // 2
    return samples[middle] if len(samples) % 2 else (samples[middle - 1] + samples[middle]) / 2


def make_item(i):
    return {"id": i, "name": f"item-{i}", "x": i * 0.5, "flag": i & 1 == 1}


def timed(count, call, expected):
    """The median of `count` calls, in microseconds."""
    samples = []
    for _ in range(count):
        start = time.perf_counter_ns()
        result = call()
        samples.append(time.perf_counter_ns() - start)
        if result != expected:
            raise SystemExit(f"wrong result: {result!r}; expected {expected!r}")
    return median(samples) / 1e3


# ---- the peers: each has call(function, argument) and map(function, items, chunk) ------------------------------------

class Executor:
    """concurrent.futures.ProcessPoolExecutor with the start method that is the default."""

    def __init__(self):
        from concurrent.futures import ProcessPoolExecutor
        self.executor = ProcessPoolExecutor(WORKERS)

    def call(self, function, argument):
        return self.executor.submit(function, argument).result()

    def map(self, function, items, chunk):
        return self.executor.map(function, items, chunksize=chunk)

    def close(self):
        self.executor.shutdown()


class Pool:
    """multiprocessing.Pool."""

    def __init__(self):
        import multiprocessing
        self.pool = multiprocessing.Pool(WORKERS)

    def call(self, function, argument):
        return self.pool.apply(function, (argument,))

    def map(self, function, items, chunk):
        return self.pool.map(function, items, chunksize=chunk)

    def close(self):
        self.pool.terminate()


class Joblib:
    """joblib with its default backend, loky; its workers are kept from call to call."""

    def __init__(self):
        import joblib
        self.joblib = joblib
        self.parallel = joblib.Parallel(n_jobs=WORKERS).__enter__()

    def call(self, function, argument):
        return self.parallel([self.joblib.delayed(function)(argument)])[0]

    def map(self, function, items, chunk):
        self.parallel.batch_size = chunk
        delayed = self.joblib.delayed(function)
        return self.parallel(delayed(item) for item in items)

    def close(self):
        self.parallel.__exit__(None, None, None)


class Mpire:
    """mpire with workers that are kept alive."""

    def __init__(self):
        import mpire
        self.pool = mpire.WorkerPool(n_jobs=WORKERS, keep_alive=True)

    def call(self, function, argument):
        return self.pool.apply(function, (argument,))

    def map(self, function, items, chunk):
        # A dict as an item would be spread over keyword arguments.
        return self.pool.imap(function, ((item,) for item in items), iterable_len=None, chunk_size=chunk)

    def close(self):
        self.pool.terminate()


class Learner:
    """concurrent.futures.ProcessPoolExecutor whose workers import what ours import, before their first call."""

    workers = 8

    def __init__(self):
        self.open()

    def open(self):
        from concurrent.futures import ProcessPoolExecutor
        self.executor = ProcessPoolExecutor(self.workers, initializer=import_learn)

    def call(self, name, item):
        return self.executor.submit(call_learn, name, item).result()

    def close(self):
        self.executor.shutdown()


class LoneLearner(Learner):
    workers = 1


def import_learn():
    import learn
    learn.initialize()


def call_learn(name, item):
    import learn
    return getattr(learn, name)(item)


class Scores:
    def score(self, id):
        return {"id": id, "score": id * 2.0}


class Server:
    """A method of an object in the server process of a multiprocessing manager."""

    def __init__(self):
        from multiprocessing.managers import BaseManager

        class ScoresManager(BaseManager):
            pass
        ScoresManager.register("Scores", Scores)
        self.manager = ScoresManager()
        self.manager.start()
        self.scores = self.manager.Scores()

    def close(self):
        self.manager.shutdown()


class Queue:
    """A queue in the server process of a multiprocessing manager; a process of its own fills it."""

    def __init__(self):
        from multiprocessing import Manager
        self.manager = Manager()
        self.queue = self.manager.Queue(256)

    def close(self):
        self.manager.shutdown()


def fill(queue, count):
    import objects
    for item in objects.items(count):
        queue.put(item)
    queue.put(None)


def meet(barrier_seconds):
    """Keeps a worker busy, so that the executor has to start another one for the next call."""
    import os
    time.sleep(barrier_seconds)
    return os.getpid()


# ---- the rows --------------------------------------------------------------------------------------------------------

class Calls:
    def __init__(self, peer, divisor):
        import work
        self.function = work.score
        self.peer = peer()
        self.count = max(1, CALLS // divisor)
        self.measure(max(1, CALLS_WARM // divisor))

    def measure(self, count):
        # Each call pickles its item anew.
        samples = []
        for i in range(count):
            start = time.perf_counter_ns()
            result = self.peer.call(self.function, make_item(i))
            samples.append(time.perf_counter_ns() - start)
            if result["score"] != 2 * i:
                raise SystemExit(f"wrong result: {result!r}")
        return [median(samples) / 1e3]

    def round(self):
        return self.measure(self.count)


class Start(Calls):
    """Its first result is what the runner waits for."""

    def __init__(self, peer, divisor):
        super().__init__(peer, CALLS_WARM)
        self.count = max(1, CALLS // divisor)


class Map:
    chunk = 64

    def __init__(self, peer, divisor):
        import work
        self.function = work.score
        self.peer = peer()
        self.count = max(1, ITEMS // divisor)
        self.measure(max(1, ITEMS_WARM // divisor))

    def measure(self, count):
        start = time.perf_counter()
        items = (make_item(i) for i in range(count))
        total = sum(result["score"] for result in self.peer.map(self.function, items, self.chunk))
        seconds = time.perf_counter() - start
        if total != count * (count - 1):
            raise SystemExit(f"wrong sum: {total!r}; expected {count * (count - 1)}")
        return [count / seconds]

    def round(self):
        return self.measure(self.count)


class LargeMap(Map):
    chunk = 1024


class Chain:
    """Three stages over one multiprocessing.Pool: each an imap over the results of the one before."""

    def __init__(self, peer, divisor):
        import work
        self.stages = [work.prepare, work.score, work.decide]
        self.peer = peer()
        self.pool = self.peer.pool
        self.count = max(1, ITEMS // divisor)
        self.measure(max(1, ITEMS_WARM // divisor))

    def measure(self, count):
        start = time.perf_counter()
        items = (make_item(i) for i in range(count))
        for stage in self.stages:
            items = self.pool.imap(stage, items, chunksize=64)
        total = sum(result["score"] for result in items)
        seconds = time.perf_counter() - start
        if total != count * (count - 1):
            raise SystemExit(f"wrong sum: {total!r}; expected {count * (count - 1)}")
        return [count / seconds]

    def round(self):
        return self.measure(self.count)


class Bytes:
    def __init__(self, peer, divisor):
        import work
        self.function = work.length
        self.payload = b"x" * (1 << 20)
        self.peer = peer()
        self.count = max(1, 50 // divisor)
        timed(4, self.call, len(self.payload))

    def call(self):
        return self.peer.call(self.function, self.payload)

    def round(self):
        return [timed(self.count, self.call, len(self.payload))]


class Array:
    calls = 3

    def __init__(self, peer, divisor):
        import arrays
        import numpy
        self.function = arrays.total
        self.payload = (numpy.arange(8 << 20, dtype=numpy.float64) % 1000) * 0.5
        self.expected = float(self.payload.sum())
        self.peer = peer()
        self.count = max(1, self.calls // divisor)
        timed(2, self.call, self.expected)

    def call(self):
        return self.peer.call(self.function, self.payload)

    def round(self):
        return [timed(self.count, self.call, self.expected)]


class SharedArray(Array):
    """The array is placed once in multiprocessing.shared_memory; each call passes its name, workers keep it attached."""

    calls = 5

    def __init__(self, peer, divisor):
        import numpy
        from multiprocessing import shared_memory

        import arrays
        source = (numpy.arange(8 << 20, dtype=numpy.float64) % 1000) * 0.5
        self.memory = shared_memory.SharedMemory(create=True, size=source.nbytes)
        numpy.ndarray(source.shape, source.dtype, self.memory.buf)[:] = source
        self.expected = float(source.sum())
        self.function = arrays.total_shared
        self.payload = (self.memory.name, source.shape, source.dtype.str)
        self.peer = peer()
        self.count = max(1, self.calls // divisor)
        timed(2 * WORKERS, self.call, self.expected)

    def close(self):
        self.memory.close()
        self.memory.unlink()


class Peak:
    """Peak memory of the host, MiB. What the peer holds of input and output is its own affair."""

    def __init__(self, peer, divisor):
        import work
        self.function = work.score
        self.peer = peer()
        self.count = max(1, 300_000 // divisor)

    def round(self):
        items = (make_item(i) for i in range(self.count))
        total = sum(result["score"] for result in self.peer.map(self.function, items, 64))
        if total != self.count * (self.count - 1):
            raise SystemExit(f"wrong sum: {total!r}")
        with open("/proc/self/status", encoding="ascii") as status:
            peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
        return [peak / 1024]


class ViewCall:
    """A call from a client process to the one that has the object, as our workers call their host."""

    def __init__(self, peer, divisor):
        self.peer = peer()
        self.count = max(1, 1000 // divisor)
        self.measure(max(1, CALLS_WARM // divisor))

    def measure(self, count):
        samples = []
        for i in range(count):
            start = time.perf_counter_ns()
            result = self.peer.scores.score(id=i)
            samples.append(time.perf_counter_ns() - start)
            if result["score"] != 2 * i:
                raise SystemExit(f"wrong result: {result!r}")
        return [median(samples) / 1e3]

    def round(self):
        return self.measure(self.count)


class StreamItems:
    """The items of a generator in another process, one by one, and never more than 256 ahead."""

    def __init__(self, peer, divisor):
        self.peer = peer()
        self.count = max(1, 5000 // divisor)
        self.measure(max(1, CALLS_WARM // divisor))

    def measure(self, count):
        from multiprocessing import Process
        producer = Process(target=fill, args=(self.peer.queue, count))
        producer.start()
        index = 0
        item = self.peer.queue.get()
        start = time.perf_counter_ns()  # not the start of the process
        while item is not None:
            if item["id"] != index:
                raise SystemExit(f"wrong item: {item!r}")
            index += 1
            item = self.peer.queue.get()
        seconds = (time.perf_counter_ns() - start) / 1e9
        producer.join()
        return [index / seconds]

    def round(self):
        return self.measure(self.count)


class LearnerStart:
    """Until all workers have done their imports: it starts one for each call that finds no idle one."""

    def __init__(self, peer, divisor):
        self.peer = peer()
        waiting = [self.peer.executor.submit(meet, 0.1) for _ in range(self.peer.workers)]
        pids = {future.result() for future in waiting}
        while len(pids) < self.peer.workers:
            pids |= {future.result() for future in [self.peer.executor.submit(meet, 0.02) for _ in range(self.peer.workers)]}

    def round(self):
        return [0]


class Recovery:
    """From the call that kills the only worker to the next good result: the pool is broken, and made anew."""

    def __init__(self, peer, divisor):
        from concurrent.futures.process import BrokenProcessPool
        self.broken = BrokenProcessPool
        self.peer = LoneLearner()
        self.count = max(1, 3 // divisor)
        self.check()

    def check(self):
        result = self.peer.call("score", make_item(21))
        if result["score"] != 42:
            raise SystemExit(f"wrong result: {result!r}")

    def round(self):
        samples = []
        for _ in range(self.count):
            start = time.perf_counter_ns()
            try:
                self.peer.call("die", make_item(21))
                raise SystemExit("a call that was to kill its worker returned")
            except self.broken:
                pass
            self.peer.close()
            self.peer.open()
            self.check()
            samples.append(time.perf_counter_ns() - start)
        return [median(samples) / 1e6]


KINDS = {
    "call_rtt": Calls, "pool_start": Start, "map_small": Map, "map_large_batch": LargeMap, "bytes_1mib": Bytes,
    "array_64mib": Array, "array_64mib_shm": SharedArray, "stream_peak": Peak, "crash_recovery": Recovery,
    "pool_start_8_sklearn": LearnerStart, "view_call": ViewCall, "stream_items": StreamItems, "pipe_chain": Chain,
}
PEERS = {"learner": Learner, "executor": Executor, "pool": Pool, "joblib": Joblib, "mpire": Mpire, "server": Server, "queue": Queue}


def main():
    if len(sys.argv) not in (3, 4) or sys.argv[1] not in PEERS or sys.argv[2] not in KINDS:
        print(f"usage: peers.py {'|'.join(PEERS)} {'|'.join(KINDS)} [DIVISOR]", file=sys.stderr)
        return 2
    divisor = int(sys.argv[3]) if len(sys.argv) == 4 else 1
    row = KINDS[sys.argv[2]](PEERS[sys.argv[1]], divisor)
    print(f"ready {time.monotonic():.9f}", flush=True)
    for _ in sys.stdin:
        print("figure", *(f"{figure:.9g}" for figure in row.round()), flush=True)
    row.peer.close()
    if hasattr(row, "close"):
        row.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
