# SPDX-License-Identifier: MIT
"""The template process, asked by a host that is this test: what it says, what it starts, and what it takes along when it ends."""
import array
import os
import select
import signal
import socket
import subprocess
import sys
import time

import msgpack
import pytest

import slither
from slither import _fork

PACKAGE = os.path.dirname(os.path.dirname(slither.__file__))
PATIENCE_S = 20
PROMISED_S = 10  # from the end of the host to that of the last process; a second, where processors are to be had
PROTOCOL = 6

# The life-cycle socket has to be descriptor 3, whatever number it has here.
LAUNCH = ("import os, sys; number = int(sys.argv[1]); os.dup2(number, 3); number == 3 or os.close(number); "
          "os.execv(sys.executable, [sys.executable] + sys.argv[2:])")
TEMPLATE = "import sys; from slither.template import main; sys.exit(main())"
WORKER = "import sys; from slither.worker import main; sys.exit(main())"

LEAVES_A_DAEMON = """
    import os, signal, sys, time
    def daemon():
        read_end, write_end = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                    signal.signal(number, signal.SIG_IGN)
                os.write(write_end, b"%d" % os.getpid())
                time.sleep(1000)
            os._exit(0)
        os.wait()
        return int(os.read(read_end, 20))
    print("daemon", daemon(), flush=True)
"""


class Process:
    """Another process, by a pidfd."""

    def __init__(self, pid, pidfd=None):
        self.pid = pid
        self.pidfd = pidfd if pidfd is not None else os.pidfd_open(pid)

    def ended(self, patience_s=PATIENCE_S):
        return bool(select.select([self.pidfd], [], [], patience_s)[0])

    def field(self, index):
        with open("/proc/%d/stat" % self.pid) as file:
            return int(file.read().rpartition(")")[2].split()[index])

    parent = property(lambda self: self.field(1))
    session = property(lambda self: self.field(3))

    def descriptors(self):
        directory = "/proc/%d/fd/" % self.pid
        return {int(name): os.readlink(directory + name).partition(":")[0] for name in os.listdir(directory)}

    def read(self, name):
        with open("/proc/%d/%s" % (self.pid, name), "rb") as file:
            return file.read().split(b"\0")

    def await_state(self, letters):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with open("/proc/%d/stat" % self.pid) as file:
                if file.read().rpartition(")")[2].split()[0] in letters:
                    return
            assert time.monotonic() < deadline
            time.sleep(0.001)


