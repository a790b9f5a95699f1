# SPDX-License-Identifier: MIT
"""Leaves processes behind while it is imported, says who they are, and then computes for ever in C, with the GIL held."""
import os

import pool_template

FAMILY = [os.getpid()] + [make([None])[0] for make in
                          (pool_template.leader, pool_template.daemon, pool_template.blocked, pool_template.stopped)]
print("family", len(FAMILY), *FAMILY, flush=True)
pool_template.sleep_in_c()
