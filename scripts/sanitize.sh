#!/usr/bin/env bash
# Runs what crosses the plugin boundary under tools that see memory errors, and says which ran and which did not:
#
#   miri      the interface's types and calls, with backends of the test's own process in place of libraries
#   address   AddressSanitizer over round trips through libraries: load, describe, open, prefill, generate, logprobs, the
#             conformance suite, every fault; `faulty`, `candle`, plugins and hosts of other interface versions
#   valgrind  the interface and `faulty`, where AddressSanitizer cannot run, or where it is asked for
#
#   scripts/sanitize.sh                # miri, then address or else valgrind
#   scripts/sanitize.sh valgrind       # these alone
#
# Everything is built anew in INFERHOST_SANITIZE_DIR (target/sanitize), beside what is built otherwise: some ten minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=${INFERHOST_SANITIZE_DIR:-$PWD/target/sanitize}
host=$(rustc -vV | sed -n 's/^host: //p')
ran=() skipped=()

run() { # name command...
    local name=$1
    shift
    echo "== $name"
    "$@" || { echo "scripts/sanitize.sh: $name failed: $*" >&2; exit 1; }
    ran+=("$name")
}

skip() { # name reason
    echo "== $1: skipped: $2"
    skipped+=("$1 ($2)")
}

miri() {
    if ! cargo +nightly miri --version >/dev/null 2>&1; then
        skip miri "not installed; rustup toolchain install nightly --component miri,rust-src"
        return
    fi
    # Libraries cannot be loaded there. Tests write files. Layouts that abi_stable has checked live as long as the process: no leak.
    run miri env MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-ignore-leaks ${MIRIFLAGS:-}" CARGO_TARGET_DIR="$folder/miri" \
        cargo +nightly miri test --locked -p inferhost-plugin-api --test edge -- --skip library
}

# Plugins as the tests look for them, and those of other interface versions, in the folder of this build.
libraries() {
    cargo build --locked --target "$host" -p inferhost-plugin-faulty "$@"
    local package fixtures=$CARGO_TARGET_DIR/$host/fixtures
    for package in v1 newer; do
        cargo build --quiet --locked --examples --target "$host" --target-dir "$fixtures" \
            --manifest-path "tests/fixtures/$package/Cargo.toml"
    done
    # Where the tests look, beside what the host's own compiler plugins are built in.
    mkdir -p "$fixtures/debug"
    rm -rf "${fixtures:?}/debug/examples"
    ln -s "../$host/debug/examples" "$fixtures/debug/examples"
}

round_trips() { # name
    run "$1: interface" cargo test --locked --target "$host" -p inferhost-plugin-api --lib --tests
    run "$1: faulty" cargo test --locked --target "$host" -p inferhost-plugin-faulty --lib --tests \
        -- --skip signals_in_a_child
}

has_address_sanitizer() {
    find "$(rustc --print sysroot)/lib/rustlib/$host" -name 'librustc*_rt.asan.*' 2>/dev/null | grep -q .
}

# The runtime lies in each program, and libraries find it there if its symbols are exported (-rdynamic). It comes with the
# stable compiler, the option is nightly's: with it, what is tested is what our compiler makes.
# Libraries are never unloaded, by design, as runtimes' threads and exit handlers outlive every session: what they still
# hold at the end is no leak, so leaks are not looked for. The memory errors that `faulty` makes on request would be found:
# the test that waits for their signals is left out.
address() (
    export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Clink-arg=-rdynamic ${RUSTFLAGS:-}" CARGO_TARGET_DIR="$folder/address"
    export ASAN_OPTIONS="detect_leaks=0:handle_segv=0:handle_abort=0:allocator_may_return_null=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
    libraries
    round_trips address
    cargo build --locked --target "$host" -p inferhost-plugin-candle
    run "address: candle" cargo test --locked --target "$host" -p inferhost-plugin-candle --test conformance --test errors
)

under_valgrind() (
    local runner
    runner="CARGO_TARGET_$(tr '[:lower:]-' '[:upper:]_' <<<"$host")_RUNNER"
    export "$runner=valgrind --quiet --error-exitcode=99 --leak-check=no" CARGO_TARGET_DIR="$folder/valgrind"
    libraries
    round_trips valgrind
)

address_or_valgrind() {
    if has_address_sanitizer; then
        address
        ran+=("address")
        return
    fi
    skip address "this toolchain has no AddressSanitizer for $host"
    valgrind_if_there
}

valgrind_if_there() {
    if ! command -v valgrind >/dev/null; then
        skip valgrind "not installed; Debian: apt install valgrind"
        return
    fi
    under_valgrind
    ran+=("valgrind")
}

if [ $# -eq 0 ]; then set -- miri address; fi
for tool in "$@"; do
    case $tool in
        miri) miri ;;
        address) address_or_valgrind ;;
        valgrind) valgrind_if_there ;;
        *) echo "scripts/sanitize.sh: unknown tool '$tool'; there are: miri, address, valgrind" >&2; exit 2 ;;
    esac
done

echo
echo "ran: $(IFS=,; echo "${ran[*]:-nothing}" | sed 's/,/, /g')"
for reason in ${skipped[@]+"${skipped[@]}"}; do echo "skipped: $reason"; done
