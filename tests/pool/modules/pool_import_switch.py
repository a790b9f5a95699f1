# SPDX-License-Identifier: MIT
"""Can be imported as long as $POOL_TEST_SWITCH does not exist."""
import os

if os.path.exists(os.environ["POOL_TEST_SWITCH"]):
    raise RuntimeError("switched off")
