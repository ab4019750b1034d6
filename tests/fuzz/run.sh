#!/bin/sh
# Runs every fuzzer of a folder for a while: run.sh DIR SECONDS_EACH. Each one starts from its seeds in corpus/NAME (in
# a scratch copy, so that the tree stays as it is) and gets one line; a finding is copied to DIR/findings.
set -u
dir=${1:?usage: run.sh DIR SECONDS_EACH}
seconds=${2:?usage: run.sh DIR SECONDS_EACH}
here=$(dirname "$0")
scratch=$(mktemp -d "${TMPDIR:-/tmp}/dray-fuzz.XXXXXX") || exit 1
trap 'rm -rf "$scratch"' EXIT INT TERM
failed=0 found=0
for fuzzer in "$dir"/*_fuzz; do
    [ -x "$fuzzer" ] || continue
    found=$((found + 1))
    name=$(basename "$fuzzer" _fuzz)
    work=$scratch/$name
    mkdir -p "$work/corpus" "$work/artifacts"
    [ -d "$here/corpus/$name" ] && cp -R "$here/corpus/$name/." "$work/corpus/"
    seeds=$(find "$work/corpus" -type f | wc -l)
    if "$fuzzer" -max_total_time="$seconds" -rss_limit_mb=1024 -malloc_limit_mb=256 -timeout=10 \
        -artifact_prefix="$work/artifacts/" -print_final_stats=1 "$work/corpus" > "$work/log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")
        echo "fuzz $name: ok, $runs runs in $seconds s from $seeds seeds"
    else
        failed=$((failed + 1))
        mkdir -p "$dir/findings"
        cp "$work/log" "$dir/findings/$name.log"
        find "$work/artifacts" -type f -exec cp {} "$dir/findings/" \;
        echo "fuzz $name: FAILED, see $dir/findings/$name.log"
        tail -n 25 "$work/log"
    fi
done
if [ "$found" -eq 0 ]; then
    echo "fuzz: no fuzzer in $dir" >&2
    exit 1
fi
[ "$failed" -eq 0 ]
