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
    apt-get update -qq >/dev/null
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
