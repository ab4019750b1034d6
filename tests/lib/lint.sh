#!/bin/sh
# lint.sh [BUILD_FOLDER]: length of files and functions, cppcheck, clang-tidy. Called by `make lint`.
#
# A file over 600 lines fails; one over 450 and a function over 60 are only named (LINT_LONG=1 lists the functions).
# cppcheck and clang-tidy fail on what they find. A file that was clean is not looked at again until it, or what it
# includes, changes: stamps stand in BUILD_FOLDER/lint. Files named in LINT_FILES are looked at instead of all.
set -u
build=${1:-build}
stamps=$build/lint
jobs=${JOBS:-2}
mkdir -p "$stamps"
status=0

flags="-std=gnu17 -D_GNU_SOURCE -DDRAY_TEST=1 -DDRAY_VERSION=VERSION -I. -I$build/gen $(pkg-config --cflags hiredis msgpack libcurl jansson libfyaml libdeflate openssl libseccomp 2>/dev/null | sed 's/-I/-isystem /g')"
[ -d /usr/share/include/llhttp ] && flags="$flags -isystem /usr/share/include/llhttp"
# The version is a string literal; words from a variable cannot hold its quotes.
printf '#define VERSION "0"\n' >"$stamps/version.h"
flags="$flags -include $stamps/version.h"

files=${LINT_FILES:-$(find common ipc workers master tests -name '*.c' | sort)}
product=$(echo "$files" | tr ' ' '\n' | grep -v '^tests/')
tests=$(echo "$files" | tr ' ' '\n' | grep '^tests/')

# ---- lengths
for f in $(find common ipc workers master tests etc \( -name '*.[ch]' -o -name '*.py' -o -name '*.sh' -o -name '*.lua' \) | sort) Makefile; do
    n=$(wc -l <"$f")
    if [ "$n" -gt 600 ]; then
        echo "$f:$n: $n lines; a file has at most 600 (aim: 450)"
        status=1
    elif [ "$n" -gt 450 ]; then
        echo "$f: $n lines (aim: 450)"
    fi
done
if ctags --version 2>/dev/null | grep -q Universal; then
    # shellcheck disable=SC2086
    long=$(ctags -x --c-kinds=f --_xformat='%F %n %N %{end}' $product 2>/dev/null | awk '$4 != "" && $4 - $2 >= 60 { print $1 ":" $2 ": " $3 "() has " $4 - $2 + 1 " lines (aim: 60)" }')
    if [ -n "$long" ]; then
        [ -z "${LINT_LONG:-}" ] && echo "$(echo "$long" | wc -l) functions are longer than 60 lines; LINT_LONG=1 lists them"
        [ -n "${LINT_LONG:-}" ] && echo "$long"
    fi
fi

# ---- what changed: the preprocessed text of a file decides
settings=$(cat .clang-tidy tests/lib/lint.sh 2>/dev/null | cksum | tr ' ' '-')
stale=""
for f in $product $tests; do
    # shellcheck disable=SC2086
    now=$settings-$(gcc -E -P $flags "$f" 2>/dev/null | cksum | tr ' ' '-')
    stamp=$stamps/$(echo "$f" | tr '/' '_').ok
    if [ "$(cat "$stamp" 2>/dev/null)" != "$now" ]; then
        stale="$stale $f"
        echo "$now" >"$stamp.next"
    fi
done
set -- $stale
if [ $# -eq 0 ]; then
    echo "lint: $(echo "$files" | wc -w) files, none changed since they were clean"
    exit $status
fi

# ---- cppcheck: fast, all at once (formats are the compiler's matter; NULL ends lists here on every system we know)
unclean=0
ours=$(for f in $stale; do case $f in tests/*) ;; *) echo "$f" ;; esac; done)
if [ -z "$ours" ]; then
    : # without a file it would only complain
elif command -v cppcheck >/dev/null 2>&1; then
    # cmocka's assertions end a function in ways it does not see: tests are left to clang-tidy
    # shellcheck disable=SC2086
    cppcheck --quiet --enable=warning,performance,portability --inline-suppr --std=c11 --language=c -j "$jobs" -I. -I"$build/gen" \
        -D_GNU_SOURCE -DDRAY_TEST=1 '-DDRAY_VERSION="0"' --suppress=missingIncludeSystem --suppress=nullPointerRedundantCheck \
        --suppress=unusedStructMember --suppress=varFuncNullUB --suppress=invalidPrintfArgType_uint --suppress='*:/usr/*' --error-exitcode=1 \
        --template='{file}:{line}:{column}: {severity}: {message} [cppcheck {id}]' $ours ||
        unclean=1
else
    echo "lint: cppcheck is not installed: skipped"
fi

# ---- clang-tidy: two files at a time; a clean file gets its stamp
one=$stamps/one.sh
cat >"$one" <<'EOF'
#!/bin/sh
# one.sh STAMPS FILE FLAGS...
stamps=$1 file=$2
shift 2
checks=""
case $file in tests/*) checks="--checks=-clang-analyzer-*" ;; esac # cmocka's assertions confuse the analyzer
stamp=$stamps/$(echo "$file" | tr '/' '_').ok
if out=$(clang-tidy --quiet $checks "$file" -- "$@" 2>/dev/null); then
    mv "$stamp.next" "$stamp"
else
    echo "$out"
    exit 1
fi
EOF
if command -v clang-tidy >/dev/null 2>&1; then
    # shellcheck disable=SC2086
    echo $stale | tr ' ' '\n' | xargs -P "$jobs" -I{} sh "$one" "$stamps" {} $flags || status=1
else
    echo "lint: clang-tidy is not installed: skipped"
fi
if [ $unclean -ne 0 ]; then # it does not say which files were clean: look at all of them again
    status=1
    for f in $stale; do
        rm -f "$stamps/$(echo "$f" | tr '/' '_').ok"
    done
fi
[ $status -eq 0 ] && echo "lint: $(echo "$files" | wc -w) files are clean ($# looked at)"
exit $status
