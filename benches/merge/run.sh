#!/usr/bin/env bash
# Merges synthetic checkpoints with csl, with mergekit, and with a plain program that reads all and writes one.
#
# usage: benches/merge/run.sh DIR [SIZE [ROUNDS [METHODS]]]
# PYTHON: a Python with torch and safetensors; MERGEKIT: mergekit-yaml 0.1.4, left out where it is not set; FLAGS: its flags.
set -euo pipefail
cd "$(dirname "$0")/../.."
dir=${1:?where to put the models, 5 GB for size m}
size=${2:-m}
rounds=${3:-3}
methods=${4:-linear,slerp,model_stock,task_arithmetic,passthrough,dare_ties,ties,della,breadcrumbs_ties,sce,arcee_fusion,karcher}
target=${CARGO_TARGET_DIR:-target}
cargo build --release --workspace --bin csl
floor=$(cargo bench --workspace --bench floor --no-run 2>&1 | sed -n 's/.*(\(.*floor-[0-9a-f]*\)).*/\1/p' | tail -1)
[ -e "$dir/$size/ft3/config.json" ] || "${PYTHON:-python3}" benches/merge/models.py "$dir/$size" --size "$size"
"${PYTHON:-python3}" benches/merge/compare.py "$dir/$size" "$target/release/csl" "$floor" --rounds "$rounds" --methods "$methods" \
  ${MERGEKIT:+--mergekit "$MERGEKIT"} ${FLAGS:+"--flags=$FLAGS"} ${FIRST:+--first}
