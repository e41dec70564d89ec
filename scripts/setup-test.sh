#!/usr/bin/env bash
# Installs what `make test` needs beyond Rust, a C compiler and make. What cannot be had is said
# here and skipped, loudly, by the test that wants it.
set -euo pipefail

readonly NEXTEST_VERSION=0.9.143
readonly DENY_VERSION=0.20.2
tools=${NETCOM_TOOLS:-$HOME/.cache/netcom-tools}
export PATH=$tools/bin:$PATH

say() { printf 'setup: %s\n' "$*" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }

# A command that the tests call, and Debian's package that brings it.
missing_packages() {
    local pair
    for pair in ip:iproute2 nft:nftables git:git; do
        has "${pair%%:*}" || printf '%s\n' "${pair##*:}"
    done
    python3 -c 'import ensurepip, venv' 2>/dev/null || printf '%s\n' python3-venv
}

install_packages() {
    local wanted
    mapfile -t wanted < <(missing_packages)
    [ ${#wanted[@]} -eq 0 ] && return
    if [ "$(id -u)" -ne 0 ] || ! has apt-get; then
        say "missing, and not installed without root and apt: ${wanted[*]}"
        return
    fi
    say "installing ${wanted[*]}"
    apt-get update -qq || say "the package lists could not be renewed"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${wanted[@]}" >/dev/null || say "could not install ${wanted[*]}"
}

# Builds a cargo subcommand once into the tools folder. Without optimisation: it is run for
# seconds, and building it well would take minutes.
install_tool() {
    local name=$1 version=$2
    shift 2
    has "$name" && return
    say "building $name $version into $tools (once)"
    mkdir -p "$tools"
    CARGO_TARGET_DIR=$tools/build cargo install --quiet --locked --debug --root "$tools" \
        --version "$version" "$@" "$name" || say "could not build $name"
    rm -rf "$tools/build"
}

has cc || say "no C compiler (cc): the build will fail; install gcc or clang"
for component in rustfmt clippy; do
    cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 ||
        rustup component add "$component" >&2 ||
        say "no $component: its check will fail"
done
install_packages
install_tool cargo-nextest "$NEXTEST_VERSION" --no-default-features --features default-no-update
install_tool cargo-deny "$DENY_VERSION" --no-default-features
