"""Makes ../golden/calibrate.json: calibrators by scikit-learn, betacal and SciPy.

    python testdata/gen/calibrate.py

Made with numpy 2.x, scipy 1.17.1, scikit-learn 1.9.1, betacal 1.1.0; the versions used stand in the file and are printed.
"""
import json
import os
import sys
from importlib.metadata import version

import numpy as np
import scipy
import sklearn
from betacal import BetaCalibration
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

rng = np.random.default_rng(41)


class Said(ClassifierMixin, BaseEstimator):
    """A classifier that was given its probabilities as features."""

    def __init__(self, logits=False):
        self.logits = logits

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def __sklearn_is_fitted__(self):
        return True

    def predict_proba(self, X):
        return X

    def predict(self, X):
        return self.classes_[X.argmax(1)]


class Scored(Said):
    def decision_function(self, X):
        s = np.log(X / (1 - X))
        return s[:, 1] if X.shape[1] == 2 else s


def make(rows, classes, bold):
    """Probabilities of four decimals, too bold, of classes that follow the shy ones."""
    z = rng.normal(0, 1, (rows, classes))
    shy = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    y = np.array([rng.choice(classes, p=q) for q in shy])
    p = np.exp(bold * z) / np.exp(bold * z).sum(1, keepdims=True)
    p = np.clip(p.round(4), 1e-4, None)
    p[:, -1] = 1 - p[:, :-1].sum(1)
    assert p.min() > 0
    # As 32-bit floats, which is what a member says.
    return p.astype(np.float32).astype(float), y, rng.integers(1, 4, rows).astype(float)


def temperature(p, y, w):
    z = np.log(p)

    def loss(u):
        s = np.exp(u) * z
        return (w * (logsumexp(s, axis=1) - s[np.arange(len(y)), y])).sum() / w.sum()

    return float(np.exp(minimize_scalar(loss, bracket=(-1, 1), tol=1e-14).x))


def smoothed(p, y, w):
    """Platt's problem as logistic regression without a penalty: every row twice, weighted by its target."""
    high, low = (w[y == 1].sum() + 1) / (w[y == 1].sum() + 2), 1 / (w[y == 0].sum() + 2)
    t = np.where(y == 1, high, low)
    s = np.log(p[:, 1] / (1 - p[:, 1]))[:, None]
    lr = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-13, max_iter=1000)
    lr.fit(np.vstack([s, s]), np.r_[np.ones(len(y)), np.zeros(len(y))], np.r_[w * t, w * (1 - t)])
    return [float(lr.coef_[0, 0]), float(lr.intercept_[0])]


def beta(p, y, w):
    x = np.c_[np.log(p[:, 1]), -np.log(1 - p[:, 1])]
    lr = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-13, max_iter=1000).fit(x, y, w)
    peer = BetaCalibration(parameters="abm").fit(p[:, 1], y, w)
    return [*map(float, lr.coef_[0]), float(lr.intercept_[0])], peer.predict(p[:, 1])


def calibrated(estimator, method, p, y, w):
    frozen = FrozenEstimator(estimator.fit(p, y))
    return CalibratedClassifierCV(frozen, method=method).fit(p, y, w).predict_proba(p)


r = lambda a: np.asarray(a, float).round(9).tolist()
two, three = make(120, 2, 1.8), make(150, 3, 1.6)
# Few distinct probabilities: ties.
two[0][:60] = (two[0][:60].round(1).clip(0.1, 0.9)).astype(np.float32)
two[0][:60, 1] = 1 - two[0][:60, 0]
p, y, w = two
theta, betacal = beta(p, y, w)
# A member that says the opposite of what it knows on one side, so that an exponent would be negative.
bent = np.where(p[:, 1] < 0.5, 1 - p[:, 1], p[:, 1]).astype(np.float32).astype(float)
bent = np.c_[1 - bent, bent]
(bent_theta, bent_betacal) = beta(bent, y, w)
versions = {"numpy": np.__version__, "scipy": scipy.__version__, "sklearn": sklearn.__version__, "betacal": version("betacal")}
out = {
    "made_with": versions,
    "two": {
        "p": r(p), "y": y.tolist(), "weight": w.tolist(),
        "temperature": temperature(p, y, w),
        "platt": smoothed(p, y, w),
        "platt_said": r(calibrated(Scored(), "sigmoid", p, y, w)),
        "beta": theta, "beta_said": r(betacal),
        "bent": r(bent), "bent_free": bent_theta, "bent_said": r(bent_betacal),
        "isotonic_said": r(calibrated(Said(), "isotonic", p, y, w)),
        "isotonic_new": r(CalibratedClassifierCV(FrozenEstimator(Said().fit(p, y)), method="isotonic").fit(p, y, w)
                          .predict_proba(np.c_[1 - np.linspace(0.002, 0.998, 40), np.linspace(0.002, 0.998, 40)])),
    },
    "three": {
        "p": r(three[0]), "y": three[1].tolist(), "weight": three[2].tolist(),
        "temperature": temperature(*three),
        "platt_said": r(calibrated(Scored(), "sigmoid", *three)),
        "isotonic_said": r(calibrated(Said(), "isotonic", *three)),
    },
}
print(versions, out["two"]["temperature"], out["two"]["platt"], theta, bent_theta, file=sys.stderr)
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "calibrate.json")
with open(path, "w") as f:
    f.write(json.dumps(out, separators=(",", ":")) + "\n")
