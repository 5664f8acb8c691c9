"""Makes ../golden/fuse_ways.json: means, ranks, stacks and annotators by SciPy, scikit-learn and crowd-kit.

    python testdata/gen/fuse_ways.py

Members, truth and presence are those of ../golden/fuse.json. Made with scipy 1.17, scikit-learn 1.9, crowd-kit 1.4; the
versions used stand in the file and are printed.
"""
import json
import os
import sys
from importlib.metadata import version

import numpy as np
import pandas as pd
import scipy
import sklearn
from crowdkit.aggregation import DawidSkene
from scipy.optimize import minimize, nnls
from scipy.special import logsumexp
from scipy.stats import gmean, pmean, rankdata, trim_mean
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden")
data = json.load(open(os.path.join(here, "fuse.json")))
y = np.array(data["y"])
P = np.array(data["p"], np.float32).astype(float)
present = np.array(data["present"], bool)
V = np.array(data["values"], np.float32).astype(float)
truth = np.array(data["truth"], np.float32).astype(float)
MEMBERS, ROWS, CLASSES = P.shape
W = np.array([0.5, 0.0, 0.3, 0.2])


def by_row(mean):
    """A mean over the members present, class by class, renormalized."""
    out = np.array([[mean(P[present[:, r], r, c], W[present[:, r]]) for c in range(CLASSES)] for r in range(ROWS)])
    return out / out.sum(1, keepdims=True)


means = {
    "median": by_row(lambda v, w: np.median(v)),
    "trimmed": by_row(lambda v, w: trim_mean(v, 0.3)),
    "geometric": by_row(lambda v, w: gmean(v)),
    "harmonic": by_row(lambda v, w: pmean(v, -1)),
    "power": by_row(lambda v, w: pmean(v, 2.5)),
    # Where all that are present weigh nothing they weigh the same.
    "weighted_geometric": by_row(lambda v, w: gmean(v, weights=w if w.any() else None)),
}
positive = (np.abs(V) + 0.25).astype(np.float32).astype(float)
value_means = {
    "median": np.median(V, 0),
    "trimmed": trim_mean(V, 0.3, axis=0),
    "geometric": gmean(positive, axis=0),
    "power": pmean(positive, 2.5, axis=0),
}

ranks = np.zeros((ROWS, CLASSES))
for m in range(MEMBERS):
    rows = np.flatnonzero(present[m])
    for c in range(CLASSES):
        ranks[rows, c] += (rankdata(P[m, rows, c].astype(np.float32)) - 0.5) / len(rows)
ranks /= present.sum(0)[:, None]
ranks /= ranks.sum(1, keepdims=True)

scores = np.log(P[:, np.arange(ROWS), y])
plain = np.exp(scores.sum(1) - logsumexp(scores.sum(1)))
draws = np.random.default_rng(1).dirichlet(np.ones(ROWS), 400_000)
z = ROWS * draws @ scores.T
plus = np.exp(z - logsumexp(z, axis=1, keepdims=True)).mean(0)


class Said(ClassifierMixin, BaseEstimator):
    """A member that says what it has said."""

    def __init__(self, m=0):
        self.m, self.classes_, self.n_features_in_ = m, np.arange(CLASSES), 1

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        return P[self.m, X[:, 0].astype(int)]


stack = StackingClassifier(
    [(str(m), Said(m)) for m in range(MEMBERS)], LogisticRegression(C=1.0, solver="newton-cg", tol=1e-12, max_iter=10000),
    cv="prefit", stack_method="predict_proba",
)
index = np.arange(ROWS)[:, None]
on_probabilities = stack.fit(index, y).predict_proba(index)


def non_negative(X, target, classes):
    """Penalized softmax regression: a coefficient from zero on for each class's own features, by L-BFGS-B."""
    own = X.shape[2]
    hot = np.eye(classes)[target]

    def scores(t):
        w, b = t[: classes * own].reshape(classes, own), t[classes * own:]
        return np.einsum("rkm,km->rk", X, w) + b

    def loss(t):
        s = scores(t)
        rest = np.exp(s - logsumexp(s, axis=1, keepdims=True)) - hot
        w = t[: classes * own]
        value = (logsumexp(s, axis=1) - (s * hot).sum(1)).sum() + 0.5 * w @ w
        return value, np.concatenate([np.einsum("rk,rkm->km", rest, X).ravel() + w, rest.sum(0)])

    bounds = [(0, None)] * (classes * own) + [(None, None)] * classes
    best = minimize(loss, np.zeros(classes * (own + 1)), jac=True, method="L-BFGS-B", bounds=bounds,
                    options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 20000, "maxfun": 100000})
    s = scores(best.x)
    return np.exp(s - logsumexp(s, axis=1, keepdims=True)), best.x


