#!/usr/bin/env bash
# Fetches the servers that the tests run against (tests/kafka/pom.xml) into .deps/kafka/libs and
# .deps/registry, and checks every file against tests/kafka/jars.sha256.
# With `pin`: writes that list anew, after a change of version.
source "$(dirname "$0")/lib.sh"

pom=$root/tests/kafka/pom.xml
list=$root/tests/kafka/jars.sha256
stamp=$deps/kafka/.stamp
mode=${1:-check}
log=$deps/maven.log

fetch() {
    say "Fetching Apache Kafka and a schema registry for the tests (190 MB unpacked; nothing of it is shipped)"
    # Maven's markers as well: with them it believes what was unpacked is still there.
    rm -rf "$deps/kafka" "$deps/registry" "$deps/maven"
    attempt maven && return
    cat "$log" >&2
    fail "the test servers could not be fetched; Maven's words are above"
}

# Told to ask again (-U) for what was not there the last time: it remembers.
maven() { mvn --batch-mode --quiet -U --file "$pom" package "-Ddeps.dir=$deps" >"$log" 2>&1; }

jars() { (cd "$deps" && find kafka/libs registry -name '*.jar' -type f | LC_ALL=C sort); }

case $mode in
pin)
    fetch
    (cd "$deps" && jars | xargs -d '\n' sha256sum) >"$list"
    ;;
check)
    want=$(fingerprint "$pom" "$list")
    if [[ -f $stamp && $(<"$stamp") == "$want" ]]; then
        exit 0
    fi
    fetch
    (cd "$deps" && sha256sum --check --strict --quiet "$list" 2>&1 | head -n 5 >&2) ||
        fail "a file differs from tests/kafka/jars.sha256. If the change is meant: scripts/fetch-test-servers.sh pin"
    diff <(jars) <(sed 's/^[0-9a-f]*  //' "$list") >&2 ||
        fail "files above marked < are not in tests/kafka/jars.sha256"
    echo "$want" >"$stamp"
    ;;
*) fail "usage: fetch-test-servers.sh [check|pin]" ;;
esac
