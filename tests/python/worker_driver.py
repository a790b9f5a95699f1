# SPDX-License-Identifier: MIT
"""A worker behind worker_host, the host's end of one lane (worker_host.c)."""
import os
import pathlib
import signal
import struct
import subprocess
import sys
import threading

import slither

BATCH, EACH = 1, 2
SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")


def program():
    build = pathlib.Path(os.environ.get("SLITHER_BUILD", pathlib.Path(slither.__file__).parents[2]))
    return build / "tests" / "python" / "worker_host"


class HostError(Exception):
    def __init__(self, code, text):
        super().__init__("%s: %s" % (code, text))
        self.code = code


class Reply:
    """What came back: `values` when code is ok, else `details`."""

    def __init__(self, code, sequence, kept, state, entries):
        self.code, self.sequence, self.kept, self.state = code, sequence, kept, state
        decoded = [slither.unpack(entry) for entry in entries]
        self.values = decoded if code == "ok" else None
        self.details = None if code == "ok" else decoded[0]


class Stream:
    """Lines of the worker's stdout or stderr; ends with the last process that holds it."""

    def __init__(self):
        read_end, self.fd = os.pipe()
        self.lines, self.changed = [], threading.Condition()
        self.ended = False
        self.thread = threading.Thread(target=self.read, args=(read_end,), daemon=True)
        self.thread.start()

    def read(self, fd):
        with open(fd, encoding="utf-8", errors="replace") as source:
            for line in source:
                with self.changed:
                    self.lines.append(line.rstrip("\n"))
                    self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait_for(self, part):
        with self.changed:
            found = self.changed.wait_for(lambda: self.ended or any(part in line for line in self.lines), 20)
        assert found and any(part in line for line in self.lines), "%r is not in %r" % (part, self.lines)

    def text(self):
        self.thread.join(20)
        assert self.ended, "somebody still holds the stream"
        return "\n".join(self.lines)


class Worker:
    """`with Worker(directory) as worker`: started and ready. `directory` is where its modules are."""

    def __init__(self, directory, argv=None, ready=True, environment=None, **options):
        self.stdout, self.stderr = Stream(), Stream()
        self.process = subprocess.Popen([program()], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        pass_fds=[self.stdout.fd, self.stderr.fd])
        variables = dict(os.environ, PYTHONPATH=str(pathlib.Path(slither.__file__).parents[1]), PYTHONDONTWRITEBYTECODE="1")
        if SANITIZED:
            variables["ASAN_OPTIONS"] = variables.get("ASAN_OPTIONS", "") + ":allocator_may_return_null=1"
        variables.update(environment or {})
        self.pid = self.do("start", argv=argv or [sys.executable, "-m", "slither.worker"], directory=str(directory),
                           environment=["%s=%s" % pair for pair in variables.items()],
                           stdout=self.stdout.fd, stderr=self.stderr.fd, **options)
        self.pidfd = os.pidfd_open(self.pid)
        os.close(self.stdout.fd)
        os.close(self.stderr.fd)
        self.hello = self.do("hear") if ready else None
        if ready:
            assert self.hello["type"] == "ready", self.hello

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()
        os.close(self.pidfd)

    def do(self, op, **arguments):
        packed = slither.pack(dict(arguments, op=op))
        self.process.stdin.write(struct.pack("<I", len(packed)) + packed)
        self.process.stdin.flush()
        size = self.process.stdout.read(4)
        assert len(size) == 4, "worker_host has ended with status %s" % self.process.wait(20)
        code, answer = slither.unpack(self.process.stdout.read(struct.unpack("<I", size)[0]))
        if code != "ok":
            raise HostError(code, answer)
        return answer

    def submit(self, function, items, kind=BATCH, options=None, **more):
        """`options` are those of the request's head: session, refs, context, ..."""
        return self.do("submit", kind=kind, head=[function, options], items=list(items), **more)

    def reply(self, **more):
        return Reply(*self.do("reply", **more))

    def batch(self, function, items, **more):
        sequence = self.submit(function, items, **more)
        reply = self.reply()
        assert reply.sequence == sequence
        return reply

    def each(self, function, items):
        return self.batch(function, items, kind=EACH)

    def drop(self, *sessions, refs=(), early=False, **more):
        """Sessions have ended, and refs (session, object, count) are released."""
        self.do("tell", message={"type": "drop", "early": early, "sessions": struct.pack("<%dQ" % len(sessions), *sessions),
                                 "refs": b"".join(struct.pack("<QQI", *ref) for ref in refs)}, **more)

    def stop(self):
        self.do("stop")
        return self.do("reap")

    def tell_stop(self):
        """Returns when the worker knows of it: its watcher has taken the message and sleeps again."""
        self.do("stop")
        others = [task for task in os.listdir("/proc/%d/task" % self.pid) if int(task) != self.pid]
        while any(self.state_of(task) == "R" for task in others):
            pass

    def state_of(self, task):
        with open("/proc/%d/task/%s/stat" % (self.pid, task)) as source:
            return source.read().rpartition(")")[2].split()[0]

    def kill_host(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)

    def wait_gone(self):
        """Until the worker has ended, which is seen even where nobody is left to reap it."""
        import select
        ended = select.poll()
        ended.register(self.pidfd, select.POLLIN)
        assert ended.poll(20000), "the worker outlived its host"
