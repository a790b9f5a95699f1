# SPDX-License-Identifier: MIT
"""Values to bytes and back, by property; msgpack from PyPI is the oracle for the types that it knows."""
import collections
import datetime
import enum
import math
import struct

import msgpack
import pytest
from hypothesis import example, given, strategies as st

import slither

UTC = datetime.timezone.utc

ints = st.integers(-2**63, 2**64 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]))
plain_scalars = st.none() | st.booleans() | ints | st.floats() | texts | st.binary()
moments = st.datetimes(timezones=st.just(UTC))
scalars = plain_scalars | moments
plain_keys = st.none() | st.booleans() | ints | st.floats(allow_nan=False) | texts | st.binary()


def trees(leaves, keys):
    return st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=40)


plain_values = trees(plain_scalars, plain_keys)
values = trees(scalars, plain_keys | moments)


def same(a, b):
    """Equal with equal types, NaN equal to itself, and -0.0 different from 0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(same(x, y) and same(a[x], b[y]) for x, y in zip(a, b))
    return a == b


@given(values)
def test_round_trip(value):
    assert same(slither.unpack(slither.pack(value)), value)


@given(plain_values)
def test_reads_what_msgpack_writes(value):
    assert same(slither.unpack(msgpack.packb(value)), value)


@given(plain_values)
def test_msgpack_reads_what_we_write(value):
    assert same(msgpack.unpackb(slither.pack(value), strict_map_key=False), value)


@given(plain_values)
def test_is_as_short_as_msgpack(value):
    assert slither.pack(value) == msgpack.packb(value)


@given(moments)
def test_timestamps_as_msgpack_has_them(moment):
    assert slither.pack(moment) == msgpack.packb(moment, datetime=True)
    assert slither.unpack(msgpack.packb(moment, datetime=True)) == moment


@pytest.mark.parametrize("moment", [
    datetime.datetime(1, 1, 1, tzinfo=UTC),
    datetime.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime.datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC),
    datetime.datetime(2020, 2, 29, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=-5, minutes=-30))),
])
def test_moments_keep_their_place_in_time(moment):
    back = slither.unpack(slither.pack(moment))
    assert back == moment and back.utcoffset() == datetime.timedelta(0)


def test_timestamp_outside_the_years_of_datetime():
    stamp = msgpack.packb(msgpack.Timestamp(2**40, 0))
    with pytest.raises(ValueError, match="years 1 to 9999"):
        slither.unpack(stamp)


@given(st.binary(max_size=200))
@example(b"\xc1")
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\xdf\xff\xff\xff\xff")
@example(b"\xc6\xff\xff\xff\xff")
@example(b"\x91" * 200)
@example(b"\xc7\x02\x04\x03\xa0")
def test_garbage_gives_a_value_or_value_error(data):
    try:
        value = slither.unpack(data)
    except ValueError as error:
        assert str(error).startswith("byte ")
    else:
        slither.pack(value)


@given(values, st.data())
def test_cut_off_bytes_are_refused(value, data):
    packed = slither.pack(value)
    with pytest.raises(ValueError):
        slither.unpack(packed[:data.draw(st.integers(0, len(packed) - 1))])


def test_bytes_after_the_value_are_refused():
    with pytest.raises(ValueError, match="byte 1: bytes follow"):
        slither.unpack(b"\x01\x01")


@pytest.mark.parametrize("data", [b"\xa1\xff", b"\x81\xa1\xff\x01", b"\xa3\xed\xa0\x80"])
def test_invalid_utf8_is_refused(data):
    with pytest.raises(ValueError, match="not valid UTF-8"):
        slither.unpack(data)


def test_containers_are_no_keys():
    with pytest.raises(ValueError, match="byte 1: the key of a map is not a scalar"):
        slither.unpack(b"\x81\x90\x01")


def test_last_of_equal_keys_wins():
    assert slither.unpack(b"\x82\xa1a\x01\xa1a\x02") == {"a": 2}


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33, 200])
def test_keys_of_every_size_are_told_apart(size):
    """The key cache compares words: a key and one that differs only in its last byte, or only in length, are others."""
    keys = {"k" * size, "k" * max(size - 1, 0) + "\0", "k" * size + "\0", "k" * size + "k"}
    rows = [{key: index} for index, key in enumerate(sorted(keys))] * 40
    assert slither.unpack(slither.pack(rows)) == rows


def test_keys_that_differ_by_trailing_zeros_only():
    """They are the same words in the key cache, and of this many some share a slot."""
    rows = [{"long key %d" % n + "\0" * zeros: n} for n in range(5000) for zeros in (0, 1, 2)]
    assert slither.unpack(slither.pack(rows)) == rows


def test_many_different_keys():
    rows = [{"key%d" % n: n} for n in range(20000)]
    assert slither.unpack(slither.pack(rows)) == rows


# ---- what travels as something else ------------------------------------------------------------------------------

class Text(str):
    pass


class Row(dict):
    pass


class Level(enum.IntEnum):
    LOW = 3


Point = collections.namedtuple("Point", "x y")


def moved_to_end():
    ordered = collections.OrderedDict(a=1, b=2)
    ordered.move_to_end("a")
    return ordered


@pytest.mark.parametrize("value, arrives", [
    ((1, (2,)), [1, [2]]),
    (Point(1, 2), [1, 2]),
    (bytearray(b"ab"), b"ab"),
    (memoryview(b"abcd")[1:3], b"bc"),
    (memoryview(b"abcd").cast("c"), b"abcd"),
    (Text("x"), "x"),
    (Row(a=1), {"a": 1}),
    (collections.Counter("aab"), {"a": 2, "b": 1}),
    (Level.LOW, 3),
    ({Level.LOW: Text("y")}, {3: "y"}),
])
def test_subclasses_and_relatives_travel_as_their_base(value, arrives):
    assert same(slither.unpack(slither.pack(value)), arrives)


def test_a_dict_subclass_decides_its_own_order():
    assert list(slither.unpack(slither.pack(moved_to_end()))) == ["b", "a"]


# ---- depth -------------------------------------------------------------------------------------------------------

def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


def depth_of(value):
    """Comparing lists that deep takes more stack than some versions allow."""
    depth = 1
    while value:
        (value,) = value
        depth += 1
    return depth


@pytest.mark.parametrize("depth", [1, 2, 128, 1024])
def test_depth_limit_is_exact(depth):
    packed = slither.pack(nested(depth), depth_max=depth)
    assert depth_of(slither.unpack(packed, depth_max=depth)) == depth
    with pytest.raises(slither.NotSerializable, match="more than %d deep" % depth):
        slither.pack([nested(depth)], depth_max=depth)
    with pytest.raises(ValueError, match="more than %d deep" % depth):
        slither.unpack(b"\x91" + packed, depth_max=depth)


@pytest.mark.parametrize("depth", [0, 1025, 2**31])
def test_depth_limit_out_of_range(depth):
    with pytest.raises(ValueError, match="depth_max"):
        slither.pack(1, depth_max=depth)
    with pytest.raises(ValueError, match="depth_max"):
        slither.unpack(b"\x01", depth_max=depth)


def test_depth_counts_what_is_open_not_what_was():
    value = [nested(3) for _ in range(1000)]
    assert slither.unpack(slither.pack(value, depth_max=4), depth_max=4) == value


def test_cycles_are_an_error():
    row = {"self": None}
    row["self"] = [row]
    with pytest.raises(slither.NotSerializable, match=r'^\["self"\]\[0\]\["self"\].*contains itself'):
        slither.pack(row)


# ---- marks and refs ----------------------------------------------------------------------------------------------

@given(st.sampled_from(["skip", "error", "route"]), texts, values)
def test_marks_round_trip(kind, text, payload):
    mark = slither.route(text, payload) if kind == "route" else getattr(slither, kind)(text)
    back = slither.unpack(slither.pack(mark))
    assert (back.kind, back.text) == (kind, text)
    assert same(back.payload, payload if kind == "route" else None)
    assert back == mark or "nan" in repr(payload)


def test_an_error_mark_of_the_serve_loop_has_a_payload():
    packed = msgpack.packb(msgpack.ExtType(4, b"\x02" + msgpack.packb("why") + msgpack.packb({"type": "ValueError"})))
    mark = slither.unpack(packed)
    assert (mark.kind, mark.text, mark.payload) == ("error", "why", {"type": "ValueError"})
    assert slither.unpack(slither.pack(mark)) == mark


def test_marks_are_immutable_and_show_themselves():
    mark = slither.route("big", {"n": 1})
    with pytest.raises(AttributeError):
        mark.text = "x"
    assert repr(mark) == "slither.route('big', {'n': 1})"
    assert repr(slither.skip()) == "slither.skip('')"
    assert mark == slither.route("big", {"n": 1}) != slither.error("big")
    with pytest.raises(TypeError):
        hash(mark)
    with pytest.raises(TypeError):
        slither.Mark()


def test_marks_in_a_cycle_are_collected_and_shown():
    import gc
    entries = []
    mark = slither.route("loop", entries)
    entries.append(mark)
    assert "..." in repr(mark)
    with pytest.raises(slither.NotSerializable):
        slither.pack(mark)
    del mark, entries
    gc.collect()


def test_a_mark_inside_a_value_is_refused():
    with pytest.raises(slither.NotSerializable, match=r"^\[0\]: a mark is inside another value"):
        slither.pack([slither.skip()])
    with pytest.raises(slither.NotSerializable, match="a mark is inside another value"):
        slither.pack(slither.route("a", slither.skip()))
    with pytest.raises(ValueError, match="a mark is inside another value"):
        slither.unpack(b"\x91" + slither.pack(slither.skip()))


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), texts, texts)
def test_refs_travel_as_they_are(session, number, worker, generation, name, shown):
    body = struct.pack("<QQIIH", session, number, worker, generation, len(name.encode())) + name.encode() + shown.encode()
    packed = msgpack.packb(msgpack.ExtType(3, body))
    ref = slither.unpack(packed)
    assert (ref.session, ref.object, ref.worker, ref.generation, ref.type_name, ref.repr) == (
        session, number, worker, generation, name, shown)
    assert slither.pack(ref) == packed and slither.unpack(slither.pack(ref)) == ref
    assert len({ref, slither.unpack(packed)}) == 1


def test_unknown_extensions_are_refused():
    with pytest.raises(ValueError, match="an extension is of a type that is not ours"):
        slither.unpack(msgpack.packb(msgpack.ExtType(99, b"x")))
