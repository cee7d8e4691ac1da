# The second act of scripts/loopback_demo.sh, which reads this file: three seeders of one file, none
# of them good enough alone. Uses what stands in the first act; what the programs tell each other is
# kept as JSON and shown as two tables.
# shellcheck shell=bash disable=SC2154

# Runs a command in a folder of its own; its events go to $work/WHO.json. The pid goes to $started.
act() {
    local who=$1
    shift
    mkdir -p "$work/$who"
    (
        cd "$work/$who"
        export XDG_STATE_HOME=$work/$who/.state XDG_CACHE_HOME=$work/$who/.cache TMPDIR=$work
        exec "$@"
    ) >"$work/$who.json" 2>"$work/$who.err" &
    started=$!
    pids+=("$started")
}
# The events of one kind, if any.
said() { grep "^{\"event\":\"$2\"" "$work/$1.json" || true; }
seeds() { said "$1" seeding | grep -q .; }
# One fact of the events on standard input.
fact() { sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p"; }
total() { awk '{ all += $1 } END { print all + 0 }'; }
# What all leechers said of one kind about one source.
about() {
    local n
    for n in $(seq "$leechers"); do
        said "taker$n" "$2" | grep "\"peer\":\"127.0.0.1:$1\"" || true
    done
}
# Whether a quarter of any copy is on disk, or all are there.
under_way() {
    local n blocks quarter=$((size_mib * 1024 * 2 / 4))
    for n in $(seq "$leechers"); do
        blocks=$(stat -c %b "$work/taker$n/big.zip.lmk-part" 2>/dev/null || echo 0)
        [ "$blocks" -lt "$quarter" ] || return 0
    done
    for pid in "${taking[@]}"; do kill -0 "$pid" 2>/dev/null && return 1; done
    return 0
}

second_act() {
    local lie_every=7 kinds who n pid code
    printf '\nsecond act: three seeders, one with --slots 1, one that sends zeros in place of every %sth\n' "$lie_every"
    printf 'block, one killed while all fetch from it; %s leechers\n' "$leechers"
    cargo build --release --quiet --example corrupting_seeder
    kill -TERM "$seeder"
    wait "$seeder" || true
    for n in $(seq "$leechers"); do rm -rf "$work/leecher$n"; done
    for who in narrow liar doomed; do
        mkdir -p "$work/$who"
        ln "$work/seeder/big.zip" "$work/$who/big.zip"
    done
    act narrow "$lmk" seeder --file big.zip --slots 1 --json
    wait_for "$started" seeds narrow || fail "$(cat "$work/narrow.err" "$work/narrow.json")"
    act liar "$(dirname "$lmk")/examples/corrupting_seeder" "$lie_every" seeder --file big.zip
    wait_for "$started" seeds liar || fail "$(cat "$work/liar.err" "$work/liar.json")"
    act doomed "$lmk" seeder --file big.zip --json
    doomed=$started
    wait_for "$doomed" seeds doomed || fail "$(cat "$work/doomed.err" "$work/doomed.json")"

    began=$(date +%s%N)
    taking=()
    for n in $(seq "$leechers"); do
        act "taker$n" "$lmk" leecher --want big.zip --json
        taking+=("$started")
    done
    wait_for "$doomed" under_way || fail "no leecher got a quarter of the file"
    kill -KILL "$doomed"
    wait "$doomed" 2>/dev/null || true
    codes=()
    for pid in "${taking[@]}"; do
        code=0
        wait "$pid" || code=$?
        codes+=("$code")
    done
    took_ms=$((($(date +%s%N) - began) / 1000000))
    # The seeders hear a moment later that everyone has gone.
    sleep 0.3
    sources_table
    copies_table
    printf '\n%s copies from three seeders in %s.%03d s\n' \
        "$leechers" $((took_ms / 1000)) $((took_ms % 1000))
    [ "$bad" = 0 ] || fail "the second act went wrong; its figures are above"
}

# A row for each seeder: how often leechers saw it in each state, what they got, how often they
# struck it for wrong bytes.
sources_table() {
    local who port nature gave own strikes state states
    printf '\n%-8s %-26s %9s %9s %11s %10s %7s\n' \
        seeder nature Available Connected Unavailable 'MiB given' strikes
    for who in narrow liar doomed; do
        port=$(said "$who" listening | fact port | head -n 1)
        case $who in
            narrow) nature='--slots 1' ;;
            liar) nature="every ${lie_every}th block is zeros" ;;
            doomed) nature='killed mid-way' ;;
        esac
        states=()
        for state in Available Connected Unavailable; do
            states+=("$(about "$port" peer | grep -c "\"state\":\"$state\"" || true)")
        done
        gave=$(about "$port" peer_gone | fact downloaded | total)
        # Who leaves last says it to nobody; the seeder itself knows, unless it was killed.
        own=$(said "$who" peer_gone | fact uploaded | total)
        [ "$own" -le "$gave" ] || gave=$own
        strikes=$(about "$port" peer_gone | grep -c 'does not match its hash' || true)
        printf '%-8s %-26s %9s %9s %11s %10s %7s\n' \
            "$who" "$nature" "${states[@]}" $((gave >> 20)) "$strikes"
        case $who:$strikes in
            liar:0) [ "$gave" -lt $((1 << 22)) ] || bad=1 ;;
            liar:*) ;;
            *:0) ;;
            *) bad=1 ;;
        esac
    done
}

# A row for each copy: blocks that came more than once, because the first was wrong or late.
copies_table() {
    local n got came again same
    printf '\n%-8s %4s  %-16s  %-4s  %12s  %s\n' copy exit SHA-256 same 'MiB received' 'blocks again'
    for n in $(seq "$leechers"); do
        got=$(sum "$work/taker$n/big.zip" || true)
        same=yes
        if [ "$got" != "$want" ] || [ "${codes[n - 1]}" != 0 ]; then
            same=NO
            bad=1
            tail -n 3 "$work/taker$n.json" "$work/taker$n.err" >&2 || true
        fi
        # The last picture of all, without its neighbours.
        came=$(said "taker$n" progress | tail -n 1 | cut -d '[' -f 1 | fact downloaded | total)
        again=$(((came - size_mib * 1048576) / 16384))
        printf '%-8s %4s  %-16s  %-4s  %12s  %s\n' "copy $n" "${codes[n - 1]}" \
            "${got:0:16}" "$same" $((came >> 20)) "$again"
    done
}
