#!/bin/sh
# What Debian has to bring. `needs.sh venv`: for the virtual environment. `needs.sh test`: for the tests.
# Installs what is missing where it may (root, or sudo without a password, and apt-get); elsewhere it says
# what to install and goes on: tests that need it skip with that word.
set -u

wanted=""
want() { wanted="$wanted $1"; }
has() { command -v "$1" >/dev/null 2>&1; }

case "${1:-}" in
venv)
    python3 -c 'import ensurepip, venv' 2>/dev/null || want python3-venv
    ;;
test)
    has cc || { want gcc; want libc6-dev; }
    python3 -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null || want python3-dev
    has chromium || want chromium
    has java || want default-jdk-headless
    has mvn || want maven
    has strace || want strace
    has openssl || want openssl
    [ -x /usr/lib/zookeeper/bin/cli_mt ] || want zookeeper-bin
    ;;
*)
    echo "usage: $0 venv|test" >&2
    exit 2
    ;;
esac

[ -z "$wanted" ] && exit 0
if ! has apt-get; then
    echo "missing:$wanted (no apt-get here: install them by other means; tests without them skip)"
    exit 0
fi
root=""
if [ "$(id -u)" != 0 ]; then
    if has sudo && sudo -n true 2>/dev/null; then
        root="sudo"
    else
        echo "missing:$wanted; 'sudo apt-get install$wanted' brings them; tests without them skip"
        exit 0
    fi
fi
echo "installing$wanted"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
# shellcheck disable=SC2086
if ! $root apt-get install -y --no-install-recommends $wanted >"$log" 2>&1; then
    $root apt-get update >"$log" 2>&1
    # shellcheck disable=SC2086
    $root apt-get install -y --no-install-recommends $wanted >>"$log" 2>&1 || {
        tail -5 "$log"
        echo "installing$wanted failed; tests without them skip"
    }
fi
rm -f "$log"
