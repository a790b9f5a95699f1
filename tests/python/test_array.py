# SPDX-License-Identifier: MIT
"""slither.Array: a read-only buffer that numpy, memoryview and the codec agree about."""
import array
import copy
import gc
import pickle
import struct
import sys

import pytest
from hypothesis import given, strategies as st

import slither

FORMATS = {
    "uint8": "B", "int8": "b", "uint16": "H", "int16": "h", "uint32": "I", "int32": "i", "uint64": "Q", "int64": "q",
    "float16": "e", "float32": "f", "float64": "d", "bool": "?",
}


def element(dtype):
    if dtype == "bool":
        return st.booleans()
    if dtype.startswith("float"):
        return st.floats(width=int(dtype[5:]), allow_nan=False)
    bits = int(dtype.lstrip("uint"))
    return st.integers(0, 2**bits - 1) if dtype[0] == "u" else st.integers(-2**(bits - 1), 2**(bits - 1) - 1)


@st.composite
def arrays(draw):
    dtype = draw(st.sampled_from(sorted(FORMATS)))
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
    count = 1
    for extent in shape:
        count *= extent
    elements = draw(st.lists(element(dtype), min_size=count, max_size=count))
    return slither.Array(struct.pack("<%d%s" % (count, FORMATS[dtype]), *elements), dtype, shape), elements


def flat(nested, depth):
    if depth == 0:
        return [nested]
    return [entry for part in nested for entry in flat(part, depth - 1)]


@given(arrays())
def test_round_trip(pair):
    original, elements = pair
    back = slither.unpack(slither.pack(original))
    assert (back.dtype, back.shape, back.tobytes()) == (original.dtype, original.shape, original.tobytes())
    assert flat(back.tolist(), back.ndim) == elements
    assert (back.nbytes, back.itemsize * max(len(elements), 0)) == (len(back.tobytes()),) * 2


@given(arrays(), st.integers(0, 9))
def test_round_trip_at_any_place_in_a_value(pair, before):
    original, _ = pair
    value = ["x" * before, {"k" * before: original}, original]
    text, row, second = slither.unpack(slither.pack(value))
    for back in (row["k" * before], second):
        assert (back.dtype, back.shape, back.tobytes()) == (original.dtype, original.shape, original.tobytes())


def test_numpy_sees_it_without_a_copy(numpy):
    original = numpy.arange(24, dtype="float32").reshape(2, 3, 4)
    back = slither.unpack(slither.pack(original))
    view = numpy.asarray(back)
    assert view.dtype == numpy.dtype("float32") and (view == original).all()
    assert not view.flags.writeable and view.flags.c_contiguous
    assert numpy.shares_memory(view, numpy.asarray(back))


@pytest.mark.parametrize("dtype", sorted(FORMATS) + ["complex64", "complex128"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3), (1,) * 16])
def test_every_dtype_of_numpy_and_back(numpy, dtype, shape):
    count = int(numpy.prod(shape))
    original = (numpy.arange(count) * (1.5 - 2j if dtype.startswith("c") else 1)).astype(dtype).reshape(shape)
    back = slither.unpack(slither.pack(original))
    assert isinstance(back, slither.Array) and back.dtype == dtype and back.shape == shape
    assert numpy.asarray(back).dtype == original.dtype
    assert numpy.array_equal(numpy.asarray(back), original)
    assert back.tolist() == original.tolist()
    again = slither.unpack(slither.pack(back))
    assert again.tobytes() == back.tobytes() == original.tobytes()


def test_arrays_that_are_not_in_c_order_are_copied_into_it(numpy):
    base = numpy.arange(24, dtype="int32").reshape(4, 6)
    for view in (base.T, base[:, ::2], base[::-1], numpy.asfortranarray(base), base[1:3, 2:5]):
        back = slither.unpack(slither.pack(view))
        assert numpy.array_equal(numpy.asarray(back), view)


@pytest.mark.parametrize("make, says", [
    (lambda np: np.array(["a"]), "the format"),
    (lambda np: np.array([object()]), "the format 'O'"),
    (lambda np: np.zeros(2, dtype="f8,i4"), "the format"),
    (lambda np: np.zeros(2, dtype=">f8"), "big endian"),
    (lambda np: np.zeros(2, dtype="datetime64[s]"), "numpy.ndarray"),
    (lambda np: np.zeros((1,) * 17), "more than 16 dimensions"),
    (lambda np: np.longdouble(1), "longdouble"),
    (lambda np: np.complex128(1), "complex"),
    (lambda np: np.datetime64("2020-01-01"), "datetime64"),
])
def test_numpy_objects_that_cannot_travel(numpy, make, says):
    with pytest.raises(slither.NotSerializable) as caught:
        slither.pack([make(numpy)])
    assert says in str(caught.value) and str(caught.value).startswith("[0]: ")


@pytest.mark.parametrize("name, value, arrives", [
    ("float64", 1.5, 1.5), ("float32", 1.5, 1.5), ("float16", -0.25, -0.25), ("int64", -3, -3), ("int8", -128, -128),
    ("uint64", 2**64 - 1, 2**64 - 1), ("uint8", 255, 255), ("bool_", True, True), ("bool_", False, False),
    ("str_", "é", "é"), ("bytes_", b"b", b"b"),
])
def test_scalars_of_numpy_are_scalars(numpy, name, value, arrives):
    back = slither.unpack(slither.pack({"k": getattr(numpy, name)(value)}))["k"]
    assert type(back) is type(arrives) and back == arrives
    assert slither.unpack(slither.pack({getattr(numpy, name)(value): 1})) == {arrives: 1}


