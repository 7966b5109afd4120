#!/bin/sh
# subproject.sh ROOT: builds a program that uses libbcda as a Meson subproject. Of libbcda, only the library
# may be built and installed, and no test, example or program.
set -eu

root=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    cat "$work/log"
    echo "subproject: $1"
    exit 1
}

mkdir -p "$work/parent/subprojects"
ln -s "$root" "$work/parent/subprojects/bcda"
cat >"$work/parent/meson.build" <<'END'
project('parent', 'c')
executable('parent', 'parent.c', dependencies: dependency('bcda', fallback: 'bcda'))
END
cat >"$work/parent/parent.c" <<'END'
#include <stdio.h>
#include <bcda/bcda.h>
int main(void)
{
    return puts(bcda_version_string()) < 0;
}
END
meson setup "$work/build" "$work/parent" --wrap-mode=nodownload --force-fallback-for=bcda \
    >"$work/log" 2>&1 || fail "meson setup failed"
ninja -C "$work/build" >"$work/log" 2>&1 || fail "the build failed"
"$work/build/parent" >"$work/log" 2>&1 || fail "the program does not run"
DESTDIR=$work/dest meson install -C "$work/build" --no-rebuild >"$work/log" 2>&1 ||
    fail "meson install failed"
find "$work/build" "$work/dest" -type f -perm -u+x ! -path '*/meson-private/*' ! -name '*.so*' \
    ! -name parent >"$work/log"
[ ! -s "$work/log" ] || fail "these programs were built or installed as well"
[ -n "$(find "$work/dest" -name 'libbcda.so*')" ] || fail "the library was not installed"
echo "subproject: ok"
