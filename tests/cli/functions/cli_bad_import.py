# SPDX-License-Identifier: MIT
raise RuntimeError("cannot be imported today")
