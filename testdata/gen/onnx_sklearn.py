"""Models by scikit-learn as ONNX files, with what ONNX Runtime says of rows: python3 testdata/gen/onnx_sklearn.py

Pinned: scikit-learn 1.9.1, skl2onnx 1.20.0, onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6. Writes testdata/golden/onnx/*.onnx
and testdata/golden/onnx/sklearn.json: rows, and for each file the output that predicts, of every row.
The rows look like those of the tests in crates/engine/tests: two columns that say something, one that does not.
"""
import json
import pathlib

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

out = pathlib.Path(__file__).parent.parent / "golden" / "onnx"
rng = np.random.default_rng(20261127)
X = rng.standard_normal((600, 3)).astype(np.float32)
value = X[:, 0] + X[:, 1] + 0.3 * rng.standard_normal(600).astype(np.float32)
two = np.array(["no", "yes"])[(value > 0).astype(int)]
three = np.array(["low", "middle", "high"])[np.digitize(value, [-0.7, 0.7])]
fit, rows = slice(0, 560), X[560:580]
gaps = X.copy()
gaps[::7, 1] = np.nan


def write(name, model, truth, zipmap=False, x=X, kind=FloatTensorType, output=-1):
    model.fit(x[fit], truth[fit])
    options = {id(model): {"zipmap": zipmap}} if hasattr(model, "predict_proba") else None
    made = to_onnx(model, initial_types=[("X", kind([None, 3]))], options=options)
    (out / f"{name}.onnx").write_bytes(made.SerializeToString())
    session = onnxruntime.InferenceSession(made.SerializeToString())
    given = session.run(None, {"X": x[560:580].astype(np.float64 if kind is DoubleTensorType else np.float32)})[output]
    if zipmap:
        given = [[row[c] for c in model.classes_] for row in given]
    return {
        "output": session.get_outputs()[output].name,
        "classes": list(getattr(model, "classes_", [])),
        "given": np.asarray(given, dtype=np.float64).reshape(20, -1).tolist(),
    }


def columns():
    """One input a column, one of them of texts."""
    part = np.array(["x", "y", "z"])[np.arange(600) % 3].reshape(-1, 1)
    table = np.concatenate([X[:, :1].astype(object), part.astype(object)], axis=1)
    steps = ColumnTransformer([("number", StandardScaler(), [0]), ("text", OneHotEncoder(), [1])])
    model = make_pipeline(steps, LogisticRegression())
    model.fit(table[fit], two[fit])
    made = to_onnx(
        model, initial_types=[("a", FloatTensorType([None, 1])), ("part", StringTensorType([None, 1]))],
        options={id(model): {"zipmap": False}},
    )
    (out / "columns.onnx").write_bytes(made.SerializeToString())
    session = onnxruntime.InferenceSession(made.SerializeToString())
    given = session.run(None, {"a": X[560:580, :1], "part": part[560:580]})[1]
    return {"output": "probabilities", "classes": ["no", "yes"], "given": given.tolist()}


def scaled(model):
    return make_pipeline(StandardScaler(), model)


golden = {
    "rows": rows.tolist(),
    "gaps": [[None if np.isnan(v) else float(v) for v in row] for row in gaps[560:580]],
    "models": {
        "logistic": write("logistic", scaled(LogisticRegression()), two),
        "logistic_zipmap": write("logistic_zipmap", scaled(LogisticRegression()), two, zipmap=True),
        "logistic_three": write("logistic_three", scaled(LogisticRegression()), three),
        "logistic_double": write("logistic_double", scaled(LogisticRegression()), two, kind=DoubleTensorType),
        "imputed": write("imputed", make_pipeline(SimpleImputer(), LogisticRegression()), two, x=gaps),
        "boosting": write("boosting", GradientBoostingClassifier(n_estimators=20, max_depth=2, random_state=0), two),
        "boosting_three": write("boosting_three", GradientBoostingClassifier(n_estimators=5, max_depth=2, random_state=0), three),
        "forest": write("forest", RandomForestClassifier(8, max_depth=4, random_state=0), two),
        "forest_three": write("forest_three", RandomForestClassifier(4, max_depth=4, random_state=0), three),
        "network": write("network", MLPClassifier((8,), max_iter=400, random_state=0), two),
        "ridge": write("ridge", Ridge(), value),
        "boosting_values": write("boosting_values", GradientBoostingRegressor(n_estimators=10, max_depth=2, random_state=0), value),
        "columns": columns(),
    },
}
(out / "sklearn.json").write_text(json.dumps(golden) + "\n")
