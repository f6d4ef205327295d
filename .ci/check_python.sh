#!/bin/sh
# check_python.sh PYTHON: is this interpreter fit to make the virtual environment?
# Silent if so; otherwise one sentence and exit status 1. Asks nothing that an old Python (or an old sh) lacks.

python=${1:-python3}

refuse() {
    echo "$1" >&2
    exit 1
}

advice="install a newer one or name one that you have, as in: make PYTHON=python3.12"

command -v "$python" >/dev/null 2>&1 ||
    refuse "ltro_jax needs Python 3.11 or newer, but the command '$python' was not found; $advice"

version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)
major=${version%%.*}
minor=${version#*.}
minor=${minor%%.*}

case $major/$minor in
    [0-9]*/[0-9]*) ;;
    *) refuse "ltro_jax needs Python 3.11 or newer, but '$python' does not run here; $advice" ;;
esac

if [ "$major" -lt 3 ] || { [ "$major" -eq 3 ] && [ "$minor" -lt 11 ]; }; then
    refuse "ltro_jax needs Python 3.11 or newer; '$python' is Python $version; $advice"
fi

"$python" -c 'import venv, ensurepip' >/dev/null 2>&1 ||
    refuse "'$python' (Python $version) cannot make virtual environments because its venv or ensurepip module is missing; on Debian or Ubuntu: apt install python3-venv (for a Python beside the system's own: python$major.$minor-venv)"
