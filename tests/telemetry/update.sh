#!/bin/sh
# Rewrites the list of events in docs/telemetry.md from the library in the build directory that is given (default: build).
# SPDX-License-Identifier: MIT
cd "$(dirname "$0")/../.." &&
    exec python3 tests/telemetry/list_test.py "${1:-build}/tests/telemetry/telemetry_list" docs/telemetry.md --update
