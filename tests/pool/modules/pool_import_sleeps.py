# SPDX-License-Identifier: MIT
"""Takes longer to import than anybody waits."""
import sys
import time

print("loading the model", file=sys.stderr, flush=True)
time.sleep(1000)
