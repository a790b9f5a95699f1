# SPDX-License-Identifier: MIT
"""What the tests of stores call. Each function is called with one item; what it asserts fails the item."""
import datetime
import os
import signal
import threading

import slither

# Named when the module is imported, which a template does before it forks the workers.
ROWS = slither.store("rows")
BAG = slither.store("bag")
GENERATIONS = slither.store("generations")

MOMENT = datetime.datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=datetime.timezone.utc)
VALUES = [None, True, False, 0, -1, 2**63 - 1, 2**64 - 1, -(2**63), 0.5, float("inf"), "", "h\u00e9\0\U0001f600", b"", b"\0\xff", [], {},
          [1, [2, {"a": None}]], {"a": 1, "b": [b"x"], 3: 4}, MOMENT, "x" * 100_000]
KEYS = [None, True, 7, -7, 2**53 + 1, 0.5, "", "a", "a\0b", "\u00e9", b"", b"\0", MOMENT, [], [1, "x"], [1, ["y"]]]


def echo(key):
    """What is there under a key, in every way to read it."""
    value = ROWS.get(key)
    assert ROWS.get(key, 5) == value and ROWS.get(key, default=5) == value
    assert ROWS.get_many([key, key]) == [value, value]
    assert key in ROWS and ROWS.contains(key)
    return value


def missing(key):
    assert ROWS.get(key) is None and ROWS.get(key, "d") == "d" and ROWS.get(key, default="d") == "d"
    assert ROWS.get_many([key, key], default=0) == [0, 0] and ROWS.get_many([]) == [] and ROWS.get_many(iter([key])) == [None]
    assert key not in ROWS and not ROWS.contains(key)
    return True


def round_trip(_):
    for value in VALUES:
        ROWS.put("value", value)
        assert ROWS.get("value") == value, value
    for i, key in enumerate(KEYS):
        ROWS.put(key, i)
    for i, key in enumerate(KEYS):
        assert ROWS.get(key) == i, key
    ROWS.delete("value")
    scanned = list(ROWS.scan())
    assert [value for _, value in scanned] == ROWS.get_many([key for key, _ in scanned])
    assert len(scanned) == len(KEYS) == ROWS.size == len(ROWS)
    for key in KEYS:
        assert ROWS.delete(key) == 1
    assert ROWS.size == 0
    return True


def scans(_):
    names = ["a", "ab", "abc", "b", "c"]
    for number, name in enumerate(names):
        ROWS.put(name, number)
    keys = lambda **options: [key for key, _ in ROWS.scan(**options)]
    assert keys() == names
    assert keys(reverse=True) == names[::-1]
    assert keys(prefix="ab") == ["ab", "abc"]
    assert keys(prefix="ab", reverse=True) == ["abc", "ab"]
    assert keys(start="ab", stop="c") == ["ab", "abc", "b"]
    assert keys(start="abx") == ["b", "c"]
    assert keys(limit=2) == ["a", "ab"] and keys(limit=0) == [] and keys(limit=None) == names
    assert keys(stop="a") == [] and keys(prefix="x") == []
    for name in names:
        ROWS.delete(name)
    for options, error in ((dict(prefix=1), "type_mismatch"), (dict(start={}), "type_mismatch")):
        try:
            ROWS.scan(**options)
            assert False
        except slither.Failure as failure:
            assert failure.code == error, failure.code
    return True


def bags(_):
    for value in (2, 1, 2, "x"):
        BAG.put("k", value)
    assert BAG.get("k") == [2, 1, "x"] and BAG.get_many(["k", "l"]) == [[2, 1, "x"], None]
    assert "k" in BAG and "l" not in BAG
    assert list(BAG.scan()) == [("k", 2), ("k", 1), ("k", "x")]
    assert BAG.delete("k") == 3 and BAG.delete("k") == 0
    return True


def writes(_):
    assert ROWS.put_if_absent("w", 1) is True and ROWS.put_if_absent("w", 2) is False and ROWS.get("w") == 1
    assert ROWS.increment("w", 41) == 42 and ROWS.increment("w", -42) == 0 and ROWS.increment("n") == 1
    assert ROWS.update("w", lambda old: {"was": old}) == {"was": 0}

    def change(old):
        old["more"] = [old["was"]]  # in place: must not be taken for what somebody else has written
        return old

    assert ROWS.update("w", change) == ROWS.get("w") == {"was": 0, "more": [0]}
    assert ROWS.update("u", lambda old: old + [1], default=[]) == [1]
    ROWS.put("t", 1, ttl=3600)
    assert ROWS.get("t") == 1
    for key in ("w", "n", "u", "t"):
        assert ROWS.delete(key) == 1
    return True


