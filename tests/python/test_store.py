# SPDX-License-Identifier: MIT
"""slither.store() on a durable store that no host has open. What workers see of a host's store is in tests/store."""
import gc
import json
import os
import pathlib
import subprocess
import sys

import pytest

import slither
import worker_driver
from test_leaks import growth

COMMAND = worker_driver.program().parents[2] / "cmd" / "slither" / "slither"


def load(path, table, rows, *options):
    text = "".join(json.dumps({"key": key, "value": value}) + "\n" for key, value in rows)
    # The interpreter of the tests may have a sanitizer loaded into it; the command has its own, or none.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run([COMMAND, "store", "load", path, table, "-", *options], input=text, capture_output=True, text=True,
                          env=environment, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    if not COMMAND.exists():
        pytest.skip("%s has not been built; set SLITHER_BUILD to the build directory" % COMMAND)
    folder = str(tmp_path_factory.mktemp("stores") / "shop")
    load(folder, "numbers", [(number, {"n": number}) for number in range(100)])
    load(folder, "names", [(["row", i], "x" * i) for i in range(10)] + [("a", 1), ("ab", 2), (None, 3), (1.5, 4)])
    load(folder, "bag", [("k", 1), ("k", "two"), ("l", None)], "--kind", "bag")
    return folder


@pytest.fixture
def numbers(path):
    return slither.store("numbers", path=path)


def raised(function, *arguments, **options):
    with pytest.raises(slither.Failure) as caught:
        function(*arguments, **options)
    assert str(caught.value)
    return caught.value.code


def test_reads(path, numbers):
    assert numbers.get(7) == {"n": 7} and numbers.get(7.0) == {"n": 7} and numbers.get(100) is None
    assert numbers.get_many((5, 500, 6), 0) == [{"n": 5}, 0, {"n": 6}]
    assert 7 in numbers and 700 not in numbers and numbers.size == len(numbers) == 100
    assert [key for key, _ in numbers.scan(start=95)] == [95, 96, 97, 98, 99]
    names = slither.store("names", path=path)
    assert [key for key, _ in names.scan()] == [None, 1.5, "a", "ab"] + [["row", i] for i in range(10)]
    assert [value for _, value in names.scan(prefix=("row",), reverse=True, limit=2)] == ["x" * 9, "x" * 8]
    assert slither.store("bag", path=path).get("k") == [1, "two"]


def test_what_is_new_is_seen(path):
    table = slither.store("news", path=path)
    load(path, "news", [("a", 1)])
    assert table.get("a") == 1
    with slither.snapshot():
        assert table.get("a") == 1
        load(path, "news", [("a", 2)])
        assert table.get("a") == 1
        scan = table.scan()
    assert table.get("a") == 2
    assert raised(next, scan) == "closed"


def test_tables_of_a_store_share_its_reader(path, numbers):
    from slither import _stores
    other = slither.store("shared", path=path)
    load(path, "shared", [("a", 1)])
    load(path, "shared-too", [("a", 1)])
    first = None
    for _ in range(3):
        assert numbers.get(1) == {"n": 1} and other.get("a") == 1
        reader = _stores._readers[numbers.path]
        first = first or reader
        assert reader is first
    with slither.snapshot():
        assert other.get("a") == 1
        load(path, "shared-too", [("a", 2)])
        assert slither.store("shared-too", path=path).get("a") == 1, "all tables are of the version that was read first"


def test_nobody_writes_what_is_to_be_watched(numbers):
    assert raised(numbers.watch) == "closed"
    assert raised(slither.store("nothing", path=numbers.path).watch) in ("closed", "not_found")
    for wrong in (0, -1, 1_000_001):
        with pytest.raises(ValueError):
            numbers.watch(pending_max=wrong)
    with pytest.raises(TypeError):
        numbers.watch("key")
    with pytest.raises(TypeError):
        numbers.watch(start=1)


