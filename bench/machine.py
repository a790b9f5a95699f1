# SPDX-License-Identifier: MIT
"""What the figures were measured on."""
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path


def first_line(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.split("\n", 1)[0] or "unknown"
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"


def processor():
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Model"):
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def virtual():
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
    return ", virtual machine" if " hypervisor" in flags else ""


def memory_gib():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def describe():
    """Pairs of a title and a text."""
    return [
        ("processor", f"{processor()}, {len(os.sched_getaffinity(0))} usable{virtual()}"),
        ("memory", f"{memory_gib():.0f} GiB"),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("python", f"CPython {platform.python_version()}, both sides ({sys.executable})"),
        ("packages", ", ".join(f"{name} {version(name)}" for name in ("numpy", "joblib", "mpire"))),
        ("compiler", first_line("gcc", "--version")),
        ("load before", " ".join(f"{load:.2f}" for load in os.getloadavg())),
    ]
