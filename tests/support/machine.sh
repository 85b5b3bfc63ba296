#!/usr/bin/env bash
# Looks whether this machine has all that the tests need. On Debian as root it installs what is missing;
# elsewhere it names all of it in one message and ends with 1 before anything runs.
set -euo pipefail

missing=() packages=()
need() { # COMMAND-THAT-FINDS-IT, what it is, Debian packages
    if ! eval "$1" >/dev/null 2>&1; then
        missing+=("$2")
        read -ra names <<<"$3"
        packages+=("${names[@]}")
    fi
}
usable_python() {
    [ -z "${PYTHON:-}" ] || return 0
    local name
    for name in python3.12 python3.11 python3 python; do
        "$name" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && return 0
    done
    return 1
}

need usable_python "Python 3.11 or 3.12 with venv" "python3 python3-venv"
need "command -v redis-server" "redis-server (Redis 7 or newer)" "redis-server"
need "compgen -G '/usr/lib/postgresql/*/bin/postgres'" "PostgreSQL's server under /usr/lib/postgresql" "postgresql"
need "[ -e /etc/ssl/certs/ca-certificates.crt ]" "CA certificates" "ca-certificates"
need "command -v ip" "ip (several hosts are tested as network namespaces)" "iproute2"
need "command -v curl" "curl" "curl"
need "command -v node" "Node.js (the SDKs for Node and the browser are tested)" "nodejs"
need "command -v npm" "npm" "npm"
need "[ -x /usr/bin/chromium ]" "Chromium as /usr/bin/chromium" "chromium"

[ "${#missing[@]}" -gt 0 ] || exit 0
told=$(printf '\n  %s' "${missing[@]}")
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "The tests need these programs, which this machine lacks:$told" >&2
    echo "On Debian: sudo apt-get install ${packages[*]}" >&2
    exit 1
fi
echo "Installing what the tests need and this machine lacks:$told"
export DEBIAN_FRONTEND=noninteractive
# installing must not start a server on this machine: the tests start their own
if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
apt-get -qq update
apt-get -qq install --yes --no-install-recommends "${packages[@]}" >/dev/null
if ! usable_python; then
    echo "The tests need Python 3.11 or 3.12, which Debian's packages do not have here: install it, or name it by PYTHON=." >&2
    exit 1
fi
