# SPDX-License-Identifier: MIT
"""What the tests of the Python side share. They need the worker package: PYTHONPATH=BUILD/python."""
import os
import textwrap

import pytest
from hypothesis import settings

settings.register_profile("default", max_examples=200, deadline=None, print_blob=True)
settings.register_profile("thorough", max_examples=5000, deadline=None, print_blob=True)
settings.register_profile("quick", max_examples=40, deadline=None, print_blob=True)
if "libasan" in os.environ.get("LD_PRELOAD", ""):
    settings.load_profile("quick")
else:
    settings.load_profile(os.environ.get("SLITHER_HYPOTHESIS_PROFILE", "default"))


@pytest.fixture
def numpy():
    return pytest.importorskip("numpy", reason="numpy is not installed for this interpreter")


@pytest.fixture
def module(tmp_path):
    """module(source, name="m") writes a module into the directory that workers of the test start in."""
    def write(source, name="m"):
        (tmp_path / (name + ".py")).write_text(textwrap.dedent(source), encoding="utf-8")
        return tmp_path
    return write


@pytest.fixture
def worker(tmp_path):
    """worker(**options) starts a worker in that directory; it is gone when the test ends."""
    import worker_driver
    if not worker_driver.program().exists():
        pytest.skip("%s has not been built; set SLITHER_BUILD to the build directory" % worker_driver.program())
    started = []

    def start(**options):
        started.append(worker_driver.Worker(tmp_path, **options))
        return started[-1]
    yield start
    for each in started:
        each.__exit__()
