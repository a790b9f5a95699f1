# SPDX-License-Identifier: MIT
"""Sessions in a worker, with the test in the place of the host: what lives, what mixes with nothing, and what runs when one ends."""
import time

import pytest

import slither
from worker_driver import EACH, HostError

NAMES = """
    import slither
    @slither.on_session_close
    def told():
        print("ended", slither.session().id, flush=True)
    def put(items):
        session = slither.session()
        for name, value in items:
            session[name] = value
        return items
    def look(items):
        return [dict(slither.session()) for _ in items]
    def number(items):
        return [slither.session().id for _ in items]
"""


def of(number, **more):
    return dict(more, session=number)


# ---- the namespace ------------------------------------------------------------------------------------------------


def test_a_session_outlives_its_batches_and_mixes_with_no_other(module, worker):
    module(NAMES)
    host = worker()
    for number in (1, 2, 1 << 63):
        reply = host.batch("m:put", [["name", number]], options=of(number))
        assert reply.code == "ok" and reply.state
    for number in (2, 1, 1 << 63):
        assert host.batch("m:look", [0], options=of(number)).values == [{"name": number}]
        assert host.batch("m:number", [0], options=of(number)).values == [number]
    reply = host.batch("m:look", [0], options=of(3))
    assert reply.values == [{}] and not reply.state, "to have looked is no state"
    host.drop(1)
    host.stdout.wait_for("ended 1")
    assert host.batch("m:look", [0], options=of(2)).values == [{"name": 2}]
    assert host.batch("m:look", [0], options=of(1)).values == [{}]


def test_the_faces_of_a_namespace(module, worker):
    module("""
        import slither
        def run(items):
            s = slither.session()
            s.model = [1]
            assert s["model"] is s.model and s.get("model") == [1] and "model" in s and len(s) == 1 and list(s) == ["model"]
            assert s.get("absent") is None and s.setdefault("count", 5) == 5 and s.pop("count") == 5
            s["a b"] = 1
            del s["a b"], s.model
            assert not s and slither.session() is s and hash(s) and s == s
            s["id"] = 7
            assert s.id == 17 and s["id"] == 7
            made = []
            for _ in range(2):
                assert s.get_or_create("cache", made.append, 1) is None
            assert made == [1] and s.get_or_create("list", list) is s.list
            assert "list" in dir(s) and "list" in repr(s) and "17" in repr(s)
            for refused in (lambda: setattr(s, "get", 1), lambda: s.absent, lambda: setattr(s, "id", 1)):
                try:
                    refused()
                except AttributeError as reason:
                    assert "get" in str(reason) or "absent" in str(reason) or "id" in str(reason)
                else:
                    raise AssertionError("not refused")
            return items
    """)
    host = worker()
    reply = host.batch("m:run", [1], options=of(17))
    assert (reply.code, reply.values) == ("ok", [1]), reply.details


def test_where_there_is_no_session(module, worker):
    module("""
        import slither, threading
        try:
            slither.session()
        except slither.Failure as reason:
            imported = [reason.code, str(reason)]
        def at_import(items): return [imported]
        def here(items): return [slither.session().id]
        def thread(items):
            told = []
            def work():
                try:
                    told.append(slither.session().id)
                except slither.Failure as reason:
                    told.append(str(reason))
                with session:
                    told.append(slither.session().id)
            session = slither.session()
            other = threading.Thread(target=work)
            other.start()
            other.join()
            return [told]
    """)
    host = worker()
    code, text = host.batch("m:at_import", [1], options=of(5)).values[0]
    assert code == "session_lost" and "while a function runs that a host has called" in text
    reply = host.batch("m:here", [1])
    assert reply.code == "python_exception" and "the host has given this batch no session" in reply.details["message"]
    told = host.batch("m:thread", [1], options=of(5)).values[0]
    assert "this thread works for no session" in told[0] and told[1] == 5
    with pytest.raises(slither.Failure, match="only while a function runs") as caught:
        slither.session()
    assert caught.value.code == "session_lost"


