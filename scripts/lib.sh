# shellcheck shell=bash
# What the scripts share. Sourced, with bash, after `set -euo pipefail`.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build

# Nothing below may depend on the caller's language, and no interpreter started here may write into the source tree.
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1

say() {
    printf '%s\n' "$*"
}

die() {
    printf 'slither: %s\n' "$*" >&2
    exit 1
}

# configure DIRECTORY OPTION...: a Meson build directory with exactly these options. Configured again only when they
# changed or when an earlier attempt was cut off. CC and CXX are taken from the environment.
configure() {
    local directory=$1
    shift
    local wanted="cc=${CC:-} cxx=${CXX:-} $*"
    local stamp=$directory/.configured
    if [ -f "$stamp" ] && [ -f "$directory/build.ninja" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        return 0
    fi
    mkdir -p "$directory"
    rm -f "$stamp"
    local log=$directory/setup.log
    if [ -f "$directory/meson-private/coredata.dat" ]; then
        # Not --wipe: the main build directory also holds the Python environments.
        rm -rf "$directory/meson-private" "$directory/meson-info" "$directory/build.ninja"
    fi
    if ! meson setup "$directory" "$root" "$@" >"$log" 2>&1; then
        tail -n 12 "$log" >&2
        die "Meson could not configure $directory; the lines above and setup.log there say why"
    fi
    printf '%s' "$wanted" >"$stamp"
}

# compile DIRECTORY [TARGET...]: builds; what ninja prints is shown only when it failed.
compile() {
    local log=$1/compile.log
    if ! ninja -C "$@" >"$log" 2>&1; then
        grep -v '^\[' "$log" >&2 || true
        return 1
    fi
    grep -E 'warning:' "$log" >&2 || true
}
