#!/bin/sh
# Rewrites expected.txt from the library in the build directory that is given (default: build).
cd "$(dirname "$0")/../.." &&
    exec python3 tests/symbols/compare.py nm "${1:-build}/src/libslither.so" tests/symbols/expected.txt include/slither --update