def test_tasks_keep_the_session_that_they_were_begun_for(module, worker):
    module("""
        import asyncio, slither
        seen, tasks = [], []
        slither.on_session_close(lambda: print("ended", slither.session().id, flush=True))
        async def begin(items):
            async def later(gate):
                slither.session().begun = True
                await gate.wait()
                await asyncio.to_thread(lambda: seen.append(slither.session().id))
                return slither.session().id
            gate = asyncio.Event()
            tasks.append((gate, asyncio.create_task(later(gate))))
            await asyncio.sleep(0)
            return [slither.session().id]
        async def end(items):
            gate, task = tasks.pop()
            gate.set()
            return [[await task, slither.session().id, seen.pop()]]
        async def lost(items):
            gate, task = tasks.pop()
            gate.set()
            try:
                await task
            except slither.Failure as reason:
                return [[reason.code, str(reason)]]
    """)
    host = worker()
    reply = host.batch("m:begin", [1], options=of(1))
    assert reply.values == [1] and reply.state
    assert host.batch("m:end", [1], options=of(2)).values == [[1, 2, 1]]
    host.batch("m:begin", [1], options=of(3))
    host.drop(3)
    host.stdout.wait_for("ended 3")
    assert host.batch("m:lost", [1], options=of(2)).values == [["session_lost", "session 3, which this code was begun for, has ended"]]


# ---- ends ---------------------------------------------------------------------------------------------------------

HOOKS = """
    import slither
    @slither.on_session_close
    def every():
        print("every", slither.session().id, slither.session().get("name"), flush=True)
    def open(items):
        session = slither.session()
        session.name = items[0]
        slither.on_session_close(print, "first", items[0], flush=True)
        def fails():
            raise ValueError("cannot close %s" % items[0])
        slither.on_session_close(fails)
        slither.on_session_close(lambda: print("last", slither.session().name, flush=True))
        return items
    kept = []
    def keep(items):
        kept.append(slither.session())
        return items
    def use(items):
        told = []
        for use in (lambda s: s.x, lambda s: s["x"], lambda s: setattr(s, "x", 1), len, lambda s: s.get("x")):
            try:
                use(kept[0])
            except slither.Failure as reason:
                told.append([reason.code, str(reason)])
        return [told + [repr(kept[0]), kept[0].id]]
"""


def test_hooks_run_in_reverse_order_and_their_failures_are_logged(module, worker):
    module(HOOKS)
    host = worker()
    assert host.batch("m:open", ["a"], options=of(8)).state
    host.drop(8)  # while it is idle: nothing else wakes it
    host.stdout.wait_for("every")
    assert host.stdout.lines == ["last a", "first a", "every 8 a"]
    host.stderr.wait_for("session 8: close hook m:open.<locals>.fails failed: ValueError: cannot close a")
    host.drop(8, 9)
    host.batch("m:open", ["b"], options=of(10))
    host.drop(9, 10)
    host.stdout.wait_for("every 10 b")


def test_a_drop_while_a_batch_runs_waits_for_its_end(module, worker, tmp_path):
    module(HOOKS + """
    def wait(items):
        import os, time
        print("begun", flush=True)
        while not os.path.exists("go"):
            time.sleep(0.001)
        print("ended", slither.session().name, flush=True)
        return items
    """)
    host = worker()
    host.batch("m:open", ["a"], options=of(8))
    for item in range(3):
        host.submit("m:wait", [item], options=of(8))
    host.stdout.wait_for("begun")
    host.drop(8)
    (tmp_path / "go").touch()
    assert [host.reply().values for _ in range(3)] == [[0], [1], [2]]
    host.stdout.wait_for("every")
    assert host.stdout.lines == ["begun", "ended a"] * 3 + ["last a", "first a", "every 8 a"], "those that were there before it come first"


