#!/usr/bin/env bash
# Everything a change must pass: format, lints, docs, build, fixtures, tests, dependencies.
# Arguments go to `cargo test`: scripts/test.sh -p inferhost-plugin-api -- an_older_plugin
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Where the tests look, wherever their target folder lies.
export INFERHOST_RUNTIMES="${INFERHOST_RUNTIMES:-$PWD/.runtimes}"

done_steps=()
step() {
    local name=$1
    shift
    echo "== $name"
    "$@" || { echo "scripts/test.sh: $name failed: $*" >&2; exit 1; }
    done_steps+=("$name")
}

for tool in cargo cc c++; do
    command -v "$tool" >/dev/null || { echo "scripts/test.sh: no '$tool' found; install a Rust toolchain and a C and C++ compiler (Debian: apt install g++)" >&2; exit 1; }
done

# The TensorRT plugin's bindings are made from C++ headers with libclang, which is looked for as clang-sys does.
libclang() {
    local folder file
    [ ! -f "${LIBCLANG_PATH:-}" ] || return 0
    for folder in "${LIBCLANG_PATH:-}" "$(llvm-config --libdir 2>/dev/null)" /usr/lib/llvm-*/lib /usr/lib64 /usr/local/lib; do
        for file in "$folder"/libclang.so* "$folder"/libclang-[0-9]*.so* "$folder"/libclang.dylib; do
            [ ! -f "$file" ] || return 0
        done
    done
    # Without -q, which would end ldconfig by its closed pipe.
    ldconfig -p 2>/dev/null | grep 'libclang[-.0-9]*so' >/dev/null
}
if ! libclang && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "== libclang"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libclang-dev; } >/dev/null 2>&1 || true
fi
libclang || { echo "scripts/test.sh: no libclang found, which the TensorRT plugin is built with; install it (Debian: apt install libclang-dev) or set LIBCLANG_PATH to its folder" >&2; exit 1; }

step "format" cargo fmt --check
step "runtime libraries" scripts/runtimes.sh ort
# Two versions of each that the tests swap one for the other; TensorRT's without its builder run no engine here, but load.
step "other versions" eval 'scripts/runtimes.sh ort 1.30.0 && scripts/runtimes.sh tensorrt-lean 11.1.0.106 && scripts/runtimes.sh tensorrt-lean'
step "libtorch" scripts/runtimes.sh torch
# What the torch plugin's engine is compiled against, wherever the runtimes are.
LIBTORCH="$INFERHOST_RUNTIMES/torch/2.11.0/torch"
export LIBTORCH
step "lints" cargo clippy --workspace --all-targets --locked -- -D warnings
step "docs" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
# Before the tests: the host loads the plugins' libraries, which cargo test alone does not put beside it. With all
# targets, so that the tests find their dependencies built with the same features.
step "build" cargo build --workspace --all-targets --locked
step "fixtures" scripts/fixtures.sh
if [ $# -eq 0 ]; then set -- --workspace; fi
# The report's page is tested in a browser, where there is one or one can be installed here.
browser() { command -v "${INFERHOST_CHROMIUM:-chromium}" || command -v chromium-browser || command -v google-chrome || command -v google-chrome-stable; }
if ! browser >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "== browser"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1 || true
fi
skipped=""
browser >/dev/null || skipped="the page in a browser (no Chromium found; install one (Debian: apt install chromium) or set INFERHOST_CHROMIUM)"
step "tests" cargo test --locked "$@"

if cargo deny --version >/dev/null 2>&1; then
    # Advisories are a Git repository, which a machine without GitHub does not reach, unless an earlier call left it here.
    if cargo deny fetch db >/dev/null 2>&1; then
        step "dependencies" cargo deny check
    elif cargo deny --offline check advisories >/dev/null 2>&1; then
        step "dependencies" cargo deny --offline check
        skipped="${skipped:+$skipped; }today's advisories (they could not be fetched; the copy in CARGO_HOME was used)"
    else
        step "dependencies" cargo deny --offline check licenses bans sources
        skipped="${skipped:+$skipped; }advisories (their database could not be fetched, and no copy passes: cargo deny check advisories)"
    fi
else
    skipped="${skipped:+$skipped; }bans and advisories (cargo-deny is not installed; cargo install --locked cargo-deny); licences and sources were tested without it"
fi

echo
echo "passed: $(IFS=,; echo "${done_steps[*]}" | sed 's/,/, /g')"
if [ -n "$skipped" ]; then echo "skipped: $skipped"; fi
