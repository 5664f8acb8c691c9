"""Golden values of the tests behind a verdict, by SciPy and NumPy: writes testdata/golden/verdicts.json.

    pip install scipy==1.17.1 numpy
    python testdata/gen/verdicts.py

Student's t, the corrected resampled t test (Nadeau and Bengio 2003) by SciPy's distribution, McNemar's exact and mid-p
values by SciPy's binomial test, and Romano and Wolf's step-down p values written out from the definition: at every step
the maximum is taken anew over the hypotheses that are left.
"""

import json
import pathlib

import numpy as np
import scipy
from scipy import stats

rng = np.random.default_rng(31)


def corrected(differences, ratio, level=0.95):
    d = np.asarray(differences)
    k = len(d)
    se = np.sqrt((1 / k + ratio) * d.var(ddof=1))
    low, high = stats.t.interval(level, k - 1, d.mean(), se)
    return {
        "differences": d.tolist(), "ratio": ratio, "difference": float(d.mean()), "standard_error": float(se),
        "low": float(low), "high": float(high), "p_value": float(2 * stats.t.sf(abs(d.mean() / se), k - 1)),
    }


def mcnemar(b, c):
    n, few = b + c, min(b, c)
    exact = stats.binomtest(b, n).pvalue
    as_uneven = stats.binom.pmf(few, n, 0.5) * (1 if 2 * few == n else 2)
    return {"few": few, "n": n, "p_value": float(exact), "mid_p_value": float(exact - as_uneven / 2)}


def step_down(d, draws):
    sd = draws.std(1, ddof=1)
    t, resampled = np.abs(d) / sd, np.abs(draws - d[:, None]) / sd[:, None]
    left, p, most = set(range(len(d))), np.empty(len(d)), 0.0
    while left:
        best = max(left, key=lambda i: t[i])
        greatest = resampled[sorted(left)].max(0)
        most = max(most, (1 + (greatest >= t[best]).sum()) / (1 + draws.shape[1]))
        p[best] = most
        left.remove(best)
    return p.tolist()


d = np.array([0.9, -0.35, 0.1, 0.55])
common = rng.normal(0, 0.3, 60)
draws = (d[:, None] + 0.6 * common + rng.normal(0, [[0.3], [0.2], [0.25], [0.1]], (4, 60))).round(4)

golden = {
    "peers": {"scipy": scipy.__version__, "numpy": np.__version__},
    "student_t": [
        {"t": t, "degrees": n, "two_sided": float(2 * stats.t.sf(abs(t), n)), "cdf": float(stats.t.cdf(t, n))}
        for n in (1, 2, 4, 9, 30, 99.5) for t in (-40.0, -2.5, -0.001, 0.0, 0.7, 2.26, 12.0)
    ],
    "quantiles": [
        {"p": p, "degrees": n, "t": float(stats.t.isf(p / 2, n))} for n in (1, 4, 9, 30) for p in (0.5, 0.05, 0.001)
    ],
    "corrected_t": [
        corrected(rng.normal(0.02, 0.03, 5).round(6), 0.25),
        corrected(rng.normal(-0.1, 0.05, 10).round(6), 1 / 9),
        corrected(rng.normal(0, 1, 2).round(6), 1.0),
    ],
    "mcnemar": [mcnemar(b, c) for b, c in ((0, 1), (3, 9), (12, 12), (2, 3), (150, 201), (1, 40))],
    "max_t": {"differences": d.tolist(), "draws": draws.tolist(), "p_values": step_down(d, draws)},
}
path = pathlib.Path(__file__).parent.parent / "golden" / "verdicts.json"
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
print(golden["peers"], path.stat().st_size, "bytes")