def test_an_early_drop_waits_for_the_running_batch_only(module, worker, tmp_path):
    module(HOOKS + """
    def wait(items):
        import os, time
        print("begun", *items, flush=True)
        while not os.path.exists("go%d" % items[0]):
            time.sleep(0.001)
        return items
    """)
    host = worker()
    host.batch("m:open", ["a"], options=of(8))
    host.batch("m:open", ["b"], options=of(9))
    for item in range(3):
        host.submit("m:wait", [item], options=of(10))
    host.stdout.wait_for("begun 0")
    host.drop(8)
    host.drop(9, early=True)
    host.do("ask", number=1)  # messages are answered in their order: the worker has those before
    (tmp_path / "go0").touch()
    host.stdout.wait_for("begun 1")
    assert host.stdout.lines[-2:] == ["every 9 b", "begun 1"]
    (tmp_path / "go1").touch()
    (tmp_path / "go2").touch()
    assert [host.reply().values for _ in range(3)] == [[0], [1], [2]]
    host.stdout.wait_for("every 8 a")


def test_drops_without_number_while_a_batch_runs(module, worker, tmp_path):
    module(HOOKS + """
    def wait(items):
        import os, time
        print("begun", flush=True)
        while not os.path.exists("go"):
            time.sleep(0.001)
        return items
    """)
    host = worker()
    host.batch("m:open", ["a"], options=of(8))
    host.submit("m:wait", [1], options=of(9))
    host.stdout.wait_for("begun")
    many = range(1 << 40, (1 << 40) + 8000)
    sent, refused_until = 0, None
    while sent < 1000 and (refused_until is None or time.monotonic() < refused_until):
        try:
            host.drop(*many, nowait=1)
            sent, refused_until = sent + 1, None
        except HostError as reason:
            assert reason.code == "again"
            refused_until = refused_until or time.monotonic() + (0.5 if sent > 262 else 20)
    assert 262 < sent < 1000, "the worker keeps 16 MiB of them, and then reads no more"
    (tmp_path / "go").touch()
    assert host.reply().values == [1]
    host.drop(8)
    host.stdout.wait_for("every 8 a")
    assert host.stop() == [0, 0]


def test_a_stop_closes_all_sessions(module, worker):
    module(HOOKS)
    host = worker()
    for number in (1, 2, 3):
        host.batch("m:open", ["s%d" % number], options=of(number))
    assert host.stop() == [0, 0]
    assert sorted(host.stdout.text().splitlines()) == sorted(
        line % number for number in (1, 2, 3) for line in ("last s%d", "first s%d", "every {0} s%d".format(number)))


def test_who_holds_an_ended_session_is_told(module, worker):
    module(HOOKS)
    host = worker()
    assert host.batch("m:keep", [1], options=of(4)).state, "somebody holds it, and may write to it later"
    host.drop(4)
    host.stdout.wait_for("every 4 None")
    *told, shown, number = host.batch("m:use", [1], options=of(5)).values[0]
    assert told == [["session_lost", "session 4 has ended, and what it held is gone"]] * 5
    assert (shown, number) == ("<slither session 4: ended>", 4)


def test_a_forked_child_has_a_copy_and_runs_no_hooks(module, worker):
    module(HOOKS + """
    def fork(items):
        import os
        child = os.fork()
        if child == 0:
            print("child has", slither.session().name, flush=True)
            os._exit(0)
        return [os.waitpid(child, 0)[1]]
    def leave(items):
        import os
        child = os.fork()
        return [os.waitpid(child, 0)[1] if child else 0]
    """)
    host = worker()
    host.batch("m:open", ["a"], options=of(1))
    assert host.batch("m:fork", [1], options=of(1)).values == [0]
    assert host.batch("m:leave", [1], options=of(1)).values == [0]
    assert host.stdout.lines == ["child has a"]
    host.drop(1)
    host.stdout.wait_for("every")
    assert host.stdout.lines == ["child has a", "last a", "first a", "every 1 a"]


