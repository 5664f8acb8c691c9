#!/usr/bin/env bash
# Our networks and PyTorch's in turn, medians of a few seconds each; then the ratios. PYTHON names a Python with torch.
#   benches/nn/run.sh [ROUNDS [SECONDS [THREADS [NAMES]]]]
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds="${1:-5}" seconds="${2:-3}" threads="${3:-2}" python="${PYTHON:-python3}"
names="${4:-mlp cnn lstm transformer r18train r18infer softmax gelu avmnist}"
program=$(cargo bench --workspace --bench workloads --no-run --message-format=json 2>/dev/null |
    grep -o '"executable":"[^"]*workloads[^"]*"' | tail -1 | cut -d'"' -f4)
out=$(mktemp)
trap 'rm -f "$out"' EXIT
for _ in $(seq "$rounds"); do
    for name in $names; do
        RAYON_NUM_THREADS="$threads" "$program" "$name" "$seconds" | sed 's/^{/{"by": "ours", /' >>"$out"
        TORCH_THREADS="$threads" "$python" benches/nn/peer.py "$name" "$seconds" |
            sed 's/^{/{"by": "torch", /' >>"$out"
    done
done
"$python" - "$out" <<'PY'
import json, statistics, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
print(f"{'':9} {'ours ms':>9} {'torch ms':>9} {'ratio':>6} {'least':>6} {'most':>6} {'ours MB':>8} {'torch MB':>9} {'ratio':>6}")
for name in dict.fromkeys(row["wl"] for row in rows):
    ours, torch = ([r for r in rows if r["wl"] == name and r["by"] == by] for by in ("ours", "torch"))
    ratios = [a["ms"] / b["ms"] for a, b in zip(ours, torch)]
    ms = [statistics.median(r["ms"] for r in side) for side in (ours, torch)]
    mb = [max(r["rss"] for r in side) for side in (ours, torch)]
    print(f"{name:9} {ms[0]:9.3f} {ms[1]:9.3f} {statistics.median(ratios):6.2f} {min(ratios):6.2f} {max(ratios):6.2f} "
          f"{mb[0]:8.0f} {mb[1]:9.0f} {mb[0] / mb[1]:6.2f}")
PY
