# SPDX-License-Identifier: MIT
"""The store's peers: other ways for Python processes to share a table of small dicts.

    store_peers.py manager|redis ROW [DIVISOR]

It talks to the runner as peers.py does.
"""
import multiprocessing
import pickle
import random
import sys
import time

from peers import make_item

KEYS = 100_000
KEYS_WARM = 200
GETS = 2_000
MANY = 100
READ_SECONDS = 0.5
WRITE_PAUSE_SECONDS = 0.001
SEED = 4711


def name_of(i):
    return f"item-{i}"


def drawn(count):
    random.seed(SEED)
    return [random.randrange(KEYS) for _ in range(count)]


class Manager:
    """A dict of multiprocessing.Manager: a server process, and a proxy to it in each process that uses it."""

    def __init__(self):
        self.manager = multiprocessing.Manager()
        self.table = self.manager.dict()

    def fill(self):
        for start in range(0, KEYS, 10_000):
            self.table.update({name_of(i): make_item(i) for i in range(start, start + 10_000)})

    def connection(self):
        """What another process needs to reach the table; connect() is called there."""
        return self.table

    @classmethod
    def connect(cls, connection):
        other = cls.__new__(cls)
        other.table = connection
        return other

    def get(self, key):
        return self.table.get(key)

    def get_many(self, keys):
        get = self.table.get
        return [get(key) for key in keys]

    def put(self, key, item):
        self.table[key] = item

    def close(self):
        self.manager.shutdown()


class Redis:
    """redis-py to a redis-server of our own: on a Unix socket in a private directory, without persistence."""

    def __init__(self):
        import ctypes
        import redis
        import signal
        import subprocess
        import tempfile
        self.folder = tempfile.TemporaryDirectory(prefix="slither-bench-")
        self.socket = self.folder.name + "/socket"
        prctl = ctypes.CDLL(None).prctl
        self.server = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.socket, "--unixsocketperm", "700", "--save", "",
             "--appendonly", "no", "--daemonize", "no", "--dir", self.folder.name],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            preexec_fn=lambda: prctl(1, signal.SIGKILL))  # PR_SET_PDEATHSIG: it must not outlive us, however we end
        self.client = redis.Redis(unix_socket_path=self.socket)
        for _ in range(500):
            try:
                self.client.ping()
                return
            except redis.exceptions.ConnectionError:
                if self.server.poll() is not None:
                    break
                time.sleep(0.01)
        self.close()
        raise SystemExit("redis-server did not answer on its socket within 5 s")

    def fill(self):
        for start in range(0, KEYS, 10_000):
            self.client.mset({name_of(i): pickle.dumps(make_item(i), -1) for i in range(start, start + 10_000)})

    def connection(self):
        return self.socket

    @classmethod
    def connect(cls, connection):
        import redis
        other = cls.__new__(cls)
        other.client = redis.Redis(unix_socket_path=connection)
        return other

    def get(self, key):
        return pickle.loads(self.client.get(key))

    def get_many(self, keys):
        return [pickle.loads(value) for value in self.client.mget(keys)]

    def put(self, key, item):
        self.client.set(key, pickle.dumps(item, -1))

    def close(self):
        self.server.terminate()
        self.server.wait()
        self.folder.cleanup()


class Row:
    def __init__(self, peer, divisor):
        self.peer = peer()
        self.divisor = divisor
        self.peer.fill()
        self.measure(KEYS_WARM)

    def round(self):
        return [self.measure(max(1, GETS // self.divisor))]


class Get(Row):
    """Microseconds of a get, the mean of a round."""

    def measure(self, count):
        numbers = drawn(count)
        keys = [name_of(i) for i in numbers]
        total, get = 0, self.peer.get
        start = time.perf_counter()
        for key in keys:
            total += get(key)["id"]
        seconds = time.perf_counter() - start
        check(total, numbers)
        return seconds / count * 1e6


class GetMany(Row):
    """Microseconds of a call that gets a hundred."""

    def measure(self, count):
        calls = max(1, count // MANY)
        numbers = drawn(calls * MANY)
        keys = [name_of(i) for i in numbers]
        total, get_many = 0, self.peer.get_many
        start = time.perf_counter()
        for first in range(0, len(keys), MANY):
            for item in get_many(keys[first:first + MANY]):
                total += item["id"]
        seconds = time.perf_counter() - start
        check(total, numbers)
        return seconds / calls * 1e6


class Put(Row):
    """Microseconds of a put."""

    def measure(self, count):
        numbers = drawn(count)
        keys = [name_of(i) for i in numbers]
        put = self.peer.put
        start = time.perf_counter()
        for i, key in zip(numbers, keys):
            put(key, make_item(i))
        seconds = time.perf_counter() - start
        check(sum(self.peer.get(key)["id"] for key in keys[-100:]), numbers[-100:])
        return seconds / count * 1e6


class Readers:
    """Gets a second of several processes together, while another one writes."""

    def __init__(self, peer, divisor, count):
        self.peer = peer()
        self.peer.fill()
        self.seconds = READ_SECONDS / divisor
        self.go = multiprocessing.Barrier(count + 1)
        self.result = multiprocessing.SimpleQueue()
        self.count = count
        self.processes = [multiprocessing.Process(target=self.serve, args=(peer,), daemon=True) for _ in range(count)]
        self.processes.append(multiprocessing.Process(target=self.write, args=(peer,), daemon=True))
        for process in self.processes:
            process.start()

    def serve(self, peer):
        table = peer.connect(self.peer.connection())
        numbers = drawn(1000)
        keys = [name_of(i) for i in numbers]
        get = table.get
        while True:
            self.go.wait()
            count, start = 0, time.perf_counter()
            while time.perf_counter() - start < self.seconds:
                key = count % 1000
                if get(keys[key])["id"] != numbers[key]:
                    raise SystemExit("wrong item")
                count += 1
            self.result.put(count)

    def write(self, peer):
        table = peer.connect(self.peer.connection())
        i = 0
        while True:
            table.put(name_of(i), make_item(i))
            i = (i + 1) % KEYS
            time.sleep(WRITE_PAUSE_SECONDS)

    def round(self):
        start = time.perf_counter()
        self.go.wait()
        count = sum(self.result.get() for _ in range(self.count))
        return [count / (time.perf_counter() - start)]

    def close(self):
        for process in self.processes:
            process.kill()
            process.join()


def check(total, numbers):
    if total != sum(numbers):
        raise SystemExit(f"wrong sum: {total}")


KINDS = {
    "get": Get, "get_many_100": GetMany, "put": Put,
    "readers_1": lambda peer, divisor: Readers(peer, divisor, 1),
    "readers_2": lambda peer, divisor: Readers(peer, divisor, 2),
    "readers_4": lambda peer, divisor: Readers(peer, divisor, 4),
}
PEERS = {"manager": Manager, "redis": Redis}


def main():
    if len(sys.argv) not in (3, 4) or sys.argv[1] not in PEERS or sys.argv[2] not in KINDS:
        print(f"usage: store_peers.py {'|'.join(PEERS)} {'|'.join(KINDS)} [DIVISOR]", file=sys.stderr)
        return 2
    divisor = int(sys.argv[3]) if len(sys.argv) == 4 else 1
    row = KINDS[sys.argv[2]](PEERS[sys.argv[1]], divisor)
    try:
        print(f"ready {time.monotonic():.9f}", flush=True)
        for _ in sys.stdin:
            print("figure", *(f"{figure:.9g}" for figure in row.round()), flush=True)
    finally:
        if hasattr(row, "close"):
            row.close()
        row.peer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
