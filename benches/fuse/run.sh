#!/usr/bin/env bash
# Fusing by us and by scikit-learn and SciPy in turn, on one thread: the quality of both on the same predictions, then time and memory on many rows.
#   benches/fuse/run.sh DIR [ROUNDS [ROWS [MEMBERS]]]
# DIR: predictions (`credit_oof.npy` and the like). PYTHON: a Python with scikit-learn and SciPy. PROGRAM: the bench, if it is built already.
set -euo pipefail
cd "$(dirname "$0")/../.."
dir="${1:?the folder of predictions}" rounds="${2:-3}" rows="${3:-1000000}" members="${4:-50}" python="${PYTHON:-python3}"
export RAYON_NUM_THREADS="${THREADS:-1}" OMP_NUM_THREADS="${THREADS:-1}" OPENBLAS_NUM_THREADS="${THREADS:-1}"
program="${PROGRAM:-$(cargo bench -p consilience-core --bench fuse --no-run --message-format=json 2>/dev/null |
    grep -o '"executable":"[^"]*fuse[^"]*"' | tail -1 | cut -d'"' -f4)}"
found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT
"$program" table "$dir" >"$found/ours.0"
"$python" benches/fuse/peer.py table "$dir" >"$found/peer.0"
for round in $(seq "$rounds"); do
    for what in greedy auc mean weighted; do
        "$program" scale "$rows" "$members" "$what" >>"$found/ours.$round"
        [ "$what" = weighted ] || "$python" benches/fuse/peer.py scale "$rows" "$members" "$what" >>"$found/peer.$round"
    done
done
"$python" - "$found" <<'END'
import glob
import statistics
import sys


def read(side):
    values = {}
    for name in sorted(glob.glob(f"{sys.argv[1]}/{side}.*")):
        for line in open(name):
            *key, value = line.strip().split(",")
            values.setdefault(tuple(key), []).append(float(value))
    return values


ours, peer = read("ours"), read("peer")
tables = [key for key in ours if key[0] != "scale"]
print("| predictions | way | metric | ours | peer | difference |\n|---|---|---|---:|---:|---:|")
for key in tables:
    there = peer.get(key)
    beside = f"{there[0]:.5f} | {ours[key][0] - there[0]:+.5f}" if there else " | "
    print(f"| {' | '.join(key)} | {ours[key][0]:.5f} | {beside} |")
print("\n| scale | measured | ours | least to most | peer | ratio |\n|---|---|---:|---|---:|---:|")
for key in [key for key in ours if key[0] == "scale"]:
    mine, there = ours[key], peer.get(key)
    middle = statistics.median(mine)
    beside = f"{statistics.median(there):.4g} | {middle / statistics.median(there):.3g}" if there else " | "
    print(f"| {key[1]} | {key[2]} | {middle:.4g} | {min(mine):.4g} to {max(mine):.4g} | {beside} |")
END
