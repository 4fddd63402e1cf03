#!/bin/sh
# Makes an environment from a lock of requirements/ and installs only what the lock's hashes allow.
# `setup.sh core`: .venv with what a user needs; `setup.sh dev`: .venv with what the tests need too;
# any other name: a tool in .venv-NAME, apart from Goldwire, so that its packages and ours cannot get in each other's way.
# Called by make, which looks at the stamps. Where something is missing it says in one line what to install.
set -eu

wanted="${1:-dev}"
cd "$(dirname "$0")/.."
case "$wanted" in
    core | dev) environment=.venv ;;
    *) environment=".venv-$wanted" ;;
esac

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
    say "making $environment with $("$python" --version 2>&1)"
    rm -rf "$environment"
    "$python" -m venv "$environment"
}

# An environment that a newer or removed system Python left broken is made anew.
if ! "$environment/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    make_environment
fi

install() {
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@" \
        || fail "the installation failed; see above. Behind a proxy set HTTPS_PROXY, with a mirror PIP_INDEX_URL"
}

say "installing requirements/$wanted.txt (a minute or two the first time)"
install --require-hashes --requirement "requirements/$wanted.txt"

if [ "$environment" = .venv ]; then
    # Every distribution of this repository, as it stands; what they need is there already, their build backend too.
    set --
    for project in pyproject.toml src/*/pyproject.toml; do set -- "$@" --editable "./$(dirname "$project")"; done
    install --no-deps --no-build-isolation "$@"
    touch .venv/.goldwire-core
fi
touch "$environment/.goldwire-$wanted"
