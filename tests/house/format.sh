#!/bin/sh
# format.sh [ROOT]: checks that all C files have the format that clang-format gives them
set -eu

cd "${1:-$(dirname "$0")/../..}"
if ! command -v clang-format >/dev/null 2>&1; then
    echo "format: clang-format is missing"
    exit 1
fi
count=$(find lib include tools examples tests bindings -name '*.[ch]' 2>/dev/null | wc -l)
if [ "$count" -lt 10 ]; then
    echo "format: only $count files found"
    exit 1
fi
if ! find lib include tools examples tests bindings -name '*.[ch]' -print0 2>/dev/null |
    xargs -0 clang-format --dry-run -Werror --style=file; then
    echo "format: run clang-format -i on the files above"
    exit 1
fi
echo "format: ok"
