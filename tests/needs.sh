#!/bin/sh
# What Debian has to bring. `needs.sh venv`: for the virtual environment. `needs.sh test`: for the tests.
# Installs what is missing where it may (root, or sudo without a password, and apt-get); elsewhere it says
# what to install. Tests skip with that word where something is missing; without venv nothing goes on.
set -u

purpose=${1:-}
python=${PYTHON:-python3}
wanted=""
want() { wanted="$wanted $1"; }
has() { command -v "$1" >/dev/null 2>&1; }

# Says what did not work. Only the virtual environment cannot be done without.
give_up() {
    if [ "$purpose" = venv ]; then
        echo "$1, and run make again"
        exit 1
    fi
    echo "$1; tests without them skip"
    exit 0
}

case "$purpose" in
venv)
    "$python" -c 'import ensurepip, venv' 2>/dev/null || want python3-venv
    ;;
test)
    has cc || { want gcc; want libc6-dev; }
    "$python" -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' \
        2>/dev/null || want python3-dev
    has chromium || want chromium
    { has java && has javac; } || want default-jdk-headless
    has mvn || want maven
    has strace || want strace
    has openssl || want openssl
    ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || want postgresql
    has promtool || want prometheus
    [ -x /usr/lib/zookeeper/bin/cli_mt ] || want zookeeper-bin
    [ -f /usr/include/zookeeper/zookeeper.h ] || want libzookeeper-mt-dev
    ;;
*)
    echo "usage: $0 venv|test" >&2
    exit 2
    ;;
esac

[ -z "$wanted" ] && exit 0
has apt-get || give_up "missing:$wanted; no apt-get here: install them by other means"
root=""
if [ "$(id -u)" != 0 ]; then
    { has sudo && sudo -n true 2>/dev/null; } || give_up "missing: 'sudo apt-get install$wanted'"
    root="sudo"
fi
echo "installing$wanted"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
install() {
    # shellcheck disable=SC2086
    $root apt-get install -y --no-install-recommends $wanted >>"$log" 2>&1
}
if ! install; then
    $root apt-get update >>"$log" 2>&1
    if ! install; then
        tail -5 "$log"
        rm -f "$log"
        give_up "installing$wanted failed"
    fi
fi
rm -f "$log"
