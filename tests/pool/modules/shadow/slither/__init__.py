# SPDX-License-Identifier: MIT
raise ImportError("this is another package of that name")