C = np.clip(P, 1e-6, 1 - 1e-6)
L = np.log(C / (1 - C)).astype(np.float32).astype(float)
multi, multi_at = non_negative(L.transpose(1, 2, 0), y, CLASSES)
# Two classes, the first against the others: one score, the second of two that differ only in sign.
two = (y != 0).astype(int)
Q = np.stack([P[..., 0], 1 - P[..., 0].astype(np.float32).astype(float)], -1).astype(np.float32).astype(float)
B = np.log(np.clip(Q[..., 1], 1e-6, 1 - 1e-6) / (1 - np.clip(Q[..., 1], 1e-6, 1 - 1e-6))).astype(np.float32).astype(float).T


def one_score(t):
    s = B @ t[:-1] + t[-1]
    sign = 2 * two - 1
    rest = -sign / (1 + np.exp(sign * s))
    return np.logaddexp(0, -sign * s).sum() + 0.5 * t[:-1] @ t[:-1], np.append(B.T @ rest + t[:-1], rest.sum())


binary = minimize(one_score, np.zeros(MEMBERS + 1), jac=True, method="L-BFGS-B",
                  bounds=[(0, None)] * MEMBERS + [(None, None)], options={"ftol": 1e-15, "gtol": 1e-11, "maxiter": 20000})

# Values with a member that says the opposite, so that a bound is met.
against = np.vstack([V[:3], 2 * truth.mean() - V[3:]]).astype(np.float32).astype(float)
Z = ((against - truth.mean()) / truth.std()).T.astype(np.float32).astype(float)
centered = Z - Z.mean(0)
coefficients, _ = nnls(np.vstack([centered, np.eye(MEMBERS)]), np.append(truth - truth.mean(), np.zeros(MEMBERS)))
ridge = centered @ coefficients + truth.mean()
free = LinearRegression(positive=True).fit(Z, truth).predict(Z)

# A crowd: nine annotators of unlike skill, of whom about half answer each row; one answers nothing, one row has one answer.
rng = np.random.default_rng(7)
rows, crowd, kinds = 60, 9, 3
z = rng.choice(kinds, rows, p=[0.5, 0.3, 0.2])
skill = np.array([0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.34, 0.1, 0.9])
votes = np.where(rng.random((crowd, rows)) < skill[:, None], z, rng.integers(0, kinds, (crowd, rows)))
votes[rng.random((crowd, rows)) > 0.5] = -1
votes[8] = -1
votes[0, (votes < 0).all(0)] = z[(votes < 0).all(0)]
votes[1:, 0], votes[0, 0] = -1, z[0]
table = pd.DataFrame([(r, m, votes[m, r]) for r in range(rows) for m in range(crowd) if votes[m, r] >= 0],
                     columns=["task", "worker", "label"])
found = DawidSkene(n_iter=100, tol=1e-5).fit(table)
errors = found.errors_.reindex(pd.MultiIndex.from_product([range(crowd), range(kinds)])).reindex(columns=range(kinds))
last = found._e_step(table, found.priors_.copy(), found.errors_).loc[range(rows), range(kinds)].to_numpy()

r = lambda a: np.asarray(a, float).round(9).tolist()
versions = {"numpy": np.__version__, "scipy": scipy.__version__, "sklearn": sklearn.__version__,
            "crowd-kit": version("crowd-kit")}
print(versions, "plain", plain, "plus", plus, "bounded", multi_at.round(3), binary.x.round(3), coefficients.round(3),
      "rounds", len(found.loss_history_), file=sys.stderr)
out = {
    "made_with": versions,
    "weights": W.tolist(),
    "means": {k: r(v) for k, v in means.items()},
    "positive": positive.tolist(),
    "value_means": {k: r(v) for k, v in value_means.items()},
    "ranks": r(ranks),
    "plain": r(plain),
    "plus": r(plus),
    "on_probabilities": r(on_probabilities),
    "non_negative": r(multi),
    "two": two.tolist(),
    "two_p": Q.tolist(),
    "two_non_negative": r(binary.x),
    "against": against.tolist(),
    "non_negative_ridge": r(ridge),
    "non_negative_least_squares": r(free),
    "votes": votes.tolist(),
    "votes_rounds": len(found.loss_history_),
    "votes_prior": r(found.priors_.loc[range(kinds)]),
    "votes_errors": [[None if np.isnan(v) else round(float(v), 9) for v in row] for row in errors.to_numpy()],
    "votes_p": r(last),
}
with open(os.path.join(here, "fuse_ways.json"), "w") as f:
    f.write(json.dumps(out, separators=(",", ":")) + "\n")
