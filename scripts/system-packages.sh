#!/usr/bin/env bash
# What the machine itself must have: `system-packages.sh build` for the binary, `... tests` for the
# test servers as well. Quiet when all is there.
source "$(dirname "$0")/lib.sh"

build() {
    command -v cargo >/dev/null ||
        fail "cargo is missing. Install Rust with rustup (rustup.rs), then open a new shell."
    local missing=()
    # librdkafka is compiled from source and links the system's OpenSSL and zlib.
    command -v cc >/dev/null && command -v c++ >/dev/null || missing+=(g++)
    command -v make >/dev/null || missing+=(make)
    command -v perl >/dev/null || missing+=(perl)
    command -v pkg-config >/dev/null || missing+=(pkg-config)
    if command -v pkg-config >/dev/null && command -v cc >/dev/null; then
        pkg-config --exists libssl || missing+=(libssl-dev)
        echo '#include <zlib.h>' | cc -E - >/dev/null 2>&1 || missing+=(zlib1g-dev)
    else
        missing+=(libssl-dev zlib1g-dev)
    fi
    # pip fetches the wheel that has ONNX Runtime's library in it.
    command -v python3 >/dev/null || missing+=(python3)
    python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
    if ((${#missing[@]})); then
        require_debian "a tool or library for the build" "${missing[@]}"
    fi
}

tests() {
    local missing=()
    command -v java >/dev/null && command -v keytool >/dev/null || missing+=(default-jre-headless)
    # Certificates for the test brokers.
    command -v openssl >/dev/null || missing+=(openssl)
    # Takes a broker its disk: tests/faults.
    command -v prlimit >/dev/null || missing+=(util-linux)
    command -v mvn >/dev/null || missing+=(maven)
    command -v kcat >/dev/null || missing+=(kcat)
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    if ((${#missing[@]})); then
        require_debian "Java and Maven for the real Kafka of the tests, openssl for its certificates, kcat as a second reader, prlimit (util-linux) to fill a broker's disk, or Python's venv" \
            "${missing[@]}"
    fi
    local version
    version=$(java -version 2>&1 | sed -n 's/^[^"]* version "\([0-9]*\).*/\1/p')
    [[ ${version:-0} -ge 17 ]] || fail "Apache Kafka 4 needs Java 17 or newer; java on PATH is ${version:-unknown}."
}

case ${1:-} in
build) build ;;
tests) build && tests ;;
*) fail "usage: system-packages.sh build|tests" ;;
esac