def refuses(_):
    def code(function, *arguments, **options):
        try:
            function(*arguments, **options)
        except slither.NotSerializable:
            return "not_serializable"
        except slither.Failure as failure:
            assert str(failure)
            return failure.code
        return None

    assert code(ROWS.get, object()) == "not_serializable"
    assert code(ROWS.put, "k", object()) == "not_serializable"
    assert code(ROWS.get, {}) == code(ROWS.contains, {}) == code(ROWS.put, {}, 1) == "type_mismatch"
    assert code(ROWS.get, "x" * 1000) == code(ROWS.put, "x" * 1000, 1) == "limit_exceeded"
    assert code(ROWS.get, "x" * 100_000) == "limit_exceeded"
    assert code(BAG.update, "k", str) == "type_mismatch"
    assert code(slither.store("nothing").get, 1) == code(slither.store("nothing").put, 1, 2) == "not_found"
    assert code(slither.store("rows", "nothing").get, 1) == "not_found"
    ROWS.put("text", "x")
    assert code(ROWS.increment, "text") == "type_mismatch"
    ROWS.delete("text")
    for ttl in (0, -1, float("nan")):
        try:
            ROWS.put("k", 1, ttl=ttl)
            assert False
        except ValueError:
            pass
    for wrong in ((), ("a", "b", "c")):
        try:
            ROWS.get(*wrong)
            assert False
        except TypeError:
            pass
    return True


def count_up(times):
    for _ in range(times):
        GENERATIONS.increment("counter")
        GENERATIONS.update("updated", lambda old: old + 1, default=0)
    return True


def snapshot(_):
    """The view writes a new generation each time."""
    first = slither.view("bump")
    assert GENERATIONS.get("a") == first
    with slither.snapshot():
        assert GENERATIONS.get("a") == first
        second = slither.view("bump")
        assert GENERATIONS.get("b") == first and GENERATIONS.get_many(["c", "d"]) == [first, first]
        with GENERATIONS.snapshot():
            pass
        assert GENERATIONS.get("d") == first, "the outermost snapshot counts"
        rows = GENERATIONS.scan(prefix="a")
        assert next(rows) == ("a", first)
        shared = GENERATIONS.scan(start="a", stop="e")
        next(shared)
    assert second == first + 1 == GENERATIONS.get("a")
    for left in (rows, shared):
        try:
            list(left)
            assert False
        except slither.Failure as failure:
            assert failure.code == "closed", failure.code
    scan = GENERATIONS.scan(start="a", stop="e")
    assert next(scan) == ("a", second)
    slither.view("bump")
    assert [value for _, value in scan] == [second] * 3, "a scan is of one version"
    return True


LEFT = []


def leave_open(_):
    """Opens what ends with its batch."""
    slither.snapshot().__enter__()
    LEFT.append(GENERATIONS.scan())
    next(LEFT[-1])
    return GENERATIONS.get("a")


def see_anew(generation):
    for scan in LEFT:
        try:
            next(scan)
            assert False
        except slither.Failure as failure:
            assert failure.code == "closed"
    assert GENERATIONS.get("a") == generation
    return True


def batch_in_one_version(items):
    """Each item reads, and has everything written anew."""
    seen = []
    for _ in items:
        seen += GENERATIONS.get_many(["a", "b", "c", "d"])
        slither.view("bump")
    return [sorted(set(seen))] * len(items)


def fork(_):
    """A child must not use the store of its parent, nor spoil it."""
    ROWS.get(1)
    with slither.snapshot():
        ROWS.get(1)
        scan = GENERATIONS.scan()
        next(scan)
        pid = os.fork()
        if pid == 0:
            status = 0
            for function in (lambda: ROWS.get(1), lambda: next(scan), lambda: GENERATIONS.size, lambda: ROWS.put(1, 2),
                             lambda: list(GENERATIONS.scan())):
                try:
                    function()
                    status = 1
                except slither.Failure:
                    pass
            scan = None
            os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        next(scan)
    ROWS.get(1)
    return True


