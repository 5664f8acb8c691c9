"""Golden values of the explanation of members, by NumPy and scikit-learn: writes testdata/golden/explain.json.

    pip install numpy scikit-learn==1.9.1
    python testdata/gen/explain.py

Shapley values by the definition: every set of members is scored by its mean, and every order of members is walked. Pairs
of members by the tables of Kuncheva and Whitaker (2003), kappa by scikit-learn, correlations by NumPy, the explained
share of residuals by scikit-learn's linear regression.
"""

import itertools
import json
import pathlib

import numpy as np
import sklearn
from sklearn.linear_model import LinearRegression
from sklearn.metrics import cohen_kappa_score

rng = np.random.default_rng(32)
ROWS, CLASSES, MEMBERS = 30, 3, 5

y = np.r_[np.arange(CLASSES), rng.integers(0, CLASSES, ROWS - CLASSES)]
chance = rng.gamma(1.0, size=(MEMBERS, ROWS, CLASSES))
chance[:, np.arange(ROWS), y] *= np.linspace(1.2, 4, MEMBERS)[:, None]
# Whole numbers over 64, exact in 32 bits.
p = np.array([[rng.multinomial(64 - CLASSES, c / c.sum()) + 1 for c in m] for m in chance])
P = p / 64
present = rng.random((MEMBERS, ROWS)) > 0.25
present[0, ~present.any(0)] = True
weight = rng.integers(1, 9, ROWS) / 4
truth = rng.integers(-200, 200, ROWS)
values = truth + rng.integers(-90, 90, (MEMBERS, ROWS)) + np.array([5, -20, 0, 40, 10])[:, None]


def score(payoff, members, here, w):
    """What the mean of some members is worth; the prior where none of them speaks."""
    out = 0.0
    for r in range(ROWS):
        voices = [m for m in members if here[m, r]]
        if payoff == "squared_error":
            prior = np.average(truth / 64, weights=w)
            q = np.mean([values[m, r] / 64 for m in voices]) if voices else prior
            out += w[r] * -((q - truth[r] / 64) ** 2)
            continue
        prior = np.array([w[y == k].sum() for k in range(CLASSES)]) / w.sum()
        q = P[voices, r].mean(0) if voices else prior
        one = np.eye(CLASSES)[y[r]]
        out += w[r] * {
            "log_loss": np.log(max(q[y[r]], 1e-7)), "brier": -((q - one) ** 2).sum(), "accuracy": float(q.argmax() == y[r]),
        }[payoff]
    return out / w.sum()


def shapley(payoff, here, w):
    v = {s: score(payoff, s, here, w) for k in range(MEMBERS + 1) for s in itertools.combinations(range(MEMBERS), k)}
    phi = np.zeros(MEMBERS)
    orders = list(itertools.permutations(range(MEMBERS)))
    for order in orders:
        for i, m in enumerate(order):
            phi[m] += v[tuple(sorted(order[: i + 1]))] - v[tuple(sorted(order[:i]))]
    return {
        "payoff": payoff, "masked": bool(not here.all()), "weighted": bool((w != 1).any()),
        "values": (phi / len(orders)).tolist(), "nobody": v[()], "everybody": v[tuple(range(MEMBERS))],
    }


full, ones = np.ones_like(present), np.ones(ROWS)
games = [
    shapley(payoff, here, w)
    for payoff in ("log_loss", "brier", "accuracy", "squared_error") for here in (full, present) for w in (ones, weight)
]

right, residual = P.argmax(2) == y, 1 - P[:, np.arange(ROWS), y]


def pair(i, j):
    a, b = (right[i] & right[j]).sum(), (right[i] & ~right[j]).sum()
    c, d = (~right[i] & right[j]).sum(), (~right[i] & ~right[j]).sum()
    return {
        "first": f"m{i}", "second": f"m{j}", "correlation": float(np.corrcoef(residual[i], residual[j])[0, 1]),
        "q_statistic": float((a * d - b * c) / (a * d + b * c)), "disagreement": float((b + c) / ROWS),
        "double_fault": float(d / ROWS), "kappa": float(cohen_kappa_score(right[i], right[j])),
    }


def explained(i):
    others = np.delete(np.arange(MEMBERS), i)
    return float(LinearRegression().fit(residual[others].T, residual[i]).score(residual[others].T, residual[i]))


golden = {
    "peers": {"scikit-learn": sklearn.__version__, "numpy": np.__version__},
    "y": y.tolist(), "p": p.reshape(MEMBERS, -1).tolist(), "present": present.astype(int).tolist(),
    "weight": weight.tolist(), "truth": truth.tolist(), "values": values.tolist(), "games": games,
    "pairs": [pair(i, j) for i, j in itertools.combinations(range(MEMBERS), 2)],
    "explained": [explained(i) for i in range(MEMBERS)],
}
path = pathlib.Path(__file__).parent.parent / "golden" / "explain.json"
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
print(golden["peers"], path.stat().st_size, "bytes")
