#!/usr/bin/env bash
# Asks a teacher's server that is not ours: llama.cpp's, with a model of 4 MB made on the spot. Checks
# `radstream teacher try` and `radstream pseudo-label` against it, then those tests of the client that
# do not need a server which fails on command.
#
#   second-server.sh [ARGUMENT...]     arguments for pytest, such as -k killed
#
# The binary is target/release/radstream, or $RADSTREAM; it is not built here.
source "$(dirname "$0")/lib.sh"

lock=$root/scripts/requirements-second-server.txt
venv=$deps/second-server
stamp=$venv/.stamp
want=$(fingerprint "$lock")
if [[ ! -f $stamp || $(<"$stamp") != "$want" ]]; then
    say "Fetching llama.cpp's server into .deps/second-server (210 MB on disk)"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-cache-dir \
        --only-binary=:all: --require-hashes --requirement "$lock"
    echo "$want" >"$stamp"
fi

export PYTHONDONTWRITEBYTECODE=1 RADSTREAM=${RADSTREAM:-$root/target/release/radstream}
[[ -x $RADSTREAM ]] || fail "There is no $RADSTREAM: cargo build --release first, or set RADSTREAM."
"$venv/bin/python" -m pytest -q -p no:cacheprovider "$root/tests/second_server" "$@"
if (($# == 0)); then
    cd "$root"
    "$venv/bin/python" tests/second_server/server.py "${CARGO:-cargo}" test --release --locked \
        --test teacher_client
fi
