# shellcheck shell=bash
# Sourced by the other scripts: one voice, one root, one way to install a Debian package.

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deps=$root/.deps
mkdir -p "$deps"

# A step that takes time says what and why before it starts.
say() { printf '==> %s\n' "$*" >&2; }

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# attempt COMMAND...: three times at most. A busy mirror may refuse, or hang up in the middle of gigabytes.
attempt() {
    local number
    for number in 1 2 3; do
        "$@" && return
        say "$(basename "$1") failed (attempt $number of 3)"
        [[ $number -eq 3 ]] || sleep $((number * 10))
    done
    return 1
}

# The hash of what a step's result depends on: a stamp file with the same hash means nothing to do.
fingerprint() { cat "$@" | sha256sum | cut -d' ' -f1; }

# require_debian REASON PACKAGE...: installs what is missing, or says what to install.
require_debian() {
    local reason=$1
    shift
    if ! command -v apt-get >/dev/null || [[ $(id -u) -ne 0 ]]; then
        fail "$reason is missing. On Debian or Ubuntu: sudo apt-get install $*. Elsewhere: the packages of that name or purpose."
    fi
    say "Installing $* from Debian ($reason)"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq -o Acquire::Retries=3 >/dev/null
    apt-get install -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 -y -qq --no-install-recommends "$@" >/dev/null
}
