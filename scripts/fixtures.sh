#!/usr/bin/env bash
# Builds tests/fixtures (plugins and hosts of other interface versions) into target/fixtures.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${CARGO_TARGET_DIR:-target}/fixtures
for package in v1 newer; do
    cargo build --quiet --locked --examples --target-dir "$target" --manifest-path "tests/fixtures/$package/Cargo.toml"
done
echo "fixtures: $target/debug/examples"
