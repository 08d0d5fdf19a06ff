#!/usr/bin/env bash
# Fuzzes the decoders and the parting into sections with libFuzzer, on the stable toolchain.
#
#   fuzz.sh run MINUTES [TARGET...]   each target (default: all) for so long, then a table
#   fuzz.sh keep [TARGET...]          takes what the runs found that reaches new code into fuzz/corpus
#
# Targets: hl7 fhir detect sections. JOBS=2 runs two at a time. What breaks a rule is left in
# fuzz/artifacts, and the exit status is 1.
source "$(dirname "$0")/lib.sh"

version=0.13.2
longest=65536 # bytes of one input
toolchain=$(rustc -vV | sed -n 's/^host: //p')
targets=(hl7 fhir detect sections)

prepare() {
    local fuzz=$deps/cargo/bin/cargo-fuzz
    if [[ ! -x $fuzz || $("$fuzz" --version) != "cargo-fuzz $version" ]]; then
        say "Building cargo-fuzz $version (once; 2 minutes of CPU time)"
        cargo install cargo-fuzz --quiet --locked --version "$version" --root "$deps/cargo"
    fi
    PATH=$deps/cargo/bin:$PATH
    cd "$root"
    # The same versions as everywhere else; what only the targets need is added.
    cp Cargo.lock fuzz/Cargo.lock
    say "Building the fuzz targets (the first time 10 minutes: all dependencies once more)"
    # No sanitizer: that would need a nightly compiler, and there is no unsafe code of ours to watch.
    nice -n 19 cargo fuzz build --sanitizer none
}

# libfuzzer TARGET ARGUMENT...
libfuzzer() { nice -n 19 "fuzz/target/$toolchain/release/$1" "${@:2}"; }

fuzz_target() {
    local target=$1 seconds=$2
    local found=fuzz/found/$target artifacts=fuzz/artifacts/$target
    mkdir -p "$found" "$artifacts"
    rm -f "$artifacts/worst"
    RADSTREAM_FUZZ_WORST=$artifacts/worst libfuzzer "$target" \
        -max_total_time="$seconds" -max_len=$longest -len_control=20 -timeout=10 -rss_limit_mb=1024 \
        -artifact_prefix="$artifacts/" -print_final_stats=1 -verbosity=0 \
        "$found" "fuzz/corpus/$target" >"$artifacts/log" 2>&1
}

# The largest of the last column's numbers of a kind, in a file of `kind COST LENGTH`.
worst() { awk -v kind="$1" '$1 == kind { cost = $2; length_ = $3 } END { print cost + 0, length_ + 0 }' "$2"; }

table() {
    printf '%-10s %12s %10s %22s %26s  %s\n' target executions inputs slowest "most memory" result
    local target failed=0
    for target in "$@"; do
        local artifacts=fuzz/artifacts/$target executions result=holds cost length times
        executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$artifacts/log")
        if ! grep -q '^status 0$' "$artifacts/status"; then
            result="BREAKS: see $artifacts"
            failed=1
        fi
        touch "$artifacts/worst"
        read -r cost length < <(worst slowest "$artifacts/worst")
        local slowest="$((cost / 1000)).$(((cost % 1000) / 100)) ms, $length B"
        read -r cost length < <(worst peak "$artifacts/worst")
        times=$((length > 0 ? cost * 10 / length : 0))
        local memory="$((times / 10)).$((times % 10)) x of $length B"
        ((length)) || memory="none over 4 KiB"
        printf '%-10s %12s %10s %22s %26s  %s\n' "$target" "${executions:-?}" \
            "$(find "fuzz/found/$target" "fuzz/corpus/$target" -type f | wc -l)" "$slowest" "$memory" "$result"
    done
    return $failed
}

run() {
    local minutes=$1
    shift
    [[ $minutes =~ ^[0-9]+$ && $minutes -gt 0 ]] || fail "MINUTES is a whole number, such as 30; it is '$minutes'."
    (($#)) && targets=("$@")
    prepare
    local target running=0
    for target in "${targets[@]}"; do
        [[ -d fuzz/corpus/$target ]] || fail "There is no target $target; there are hl7, fhir, detect, sections."
        say "Fuzzing $target for $minutes minutes"
        mkdir -p "fuzz/artifacts/$target"
        {
            local status=0
            fuzz_target "$target" $((minutes * 60)) || status=$?
            echo "status $status" >"fuzz/artifacts/$target/status"
        } &
        running=$((running + 1))
        if ((running >= ${JOBS:-1})); then
            wait -n
            running=$((running - 1))
        fi
    done
    wait
    table "${targets[@]}"
}

keep() {
    (($#)) && targets=("$@")
    prepare
    local target
    for target in "${targets[@]}"; do
        [[ -d fuzz/found/$target ]] || continue
        # Small ones only: they are read in each `make test`.
        libfuzzer "$target" -merge=1 -max_len=2048 -verbosity=0 "fuzz/corpus/$target" "fuzz/found/$target"
        say "fuzz/corpus/$target: $(find "fuzz/corpus/$target" -type f | wc -l) inputs"
    done
}

case ${1:-} in
run) run "${2:-}" "${@:3}" ;;
keep) keep "${@:2}" ;;
*) fail "usage: fuzz.sh run MINUTES [TARGET...] | keep [TARGET...]" ;;
esac
