# SPDX-License-Identifier: MIT
ORIGIN = "the user's"