def test_refusals(path, numbers, tmp_path):
    assert raised(slither.store("nothing", path=path).get, 1) == "not_found"
    assert raised(slither.store("t", path=tmp_path / "nowhere").get, 1) == "not_found"
    assert raised(numbers.put, 1, 2) == raised(numbers.increment, 1) == raised(numbers.update, 1, str) == "unsupported"
    assert raised(numbers.get, {}) == raised(numbers.scan, start=[[{}]]) == "type_mismatch"
    assert raised(numbers.get, "x" * 491) == raised(numbers.get, b"x" * 2**20) == "limit_exceeded"
    assert raised(slither.store("numbers").get, 1) == "closed", "there is no host"
    for arguments in ((), (1, 2, 3)):
        with pytest.raises(TypeError):
            numbers.get(*arguments)
    with pytest.raises(TypeError):
        numbers.get(1, other=2)
    with pytest.raises(TypeError):
        numbers.scan(1)
    with pytest.raises((OverflowError, TypeError, ValueError)):
        numbers.scan(limit=-1)
    with pytest.raises(slither.NotSerializable):
        numbers.get(object())


class Meddler(list):
    """A key whose encoding reads, and ends the snapshot that it is read in."""

    def __init__(self, table):
        self.table = table

    def __iter__(self):
        slither._native.snapshot_end()
        self.table.get(1)
        return iter(())


def test_code_that_runs_while_a_key_is_encoded(numbers):
    for _ in range(3):
        with slither.snapshot():
            for read in (numbers.get, numbers.contains, lambda key: numbers.get_many([1, key, 2])):
                try:
                    read(Meddler(numbers))
                except (slither.Failure, TypeError):
                    pass
        assert numbers.get(1) == {"n": 1}


def test_scans_that_are_dropped(numbers):
    for _ in range(1000):  # each holds a reading, of which there are far fewer
        scan = numbers.scan()
        next(scan)
    del scan
    scans = []
    with pytest.raises(slither.Failure) as caught:
        for _ in range(10_000):
            scans.append(numbers.scan())
    assert caught.value.code == "limit_exceeded"
    scans.clear()
    assert numbers.get(1) == {"n": 1}


def test_a_closed_reader_is_opened_anew(path, numbers):
    from slither import _stores
    assert numbers.get(1) == {"n": 1}
    scan = numbers.scan()
    for reader in list(_stores._readers.values()):
        reader.close()
        reader.close()
    assert raised(next, scan) == "closed"
    assert numbers.get(2) == {"n": 2}


def test_a_forked_child(numbers):
    numbers.get(1)
    scan = numbers.scan()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if raised(numbers.get, 1) == raised(next, scan) == raised(lambda: numbers.size) == "closed":
                status = 0
            del scan
            gc.collect()
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    assert next(scan) == (0, {"n": 0})


def test_documented(numbers):
    for name in ("get", "get_many", "contains", "scan", "watch", "put", "put_if_absent", "delete", "increment", "update", "snapshot"):
        assert getattr(type(numbers), name).__doc__.strip(), name
    assert type(numbers).size.__doc__
    assert repr(numbers).startswith("slither.store('numbers', path=")


@pytest.mark.skipif(not sys.getallocatedblocks(), reason="PYTHONMALLOC hides how many blocks are in use")
def test_leaks(path, numbers):
    bag = slither.store("bag", path=path)

    def use():
        numbers.get(5), numbers.get(5, default=numbers), numbers.get(500, numbers), numbers.get_many([1, 2, 500], numbers)
        5 in numbers, numbers.contains(500), numbers.size, bag.get("k"), list(bag.scan()), list(numbers.scan(prefix="x"))
        next(numbers.scan(start=3, stop=10, reverse=True, limit=2))
        with slither.snapshot(), numbers.snapshot():
            numbers.get(1)
            next(numbers.scan())
        for wrong in ({}, object(), "x" * 1000):
            for function in (numbers.get, numbers.contains, lambda key: numbers.get_many([key]), lambda key: numbers.scan(start=key)):
                with pytest.raises((slither.Failure, slither.NotSerializable)):
                    function(wrong)
        raised(numbers.watch), raised(lambda: numbers.watch(prefix=1))
        repr(slither.store("numbers", path=path)), slither.store("numbers", path=path).get(1)

    assert growth(use, 100) < 100
