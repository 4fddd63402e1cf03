#!/bin/sh
# Makes .venv and installs Goldwire into it: `setup.sh core` what a user needs, `setup.sh dev` what the tests need too.
# Called by make, which looks at the stamps. Where something is missing it says in one line what to install.
set -eu

wanted="${1:-dev}"
cd "$(dirname "$0")/.."

say() { printf 'goldwire: %s\n' "$1" >&2; }
fail() { say "$1"; exit 1; }

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

how_to_install_python() {
    case "$(uname -s)" in
        Darwin) echo 'brew install python@3.13' ;;
        *) if command -v apt-get >/dev/null 2>&1; then echo 'sudo apt-get install python3 python3-venv'
           elif command -v dnf >/dev/null 2>&1; then echo 'sudo dnf install python3.12'
           else echo 'install it from https://www.python.org/downloads/'; fi ;;
    esac
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" >/dev/null 2>&1 || fail "PYTHON=$PYTHON is no command here"
        new_enough "$PYTHON" || fail "PYTHON=$PYTHON is older than 3.11; give a newer one"
        echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if new_enough "$candidate"; then echo "$candidate"; return; fi
    done
    fail "needs Python 3.11 or newer: $(how_to_install_python)"
}

make_environment() {
    python="$(find_python)"
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        version="$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
        case "$(uname -s)" in
            Darwin) fail "$python cannot make environments: brew install python@$version" ;;
            *) if [ "$("$python" -c 'import sys; print(sys.executable)')" = "/usr/bin/python3" ]; then
                   fail "$python cannot make environments: sudo apt-get install python3-venv"
               fi
               fail "$python cannot make environments: sudo apt-get install python$version-venv" ;;
        esac
    fi
    say "making .venv with $("$python" --version 2>&1)"
    rm -rf .venv
    "$python" -m venv .venv
}

# An environment that a newer or removed system Python left broken is made anew.
if [ ! -x .venv/bin/python ] || ! .venv/bin/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    make_environment
fi

install() {
    say "installing $1 (a minute or two the first time)"
    shift
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input "$@" \
        || fail "the installation failed; see above. Behind a proxy set HTTPS_PROXY, with a mirror PIP_INDEX_URL"
}

case "$wanted" in
    core) install 'Goldwire, the kit for subscribers, the emulator and the lab' -e '.[azure]' -e './src/goldwire_consumer' \
              -e './src/goldwire_emulator' -e './src/goldwire_lab'; touch .venv/.goldwire-core ;;
    dev) install 'Goldwire, its other distributions and what the tests need' \
             -e '.[dev]' -e './src/goldwire_consumer[azure,kafka,postgresql]' \
             -e './src/goldwire_emulator[kafka]' -e './src/goldwire_lab'
         touch .venv/.goldwire-core .venv/.goldwire-dev ;;
    *) fail "unknown: $wanted; say core or dev" ;;
esac
