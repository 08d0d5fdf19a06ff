#!/usr/bin/env bash
# cargo-deny: licences, bans and sources always; known vulnerabilities where the advisory database
# (RustSec's, which cargo-audit reads too) can be reached, or was before.
source "$(dirname "$0")/lib.sh"

version=0.20.2
deny=$deps/cargo/bin/cargo-deny
if [[ ! -x $deny || $("$deny" --version) != "cargo-deny $version" ]]; then
    say "Building cargo-deny $version, which checks the dependencies' licences (once; 4 minutes of CPU time)"
    attempt cargo install cargo-deny --quiet --locked --version "$version" --root "$deps/cargo"
fi

cd "$root"
"$deny" --log-level error --locked check --hide-inclusion-graph bans licenses sources

# The database is a git repository, not a package: a closed network may let one through and not the
# other. That is no fault of the dependencies, and it must not look like a clean bill either.
log=$deps/advisories.log
check() { "$deny" --log-level error --locked check --disable-fetch --hide-inclusion-graph advisories; }
if "$deny" --log-level error --locked fetch db >"$log" 2>&1; then
    check
elif compgen -G "${CARGO_HOME:-${HOME:-}/.cargo}/advisory-dbs/advisory-db-*/crates" >/dev/null; then
    printf 'warning: the advisory database cannot be fetched; known vulnerabilities are those of the copy here.\n' >&2
    check
else
    printf 'warning: known vulnerabilities were NOT checked: the advisory database cannot be fetched.\n' >&2
    sed 's/^/    /' "$log" | cut -c1-200 | head -n 5 >&2
    printf '    To check: `cargo deny check advisories` where that repository can be reached.\n' >&2
fi
