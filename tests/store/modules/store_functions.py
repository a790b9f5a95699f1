# SPDX-License-Identifier: MIT
"""What the tests of stores call. Each function is called with one item; what it asserts fails the item."""
import datetime
import os
import signal

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
