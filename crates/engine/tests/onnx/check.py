"""Runs exported models in ONNX Runtime and compares them with what csl predicts.

    pip install onnx==1.23.2 onnxruntime==1.32.0 numpy
    CSL_PYTHON=python cargo test -p consilience-engine --test it export
    python check.py FOLDER          # one folder a case: model.onnx, inputs.json, expected.json

Ends with 1 if a file is not valid ONNX or a difference is above 1e-5 (of the larger of 1 and the expected number), or if
rows about which the model says nothing are not NaN.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

TOLERANCE = 1e-5


def array(of):
    values = [np.nan if v is None else v for v in of["data"]]
    kind = object if of["element"] == "string" else of["element"]
    return np.array(values, dtype=kind).reshape(of["shape"])


def difference(folder):
    model = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    inputs = json.loads((folder / "inputs.json").read_text())
    expected = array(json.loads((folder / "expected.json").read_text()))
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    (said,) = session.run(None, {name: array(of) for name, of in inputs.items()})
    if said.shape != expected.shape or (np.isnan(said) != np.isnan(expected)).any():
        return np.inf
    there = ~np.isnan(expected)
    gap = np.abs(said[there] - expected[there]) / np.maximum(1, np.abs(expected[there]))
    return float(gap.max()) if gap.size else 0.0


def main():
    bad = 0
    for folder in sorted(p for p in Path(sys.argv[1]).iterdir() if p.is_dir()):
        try:
            gap = difference(folder)
        except Exception as error:
            gap = np.inf
            print(f"{folder.name}: {error}")
        print(f"{folder.name}: {gap:.1e}")
        bad += gap > TOLERANCE
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
