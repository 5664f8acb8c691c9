"""Makes ../golden/adapt.json: CORAL by SciPy's matrix powers.

    python testdata/gen/adapt.py

The versions used stand in the file and are printed.
"""
import json
import os
import sys

import numpy as np
import scipy
from scipy.linalg import fractional_matrix_power

rng = np.random.default_rng(21)
source = (rng.normal(0, 1, (14, 4)) @ rng.normal(0, 1, (4, 4)) + 1).astype(np.float32)
target = (rng.normal(0, 1, (11, 4)) @ rng.normal(0, 2, (4, 4)) - 3).astype(np.float32)


def coral(s, t, amount):
    cs, ct = np.cov(s.T), np.cov(t.T)
    d = len(cs)
    ls = 1e-3 * np.trace(cs) / d if amount is None else amount
    lt = 1e-3 * np.trace(ct) / d if amount is None else amount
    a = fractional_matrix_power(cs + ls * np.eye(d), -0.5) @ fractional_matrix_power(ct + lt * np.eye(d), 0.5)
    return (s - s.mean(0)) @ a.real + t.mean(0)


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


S, T = source.astype(float), target.astype(float)
versions = {"numpy": np.__version__, "scipy": scipy.__version__}
print(versions, file=sys.stderr)
out = {
    "made_with": versions,
    "source": S.tolist(),
    "target": T.tolist(),
    "auto": coral(S, T, None).round(7).tolist(),
    "half": coral(S, T, 0.5).round(7).tolist(),
    "unit": coral(unit(S), unit(T), 0.01).round(7).tolist(),
}
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "adapt.json")
with open(path, "w") as f:
    f.write(json.dumps(out, separators=(",", ":")) + "\n")
