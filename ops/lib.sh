# Sourced by the scripts beside it: what the machine must have, and small words. bash, after `set -euo pipefail`.

swift_major_min=6

say() { printf '%s\n' "$*" >&2; }
fail() { say "$(basename "$0"): $*"; exit 1; }

# Says which Debian or Ubuntu packages are missing, then installs them. Takes pairs "probe:package".
install_missing() {
    local missing=() pair probe package
    for pair in "$@"; do
        probe=${pair%%:*} package=${pair##*:}
        case $probe in
        lib=*) pkg-config --exists "${probe#lib=}" 2>/dev/null || missing+=("$package") ;;
        *) command -v "$probe" >/dev/null 2>&1 || missing+=("$package") ;;
        esac
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    say "missing: ${missing[*]}"
    command -v apt-get >/dev/null 2>&1 || fail "please install ${missing[*]} (or what your system calls them): there is no apt-get here"
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null 2>&1 || fail "please install as root: apt-get install ${missing[*]} (there is no sudo here)"
        root=(sudo)
    fi
    say "installing them: ${root[*]} apt-get install -y ${missing[*]}"
    # An old package list is the common reason for a failure: fetch it and try once more.
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" >&2 || {
        "${root[@]}" apt-get update >&2 || fail "apt-get update failed"
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" >&2 ||
            fail "apt-get could not install ${missing[*]}"
    }
}

# For the test of ops/nginx.conf, which starts one of its own: the package's service stays off (invoke-rc.d asks this file).
install_nginx() {
    local policy=/usr/sbin/policy-rc.d
    command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] && return 0
    if [ "$(id -u)" -ne 0 ] || [ -e "$policy" ]; then
        say "nginx is not installed: Tests/e2e/test_proxy.py will be skipped"
        return 0
    fi
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
    (install_missing nginx:nginx-light openssl:openssl) || say "nginx could not be installed: test_proxy.py will be skipped"
    rm -f "$policy"
}

check_swift() {
    command -v swift >/dev/null 2>&1 || fail "Swift is missing: install 6.3 or newer from https://www.swift.org/install/linux/ and put it on the PATH"
    local version
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9.]*\).*/\1/p' | head -n 1)
    [ "${version%%.*}" -ge "$swift_major_min" ] 2>/dev/null || fail "Swift $swift_major_min or newer is needed, this is ${version:-unknown}: $(command -v swift)"
    say "Swift $version"
}

# A port of 127.0.0.1 that answers nothing: the wanted one, else the next free one of the hundred after it.
port_is_taken() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }
free_port() {
    local host=$1 wanted=$2 port
    for ((port = wanted; port < wanted + 100; port++)); do
        if ! port_is_taken "$host" "$port"; then
            echo "$port"
            return 0
        fi
    done
    return 1
}