def test_numpy_is_not_imported_for_it():
    import subprocess
    code = ("import sys, slither; slither.unpack(slither.pack([slither.Array(b'12345678', 'float64'), 1.5, (1,)]));"
            "print([name for name in ('numpy', 'datetime', 'traceback', 'inspect') if name in sys.modules])")
    assert subprocess.check_output([sys.executable, "-S", "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize("typecode", "bBhHiIlLqQfd")
def test_arrays_of_the_standard_library(typecode):
    back = slither.unpack(slither.pack(array.array(typecode, [1, 2, 3])))
    assert back.tolist() == [1, 2, 3]
    assert memoryview(back).format in "bBhHiIlLfd"


def test_a_memoryview_of_numbers_is_an_array():
    back = slither.unpack(slither.pack(memoryview(bytes(16)).cast("d")))
    assert (back.dtype, back.shape) == ("float64", (2,))


# ---- the object --------------------------------------------------------------------------------------------------

def test_indexing():
    matrix = slither.Array(struct.pack("<6i", *range(6)), "int32", (2, 3))
    assert matrix[1, 2] == matrix[1][2] == matrix[-1, -1] == 5
    assert (len(matrix), matrix.ndim, [row.tolist() for row in matrix]) == (2, 2, [[0, 1, 2], [3, 4, 5]])
    assert matrix[()].tolist() == matrix.tolist()
    for wrong in (2, -3, (0, 3), (0, 0, 0)):
        with pytest.raises(IndexError):
            matrix[wrong]
    for wrong in ("x", slice(0, 1), 1.0):
        with pytest.raises(TypeError, match="numpy.asarray"):
            matrix[wrong]


def test_a_part_keeps_the_whole_alive():
    row = slither.unpack(slither.pack(slither.Array(bytes(range(200)), "uint8", (2, 100))))[1]
    gc.collect()
    assert row.tobytes() == bytes(range(100, 200))
    part = slither.Array(struct.pack("<8d", *range(8)), "float64", (2, 2, 2))[1][1]
    gc.collect()
    assert part.tolist() == [6.0, 7.0]


def test_a_view_keeps_the_array_alive():
    view = memoryview(slither.Array(b"abc"))
    gc.collect()
    assert bytes(view) == b"abc"


def test_without_dimensions():
    scalar = slither.Array(struct.pack("<d", 2.5), "float64", ())
    assert (scalar.shape, scalar.tolist(), scalar[()]) == ((), 2.5, 2.5)
    with pytest.raises(TypeError):
        len(scalar)
    with pytest.raises(IndexError):
        scalar[0]


def test_is_read_only():
    data = slither.Array(b"abc")
    assert memoryview(data).readonly
    with pytest.raises(TypeError):
        memoryview(data)[0] = 1
    with open("/dev/zero", "rb", buffering=0) as source, pytest.raises(TypeError, match="read-write"):
        source.readinto(data)
    with pytest.raises(AttributeError):
        data.shape = (1,)
    assert data.tobytes() == b"abc"


@pytest.mark.parametrize("arguments, says", [
    ((b"abc", "float64"), "not a multiple of the 8"),
    ((b"abc", "text"), "not a dtype"),
    ((b"abcd", "uint8", (3,)), "does not match the 4 bytes"),
    ((b"", "uint8", (2**62, 0, 2**62)), "does not match"),
    ((b"", "uint8", (-1,)), "negative"),
    ((b"", "uint8", (1,) * 17), "at most 16 dimensions"),
])
def test_construction_refuses(arguments, says):
    with pytest.raises(ValueError, match=says):
        slither.Array(*arguments)


def test_copies_and_pickles():
    original = slither.Array(struct.pack("<4h", 1, 2, 3, 4), "int16", (2, 2))
    for twin in (pickle.loads(pickle.dumps(original)), copy.copy(original), copy.deepcopy(original)):
        assert (twin.dtype, twin.shape, twin.tobytes()) == ("int16", (2, 2), original.tobytes())


def test_shows_itself():
    assert repr(slither.Array(bytes(8), "float32", (2, 1))) == "<slither.Array float32 (2, 1)>"


@given(st.integers(0, 65535))
def test_every_half_float(bits):
    data = struct.pack("<H", bits)
    expected = struct.unpack("<e", data)[0]
    found = slither.Array(data, "float16")[0]
    assert struct.pack("<d", found) == struct.pack("<d", expected) or (found != found and expected != expected)


def test_hostile_arrays_are_refused():
    import msgpack
    body = bytes([11, 1, 0, 0]) + struct.pack("<Q", 3) + bytes(16)
    with pytest.raises(ValueError):
        slither.unpack(msgpack.packb(msgpack.ExtType(1, body)))
    with pytest.raises(ValueError, match="shared buffer"):
        slither.unpack(msgpack.packb(msgpack.ExtType(2, bytes([1, 1]) + bytes(6) + struct.pack("<QQQ", 7, 0, 8))))
