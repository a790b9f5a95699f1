# SPDX-License-Identifier: MIT
"""The processes that are measured: ours and the peers', spoken to in the same way."""
import os
import select
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FUNCTIONS = HERE / "python"
READY_SECONDS = 60
ROUND_SECONDS = 180


class SideFailed(Exception):
    pass


class Side:
    """One process: started, warm when the constructor returns, asked for a round at a time."""

    def __init__(self, command, environment):
        self.title = " ".join(Path(part).name for part in command[:3])
        started = time.monotonic()
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.pending = b""
        try:
            self.start_ms = (self.read("ready", READY_SECONDS)[0] - started) * 1e3
        except BaseException:
            self.kill()
            raise

    def round(self):
        try:
            self.process.stdin.write(b"go\n")
        except BrokenPipeError:
            pass  # reading says that it has ended
        return self.read("figure", ROUND_SECONDS)

    def read(self, word, seconds):
        """The numbers of the next line, which must begin with `word`."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self.pending:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise SideFailed(f"{self.title} said nothing for {seconds} s; expected a line '{word} NUMBER'")
            piece = os.read(self.process.stdout.fileno(), 4096)
            if not piece:
                raise SideFailed(f"{self.title} ended with status {self.process.wait()}; its last words are above")
            self.pending += piece
        line, _, self.pending = self.pending.partition(b"\n")
        words = line.decode(errors="replace").split()
        try:
            if words[0] == word:
                return [float(number) for number in words[1:]]
        except (IndexError, ValueError):
            pass
        raise SideFailed(f"{self.title} said {line!r}; expected a line '{word} NUMBER'")

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            pass
        self.kill()

    def kill(self):
        # Its children end with it: ours watch their host, those of the standard library are in its care.
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def family(self):
        """The process and all that descend from it."""
        parents = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    text = Path("/proc", entry, "stat").read_text()
                except OSError:
                    continue
                parents[int(entry)] = int(text.rpartition(")")[2].split()[1])
        found = [self.process.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def processor_us(self):
        """Processor time that the whole family has used."""
        # The number of the clock that counts the processor time of another process, as clock_getcpuclockid() makes it.
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self.family()) * 1e6


class Maker:
    """Starts the sides of rows."""

    def __init__(self, build, output, divisor):
        self.program = str(build / "bench/slither-bench")
        self.divisor = str(divisor)
        self.environment = dict(os.environ)
        self.environment.setdefault("SLITHER_PACKAGE_PATH", str(build / "python"))
        # Byte code is kept, for both sides, but not in the source tree: else each start would compile what it imports.
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.environment["PYTHONPYCACHEPREFIX"] = str(output / "byte-code")
        # An interpreter of the host's environment must not make another of the workers'.
        self.environment.pop("PYTHONPATH", None)

    def host(self, row):
        return Side([self.program, row, sys.executable, str(FUNCTIONS), self.divisor], self.environment)

    def ours(self, row):
        return self.host(row.ours)

    def peer(self, row):
        who, what = row.peer.split()
        if who == "host":
            return self.host(what)
        if who == "ets":
            return Side(["escript", str(HERE / "erlang/ets.escript"), what, self.divisor], self.environment)
        program = "store_peers.py" if who in ("manager", "redis") else "peers.py"
        return Side([sys.executable, str(FUNCTIONS / program), who, what, self.divisor], self.environment)
