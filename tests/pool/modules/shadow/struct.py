# SPDX-License-Identifier: MIT
"""Has the name of a module of the standard library."""
ORIGIN = "the user's"
