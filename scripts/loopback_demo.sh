#!/usr/bin/env bash
# Shows the whole job on this machine: a tracker, a seeder and several leechers, each in a folder of
# its own; a table has the copies and their SHA-256. Then a second act with three seeders of which one
# lies and one dies. Non-zero if anything went wrong.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/demo/second_act.sh

size_mib=256
leechers=3
usage() {
    echo "usage: scripts/loopback_demo.sh [--size MiB] [--leechers N]   (default: 256 MiB, 3)" >&2
    exit 2
}
while [ $# -gt 0 ]; do
    case "$1" in
        --size) size_mib=${2:-}; shift 2 || usage ;;
        --leechers) leechers=${2:-}; shift 2 || usage ;;
        *) usage ;;
    esac
done
for number in "$size_mib" "$leechers"; do
    [[ "$number" =~ ^[1-9][0-9]{0,6}$ ]] || usage
done

echo "building lmk (release) ..."
cargo build --release --quiet
target=${CARGO_TARGET_DIR:-target}
lmk=$(realpath "$target/release/lmk")

# Memory if it has room for all copies, so that the network is shown and not the disk.
need_kib=$((size_mib * 1024 * (leechers + 1) + 65536))
base=${TMPDIR:-/tmp}
if free=$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1) && [ "$free" -gt "$need_kib" ]; then
    base=/dev/shm
fi
work=$(mktemp -d "$base/lmk-demo.XXXXXX")
pids=()
printers=()
finish() {
    local code=$?
    trap - EXIT INT TERM
    for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    for pid in "${printers[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    rm -rf "$work"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
fail() {
    echo "the demo failed: $*" >&2
    exit 1
}

# Runs lmk in its own folder, with its own state, as a user would type it. Its lines are shown with
# a prefix and kept in $work/WHO.out; the pid goes to $started.
start() {
    local who=$1
    shift
    mkdir -p "$work/$who"
    mkfifo "$work/$who.pipe"
    tee "$work/$who.out" <"$work/$who.pipe" | sed -u "s/^/[$who] /" &
    printers+=("$!")
    (
        cd "$work/$who"
        export XDG_STATE_HOME=$work/$who/.state XDG_CACHE_HOME=$work/$who/.cache
        exec "$lmk" "$@"
    ) >"$work/$who.pipe" 2>&1 &
    started=$!
    pids+=("$started")
}

# Waits up to 60 s until a command holds, as long as the process lives.
wait_for() {
    local pid=$1
    shift
    for _ in $(seq 1200); do
        "$@" && return 0
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}
answers() { (exec 3<>/dev/tcp/127.0.0.1/6969) 2>/dev/null; }
is_seeding() { grep -q '^seeding' "$work/seeder.out"; }

if answers; then
    fail "port 6969 of this machine is in use, perhaps by another 'lmk tracker'; stop that first"
fi

echo "making a file of $size_mib MiB in $work ..."
mkdir -p "$work/seeder"
head -c "${size_mib}M" /dev/urandom >"$work/seeder/big.zip"

start tracker tracker
tracker=$started
wait_for "$tracker" answers || fail "the tracker does not take connections on port 6969"
start seeder seeder --file big.zip
seeder=$started
wait_for "$seeder" is_seeding || fail "the seeder does not say 'seeding'"

began=$(date +%s%N)
fetching=()
for n in $(seq "$leechers"); do
    start "leecher$n" leecher --want big.zip
    fetching+=("$started")
done
codes=()
for pid in "${fetching[@]}"; do
    code=0
    wait "$pid" || code=$?
    codes+=("$code")
done
took_ms=$((($(date +%s%N) - began) / 1000000))
kill -0 "$tracker" 2>/dev/null || fail "the tracker ended before its time"
kill -0 "$seeder" 2>/dev/null || fail "the seeder ended before its time"
# Their last lines are on the way to the screen; the table comes after them.
for printer in "${printers[@]:2}"; do wait "$printer" || true; done

sum() { sha256sum "$1" 2>/dev/null | cut -d ' ' -f 1; }
want=$(sum "$work/seeder/big.zip")
bad=0
printf '\n%-10s  %-9s  %-64s  %s\n' copy exit SHA-256 same
printf '%-10s  %-9s  %-64s  %s\n' seeder - "$want" "-"
for n in $(seq "$leechers"); do
    got=$(sum "$work/leecher$n/big.zip" || true)
    same=yes
    if [ "$got" != "$want" ] || [ "${codes[n - 1]}" != 0 ]; then
        same=NO
        bad=1
    fi
    printf '%-10s  %-9s  %-64s  %s\n' "leecher$n" "${codes[n - 1]}" "${got:-(none)}" "$same"
done
total_mib=$((size_mib * leechers))
rate=$((total_mib * 1000 / (took_ms > 0 ? took_ms : 1)))
printf '\n%s copies of %s MiB in %s.%03d s: %s MiB/s together\n' \
    "$leechers" "$size_mib" $((took_ms / 1000)) $((took_ms % 1000)) "$rate"
[ "$bad" = 0 ] || fail "not every copy is right"

second_act
