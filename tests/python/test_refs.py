# SPDX-License-Identifier: MIT
"""What cannot travel becomes a ref, leaf by leaf, and comes back as the object: with the test in the place of the host."""
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worker_driver import BATCH, EACH, Reply

import slither

SOURCE = """
    import datetime, weakref
    import slither

    class Thing:
        def __repr__(self):
            return "a thing"

    class Loud:
        def __repr__(self):
            raise ValueError("no repr")

    def numbers():
        yield 1

    SPECIAL = {
        "object": Thing, "set": lambda: {1, 2}, "complex": lambda: 1 + 2j, "int": lambda: 2 ** 70, "generator": numbers,
        "datetime": lambda: datetime.datetime(2026, 1, 2), "surrogate": lambda: "\\udc80", "loud": Loud, "range": lambda: range(3),
        "pair": lambda: {(1, 2): 3}, "type": lambda: Thing, "function": lambda: numbers, "mark": lambda: slither.skip("inside"),
        "lock": lambda: slither,
    }
    kept = []

    def built(value):
        if isinstance(value, dict):
            if "$" in value:
                kept.append(SPECIAL[value["$"]]())
                return kept[-1]
            return {key: built(entry) for key, entry in value.items()}
        return [built(entry) for entry in value] if isinstance(value, list) else value

    def make(items):
        kept.clear()
        return [built(item) for item in items]

    def compare(value, description, left):
        if isinstance(description, dict):
            if "$" in description:
                return value is left.pop(0)
            return list(value) == list(description) and all(compare(value[key], description[key], left) for key in value)
        if isinstance(description, list):
            return len(value) == len(description) and all(compare(a, b, left) for a, b in zip(value, description))
        return value == description or value != value

    def check(items):
        left = list(kept)
        return [compare(item["value"], item["description"], left) for item in items]

    def give(item):
        return item

    def one(items):
        kept[:] = [Thing()]
        return [kept[0]] * len(items)

    def keep(items):
        kept[:] = [slither.unpack(item) for item in items]
        return [repr(name) for name in kept]

    def kept_ones(items):
        return [list(kept)]

    def fresh(items):
        return [Thing() for item in items]

    def failing(items):
        return [Thing(), 1 / 0]

    def cyclic(items):
        loop = []
        loop.append(loop)
        wide = {}
        nodes = [{"neighbours": None} for _ in range(30)]
        for node in nodes:
            node["neighbours"] = nodes
        deep = 7
        for _ in range(300):
            deep = [deep]
        return [loop, nodes, deep]

    watched = []

    def watch(items):
        thing = Thing()
        watched.append(weakref.ref(thing))
        weakref.finalize(thing, print, "thing", items[0], "is gone", flush=True)
        return [thing for item in items]

    def alive(items):
        return [sum(reference() is not None for reference in watched)] * len(items)
"""

TYPES = {"object": "m.Thing", "set": "set", "complex": "complex", "int": "int", "generator": "generator", "datetime": "datetime.datetime",
         "surrogate": "str", "loud": "m.Loud", "range": "range", "pair": "dict", "type": "type", "function": "function",
         "mark": "slither.Mark", "lock": "module"}

sessions = itertools.count(1)


@pytest.fixture
def host(module, worker):
    module(SOURCE)
    return worker()


def batch(host, function, items, session, kind=BATCH, **options):
    head = ["m:" + function, dict({"session": session, "refs": True}, **options)]
    host.do("submit", kind=kind, head=head, items=list(items))
    return Reply(*host.do("reply"))


def values(host, function, items, session, **more):
    reply = batch(host, function, items, session, **more)
    assert reply.code == "ok", reply.details
    return reply.values


scalars = st.one_of(st.none(), st.booleans(), st.integers(-2**63, 2**64 - 1), st.floats(), st.text(max_size=8), st.binary(max_size=8))
special = st.sampled_from(sorted(TYPES)).map(lambda kind: {"$": kind})
keys = st.text(max_size=4).filter(lambda key: key != "$")
nested = st.recursive(st.one_of(scalars, special), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
                      max_leaves=20)


def assert_shape(value, description):
    if isinstance(description, dict) and "$" in description:
        assert isinstance(value, slither.Ref) and value.type_name == TYPES[description["$"]], (value, description)
    elif isinstance(description, dict):
        assert list(value) == list(description)
        for key in value:
            assert_shape(value[key], description[key])
    elif isinstance(description, list):
        assert isinstance(value, list) and len(value) == len(description)
        for entry, described in zip(value, description):
            assert_shape(entry, described)
    else:
        assert type(value) is type(description) and (value == description or value != value)