def code_of(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except slither.Failure as failure:
        assert str(failure)
        return failure.code
    return None


def watches(_):
    ROWS.put("user:1", 0)  # before anybody watches
    with ROWS.watch() as everything, ROWS.watch(key="k") as one, ROWS.watch(prefix="user:") as some, ROWS.watch(pending_max=2) as few:
        assert everything.changes(0) == [] == everything.changes(timeout=0.01)
        ROWS.put("k", 1)
        ROWS.put(["l", None], 1)
        BAG.put("k", 1)
        ROWS.put("user:1", 2)
        ROWS.put("k", 3)
        assert few.changes() == [("overflow", None)] and few.changes(0) == []
        ROWS.delete("user:1")
        assert one.changes() == [("put", "k")]
        assert some.changes() == [("delete", "user:1")]
        assert everything.changes() == [("put", "k"), ("put", ["l", None]), ("delete", "user:1")], "in order, once a key"
        assert everything.changes(0) == one.changes(0) == some.changes(0) == []
        assert few.changes() == [("delete", "user:1")]
        with slither.snapshot():
            assert ROWS.get("k") == 3
            ROWS.put("k", 4)
            ROWS.put(None, 5)
            assert everything.changes() == [("put", "k"), ("put", None)], "a snapshot hides rows, not that they change"
        following = iter(everything)
        ROWS.put("user:2", 1)
        ROWS.put("k", 1)
        assert [next(following), next(following)] == [("put", "user:2"), ("put", "k")]
    for key in ("k", ["l", None], None, "user:2"):
        ROWS.delete(key)
    BAG.delete("k")
    assert code_of(everything.changes, 0) == code_of(next, everything) == "closed"
    everything.close()
    with slither.store("reloaded").watch(key=1) as watch:
        slither.view("reload")
        assert watch.changes(10) == [("table", None)]
    for timeout in (-1, float("nan")):
        try:
            ROWS.watch().changes(timeout)
            assert False
        except ValueError:
            pass
    assert code_of(slither.store("nothing").watch) == "not_found"
    assert code_of(ROWS.watch, key={}) == code_of(ROWS.watch, prefix=1) == "type_mismatch"
    return True


def watches_a_table_made_again(_):
    table = slither.store("remade")
    slither.view("remake")
    with table.watch() as watch:
        slither.view("remake")
        assert watch.changes(10) == [("overflow", None)], "what happened to the old one does not matter"
        table.put("x", 1)
        assert watch.changes(10) == [("put", "x")]
    return True


def watches_beside_threads(_):
    """The wait lets other threads run, and they can end it."""
    turns, done = [0], threading.Event()

    def count():
        while not done.is_set():
            turns[0] += 1
            done.wait(0.001)

    with ROWS.watch(key="threads") as watch:
        thread = threading.Thread(target=count)
        thread.start()
        before = turns[0]
        assert watch.changes(0.2) == []
        assert turns[0] > before + 5, turns
        done.set()
        thread.join()
        thread = threading.Thread(target=lambda: ROWS.put("threads", 1))
        thread.start()
        assert watch.changes(60) == [("put", "threads")]
        thread.join()
        ROWS.delete("threads")
        watch.changes()
        thread = threading.Thread(target=watch.close)
        thread.start()
        assert code_of(watch.changes) == "closed"
        thread.join()
    return True


def watches_in_a_child(_):
    with ROWS.watch() as watch:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                if code_of(watch.changes, 0) == code_of(next, watch) == code_of(ROWS.watch) == "closed":
                    status = 0
                watch.close()
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        ROWS.put("child", 1)
        assert watch.changes(60) == [("put", "child")]
        ROWS.delete("child")
    return True


WATCHES = []


def watch_over_batches(_):
    WATCHES.append(ROWS.watch(key="batches"))
    return True


def watched_over_batches(_):
    assert WATCHES[-1].changes(0) == [("put", "batches")]
    return True


def watched_is_closed(_):
    assert code_of(WATCHES[-1].changes) == "closed"
    return True


def wait_in_a_thread(path):
    """A thread that outlives the batch, and that the interpreter joins when it ends."""
    watch = ROWS.watch(key="never")

    def wait():
        try:
            watch.changes()
        except slither.Failure as failure:
            with open(path, "w") as file:
                file.write(str(failure))

    threading.Thread(target=wait).start()
    return True


def reads(count):
    """Reads until it is killed, or count times; each row must be whole."""
    for _ in range(count):
        values = GENERATIONS.get_many(["a", "b", "c", "d"])
        assert len(set(values)) == 1, values
        for _, value in GENERATIONS.scan(start="a", stop="e"):
            assert isinstance(value, int)
    return True


def reads_and_writes(count):
    reads(count)
    ROWS.increment("reads")
    return reads(count)


def die_reading(count):
    with slither.snapshot():
        reads(count % 7 + 1)
        os.kill(os.getpid(), signal.SIGKILL)


def one_version(items):
    """A batch under snapshot=batch: the versions that it has seen of the table that is being reloaded."""
    table = slither.store("reloaded")
    results = []
    for keys in items:
        values = table.get_many(list(range(keys)))
        results.append([sorted({value for value in values}), table.size])
    seen = {value for values, _ in results for value in values}
    assert len(seen) == 1, seen
    return results
