# SPDX-License-Identifier: MIT
"""How a worker starts, what surrounds the user's code, and how it ends."""
import os
import shutil
import signal
import subprocess
import sys

import pytest

import slither
from worker_driver import HostError

PLAIN = """
    import os, sys, signal, time
    def echo(items):
        return items
    def run(items):
        return [eval(item) for item in items]
    def forever(items):
        print("running", flush=True)
        while True:
            time.sleep(1000)
    def spin(items):
        print("running", flush=True)
        while True:
            pass
"""


# ---- start -------------------------------------------------------------------------------------------------------

def test_preload_of_modules_and_functions(module, worker):
    module(PLAIN + "\n    print('imported', flush=True)\n")
    host = worker(preload=["m", "m:echo", "json"])
    host.stdout.wait_for("imported")
    assert host.batch("m:run", ["'json' in sys.modules"]).values == [True]


@pytest.mark.parametrize("name, code, says, shown", [
    ("absent", "import_failed", "No module named 'absent'", "ModuleNotFoundError"),
    ("broken", "import_failed", "RuntimeError: not today", "broken.py"),
    ("leaver:f", "import_failed", "SystemExit: 3", "leaver.py"),
    ("m:absent", "function_not_found", "has no 'absent'", "AttributeError"),
])
def test_preload_that_fails(module, worker, name, code, says, shown):
    module(PLAIN)
    module("raise RuntimeError('not today')", "broken")
    module("raise SystemExit(3)", "leaver")
    host = worker(preload=["m", name], ready=False)
    message = host.do("hear")
    assert (message["type"], message["code"], message["executable"]) == ("failed", code, sys.executable)
    assert says in message["message"] and shown in message["traceback"]
    assert host.do("reap") == [1, 0]


def test_long_failures_fit_the_packet(module, worker):
    module("raise RuntimeError('x' * 200000 + 'the end')", "broken")
    message = worker(preload=["broken"], ready=False).do("hear")
    assert message["traceback"].endswith("the end\n")
    assert message["message"].startswith("broken: module 'broken' could not be imported: RuntimeError: xxx")


@pytest.mark.parametrize("option", ["layout", "protocol"])
def test_a_host_of_another_build(worker, option):
    host = worker(ready=False, **{option: 12345})
    message = host.do("hear")
    assert message["code"] == "version_mismatch" and "different builds" in message["message"]
    assert host.do("reap") == [1, 0]


