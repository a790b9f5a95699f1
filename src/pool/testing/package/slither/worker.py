# SPDX-License-Identifier: MIT
# Makes this directory pass for the worker package in tests whose workers are not Python.
