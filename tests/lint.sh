#!/bin/sh
# SPDX-License-Identifier: MIT
# Static analysis of all that is shipped: gcc -fanalyzer, cppcheck; shellcheck for the scripts, pyflakes and pycodestyle
# for Python, clang-format for the look of C. Any finding fails. One that is false is suppressed where it stands, with
# its reason beside it.
set -eu

cd "$(dirname "$0")/.."
FORMAT=14  # versions of clang-format differ; this one is Debian 12's

git ls-files '*.sh' .ci/run | xargs shellcheck
echo "shellcheck: nothing found"

# Long lines are the writer's decision; what binary operators do at a line's end, too.
git ls-files '*.py' | xargs pyflakes3
git ls-files '*.py' | xargs pycodestyle --ignore=E402,E501,E731,E741,W503,W504
echo "pyflakes, pycodestyle: nothing found"

/usr/bin/python3 packaging/spdx.py || { echo "without a licence line: packaging/spdx.py --fix"; exit 1; }
echo "spdx: nothing found"

if clang-format --version 2>/dev/null | grep -q "version $FORMAT\."; then
    git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror || {
        echo "clang-format: not as .clang-format has it (make format)"
        exit 1
    }
    echo "clang-format: nothing found"
else
    echo "clang-format: not tried, it is not version $FORMAT"
fi

CC=gcc cmake -S . -B build-lint -G Ninja -DMUSTER_ANALYZE=ON -DMUSTER_WERROR=ON >/dev/null
cmake --build build-lint >build-lint/log 2>&1 || {
    cat build-lint/log
    exit 1
}
echo "gcc -fanalyzer: nothing found"

# The files embedded at build time are bytes, not code.
cppcheck --project=build-lint/compile_commands.json --quiet --error-exitcode=1 --inline-suppr --std=c11 \
    --enable=warning,performance,portability -j "$(nproc)" -i build-lint/generated \
    --suppress='*:*/generated/*' --template='{file}:{line}: {severity} {id}: {message}'
echo "cppcheck: nothing found"