@pytest.mark.parametrize("kind", [1, EACH])
def test_a_batch_that_fails_tells_of_state_too(module, worker, kind):
    module("""
        import slither
        def fail(item):
            slither.session().begun = True
            raise ValueError
        def forget(item):
            slither.session().clear()
            return item
    """)
    host = worker()
    assert host.batch("m:fail", [1], options=of(6), kind=kind).state
    assert host.batch("m:absent", [1], options=of(6), kind=kind).state
    assert not host.batch("m:absent", [1], options=of(7), kind=kind).state
    assert not host.batch("m:forget", [1], options=of(6), kind=kind).state


OBJECTS = """
    import slither
    class Thing:
        made = 0
        def __init__(self, name):
            self.name = name
            Thing.made += 1
        def __del__(self):
            print("gone", self.name, flush=True)
            Thing.made -= 1
            try:
                slither.session()
            except slither.Failure:
                print("without session", self.name, flush=True)
    things = {}
    def make(names):
        return [Thing(name) for name in names]
    def keep(items):
        slither.session().thing = Thing(items[0])
        return [slither.session().thing for _ in items]
    def names(items):
        return [item.name for item in items]
    def count(items):
        return [Thing.made for _ in items]
"""


def test_objects_go_with_their_last_release(module, worker):
    module(OBJECTS)
    host = worker()
    refs = of(7, refs=True)
    reply = host.batch("m:make", ["a", "b"], options=refs)
    assert reply.state and [ref.object for ref in reply.values] == [1, 2]
    host.drop(refs=[(7, 1, 1)])
    host.stdout.wait_for("without session a")
    assert host.batch("m:names", [reply.values[1]], options=refs).values == ["b"]
    lost = host.batch("m:names", [reply.values[0]], options=refs)
    assert lost.code == "ref_lost" and "object 1 of session 7 has been released" in lost.details["message"]
    host.drop(refs=[(7, 2, 1), (7, 99, 1), (8, 1, 1)])
    host.stdout.wait_for("without session b")
    assert not host.batch("m:count", [0], options=of(7)).state


def test_an_object_that_has_travelled_twice_takes_two_releases(module, worker):
    module(OBJECTS)
    host = worker()
    refs = of(7, refs=True)
    one, two, three = host.batch("m:keep", ["a"] * 3, options=refs).values
    assert one == two == three
    host.drop(refs=[(7, one.object, 2)])
    assert host.batch("m:names", [one], options=refs).values == ["a"]
    host.drop(refs=[(7, one.object, 1)])
    host.batch("m:make", ["b"], options=of(8, refs=True))
    host.drop(8)
    host.stdout.wait_for("without session b")
    assert host.batch("m:names", [one], options=refs).code == "ref_lost", "the name of a released object is never used again"
    assert host.batch("m:count", [0], options=of(7)).values == [1]
    host.drop(7)
    host.stdout.wait_for("without session a")


def test_what_a_failed_reply_named_is_let_go_of(module, worker):
    module(OBJECTS + """
    def several(item):
        return [Thing("%s%d" % (item, n)) for n in range(2)]
    def short(items):
        return [Thing("y")]
    """)
    host = worker()
    assert host.batch("m:short", [1, 2], options=of(3, refs=True)).code == "bad_result"
    host.stdout.wait_for("gone y")
    good, bad = host.batch("m:several", ["p", "q"], kind=EACH, options=of(3, refs=True, ref_max=3)).values
    assert [ref.type_name for ref in good] == ["m.Thing"] * 2 and bad.kind == "error" and "ref_max" in bad.text
    host.stdout.wait_for("gone q0")
    assert host.batch("m:count", [0], options=of(3)).values == [2]


# ---- checkpoints --------------------------------------------------------------------------------------------------

CHECKPOINTS = """
    import slither
    held = []
    @slither.on_session_checkpoint(every=3)
    def save(session):
        return {"count": session.count, "by": slither.session().id} if "count" in session else None
    @slither.on_session_restore
    def load(session, value):
        held.append(session)
        if value["count"] < 0:
            raise ValueError("a count of %d" % value["count"])
        session.count = value["count"]
    @slither.on_session_close
    def close():
        print("closed", slither.session().id, slither.session().get("count"), flush=True)
    def count(items):
        session = slither.session()
        session.count = session.get("count", 0) + 1
        return [session.count]
    def now(items):
        return [slither.checkpoint()]
    def look(items):
        return [dict(slither.session())]
    def holding(items):
        return [repr(session) for session in held]
"""