class Host:
    """The host's end of one template."""

    def __init__(self, directory, prelude=""):
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(PATIENCE_S)
        self.output, output = os.pipe()
        self.errors, errors = os.pipe()
        environment = dict(os.environ, PYTHONPATH=PACKAGE, MARKED="by the host")
        with theirs:
            self.popen = subprocess.Popen(
                [sys.executable, "-c", LAUNCH, str(theirs.fileno()), "-c", prelude + TEMPLATE, "slither.template"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=errors, pass_fds=[theirs.fileno()], cwd=directory, env=environment)
        os.close(output)
        os.close(errors)
        self.process = Process(self.popen.pid)
        self.workers = []

    def say(self, fds=(), **message):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([msgpack.packb(message)], rights)

    def hear(self):
        """The next message; a descriptor that came with it is its "fd"."""
        data, rights, _, _ = self.socket.recvmsg(65536, socket.CMSG_SPACE(4))
        assert data, "the template has closed its socket"
        message = msgpack.unpackb(data)
        for _, _, fds in rights:
            message["fd"] = array.array("i", fds)[0]
        return message

    def prepare(self, *preload, fork=True, argv=(sys.executable, "-c", WORKER, "slither.worker"), protocol=PROTOCOL):
        self.say(type="prepare", protocol=protocol, fork=fork, argv=[os.fsencode(each) for each in argv], preload=list(preload))

    def ready(self, *preload, **options):
        self.prepare(*preload, **options)
        message = self.hear()
        assert message["type"] == "ready" and message["pid"] == self.popen.pid, message
        return message

    def start(self, worker=0, generation=1):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ends = [os.pipe(), os.pipe()]
        with theirs:
            self.say(fds=[ends[0][1], ends[1][1], theirs.fileno()], type="start", worker=worker, generation=generation)
        for _, write_end in ends:
            os.close(write_end)
        self.workers.append((ours, ends[0][0], ends[1][0]))  # stay open as long as the worker is to live
        return self.hear()

    def worker(self):
        message = self.start()
        assert message["type"] == "started", message
        process = Process(message["pid"], message["fd"])
        process.await_state("S")  # it has read its way to the configuration, and waits for that
        return process

    def line(self):
        text = b""
        while not text.endswith(b"\n"):
            assert select.select([self.output], [], [], PATIENCE_S)[0]
            byte = os.read(self.output, 1)
            assert byte, text
            text += byte
        return text.decode().split()

    def close(self):
        self.socket.close()

    def finish(self):
        self.close()
        if self.popen.poll() is None and not self.process.ended(5):
            self.popen.kill()
        status = self.popen.wait()
        for ours, out, err in self.workers:
            ours.close()
            os.close(out)
            os.close(err)
        os.close(self.output)
        os.close(self.errors)
        return status


@pytest.fixture
def host(tmp_path):
    hosts = []

    def start(**options):
        hosts.append(Host(tmp_path, **options))
        return hosts[-1]
    yield start
    for each in hosts:
        each.finish()


def in_a_moment(processes):
    """All have ended by then."""
    deadline = time.monotonic() + PROMISED_S
    for process in processes:
        assert process.ended(max(0, deadline - time.monotonic())), "process %d lives" % process.pid


# How a template comes to start workers: as forks, as programs because the host wants it so, or because it is not fit for forks.
MODES = {
    "fork": dict(preload=["m"], fork=True),
    "exec": dict(preload=["m"], fork=False),
    "unfit": dict(preload=["m", "threaded"], fork=True),
}


@pytest.fixture(params=list(MODES))
def mode(request, module):
    module("X = 1")
    module("""
        import threading, time
        threading.Thread(target=time.sleep, args=(1000,), name="refresher", daemon=True).start()
    """, "threaded")
    return request.param


def ready(host, mode):
    options = dict(MODES[mode])
    message = host.ready(*options.pop("preload"), **options)
    assert message["fork"] == (mode == "fork")
    return message


# ---- what it starts ----------------------------------------------------------------------------------------------

def test_a_worker_is_its_child_and_has_only_what_it_was_given(host, mode):
    template = host()
    ready(template, mode)
    worker = template.worker()
    assert worker.parent == template.popen.pid
    assert worker.session == worker.pid
    assert worker.descriptors() == {0: "/dev/null", 1: "pipe", 2: "pipe", 3: "socket"}
    last = worker.read("cmdline")[-2]
    assert last == (b"slither.template" if mode == "fork" else b"slither.worker")


def test_requests_are_answered_in_order(host, mode):
    template = host()
    ready(template, mode)
    answers = [template.start(worker, 7 + worker) for worker in range(5)]
    assert [(answer["type"], answer["worker"], answer["generation"]) for answer in answers] == \
        [("started", worker, 7 + worker) for worker in range(5)]
    assert len({answer["pid"] for answer in answers}) == 5
    for answer in answers:
        os.close(answer["fd"])


def test_how_a_worker_ends_is_told(host, mode):
    template = host()
    ready(template, mode)
    worker = template.worker()
    os.kill(worker.pid, signal.SIGKILL)
    assert template.hear() == {"type": "ended", "pid": worker.pid, "status": -1, "signal": 9, "core": False}
    worker = template.worker()
    template.workers[-1][0].close()  # as when the host gives it up before it has sent its first message
    assert template.hear() == {"type": "ended", "pid": worker.pid, "status": 1, "signal": 0, "core": False}


def test_a_program_that_cannot_be_started(host):
    template = host()
    template.ready(fork=False, argv=["/nonexistent/python", "slither.worker"])
    answer = template.start(3, 4)
    assert answer == {"type": "start_failed", "worker": 3, "generation": 4, "errno": 2}


# ---- fitness -----------------------------------------------------------------------------------------------------

def test_threads_make_it_another_program(host, mode):
    template = host()
    message = ready(template, mode)
    if mode == "unfit":
        assert message["reason"] == "the imports have started 1 thread (refresher), which a forked process would not have"
    else:
        assert message["reason"] == ""
    assert len(os.listdir("/proc/%d/task" % template.popen.pid)) == 1


def test_an_open_gpu_makes_it_another_program(host, module, tmp_path):
    """The device is a file here. Nothing of it is open any more when the template is ready, though it was opened to be inherited."""
    (tmp_path / "nvidia0").touch()
    module("import os; DEVICE = os.open('nvidia0', os.O_RDWR); os.set_inheritable(DEVICE, True)")
    template = host(prelude="from slither import _fork; _fork.GPU_DEVICES = (%r,); " % str(tmp_path / "nvidia"))
    message = template.ready("m")
    assert message["fork"] is False
    assert message["reason"] == ("the imports have opened the GPU device %s/nvidia0, whose state does not survive a fork"
                                 % tmp_path)
    assert str(tmp_path / "nvidia0") not in template.process.descriptors().values()
    assert template.worker().descriptors() == {0: "/dev/null", 1: "pipe", 2: "pipe", 3: "socket"}


def test_another_program_finds_things_as_they_were(host, module, tmp_path):
    module("""
        import os, signal, threading, time
        os.environ["MARKED"] = "by the import"
        os.environ["NEW"] = "1"
        os.chdir("/")
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    """)
    template = host()
    assert template.ready("m")["fork"] is False
    worker = template.worker()
    environment = worker.read("environ")
    assert b"MARKED=by the host" in environment and b"NEW=1" not in environment
    assert os.readlink("/proc/%d/cwd" % worker.pid) == str(tmp_path)
    with open("/proc/%d/status" % worker.pid) as file:
        blocked = [line.split()[1] for line in file if line.startswith("SigBlk")]
    assert int(blocked[0], 16) & (1 << signal.SIGTERM - 1) == 0
    os.kill(worker.pid, signal.SIGTERM)
    assert template.hear()["signal"] == signal.SIGTERM


def test_an_interpreter_that_is_a_script_starts_the_other_program(host, module, tmp_path):
    """As version switchers have them. The interpreter behind it may have been called by any name."""
    module("import threading, time; threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()")
    shim = tmp_path / "python"
    shim.write_text("#!/bin/sh\nSHIM=1 exec %s \"$@\"\n" % sys.executable)
    shim.chmod(0o755)
    template = host()
    assert template.ready("m", argv=[str(shim), "-c", WORKER, "slither.worker"])["fork"] is False
    assert b"SHIM=1" in template.process.read("environ")
    assert b"SHIM=1" in template.worker().read("environ")


def test_what_an_import_has_started_stays_a_child_of_the_other_program(host, module):
    module(LEAVES_A_DAEMON + """
    import threading
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
    """)
    template = host()
    assert template.ready("m")["fork"] is False
    daemon = Process(int(template.line()[1]))
    assert daemon.parent == template.popen.pid
    template.say(type="stop")
    in_a_moment([daemon, template.process])


# ---- imports that fail, hosts that cannot be understood -------------------------------------------------------------

def test_an_import_that_fails(host):
    template = host()
    template.prepare("absent")
    message = template.hear()
    assert (message["type"], message["code"]) == ("failed", "import_failed")
    assert "No module named 'absent'" in message["message"] and "ModuleNotFoundError" in message["traceback"]
    assert template.popen.wait(PATIENCE_S) == 1


def test_a_host_of_another_build(host):
    template = host()
    template.prepare(protocol=PROTOCOL + 1)
    message = template.hear()
    assert message["code"] == "version_mismatch" and "different builds" in message["message"]


@pytest.mark.parametrize("packet", [b"\xc1", msgpack.packb({"type": "dance"}), msgpack.packb({"type": "start", "worker": 0}), b"x" * 2000])
def test_nonsense(host, packet):
    template = host()
    template.ready()
    template.socket.send(packet)
    assert template.popen.wait(PATIENCE_S) == 3


# ---- ends --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["stop", "close"])
def test_all_that_descends_from_it_ends_with_it(host, mode, how):
    template = host()
    ready(template, mode)
    workers = [template.worker() for _ in range(4)]
    os.kill(workers[1].pid, signal.SIGSTOP)
    workers[1].await_state("T")
    if how == "stop":
        template.say(type="stop")
    else:
        template.close()
    in_a_moment(workers + [template.process])
    assert template.popen.wait(PATIENCE_S) == 0


def test_one_that_is_killed_takes_its_workers_along(host, mode):
    template = host()
    ready(template, mode)
    workers = [template.worker() for _ in range(3)]
    os.kill(workers[1].pid, signal.SIGSTOP)
    workers[1].await_state("T")
    template.popen.kill()
    in_a_moment(workers)


def test_during_an_import_the_end_of_the_host_is_seen(host, module):
    """The import has left a process in a session of its own, and computes in C with the GIL held."""
    module(LEAVES_A_DAEMON + """
    import ctypes
    ctypes.PyDLL(None).sleep(1000)
    """)
    template = host()
    template.prepare("m")
    daemon = Process(int(template.line()[1]))
    template.close()
    in_a_moment([daemon, template.process])


def test_so_it_is_when_other_threads_have_started_processes(host, module):
    module("""
        import subprocess, threading, time
        def run():
            print("child", subprocess.Popen(["setsid", "sleep", "1000"]).pid, flush=True)
            time.sleep(1000)
        threading.Thread(target=run, daemon=True).start()
        time.sleep(1000)
    """)
    template = host()
    template.prepare("m")
    child = Process(int(template.line()[1]))
    template.close()
    in_a_moment([child, template.process])


def test_a_stopped_one_sees_the_end_of_a_host_that_dies(tmp_path, module):
    """The kernel continues it then. Only the end of a process does that, so the host is one of its own."""
    module("X = 1")
    script = ("import sys, time; sys.path[:0] = %r; import test_template as t\n"
              "host = t.Host(%r); host.ready('m'); worker = host.worker()\n"
              "print(host.popen.pid, worker.pid, flush=True); time.sleep(1000)\n"
              % ([os.path.dirname(__file__), PACKAGE], str(tmp_path)))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as dying:
        template, worker = [Process(int(pid)) for pid in dying.stdout.readline().split()]
        os.kill(worker.pid, signal.SIGSTOP)
        os.kill(template.pid, signal.SIGSTOP)
        template.await_state("T")
        dying.kill()
        in_a_moment([template, worker])


# ---- random numbers ----------------------------------------------------------------------------------------------

def test_numpy_is_seeded_anew(numpy):
    drawn = set()
    for _ in range(3):
        numpy.random.seed(1)
        _fork.reseed()
        drawn.add(int(numpy.random.randint(1 << 60)))
    assert len(drawn) == 3


def test_without_numpy_nothing_is_seeded(monkeypatch):
    monkeypatch.delitem(sys.modules, "numpy.random", raising=False)
    _fork.reseed()
    assert "numpy.random" not in sys.modules
