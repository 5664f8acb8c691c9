#!/usr/bin/env bash
# A checkpoint of 45 MB, read by us and by PyTorch in turn. PYTHON names a Python with torch (and safetensors, or that row lacks its peer).
#   benches/weights/run.sh [ROUNDS [SECONDS]]
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds="${1:-3}" seconds="${2:-2}" python="${PYTHON:-python3}"
program=$(cargo bench --workspace --bench checkpoint --no-run --message-format=json 2>/dev/null |
    grep -o '"executable":"[^"]*checkpoint[^"]*"' | tail -1 | cut -d'"' -f4)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$program" "$folder/model.safetensors" 0 >/dev/null
"$python" benches/weights/peer.py "$folder/model.pth"
for _ in $(seq "$rounds"); do
    for file in model.safetensors model.pth; do
        "$program" "$folder/$file" "$seconds" | sed 's/^{/{"by": "ours", /'
        "$python" benches/weights/peer.py "$folder/$file" "$seconds" 2>/dev/null | sed 's/^{/{"by": "torch", /' || true
    done
done