def hear_call(host, **more):
    """The worker's next call: (name, positional arguments, session, answer), where answer(value) replies to it."""
    number, _, _, name, payload, _, session = host.do("call", **more)
    arguments, keywords = slither.unpack(payload)
    assert not keywords
    return name, arguments, session, lambda value: host.do("answer", number=number, value=slither.pack(value))


def test_a_checkpoint_after_every_so_many_batches(module, worker):
    module(CHECKPOINTS)
    host = worker(calls=1)
    for number in (1, 2, 3):
        assert host.batch("m:look", [0], options=of(70 + number)).values == [{}], "another session does not count"
        assert host.batch("m:count", [0], options=of(7)).values == [number]
    name, arguments, session, answer = hear_call(host)
    assert (name, arguments, session) == ("slither.session.checkpoint", [7, [["m:load", {"count": 3, "by": 7}]]], 7)
    answer(None)
    host.submit("m:now", [0], options=of(7))
    name, arguments, session, answer = hear_call(host)
    assert (name, arguments[1], session) == ("slither.session.checkpoint", [["m:load", {"count": 3, "by": 7}]], 7)
    answer(None)
    assert host.reply().values == [True]
    assert host.batch("m:now", [0], options=of(8)).values == [False]


def test_a_worker_that_stops_makes_checkpoints_before_it_closes(module, worker):
    module(CHECKPOINTS)
    host = worker(calls=1)
    for number in (5, 6):
        assert host.batch("m:count", [0], options=of(number)).state
    host.do("stop")
    seen = []
    for _ in range(2):
        name, arguments, session, answer = hear_call(host)
        assert name == "slither.session.checkpoint" and arguments[0] == session
        assert arguments[1] == [["m:load", {"count": 1, "by": session}]] and not host.stdout.lines
        seen.append(session)
        answer(None)
    assert host.do("reap") == [0, 0] and sorted(seen) == [5, 6]
    assert sorted(host.stdout.text().splitlines()) == ["closed 5 1", "closed 6 1"]


def test_a_session_that_has_moved_is_restored_once(module, worker):
    module(CHECKPOINTS)
    host = worker(calls=1)
    host.submit("m:count", [0], options=of(9, moved=1))
    name, arguments, session, answer = hear_call(host)
    assert (name, arguments, session) == ("slither.session.restore", [9], 9)
    answer([["m:load", {"count": 41}]])
    reply = host.reply()
    assert reply.values == [42] and reply.state
    assert host.batch("m:look", [0], options=of(9, moved=1)).values == [{"count": 42}]


@pytest.mark.parametrize("saved, says, shown", [
    (None, "session 9 cannot be restored: it has no checkpoint", ""),
    ([["m:load", {"count": -1}]], "session 9 could not be restored from its checkpoint: m:load: ValueError: a count of -1", "in load"),
    ([["m:absent", 0]], "session 9 could not be restored from its checkpoint: m:absent: ", "has no 'absent'"),
])
def test_a_restore_that_fails(module, worker, saved, says, shown):
    module(CHECKPOINTS)
    host = worker(calls=1)
    host.submit("m:count", [0], options=of(9, moved=2))
    *_, answer = hear_call(host)
    answer(saved)
    reply = host.reply()
    assert (reply.code, reply.state) == ("session_lost", False)
    assert reply.details["message"].startswith(says) and shown in reply.details["traceback"]
    assert host.batch("m:look", [0], options=of(9)).values == [{}], "half of a state is none"
    if "in load" in shown:
        assert host.batch("m:holding", [0], options=of(9)).values == ["<slither session 9: ended>"]


def test_a_checkpoint_that_fails_is_logged(module, worker):
    module(CHECKPOINTS + """
    def spoil(items):
        slither.session().count = {1, 2}
        return items
    """)
    host = worker(calls=1)
    for _ in range(3):
        host.batch("m:spoil", [1], options=of(2))
    host.stderr.wait_for("session 2: checkpoint failed: slither.NotSerializable")
    assert host.batch("m:now", [1], options=of(2)).code == "python_exception"


