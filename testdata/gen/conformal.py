"""Makes ../golden/conformal.json: conformal regions by MAPIE on fixed predictions.

    python testdata/gen/conformal.py

Made with numpy 2.x, scikit-learn 1.9.1, MAPIE 1.6.0; the versions used stand in the file and are printed.

Models are tables: the features of a row are its position, its prediction is looked up. MAPIE draws a number a row for the
adaptive scores while it calibrates, always; the numbers stand in the file.
"""
import json
import os
import sys
import warnings
from importlib.metadata import version

import numpy as np
from mapie.classification import CrossConformalClassifier, SplitConformalClassifier
from mapie.conformity_scores import RAPSConformityScore
from mapie.regression import ConformalizedQuantileRegressor, CrossConformalRegressor, SplitConformalRegressor
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import PredefinedSplit, StratifiedShuffleSplit

warnings.filterwarnings("ignore")
rng = np.random.default_rng(52)
CAL, NEW, K, ALPHA, SEED = 95, 40, 4, 0.2, 7


class Classes(ClassifierMixin, BaseEstimator):
    def __init__(self, table=None):
        self.table = table

    def fit(self, X, y):
        self.classes_ = np.arange(K)
        return self

    def __sklearn_is_fitted__(self):
        return True

    def predict_proba(self, X):
        return self.table[X[:, 0].astype(int)]

    def predict(self, X):
        return self.predict_proba(X).argmax(1)


class Values(RegressorMixin, BaseEstimator):
    def __init__(self, table=None):
        self.table = table

    def fit(self, X, y):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, X):
        return self.table[X[:, 0].astype(int)]


def folds_of(X):
    """The fold that a fit leaves out: the model's own number."""
    return (set(range(FOLDS)) - set(fold[X[:, 0].astype(int)])) or {0}


class FoldClasses(Classes):
    def fit(self, X, y):
        self.classes_ = np.arange(K)
        self.own = next(iter(folds_of(X)))
        return self

    def predict_proba(self, X):
        return self.table[self.own][X[:, 0].astype(int)]


class FoldValues(Values):
    def fit(self, X, y):
        self.own = next(iter(folds_of(X)))
        return self

    def predict(self, X):
        return self.table[self.own][X[:, 0].astype(int)]


def probabilities(rows, y, skill):
    z = rng.normal(0, 1, (rows, K))
    z[np.arange(rows), y] += skill
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    return p.astype(np.float32).astype(float)


n = CAL + NEW
X = np.arange(n)[:, None].astype(float)
cal, new = X[:CAL], X[CAL:]
y = rng.integers(0, K, n)
p = probabilities(n, y, 1.2)
draws = np.random.RandomState(SEED).uniform(size=CAL)


def split(score, last):
    model = SplitConformalClassifier(Classes(p).fit(cal, y[:CAL]), confidence_level=1 - ALPHA, conformity_score=score,
                                     prefit=True, random_state=SEED)
    model.conformalize(cal, y[:CAL])
    params = {} if last is None else {"include_last_label": last}
    _, sets = model.predict_set(new, conformity_score_params=params)
    inner = model._mapie_classifier.conformity_score_function_
    return sets[:, :, 0].astype(int).tolist(), float(np.ravel(inner.quantiles_)[0]), inner


lac, lac_q, _ = split("lac", None)
aps, aps_q, _ = split("aps", False)
drawn, _, _ = split("aps", "randomized")
raps, raps_q, inner = split("raps", False)
tuning = inner.X_raps[:, 0].astype(int)
split_rows = StratifiedShuffleSplit(n_splits=1, test_size=inner.size_raps, random_state=SEED).split(cal, y[:CAL])
used, again = next(split_rows)
assert (again == tuning).all()


def best_price(rows, k_reg):
    """The lambda of the smallest sets, by the paper: MAPIE 1.6.0 puts lambda in the place of k_reg while it tunes."""
    sizes = {}
    for price in [0.001, 0.01, 0.1, 0.2, 0.5]:
        order = np.argsort(-p[rows], 1)
        sorted_scores = np.cumsum(np.take_along_axis(p[rows], order, 1), 1) + price * np.maximum(0, np.arange(1, K + 1) - k_reg)
        scores = np.empty_like(sorted_scores)
        np.put_along_axis(scores, order, sorted_scores, 1)
        rank = int(np.ceil((len(rows) + 1) * (1 - ALPHA)))
        threshold = np.sort(scores[np.arange(len(rows)), y[rows]])[rank - 1]
        sizes[price] = np.maximum((scores <= threshold).sum(1), 1).mean()
    return min(sizes, key=lambda price: (sizes[price], price))

