"""The same as `fuse.rs table` by scikit-learn, SciPy and AutoGluon's orders, and the peers of `fuse.rs scale`.

python3 benches/fuse/peer.py table DIR
python3 benches/fuse/peer.py scale ROWS MEMBERS greedy|auc|mean
"""

import json
import sys
import time

import numpy as np


def scores(data, mode, way, p, y):
    from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score, roc_curve

    p = np.clip(p, 1e-7, 1)
    p = p / p.sum(1, keepdims=True)
    if p.shape[1] == 2:
        low, high, _ = roc_curve(y, p[:, 1], drop_intermediate=False)
        found = {"log_loss": log_loss(y, p), "auc": roc_auc_score(y, p[:, 1]), "ks": np.max(high - low),
                 "brier": brier_score_loss(y, p[:, 1])}
    else:
        found = {"accuracy": accuracy_score(y, p.argmax(1)), "log_loss": log_loss(y, p, labels=range(p.shape[1]))}
    for name, value in found.items():
        print(f"{data} {mode},{way},{name},{value:.6f}")


def table(folder):
    from scipy.optimize import minimize, minimize_scalar
    from sklearn.linear_model import LogisticRegression

    for data in ["credit", "digits"]:
        load = lambda name: np.load(f"{folder}/{data}_{name}.npy")
        oof, y, test_y = load("oof"), load("y_train"), load("y_test")
        rows = np.arange(len(y))
        column = np.clip(oof[:, rows, y], 1e-7, 1).T
        wide = lambda p: np.log(np.clip(p, 1e-6, 1 - 1e-6) / (1 - np.clip(p, 1e-6, 1 - 1e-6)))
        flat = lambda p: np.moveaxis(p[..., 1:] if p.shape[2] == 2 else p, 0, 1).reshape(p.shape[1], -1)
        order = json.load(open(f"{folder}/{data}_ag_greedy_log_loss_25.json"))
        order = order.get("order", order.get("indices", order)) if isinstance(order, dict) else order
        start = np.full(len(oof), 1 / len(oof))
        simplex = minimize(lambda w: -np.log(column @ w).mean(), start, method="SLSQP", bounds=[(0, 1)] * len(oof),
                           jac=lambda w: -(column / (column @ w)[:, None]).mean(0),
                           constraints={"type": "eq", "fun": lambda w: w.sum() - 1}, options={"ftol": 1e-12, "maxiter": 500})
        uniform = oof.mean(0)
        calm = lambda p, t: np.exp(t * np.log(np.clip(p, 1e-7, 1)))
        loss = lambda t: -np.log((lambda q: q[rows, y] / q.sum(1))(calm(uniform, np.exp(t)))).mean()
        beta = np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x)
        on_logits = LogisticRegression(C=1, max_iter=5000).fit(wide(flat(oof)), y)
        on_probabilities = LogisticRegression(C=1, max_iter=5000).fit(flat(oof), y)
        for mode in ["test_refit", "test_cv"]:
            test = load(mode)
            scores(data, mode, "uniform mean", test.mean(0), test_y)
            if isinstance(order, list):
                scores(data, mode, "greedy 25", test[order].mean(0), test_y)
            scores(data, mode, "simplex", np.tensordot(simplex.x, test, 1), test_y)
            scores(data, mode, "stacking on logits", on_logits.predict_proba(wide(flat(test))), test_y)
            scores(data, mode, "stacking on probabilities", on_probabilities.predict_proba(flat(test)), test_y)
            scores(data, mode, "uniform then temperature", calm(test.mean(0), beta), test_y)


def scale(rows, members, what):
    chance = np.random.default_rng(0)
    y = (chance.random(rows) < 0.3).astype(np.int64)
    p = np.empty((members, rows, 2), np.float32)
    for m in range(members):
        logit = (0.5 + 1.5 * m / members) * (y - 0.5) + 2 * (chance.random(rows) + chance.random(rows) - 1)
        p[m, :, 1] = 1 / (1 + np.exp(-logit))
        p[m, :, 0] = 1 - p[m, :, 1]
    said = list(p)
    held = memory("VmRSS")
    with open("/proc/self/clear_refs", "w") as forget:
        forget.write("5")
    steps, times = {"greedy": 2, "auc": 1, "mean": 1}[what], []
    for _ in range(5 if what == "mean" else 1):
        start = time.perf_counter()
        if what == "mean":
            # As VotingClassifier does with what its members say.
            np.average(np.asarray(said), axis=0, weights=np.full(members, 1 / members))
        else:
            greedy(said, y, steps, what)
        times.append(time.perf_counter() - start)
    print(f"scale,{what},seconds,{np.median(times):.4f}")
    print(f"scale,{what},seconds a step,{np.median(times) / steps:.4f}")
    print(f"scale,{what},input MB,{held:.0f}")
    print(f"scale,{what},beyond MB,{memory('VmHWM') - held:.0f}")


def greedy(said, y, steps, what):
    """Caruana's loop with scikit-learn's metric of every candidate mean."""
    from sklearn.metrics import log_loss, roc_auc_score

    total = np.zeros(said[0].shape)
    for step in range(steps):
        tried = []
        for p in said:
            q = (total + p) / (step + 1)
            tried.append(log_loss(y, q) if what == "greedy" else -roc_auc_score(y, q[:, 1]))
        total += said[int(np.argmin(tried))]


def memory(what):
    """What this process holds (VmRSS) or held at most (VmHWM), in MB."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 / 1e6 for line in status if line.startswith(what))


if __name__ == "__main__":
    if sys.argv[1] == "table":
        table(sys.argv[2])
    else:
        scale(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
