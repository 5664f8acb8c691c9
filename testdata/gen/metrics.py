"""Golden values of the metrics, by scikit-learn, SciPy and NumPy: writes testdata/golden/metrics.json.

    pip install scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6
    python testdata/gen/metrics.py

Probabilities are whole numbers over 64, so that they are exact in 32 bits and have ties; every one is above 1e-7, so
that clipping plays no part. DeLong's covariance is written out from the definition (all pairs), not the fast algorithm.
"""

import json
import pathlib

import numpy as np
import scipy
import sklearn
from scipy import integrate, stats
from sklearn import metrics as m

print("scikit-learn", sklearn.__version__, "scipy", scipy.__version__, "numpy", np.__version__)
rng = np.random.default_rng(20)


def bins(p, y, w):
    """Weight, gap, and deviation under true probabilities of each filled bin of 15."""
    top, right = p.max(1), (p.argmax(1) == y).astype(float)
    which = np.clip(np.ceil(top * 15), 1, 15).astype(int)
    for b in np.unique(which):
        i = which == b
        gap = np.average(top[i] - right[i], weights=w[i])
        deviation = np.sqrt((w[i] ** 2 * top[i] * (1 - top[i])).sum()) / w[i].sum()
        yield w[i].sum() / w.sum(), abs(gap), deviation


def ece(p, y, w):
    return sum(share * gap for share, gap, _ in bins(p, y, w))


def ece_debiased(p, y, w):
    """Midway between the bootstrap correction and the mean over halvings (sign from one half, size from the other)."""
    total = 0.0
    for share, gap, s in bins(p, y, w):
        f = lambda z: np.sign(gap + s * z) * (gap - s * z) * stats.norm.pdf(z)
        edge = np.clip(-gap / s, -12, 12)
        parts = [integrate.quad(f, a, b, epsabs=1e-13)[0] for a, b in ((-12, edge), (edge, 12))]
        corrected = 2 * gap - stats.foldnorm.mean(gap / s, scale=s)
        total += share * (sum(parts) + corrected) / 2
    return max(total, 0.0)


def ks(s, y, w):
    """max over thresholds of TPR - FPR."""
    gaps = [np.average(s[y == 1] >= t, weights=w[y == 1]) - np.average(s[y == 0] >= t, weights=w[y == 0]) for t in set(s)]
    return max(0.0, max(gaps))


def classification(p, y, w):
    k = p.shape[1]
    out = {
        "log_loss": m.log_loss(y, p, sample_weight=w, labels=range(k)),
        "accuracy": m.accuracy_score(y, p.argmax(1), sample_weight=w),
        "balanced_accuracy": m.balanced_accuracy_score(y, p.argmax(1), sample_weight=w),
        "macro_f1": m.f1_score(y, p.argmax(1), average="macro", sample_weight=w),
        "brier": m.brier_score_loss(y, p if k > 2 else p[:, 1], sample_weight=w, labels=range(k)),
        "ece": ece_debiased(p, y, w),
        "ece_plain": ece(p, y, w),
    }
    if k == 2:
        out["auc"] = m.roc_auc_score(y, p[:, 1], sample_weight=w)
        out["pr_auc"] = m.average_precision_score(y, p[:, 1], sample_weight=w)
        out["ks_plain"] = ks(p[:, 1], y, w)
        if (w == 1).all():
            two = stats.ks_2samp(p[y == 1, 1], p[y == 0, 1], alternative="less").statistic
            assert abs(two - out["ks_plain"]) < 1e-12
    else:
        out["auc"] = m.roc_auc_score(y, p, multi_class="ovr", average="macro", sample_weight=w)
        one_hot = np.eye(k)[y]
        out["pr_auc"] = m.average_precision_score(one_hot, p, average="macro", sample_weight=w)
    return {name: float(v) for name, v in out.items()}


def regression(f, y, w):
    return {
        "rmse": float(m.root_mean_squared_error(y, f, sample_weight=w)),
        "mae": float(m.mean_absolute_error(y, f, sample_weight=w)),
        "r2": float(m.r2_score(y, f, sample_weight=w)),
    }


def votes(y, k, sharp):
    """Whole numbers a row, above zero, that sum to 64 and lean to the truth."""
    chance = np.full((len(y), k), 1.0)
    chance[np.arange(len(y)), y] = sharp
    chance = chance * rng.gamma(1.0, size=chance.shape)
    return np.array([rng.multinomial(64 - k, c / c.sum()) + 1 for c in chance])


def case(name, k, n, sharp):
    y = np.r_[np.arange(k), rng.choice(k, n - k, p=np.arange(k, 0, -1) / (k * (k + 1) / 2))]
    p, w = votes(y, k, sharp), rng.integers(1, 9, n) / 4
    shares = p / 64
    return {
        "name": name, "classes": k, "output": p.ravel().tolist(), "target": y.tolist(), "weight": w.tolist(),
        "scores": classification(shares, y, np.ones(n)), "weighted": classification(shares, y, w),
    }


def regression_case(n):
    y, w = rng.integers(-200, 200, n), rng.integers(1, 9, n) / 4
    f = y + rng.integers(-60, 60, n)
    return {
        "name": "regression", "classes": 0, "output": f.tolist(), "target": (y / 64).tolist(), "weight": w.tolist(),
        "scores": regression(f / 64, y / 64, None), "weighted": regression(f / 64, y / 64, w),
    }


def delong(y, a, b):
    """All pairs, from the definition."""
    def parts(s):
        x, z = s[y == 1][:, None], s[y == 0][None]
        psi = (x > z) + 0.5 * (x == z)
        return psi.mean(), psi.mean(1), psi.mean(0)
    (auc_a, pa, na), (auc_b, pb, nb) = parts(a), parts(b)
    s = np.cov(pa, pb) / len(pa) + np.cov(na, nb) / len(na)
    se = float(np.sqrt(s[0, 0] + s[1, 1] - 2 * s[0, 1]))
    d = float(auc_a - auc_b)
    half = stats.norm.ppf(0.975)
    return {
        "candidate": float(auc_a), "reference": float(auc_b), "difference": d, "standard_error": se,
        "low": d - half * se, "high": d + half * se, "p_value": float(2 * stats.norm.sf(abs(d) / se)),
        "one_standard_error": float(np.sqrt(s[0, 0])),
    }


def paired(n):
    y = np.r_[0, 1, rng.choice(2, n - 2, p=[0.6, 0.4])]
    a, b = votes(y, 2, 3.0), votes(y, 2, 2.0)
    right_a, right_b = a.argmax(1) == y, b.argmax(1) == y
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    return {
        "target": y.tolist(), "candidate": a.ravel().tolist(), "reference": b.ravel().tolist(),
        "delong": delong(y, a[:, 1] / 64, b[:, 1] / 64),
        "mcnemar": {
            "candidate_only": only_a, "reference_only": only_b,
            "p_value": float(stats.binomtest(only_a, only_a + only_b).pvalue),
        },
    }


golden = {
    "peers": {"scikit-learn": sklearn.__version__, "scipy": scipy.__version__, "numpy": np.__version__},
    "cases": [case("binary", 2, 120, 2.0), case("multi-class", 4, 120, 3.0), regression_case(60)],
    "paired": paired(150),
}
path = pathlib.Path(__file__).parent.parent / "golden" / "metrics.json"
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