def test_hooks_that_no_other_worker_could_find(module, worker):
    module("""
        import slither
        @slither.on_session_checkpoint
        def save(session):
            return 1
        def run(items):
            told = []
            def inner(session): pass
            for hook in (slither.on_session_checkpoint, slither.on_session_restore):
                for function in (inner, lambda session: 1, "m:save"):
                    try:
                        hook(function)
                    except (ValueError, TypeError) as reason:
                        told.append(type(reason).__name__)
            try:
                slither.on_session_checkpoint(run)
            except ValueError as reason:
                told.append(str(reason))
            try:
                slither.checkpoint()
            except LookupError as reason:
                told.append(str(reason))
            return [told]
    """)
    host = worker()
    assert host.batch("m:run", [0], options=of(1)).values == [
        ["ValueError", "ValueError", "TypeError"] * 2 + [
            "module m has the checkpoint hook save already; one of each kind serves all sessions",
            "module m has a checkpoint hook, but no function with @slither.on_session_restore"]]


# ---- context and progress -----------------------------------------------------------------------------------------


def test_the_context_of_a_batch(module, worker):
    module("""
        import slither, threading
        def fields(c):
            return [c.function, c.each, c.item_count, c.session, c.worker, c.generation, c.batch, c.pipe, c.stage, c.metadata,
                    list(c.stores), c.value]
        def run(items):
            told = []
            session = slither.session()
            def work():
                try:
                    slither.context()
                except slither.Failure as reason:
                    told.append(reason.code)
                with session:
                    told.append(slither.context().function)
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            try:
                slither.context().stage = 1
            except AttributeError:
                return [fields(slither.context()), told]
        def one(item):
            return fields(slither.context())
    """)
    host = worker()
    context = {"pipe": "scoring", "stage": "predict", "metadata": {"tenant": 3}, "stores": ["features"]}
    reply = host.batch("m:run", [1, 2], options=of(5, context=context))
    assert reply.values == [
        ["m:run", False, 2, 5, 0, 1, 1, "scoring", "predict", {"tenant": 3}, ["features"], context], ["closed", "m:run"]]
    assert host.each("m:one", [1]).values == [["m:one", True, 1, 0, 0, 1, 2, None, None, None, [], None]]
    assert host.batch("m:one", [1], options=of(1, context=[1, {"a": 2}]), kind=EACH).values[0][-1] == [1, {"a": 2}]
    with pytest.raises(slither.Failure, match="there is a context only"):
        slither.context()


def test_progress_is_throttled_and_the_last_always_arrives(module, worker):
    module("""
        import slither, time
        def quick(items):
            for done in range(1000):
                slither.progress(done, 5000, "step %d" % done)
            return items
        def whole(items):
            for done in range(1, 101):
                slither.progress(done, 100)
            return items
        def fail(items):
            slither.progress(1)
            slither.progress(2)
            raise ValueError
    """)
    slither.progress(1, 2, "outside of a worker it does nothing")
    host = worker(calls=1)

    def run(function):
        heard = []
        host.submit("m:" + function, [1], options=of(3))
        while True:
            try:
                name, arguments, session, answer = hear_call_or_reply(host)
            except TypeError:
                return heard
            assert (name, session) == ("slither.progress", 3)
            heard.append(arguments)
            answer(None)
    heard = run("quick")
    assert heard[0] == [0.0, 5000.0, "step 0"] and heard[-1] == [999.0, 5000.0, "step 999"] and len(heard) < 200
    assert run("whole")[-1] == [100.0, 100.0, ""]
    assert run("fail")[-1] == [2.0, 0.0, ""]


def hear_call_or_reply(host):
    while True:
        try:
            return hear_call(host, timeout_ms=20)
        except HostError:
            pass
        try:
            host.reply(timeout_ms=1)
            return None
        except HostError:
            pass
