#!/bin/sh
# install.sh ROOT BUILD CC: installs the build into an empty folder. Builds examples/minimal.c with the
# flags that pkg-config prints, with the shared library and, if it was built, the static one. Then builds a
# program with CMake's find_package(bcda).
set -eu

root=$1
build=$2
cc=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "install: $1"
    exit 1
}

DESTDIR=$work/dest meson install -C "$build" --no-rebuild >"$work/log" 2>&1 || {
    cat "$work/log"
    fail "meson install failed"
}
pc=$(find "$work/dest" -name bcda.pc)
[ -n "$pc" ] || fail "no bcda.pc"
PKG_CONFIG_PATH=$(dirname "$pc")
PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1
PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
export PKG_CONFIG_PATH PKG_CONFIG_ALLOW_SYSTEM_CFLAGS PKG_CONFIG_ALLOW_SYSTEM_LIBS
lib=$(dirname "$(dirname "$pc")")
prefix=$(pkg-config --variable=prefix bcda)

# flags OPTION...: calls pkg-config with the installed folders. (--define-prefix would guess them.)
flags() {
    pkg-config --define-variable=includedir="$work/dest$prefix/include" \
        --define-variable=libdir="$lib" "$@" bcda
}

find "$work/dest" -path '*/include/*' -name '*.h' | sed 's,.*/include/,,' | sort >"$work/installed"
(cd "$root/include" && find bcda -name '*.h' -o -name 'version.h.in') | sed 's/\.in$//' | sort \
    >"$work/wanted"
diff "$work/wanted" "$work/installed" || fail "the installed headers are not those of include/bcda"
[ -e "$lib/libbcda.so.0" ] || fail "no libbcda.so.0"
for program in bcda-export bcda-load-postgres bcda-load-sqlite bcda-sandbox; do
    installed=$work/dest$prefix/bin/$program
    [ -x "$installed" ] || fail "$program is not installed"
    LD_LIBRARY_PATH=$lib "$installed" --help >"$work/log" 2>&1 || fail "$program --help does not run"
done
if ldd "$installed" | grep -q libbcda; then
    fail "bcda-sandbox is linked with the library that it tests"
fi
for word in curl yajl gcrypt tasn1; do
    case $(flags --libs) in
    *"$word"*) fail "a program that links the shared library is told to link $word as well" ;;
    esac
done

# The output of flags must be split into words.
# shellcheck disable=SC2046
"$cc" -std=c99 -Wall -Wextra -Werror -D_POSIX_C_SOURCE=200809L -o "$work/shared" \
    "$root/examples/minimal.c" $(flags --cflags --libs) || fail "minimal.c does not build, shared"
cat >"$work/version.c" <<'END'
#include <stdio.h>
#include <string.h>
#include <bcda/bcda.h>
int main(void)
{
    puts(bcda_version_string());
    return bcda_version_number() != BCDA_VERSION_NUMBER ||
           strcmp(bcda_version_string(), BCDA_VERSION_STRING) != 0;
}
END
# shellcheck disable=SC2046
"$cc" -o "$work/version" "$work/version.c" $(flags --cflags --libs) || fail "no program builds"
said=$(LD_LIBRARY_PATH=$lib "$work/version") || fail "the version of headers and library differ"
[ "$said" = "$(pkg-config --modversion bcda)" ] || fail "bcda.pc has another version than $said"
if LD_LIBRARY_PATH=$lib "$work/shared" >"$work/log" 2>&1; then
    fail "minimal.c without settings ended well"
fi
grep -q BCDA_FHIR_URL "$work/log" || fail "minimal.c does not run"

# Builds the same program with CMake.
mkdir "$work/cmake"
cat >"$work/cmake/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.13)
project(consumer C)
find_package(bcda 0.1 REQUIRED)
add_executable(version ../version.c)
target_link_libraries(version PRIVATE bcda::bcda)
END
cmake -S "$work/cmake" -B "$work/cmake/build" -DCMAKE_C_COMPILER="$cc" \
    -DCMAKE_PREFIX_PATH="$work/dest$prefix" >"$work/log" 2>&1 || {
    cat "$work/log"
    fail "find_package(bcda) does not find the library"
}
cmake --build "$work/cmake/build" >"$work/log" 2>&1 || {
    cat "$work/log"
    fail "no program builds with CMake"
}
[ "$("$work/cmake/build/version")" = "$said" ] || fail "the program that CMake built does not run"

if [ -e "$lib/libbcda.a" ]; then
    # Only libbcda is linked statically. `pkg-config --static` cannot be used, because it also needs static
    # archives of the libraries below, which may not be installed. The packages in Requires.private must be
    # sufficient.
    # shellcheck disable=SC2046
    "$cc" -o "$work/static" "$root/examples/minimal.c" $(flags --cflags) "$lib/libbcda.a" \
        $(pkg-config --libs $(flags --print-requires-private | sed 's/ .*//')) ||
        fail "no program builds, static"
    if "$work/static" >"$work/log" 2>&1 || ! grep -q BCDA_FHIR_URL "$work/log"; then
        fail "minimal.c does not run, static"
    fi
    if readelf -d "$work/static" | grep -q 'NEEDED.*libbcda'; then
        fail "the static program needs the shared library"
    fi
    if nm "$lib/libbcda.a" 2>/dev/null | grep -E ' [TDBR] ' | grep -vE ' _?bcda_' >"$work/names"; then
        head "$work/names"
        fail "names without bcda_ in the static library"
    fi
    echo "install: ok, shared and static"
else
    echo "install: ok, shared"
fi
