#!/usr/bin/env bash
# Makes .venv from the hashed locks: `python-env.sh checks` for linters and deployment checks (small),
# `python-env.sh bench` for the parsers that `make bench` compares with (small), `python-env.sh distill`
# for the training package as well as the checks (PyTorch: 5 GB, minutes).
source "$(dirname "$0")/lib.sh"

venv=$root/.venv

install() {
    local name=$1 reason=$2 lock=$root/scripts/requirements-$1.txt
    local stamp=$venv/.stamp-$name want
    want=$(fingerprint "$lock")
    if [[ -f $stamp && $(<"$stamp") == "$want" ]]; then
        return
    fi
    if [[ ! -x $venv/bin/python ]]; then
        python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
            fail "Python 3.11 or newer is needed; python3 is $(python3 --version)."
        python3 -m venv "$venv"
    fi
    say "Installing into .venv: $reason"
    # No cache: it would keep a second copy of gigabytes.
    attempt "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-cache-dir \
        --only-binary=:all: --require-hashes --requirement "$lock"
    echo "$want" >"$stamp"
}

case ${1:-} in
checks) install checks "linters and the checks of deploy/" ;;
bench) install bench "the HL7 v2 parsers that make bench compares with" ;;
distill)
    install checks "linters and the checks of deploy/"
    install distill "PyTorch and what trains the student (5 GB, minutes)"
    ;;
*) fail "usage: python-env.sh checks|bench|distill" ;;
esac
