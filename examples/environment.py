# SPDX-License-Identifier: MIT
"""Interpreters for the examples: one with the packages that an example needs, and a free-threaded one."""
import glob
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

INSTALL_SECONDS = 900
HAS_PACKAGES = """
import importlib.metadata, re, sys
def number(text):
    return tuple(int(part) for part in re.findall(r"\\d+", text)[:3])
for package in sys.argv[1:]:
    name = re.match(r"[\\w-]+", package).group()
    have = number(importlib.metadata.version(name))
    for sign, bound in re.findall(r"(>=|<)([\\d.]+)", package):
        if (have < number(bound)) if sign == ">=" else (have >= number(bound)):
            sys.exit(1)
"""
IS_FREE_THREADED = "import sys, sysconfig; sys.exit(not sysconfig.get_config_var('Py_GIL_DISABLED') or sys._is_gil_enabled())"


class Missing(Exception):
    """What cannot be had, and what to do about it."""


def default():
    virtual = os.environ.get("VIRTUAL_ENV")
    return os.path.join(virtual, "bin", "python") if virtual else sys.executable


def interpreter(packages, announce, base=None):
    """The path of an interpreter like `base` that has the packages; makes an environment for them where there is none."""
    base = base or default()
    if not packages or succeeds([base, "-c", HAS_PACKAGES, *packages]):
        return base
    version = output([base, "-c", "import sys; print(sys.version)"])
    key = hashlib.sha256("\n".join([os.path.realpath(base), version, *sorted(packages)]).encode()).hexdigest()[:16]
    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "slither" / "environments"
    directory = home / key
    python = directory / "bin" / "python"
    if (directory / "complete").exists() and succeeds([python, "-c", HAS_PACKAGES, *packages]):
        return str(python)
    announce("%s will be installed into %s, for %s" % (", ".join(packages), directory, base))
    shutil.rmtree(directory, ignore_errors=True)
    home.mkdir(parents=True, exist_ok=True)
    reasons = []
    for make in (with_uv, with_pip):
        reason = make(base, directory, python, packages)
        if reason is None:
            (directory / "complete").touch()
            return str(python)
        reasons.append(reason)
        shutil.rmtree(directory, ignore_errors=True)
    raise Missing("%s could not be installed:\n  %s\nInstall them where you like, and give that interpreter with --python." % (
        ", ".join(packages), "\n  ".join(reasons)))


def with_uv(base, directory, python, packages):
    uv = shutil.which("uv")
    if not uv:
        return "uv: not found on PATH"
    environ = dict(os.environ, UV_NO_PROGRESS="1")
    index = output([base, "-m", "pip", "config", "get", "global.index-url"])
    if index and not os.environ.get("UV_INDEX_URL") and not os.environ.get("UV_DEFAULT_INDEX"):
        environ["UV_INDEX_URL"] = index
    return (failure("uv", [uv, "venv", "-q", "--python", base, directory], environ) or
            failure("uv", [uv, "pip", "install", "-q", "--only-binary", ":all:", "--python", python, *packages], environ))


def with_pip(base, directory, python, packages):
    return (failure("venv", [base, "-m", "venv", directory]) or
            failure("pip", [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary", ":all:", *packages]))


def failure(name, arguments, environ=None):
    """None, or why the program did not succeed, in a line."""
    try:
        done = subprocess.run([str(argument) for argument in arguments], env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as reason:
        return "%s: %s" % (name, reason)
    if done.returncode == 0:
        return None
    lines = (done.stderr.strip() or done.stdout.strip() or "status %d" % done.returncode).splitlines()
    return "%s: %s" % (name, lines[-1].strip())


def free_threaded():
    """The path of a CPython without the GIL, or None."""
    here = pathlib.Path(__file__).resolve().parent
    home = pathlib.Path.home()
    places = [shutil.which("python3.14t"), shutil.which("python3.13t")]
    for pattern in (here.parent / "free-threaded/python/bin/python3.1?t", home / ".pyenv/versions/3.1?*t/bin/python3",
                    home / ".local/share/uv/python/*freethreaded*/bin/python3"):
        places += sorted(glob.glob(str(pattern)), reverse=True)
    return next((place for place in places if place and succeeds([place, "-c", IS_FREE_THREADED])), None)


def succeeds(arguments):
    return failure("", arguments) is None


def output(arguments):
    try:
        return subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
