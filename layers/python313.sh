#!/bin/sh
# Runs CPython 3.13, the functions' runtime, with the given arguments. Looks on the PATH, in pyenv
# and among uv's interpreters; exits with 69 where there is none.
for python in \
    python3.13 \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13.*/bin/python3.13 \
    "$(uv python find --no-project 3.13 2>/dev/null)"
do
    # Tried, not just found: a pyenv shim may be on the PATH and yet lead nowhere.
    if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' >/dev/null 2>&1; then
        exec "$python" "$@"
    fi
done
echo "no Python 3.13 on the PATH, in pyenv or in uv"
exit 69
