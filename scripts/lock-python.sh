#!/usr/bin/env bash
# Writes the hashed locks of all Python packages anew, from the pinned lists beside them. Review the
# difference before it is committed.
source "$(dirname "$0")/lib.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check pip-tools==7.6.2

# lock TITLE OUTPUT ARGUMENTS...: no index and no local folder is named in what is committed.
lock() {
    local title=$1 output=$2
    shift 2
    say "Resolving $output"
    (cd "$work" && venv/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
        --no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
        --output-file "$output" "$@")
    { printf '# %s\n# Made by `make lock`.\n' "$title" && cat "$work/$output"; } >"$root/scripts/$output"
}

cp "$root"/scripts/*.in "$root/distill/pyproject.toml" "$work"
lock "Lock of requirements-checks.in, for Linux and Python 3.11 or newer." \
    requirements-checks.txt requirements-checks.in
lock "Lock of requirements-bench.in, for Python 3.11 or newer." \
    requirements-bench.txt requirements-bench.in
lock "Lock of requirements-second-server.in, for Python 3.11 or newer." \
    requirements-second-server.txt requirements-second-server.in
lock "Lock of distill/pyproject.toml with the extra dev, for Linux. The NVIDIA wheels come with PyTorch." \
    requirements-distill.txt --extra dev --constraint requirements-checks.txt pyproject.toml
lock "ONNX Runtime for CUDA with NVIDIA's libraries, for Linux on x86_64." \
    onnxruntime-cuda.txt onnxruntime-cuda.in