def test_started_by_hand():
    run = subprocess.run([sys.executable, "-m", "slither.worker"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert run.returncode == 1 and "A Slither host starts its workers itself" in run.stderr


def test_what_only_workers_can_do():
    from slither import _native
    for call in (lambda: _native.send({}), lambda: _native.serve(print, print)):
        with pytest.raises(slither.Failure, match="not in a worker") as caught:
            call()
        assert caught.value.code in ("closed", "invalid_argument")


def interpreters_that_are_too_old():
    home = os.path.expanduser("~/.pyenv/versions")
    names = sorted(os.listdir(home)) if os.path.isdir(home) else []
    paths = ["%s/%s/bin/python" % (home, name) for name in names if name.split(".")[:2] in (["2", "7"], ["3", "6"], ["3", "10"])]
    return [path for path in paths if os.access(path, os.X_OK)]


@pytest.mark.parametrize("python", interpreters_that_are_too_old() or [None])
def test_an_interpreter_that_is_too_old(worker, python):
    if python is None:
        pytest.skip("no interpreter older than 3.11 is on this machine")
    host = worker(argv=[python, "-m", "slither.worker"], ready=False)
    message = host.do("hear")
    assert (message["type"], message["code"]) == ("failed", "unsupported")
    assert "needs CPython 3.11 or later" in message["message"] and message["executable"] in message["message"]
    assert host.do("reap") == [1, 0]


def test_an_extension_that_does_not_load(worker, tmp_path):
    package = tmp_path / "package" / "slither"
    shutil.copytree(os.path.dirname(slither.__file__), package)
    for library in package.glob("_native*"):
        shutil.rmtree(library) if library.is_dir() else library.unlink()
    host = worker(environment={"PYTHONPATH": str(package.parent)}, ready=False)
    message = host.do("hear")
    assert message["code"] == "unsupported" and "cannot load the extension" in message["message"]
    run = subprocess.run([sys.executable, "-c", "from slither import skip"], capture_output=True, text=True,
                         env=dict(os.environ, PYTHONPATH=str(package.parent)))
    assert run.returncode == 1 and "cannot load the extension" in run.stderr


# ---- surroundings ------------------------------------------------------------------------------------------------

def test_surroundings_of_the_function(module, worker, tmp_path):
    module(PLAIN)
    host = worker(environment={"MINE": "1"})
    assert host.batch("m:run", [
        "os.getcwd()", "sys.path[0]", "os.environ['MINE']", "sys.argv", "sys.stdin.read()",
        "signal.getsignal(signal.SIGINT) == signal.SIG_IGN", "os.getpgrp() == os.getpid()", "os.get_inheritable(3)",
    ]).values == [str(tmp_path), str(tmp_path), "1", ["slither.worker"], "", True, True, False]


def test_a_working_directory_with_a_module_of_our_name(module, worker):
    module(PLAIN)
    host = worker(environment={"PYTHONSAFEPATH": "1"})
    assert host.batch("m:echo", [1]).values == [1], "modules beside the working directory are found all the same"


def test_programs_that_the_function_starts_inherit_nothing_of_ours(module, worker):
    module(PLAIN + """
    def descriptors(items):
        import subprocess
        code = "import os; print(sorted(int(fd) for fd in os.listdir('/proc/self/fd') if int(fd) < 100))"
        # The listing itself needs one.
        return [subprocess.run([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE, text=True, close_fds=False).stdout]
    """)
    host = worker()
    assert host.batch("m:descriptors", [0]).values == ["[0, 1, 2, 3]\n"]


def test_lines_arrive_before_the_batch_ends(module, worker):
    module(PLAIN + """
    def talk(items):
        print("out \\ud800 line")
        print("err line", file=sys.stderr)
        forever(items)
    """)
    host = worker()
    host.submit("m:talk", [1])
    host.stdout.wait_for("out \\ud800 line")
    host.stderr.wait_for("err line")


def test_signal_handlers_of_the_user_run_between_batches(module, worker):
    module(PLAIN + """
    def prepare(items):
        def note(number, frame):
            print("signal", number, flush=True)
            raise ValueError("nobody waits for this")
        signal.signal(signal.SIGUSR1, note)
        return items
    """)
    host = worker()
    host.batch("m:prepare", [1])
    # More than once: one that comes just before the worker falls asleep is handled with the next batch.
    for _ in range(1000):
        os.kill(host.pid, signal.SIGUSR1)
        with host.stdout.changed:
            if host.stdout.changed.wait_for(lambda: host.stdout.lines, 0.02):
                break
    host.stdout.wait_for("signal %d" % signal.SIGUSR1)
    assert host.batch("m:echo", [1]).values == [1]
    host.stderr.wait_for("nobody waits for this")


def test_threads_of_the_user_run_between_batches(module, worker):
    module(PLAIN + """
    import threading
    def prepare(items):
        def tick():
            for n in range(100):
                time.sleep(0.001)
            print("ticked", flush=True)
        threading.Thread(target=tick, daemon=True).start()
        return items
    """)
    host = worker()
    host.batch("m:prepare", [1])
    host.stdout.wait_for("ticked")


def test_a_forked_child_never_answers_for_its_parent(module, worker):
    module(PLAIN + """
    def fork(items):
        child = os.fork()
        if child:
            return [os.waitpid(child, 0)[1]]
        return ["from the child"]
    def fork_each(item):
        print("item", item, flush=True)
        child = os.fork()
        return os.waitpid(child, 0)[1] if child else "from the child"
    def pool(items):
        import multiprocessing
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return pool.map(abs, items)
    """)
    host = worker()
    for _ in range(3):
        assert host.batch("m:fork", [1]).values == [0]
    assert host.each("m:fork_each", [1, 2, 3]).values == [0, 0, 0]
    host.stdout.wait_for("item 3")
    assert host.stdout.lines == ["item 1", "item 2", "item 3"], "a child does not go on with the next item"
    assert host.batch("m:pool", [-1, -2, 3]).values == [1, 2, 3]


# ---- end ---------------------------------------------------------------------------------------------------------

def test_stop_when_idle(module, worker):
    module(PLAIN + """
    import atexit
    atexit.register(lambda: print("exit handler ran"))
    """)
    host = worker()
    host.batch("m:echo", [1])
    assert host.stop() == [0, 0]
    assert "exit handler ran" in host.stdout.text()


def test_stop_finishes_the_batch_that_runs_and_takes_no_other(module, worker):
    module(PLAIN + """
    def slow(items):
        print("begun", flush=True)
        while not os.path.exists("go"):
            time.sleep(0.001)
        print("partial line", end="")
        return items
    """)
    host = worker()
    host.submit("m:slow", [1])
    host.submit("m:slow", [2])
    host.stdout.wait_for("begun")
    host.tell_stop()
    open(os.path.join(os.path.dirname(host_file(host)), "go"), "w").close()
    assert host.reply().values == [1]
    assert host.do("reap") == [0, 0]
    with pytest.raises(HostError, match="timeout"):
        host.reply(timeout_ms=1)
    assert host.stdout.text().endswith("partial line") and host.stdout.text().count("begun") == 1


def host_file(host):
    return os.path.join(os.readlink("/proc/%d/cwd" % host.pid), "m.py")


def test_stop_while_starting(module, worker):
    module("""
        import os, time
        print("importing", flush=True)
        while not os.path.exists("go"):
            time.sleep(0.001)
    """, "late")
    host = worker(preload=["late"], ready=False)
    host.stdout.wait_for("importing")
    host.tell_stop()
    open(os.path.join(os.path.dirname(host_file(host)), "go"), "w").close()
    assert host.do("reap") == [0, 0]


@pytest.mark.parametrize("function", ["forever", "spin"])
def test_hanging_up_ends_it_at_once(module, worker, function):
    module(PLAIN)
    host = worker()
    host.submit("m:" + function, [1])
    host.stdout.wait_for("running")
    host.do("hang_up")
    assert host.do("reap") in ([0, 0], [-1, 9])


@pytest.mark.parametrize("function", ["echo", "spin", "fork"])
def test_a_killed_host_leaves_nothing_behind(module, worker, function):
    module(PLAIN + """
    def fork(items):
        child = os.fork()
        forever(items)
    """)
    host = worker()
    host.submit("m:" + function, [1])
    if function == "echo":
        host.reply()
    else:
        host.stdout.wait_for("running")
    host.kill_host()
    host.wait_gone()
    host.stdout.text()  # ends only when no process holds the pipe any more, the forked child included


def test_a_killed_host_whose_socket_somebody_still_holds(module, worker):
    module(PLAIN)
    host = worker()
    host.batch("m:echo", [1])
    child = host.do("leak")
    try:
        host.kill_host()
        host.wait_gone()
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_killed_host_ends_a_stopped_worker(module, worker):
    module(PLAIN)
    host = worker(death_signal=int(signal.SIGKILL))  # as a template starts its workers
    host.batch("m:echo", [1])
    os.kill(host.pid, signal.SIGSTOP)
    host.kill_host()
    host.wait_gone()


def test_a_killed_host_ends_a_worker_that_imports(module, worker):
    module("""
        print("importing", flush=True)
        while True: pass
    """, "late")
    host = worker(preload=["late"], ready=False)
    host.stdout.wait_for("importing")
    host.kill_host()
    host.wait_gone()


@pytest.mark.parametrize("statement, end", [
    ("os._exit(5)", [5, 0]),
    ("os.kill(os.getpid(), signal.SIGKILL)", [-1, 9]),
    ("os.abort()", [-1, 6]),
])
def test_a_worker_that_dies_in_a_batch(module, worker, statement, end):
    module(PLAIN)
    host = worker()
    host.submit("m:run", [statement])
    assert host.do("reap") == end
