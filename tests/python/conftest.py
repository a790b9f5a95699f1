# SPDX-License-Identifier: MIT
"""What the tests of the Python side share. They need the worker package: PYTHONPATH=BUILD/python."""
import os

import pytest
from hypothesis import settings

settings.register_profile("default", max_examples=200, deadline=None, print_blob=True)
settings.register_profile("thorough", max_examples=5000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("SLITHER_HYPOTHESIS_PROFILE", "default"))


@pytest.fixture
def numpy():
    return pytest.importorskip("numpy", reason="numpy is not installed for this interpreter")
