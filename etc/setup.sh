#!/bin/sh
# Installs the Debian 12 packages that dray needs and that are missing; silent and instant when nothing is.
# As root, or through sudo. With --bench also the supervisors that make bench compares with, and pm2 from npm; with --peers
# what make bench-peers compares with (its npm packages come by tests/lib/npm.py).
set -eu
bench="" peers=""
case "${1:-}" in
--bench) bench=1 ;;
--peers) peers=1 ;;
esac

packages="
gcc make pkg-config
tzdata
libev-dev libhiredis-dev libmsgpack-dev libcurl4-openssl-dev libjansson-dev libfyaml-dev libdeflate-dev libssl-dev libncurses-dev libseccomp-dev
node-llhttp
redis-server
libcmocka-dev python3 python3-pytest python3-pyte python3-redis python3-msgpack
nodejs npm
clang clang-format clang-tidy cppcheck libclang-rt-14-dev
nginx-light procps strace systemd util-linux
stunnel4 openssl curl
spin
"
[ -z "$bench" ] || packages="$packages runit s6 supervisor"
[ -z "$peers" ] || packages="$packages ruby-sidekiq puma redis-tools"
pm2=$(dirname "$0")/../build/bench-npm
if [ -n "$bench" ] && command -v npm >/dev/null 2>&1 && [ ! -e "$pm2/node_modules/.bin/pm2" ]; then
    mkdir -p "$pm2" && npm install --prefix "$pm2" --ignore-scripts --no-audit --no-fund pm2@5.4.3 ||
        echo "setup: pm2 was not installed" >&2
fi

missing=""
for package in $packages; do
    case "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" in
    installed) ;;
    *) missing="$missing $package" ;;
    esac
done
# Another node or npm than Debian's serves as well.
for program in node npm; do
    if command -v $program >/dev/null 2>&1; then
        missing=$(printf '%s' "$missing" | tr ' ' '\n' | grep -v -x -e "$([ $program = node ] && echo nodejs || echo npm)" | tr '\n' ' ')
    fi
done
missing=$(printf '%s' "$missing" | tr -s ' \n' ' ' | sed 's/^ //; s/ $//')
[ -n "$missing" ] || exit 0

as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "setup: these packages are missing: $missing" >&2
        echo "setup: run as root: apt-get install $missing" >&2
        exit 77
    fi
    as_root="sudo"
fi
echo "setup: installing $missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# Packages that start a service (redis-server, nginx) must not start it: dray runs its own.
policy=/usr/sbin/policy-rc.d
made_policy=""
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
    made_policy=1
fi
status=0
{ $as_root apt-get -q -o DPkg::Lock::Timeout=120 update &&
    $as_root apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends $missing; } >"$log" 2>&1 || status=$?
[ -z "$made_policy" ] || $as_root rm -f "$policy"
if [ "$status" -ne 0 ]; then
    tail -n 20 "$log" >&2
    echo "setup: apt-get failed (exit $status)" >&2
    exit "$status"
fi
