#!/usr/bin/env bash
# ResNet-18 as ONNX: Python's onnxruntime, ours by its library and ours by the runtime that is built in, in turn; then the ratios.
# PYTHON names a Python with onnxruntime, FILE the model (`TORCH_PYTHON benches/onnx/peer.py export FILE` writes it).
#   FILE=resnet18.onnx benches/onnx/run.sh [ROUNDS [SECONDS [THREADS [BATCHES]]]]
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds="${1:-5}" seconds="${2:-3}" threads="${3:-2}" batches="${4:-1 8}" python="${PYTHON:-python3}"
: "${FILE:?names the model}"
program=$(cargo bench --workspace --bench resnet --no-run --message-format=json 2>/dev/null |
    grep -o '"executable":"[^"]*resnet[^"]*"' | tail -1 | cut -d'"' -f4)
library=$("$python" -c 'import glob, onnxruntime, os; print(glob.glob(os.path.dirname(onnxruntime.__file__) + "/capi/libonnxruntime.so*")[0])')
out=$(mktemp)
trap 'rm -f "$out"' EXIT
for _ in $(seq "$rounds"); do
    for batch in $batches; do
        ORT_THREADS="$threads" "$python" benches/onnx/peer.py "$FILE" "$batch" "$seconds" | sed 's/}$/, "by": "python"}/' >>"$out"
        RAYON_NUM_THREADS="$threads" ORT_DYLIB_PATH="$library" "$program" "$FILE" "$batch" "$seconds" >>"$out"
        RAYON_NUM_THREADS="$threads" ORT_DYLIB_PATH="" "$program" "$FILE" "$batch" "$seconds" >>"$out"
    done
done
"$python" - "$out" <<'PY'
import json, statistics, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
print(f"{'':4} {'by':7} {'ms':>9} {'ratio':>6} {'least':>6} {'most':>6} {'MB':>6}")
for name in dict.fromkeys(row["wl"] for row in rows):
    of = lambda by: [r for r in rows if r["wl"] == name and r["by"] == by]
    for by in ("python", "ONNX", "rten"):
        ratios = [a["ms"] / b["ms"] for a, b in zip(of(by), of("python"))]
        print(f"{name:4} {by:7} {statistics.median(r['ms'] for r in of(by)):9.3f} {statistics.median(ratios):6.2f} "
              f"{min(ratios):6.2f} {max(ratios):6.2f} {max(r['rss'] for r in of(by)):6.0f}")
PY
