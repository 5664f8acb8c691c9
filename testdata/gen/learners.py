"""Makes testdata/golden/learners.json: what scikit-learn predicts on small rows that are stored with it.

    pip install scikit-learn==1.9.1 numpy==2.4.6
    python testdata/gen/learners.py

Inputs are rounded so that 32-bit floats hold what the peer sees.
"""

import json
import pathlib

import numpy as np
import sklearn
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

rng = np.random.default_rng(7)


def single(x):
    """Numbers as 32-bit floats see them, in 64 bits."""
    return np.asarray(x, dtype=np.float32).astype(np.float64)


def rows(x):
    return [[float(v) for v in row] for row in np.round(x, 6)]


def numbers(v):
    return [round(float(a), 9) for a in v]


iris = load_iris()
order = rng.permutation(150)
x, y = single(iris.data[order]), iris.target[order]
fit, judge = slice(0, 90), slice(90, 120)
weight = single(np.round(rng.uniform(0.25, 2.0, 90), 3))
weight_one = weight / weight.mean()
pair = y[fit] != 0  # setosa is separable from the others, these two are not

cases = []


def classify(name, parameters, model, fx, fy, jx, w=None, given=None):
    model.fit(fx, fy, **({} if w is None else {"sample_weight": w}))
    cases.append(
        {
            "learner": name,
            "parameters": parameters,
            "classes": int(max(fy)) + 1,
            "x": rows(fx),
            "y": [int(v) for v in fy],
            "weight": None if given is None else numbers(given),
            "judge": rows(jx),
            "expected": [numbers(p) for p in model.predict_proba(jx)],
        }
    )


exact = dict(tol=1e-12, max_iter=100_000)
classify("logistic", {}, LogisticRegression(**exact), x[fit], y[fit], x[judge])
classify("logistic", {"c": 0.1}, LogisticRegression(C=0.1, **exact), x[fit], y[fit], x[judge], weight_one, weight)
classify("logistic", {"c": 10.0}, LogisticRegression(C=10.0, **exact), x[fit][pair], y[fit][pair] - 1, x[judge])
classify("naive_bayes", {}, GaussianNB(), x[fit], y[fit], x[judge])
classify("naive_bayes", {}, GaussianNB(), x[fit], y[fit], x[judge], weight, weight)
centred = single(np.round(x - x.mean(axis=0), 3))
classify("naive_bayes", {"kind": "bernoulli"}, BernoulliNB(), centred[fit], y[fit], centred[judge])
classify("naive_bayes", {"kind": "multinomial", "alpha": 0.5}, MultinomialNB(alpha=0.5), x[fit], y[fit], x[judge], weight, weight)
plain = {"k": 7, "smoothing": 0.0}
# A little noise keeps distances from being equal: on ties the peer's order is not ours.
apart = single(np.round(x + rng.normal(0, 0.01, x.shape), 4))
classify("knn", plain, KNeighborsClassifier(7), apart[fit], y[fit], apart[judge])
by_distance = KNeighborsClassifier(7, weights="distance")
classify("knn", {**plain, "weights": "distance"}, by_distance, apart[fit], y[fit], np.vstack([apart[judge], apart[:3]]))


def regress(name, parameters, model, fx, fy, jx, w=None):
    model.fit(fx, fy, **({} if w is None else {"sample_weight": w}))
    cases.append(
        {
            "learner": name,
            "parameters": parameters,
            "classes": 0,
            "x": rows(fx),
            "y": numbers(fy),
            "weight": None if w is None else numbers(w),
            "judge": rows(jx),
            "expected": [[round(float(v), 9)] for v in model.predict(jx)],
        }
    )


diabetes = load_diabetes()
dx, dy = single(np.round(diabetes.data[:60] * 20, 4)), diabetes.target[:60]
dw = single(np.round(rng.uniform(0.25, 2.0, 40), 3))
regress("linear", {}, Ridge(1.0), dx[:40], dy[:40], dx[40:])
regress("linear", {"l2": 5.0}, Ridge(5.0), dx[:40], dy[:40], dx[40:], dw)
regress("linear", {"l2": 0.5}, Ridge(0.5), dx[:8], dy[:8], dx[40:50])  # fewer rows than features
regress("knn", {"k": 4, "weights": "distance"}, KNeighborsRegressor(4, weights="distance"), dx[:40], dy[:40], dx[40:50])

peer = f"scikit-learn {sklearn.__version__}, numpy {np.__version__}"
out = pathlib.Path(__file__).parent.parent / "golden" / "learners.json"
out.write_text(json.dumps({"peer": peer, "cases": cases}, separators=(",", ":")) + "\n")
print(peer, len(cases), "cases,", out.stat().st_size, "bytes")
