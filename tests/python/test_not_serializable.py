# SPDX-License-Identifier: MIT
"""What cannot travel is an error that names the type, the place and what to do."""
import collections
import dataclasses
import datetime
import decimal
import enum
import pathlib
import re
import sys
import uuid

import pytest

import slither


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Record:
    x: int


class Thing:
    pass


@pytest.mark.parametrize("value, type_name, advice", [
    ({1}, "set", "list(value)"),
    (frozenset(), "frozenset", "sorted(value)"),
    (1j, "complex", "value.real"),
    (range(3), "range", "list(value)"),
    ((x for x in ()), "generator", "list(value)"),
    (map(str, ()), "map", "list(value)"),
    ({}.keys(), "dict_keys", "list(value)"),
    (collections.deque(), "collections.deque", "list(value)"),
    (decimal.Decimal(1), "decimal.Decimal", "str(value)"),
    (uuid.UUID(int=1), "uuid.UUID", "str(value)"),
    (pathlib.PurePosixPath("/x"), "PurePosixPath", "str(value)"),
    (datetime.date(2020, 1, 1), "datetime.date", "isoformat()"),
    (datetime.timedelta(1), "datetime.timedelta", "total_seconds()"),
    (Colour.RED, "Colour", "value.value"),
    (Record(1), "Record", "dataclasses.asdict(value)"),
    (ValueError("x"), "ValueError", "str(value)"),
    (re.compile("x"), "re.Pattern", "value.pattern"),
    (sys, "module", "__name__"),
    (len, "builtin_function_or_method", "make it one of what travels"),
    (Thing(), "Thing", "make it one of what travels"),
])
def test_names_type_place_and_advice(value, type_name, advice):
    with pytest.raises(slither.NotSerializable) as caught:
        slither.pack([0, {"price": (value,)}])
    text = str(caught.value)
    assert text.startswith('[1]["price"][0]: an object of type ')
    assert type_name in text and advice in text


@pytest.mark.parametrize("value, says", [
    (2**64, "outside -2**63 .. 2**64-1"),
    (-2**63 - 1, "outside -2**63 .. 2**64-1"),
    (10**400, "outside -2**63 .. 2**64-1"),
    ("a\ud800", "lone surrogate"),
    (datetime.datetime(2020, 1, 1), "no time zone"),
    ({(1,): 2}, "the key of a dict is a tuple"),
    ({frozenset(): 2}, "the key of a dict is a frozenset"),
    (memoryview(b"abcd")[::2], "not contiguous"),
])
def test_unfit_values_of_fit_types(value, says):
    with pytest.raises(slither.NotSerializable) as caught:
        slither.pack({"a": [value]})
    assert says in str(caught.value) and str(caught.value).startswith('["a"][0]')


@pytest.mark.parametrize("key, place", [
    ("name", '["name"]'),
    ('quo"te', """['quo"te']"""),
    ("line\n", "['line\\n']"),
    (7, "[7]"),
    (b"x", "[b'x']"),
    (None, "[None]"),
    ("k" * 500, "..."),
])
def test_places_are_shown_as_python_writes_them(key, place):
    with pytest.raises(slither.NotSerializable) as caught:
        slither.pack({key: Thing()})
    assert place in str(caught.value) and len(str(caught.value)) < 400


def test_long_places_are_cut():
    value = Thing()
    for _ in range(100):
        value = [value]
    with pytest.raises(slither.NotSerializable) as caught:
        slither.pack(value)
    assert str(caught.value).startswith("[0]" * 12 + "...: ")


def test_is_a_type_error():
    assert issubclass(slither.NotSerializable, TypeError)


def test_a_type_without_a_usable_repr():
    class Hostile:
        def __repr__(self):
            raise RuntimeError

        __str__ = __repr__

        def __getattr__(self, name):
            raise RuntimeError

    with pytest.raises(slither.NotSerializable, match="Hostile"):
        slither.pack(Hostile())


# ---- objects that change what is being encoded -----------------------------------------------------------------

class Saboteur(dict):
    """Runs code of its own in the middle of an encoding."""

    def __init__(self, act):
        super().__init__(x=1)
        self.act = act

    def items(self):
        self.act()
        return [("x", 1)]


def test_a_list_that_shrinks_meanwhile():
    victim = [Saboteur(lambda: victim.clear()), 1, 2]
    with pytest.raises(slither.NotSerializable, match="a list changed its size"):
        slither.pack(victim)


def test_a_dict_that_changes_meanwhile():
    victim = {}
    victim["a"] = Saboteur(lambda: victim.update(z=1))
    victim["b"] = 1
    with pytest.raises(slither.NotSerializable, match="a dict changed its size"):
        slither.pack(victim)
    victim = {}
    victim["a"] = Saboteur(lambda: victim.clear())
    victim["b"] = 1
    with pytest.raises(slither.NotSerializable, match="a dict changed its size"):
        slither.pack(victim)


def test_a_container_that_loses_its_last_owner_meanwhile():
    outer = [None]
    outer[0] = [Saboteur(lambda: outer.clear()), ["x" * 100]]
    assert slither.unpack(slither.pack({"k": outer[0]})) == {"k": [{"x": 1}, ["x" * 100]]}
    outer.append([Saboteur(lambda: outer.clear()), ["x" * 100]])
    assert slither.unpack(slither.pack(outer)) == [[{"x": 1}, ["x" * 100]]]


def test_items_that_raise_or_give_nonsense():
    def fail():
        raise KeyError("mine")
    with pytest.raises(KeyError, match="mine"):
        slither.pack([Saboteur(fail)])

    class Nonsense(dict):
        def items(self):
            return [1, 2]
    with pytest.raises(slither.NotSerializable, match="something else than pairs"):
        slither.pack([Nonsense(a=1)])