t = rng.normal(0, 2, n).astype(np.float32).astype(float)
f = (t + rng.normal(0, 1, n)).astype(np.float32).astype(float)
wide = np.abs(rng.normal(1, 0.3, n))
low, up = ((f + s * wide).astype(np.float32).astype(float) for s in (-1, 1))
regressor = SplitConformalRegressor(Values(f).fit(cal, t[:CAL]), confidence_level=1 - ALPHA, prefit=True)
_, absolute = regressor.conformalize(cal, t[:CAL]).predict_interval(new)
cqr = ConformalizedQuantileRegressor([Values(v).fit(cal, t[:CAL]) for v in (low, up, f)], confidence_level=1 - ALPHA,
                                     prefit=True)
_, quantiles = cqr.conformalize(cal, t[:CAL]).predict_interval(new, symmetric_correction=True)

# CV+ for classes: the paper asks for more than alpha (n + 1) - 1 rows with a score at least as large, MAPIE for alpha (n - 1)
# of them. With 90 rows both are 18.
FOLDS, ROWS = 3, 90
fold = np.arange(n) % FOLDS
fold_p = np.array([probabilities(n, y, 1.2) for _ in range(FOLDS)])
fold_f = np.array([(t + rng.normal(0, 1, n)).astype(np.float32).astype(float) for _ in range(FOLDS)])
cross = CrossConformalRegressor(FoldValues(fold_f), confidence_level=1 - ALPHA, method="plus",
                                cv=PredefinedSplit(fold[:ROWS]))
_, plus = cross.fit_conformalize(X[:ROWS], t[:ROWS]).predict_interval(new, aggregate_predictions=None)
cross = CrossConformalClassifier(FoldClasses(fold_p), confidence_level=1 - ALPHA, conformity_score="lac",
                                 cv=PredefinedSplit(fold[:ROWS]), random_state=SEED)
_, plus_sets = cross.fit_conformalize(X[:ROWS], y[:ROWS]).predict_set(new, agg_scores="crossval")

r = lambda a: np.asarray(a, float).round(9).tolist()
versions = {"numpy": np.__version__, "sklearn": version("scikit-learn"), "mapie": version("mapie")}
print(versions, lac_q, aps_q, raps_q, inner.k_star, inner.lambda_star, len(tuning), file=sys.stderr)
print(np.sum(lac), np.sum(aps), np.sum(drawn), np.sum(raps), np.sum(plus_sets), file=sys.stderr)
out = {
    "made_with": versions, "alpha": ALPHA, "calibrated": CAL,
    "y": y.tolist(), "p": r(p), "draws": r(draws),
    "lac": {"sets": lac, "threshold": lac_q},
    "aps": {"sets": aps, "drawn": drawn, "threshold": aps_q},
    "raps": {"sets": raps, "threshold": raps_q, "tuning": sorted(tuning.tolist()),
             "used": used.tolist(), "draws": r(np.random.RandomState(SEED).uniform(size=len(used))), "k_reg": int(np.ravel(inner.k_star)[0]), "lambda": float(np.ravel(inner.lambda_star)[0]),
             "best_price": best_price(tuning, int(np.ravel(inner.k_star)[0]))},
    "truth": r(t), "value": r(f), "lower": r(low), "upper": r(up),
    "split": r(absolute[:, :, 0]), "cqr": r(quantiles[:, :, 0]),
    "fold_rows": ROWS, "fold": fold[:ROWS].tolist(), "fold_p": r(fold_p), "fold_value": r(fold_f),
    "plus": r(plus[:, :, 0]), "plus_sets": plus_sets[:, :, 0].astype(int).tolist(),
}
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "conformal.json")
with open(path, "w") as file:
    file.write(json.dumps(out, separators=(",", ":")) + "\n")
