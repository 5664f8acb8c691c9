"""Makes ../golden/fuse.json: weights, masked weights, non-negative least squares and stacking by SciPy and scikit-learn.

    python testdata/gen/fuse.py

Made with numpy 2.x, scipy 1.x, scikit-learn 1.9; the versions used stand in the file and are printed.
"""
import json
import os
import sys

import numpy as np
import scipy
import sklearn
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression, Ridge

rng = np.random.default_rng(20)
ROWS, CLASSES, MEMBERS = 36, 3, 4


def simplex(loss, start):
    m = len(start)
    found = minimize(
        loss, start, method="SLSQP", bounds=[(1e-6, 1)] * m if loss.masked else [(0, 1)] * m,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1}, options={"ftol": 1e-15, "maxiter": 2000},
    )
    return found.x, float(found.fun)


class Loss:
    def __init__(self, value, masked):
        self.value, self.masked = value, masked

    def __call__(self, w):
        return self.value(w)


# Members of different skill, each blind for one class, and probabilities of four decimals that sum to one.
y = rng.integers(0, CLASSES, ROWS)
p = np.empty((MEMBERS, ROWS, CLASSES), np.float32)
for m in range(MEMBERS):
    logits = rng.normal(0, 1.2, (ROWS, CLASSES))
    logits[np.arange(ROWS), y] += np.where(y == m % CLASSES, 0.1, 0.8 + 0.3 * m)
    q = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    q = np.clip(q.round(4), 1e-4, None)
    q[:, -1] = 1 - q[:, :-1].sum(1)
    p[m] = q
P = p.astype(float)
A = P[:, np.arange(ROWS), y]

w, value = simplex(Loss(lambda w: -np.log(w @ A).mean(), False), np.full(MEMBERS, 1 / MEMBERS))

present = rng.random((MEMBERS, ROWS)) > 0.3
present[0, ~present.any(0)] = True


def masked(w):
    r = w[:, None] * present
    return -np.log((r * A).sum(0) / r.sum(0)).mean()


starts = [np.full(MEMBERS, 1 / MEMBERS)] + list(rng.dirichlet(np.ones(MEMBERS), 40))
mw, mvalue = min((simplex(Loss(masked, True), s) for s in starts), key=lambda f: f[1])

truth = rng.normal(3, 2, ROWS).astype(np.float32)
spread = np.array([1.5, 0.8, 1.0, 2.0])[:, None]
shift = np.array([0.5, -0.2, 0.1, -1.0])[:, None]
values = (truth + shift + spread * rng.normal(0, 1, (MEMBERS, ROWS))).astype(np.float32)
V, t = values.astype(float), truth.astype(float)
vw, vvalue = simplex(Loss(lambda w: ((t - w @ V) ** 2).mean() / t.var(), False), np.full(MEMBERS, 1 / MEMBERS))

C = np.clip(P, 1e-6, 1 - 1e-6)
X = np.log(C / (1 - C)).transpose(1, 0, 2).reshape(ROWS, -1).astype(np.float32).astype(float)
stack = LogisticRegression(C=1.0, solver="newton-cg", tol=1e-12, max_iter=10000).fit(X, y).predict_proba(X)
Z = ((V - t.mean()) / t.std()).T
ridge = Ridge(alpha=1.0).fit(Z, t).predict(Z)

r = lambda a: np.asarray(a, float).round(9).tolist()
versions = {"numpy": np.__version__, "scipy": scipy.__version__, "sklearn": sklearn.__version__}
print(versions, w, value, mw, mvalue, vw, vvalue, file=sys.stderr)
out = {
    "made_with": versions,
    "y": y.tolist(),
    "p": [[[float(v) for v in row] for row in member.round(4)] for member in p.astype(float)],
    "weights": r(w),
    "loss": value,
    "present": present.astype(int).tolist(),
    "masked_weights": r(mw),
    "masked_loss": mvalue,
    "truth": truth.astype(float).tolist(),
    "values": values.astype(float).tolist(),
    "value_weights": r(vw),
    "value_loss": vvalue,
    "stacking": r(stack),
    "ridge": r(ridge),
}
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "fuse.json")
with open(path, "w") as f:
    f.write(json.dumps(out, separators=(",", ":")) + "\n")
