# SPDX-License-Identifier: MIT
"""A module that is still being imported when the test sends its signal."""
import os
import threading

with open(os.path.join(os.environ["SLITHER_TEST_FOLDER"], "begun"), "w") as file:
    file.write(f"{os.getpid()}\n")
threading.Event().wait()