def test_containers_keep_their_shape_and_refs_come_back_as_the_objects(host):
    session = next(sessions)

    @settings(max_examples=settings().max_examples // 2)
    @given(st.lists(nested.filter(lambda value: not (isinstance(value, dict) and value.get("$") == "mark")), min_size=1, max_size=3))
    def check(descriptions):
        made = values(host, "make", descriptions, session)
        for value, description in zip(made, descriptions):
            assert_shape(value, description)
        pairs = [{"value": value, "description": description} for value, description in zip(made, descriptions)]
        assert values(host, "check", pairs, session) == [True] * len(pairs)
    check()


def test_a_mark_is_still_a_mark_where_it_stands_for_the_item(host):
    made, = values(host, "make", [{"$": "mark"}], next(sessions))
    assert isinstance(made, slither.Mark)


def test_what_a_ref_says(host):
    session = next(sessions)
    thing, loud = values(host, "make", [{"$": "object"}, {"$": "loud"}], session)
    assert (thing.session, thing.type_name, thing.repr) == (session, "m.Thing", "a thing")
    assert loud.repr.startswith("<Loud instance")
    assert thing.object != loud.object


def test_one_object_has_one_name(host):
    session = next(sessions)
    refs = values(host, "one", [1, 2, 3], session)
    assert len(set(refs)) == 1


def test_without_refs_nothing_has_changed(host):
    reply = batch(host, "one", [1], next(sessions), refs=False)
    assert isinstance(reply.values[0], slither.Mark) and "m.Thing cannot travel" in reply.values[0].text


def test_what_contains_itself_or_is_too_deep(host):
    loop, nodes, deep = values(host, "cyclic", [1, 2, 3], next(sessions))
    # A ref stands at the third level, so that the work has a bound.
    assert isinstance(loop[0][0], slither.Ref) and loop[0][0].type_name == "list"
    assert len(nodes) == 30 and all(isinstance(node["neighbours"], slither.Ref) for node in nodes)
    assert len({node["neighbours"] for node in nodes}) == 1
    assert isinstance(deep[0][0], slither.Ref)


# ---- refs that are no good ---------------------------------------------------------------------------------------

def test_refs_of_others_are_refused_by_name(host):
    ours, theirs = next(sessions), next(sessions)
    ref, = values(host, "fresh", [1], theirs)
    reply = batch(host, "give", [ref], ours)
    assert reply.code == "ref_lost"
    assert str(ours) in reply.details["message"] and str(theirs) in reply.details["message"], reply.details["message"]
    assert reply.details["item"] == 0
    packed = bytearray(slither.pack(ref))
    at = packed.index(ref.generation.to_bytes(4, "little"), len(packed) - 26 - len(ref.type_name) - len(ref.repr) + 20)
    packed[at] += 1
    other_start = slither.unpack(bytes(packed))
    assert other_start.generation == ref.generation + 1
    reply = batch(host, "give", [{"deep": [other_start]}], theirs)
    assert reply.code == "session_lost", reply.details
    assert "generation %d" % ref.generation in reply.details["message"] and "generation %d" % other_start.generation in reply.details["message"]
    assert values(host, "give", [ref], theirs) == [ref]


def test_a_ref_that_is_no_good_costs_its_item_alone_where_items_are_called_one_by_one(host):
    ours, theirs = next(sessions), next(sessions)
    good, = values(host, "fresh", [1], ours)
    bad, = values(host, "fresh", [1], theirs)
    results = values(host, "give", [1, bad, good], ours, kind=EACH)
    assert results[0] == 1 and results[2] == good
    assert results[1].kind == "error" and results[1].payload["code"] == "ref_lost"


def test_the_limit_of_a_session(host):
    session = next(sessions)
    held = values(host, "fresh", [1, 2], session, ref_max=3)
    reply = batch(host, "fresh", [1, 2, 3], session, ref_max=3)
    assert reply.code == "limit_exceeded" and "3" in reply.details["message"], reply.details
    # What the failed batch had added is gone again: there is room for one more, and no more than that.
    held += values(host, "fresh", [1], session, ref_max=3)
    assert batch(host, "fresh", [1], session, ref_max=3).code == "limit_exceeded"
    assert len(set(held)) == 3


def test_a_failed_batch_keeps_nothing(host):
    session = next(sessions)
    assert batch(host, "failing", [1, 2], session).code == "python_exception"
    ref, = values(host, "watch", [1], session)
    assert values(host, "alive", [1], session) == [1]
    assert ref.type_name == "m.Thing"


# ---- names that Python itself holds, from slither.unpack() or a store -----------------------------------------------

def test_a_name_of_ones_own_goes_out_as_its_object(host):
    session = next(sessions)
    ref, = values(host, "watch", ["one"], session)
    other, = values(host, "watch", ["another"], session)
    assert values(host, "keep", [slither.pack(ref)], session) == [repr(ref)]
    assert values(host, "kept_ones", [1], session) == [[ref]]
    # It has travelled twice now, and is held until both are given back.
    host.drop(refs=[(session, ref.object, 1), (session, other.object, 1)])
    host.stdout.wait_for("thing another is gone")
    assert values(host, "give", [ref], session) == [ref]
    host.drop(refs=[(session, ref.object, 2)])
    host.stdout.wait_for("thing one is gone")


def test_a_name_of_others_goes_out_as_an_object(host):
    ours, theirs = next(sessions), next(sessions)
    ref, = values(host, "fresh", [1], theirs)
    assert values(host, "keep", [slither.pack(ref)], ours) == [repr(ref)]
    (named,), = values(host, "kept_ones", [1], ours)
    assert (named.session, named.type_name) == (ours, "slither.Ref")
    assert values(host, "give", [named], ours) == [named]
    assert values(host, "kept_ones", [1], ours, refs=False) == [[ref]]  # where nobody asks for refs it is a value
