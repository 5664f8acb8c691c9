"""Makes golden/features.json. Needs numpy, scikit-learn and pillow; CSL_SHARED names the shared data.

    python testdata/gen/features.py
"""

import gzip
import json
import os
import zlib
from pathlib import Path

import numpy as np
import PIL
import sklearn
from PIL import Image
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import PowerTransformer, StandardScaler

here = Path(__file__).resolve().parent
shared = Path(os.environ.get("CSL_SHARED", here / "../../../shared")) / "data"
versions = {"numpy": np.__version__, "scikit-learn": sklearn.__version__, "pillow": PIL.__version__}
rng = np.random.default_rng(7)
out = {"versions": versions}

x = np.round(rng.normal(50, 20, 40), 3)
out["standardize"] = {"x": x.tolist(), "z": StandardScaler().fit_transform(x[:, None])[:, 0].round(12).tolist()}

cases = []
for old, new in [((12, 16), (5, 7)), ((9, 9), (9, 4)), ((6, 5), (11, 13)), ((20, 3), (1, 1))]:
    pixels = rng.integers(0, 256, old).astype(np.uint8)
    resized = np.asarray(Image.fromarray(pixels).resize((new[1], new[0]), Image.Resampling.BILINEAR))
    cases.append({"old": old, "new": new, "pixels": pixels.ravel().tolist(), "resized": resized.ravel().tolist()})
out["resize"] = cases

# log-mel in numpy, of a sound that the test makes from the same integers
n = 700
i = np.arange(n)
samples = ((i * i * 7 + i * 13) % 2001) / 1024 - 1000 / 1024
frames, mels, low, high, rate, size, hop = 6, 16, 100.0, 3500.0, 8000, 256, 128
padded = np.zeros((frames - 1) * hop + size)
padded[: min(n, frames * hop)] = samples[: frames * hop]
window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
power = np.abs(np.fft.rfft(np.stack([padded[t * hop : t * hop + size] for t in range(frames)]) * window)) ** 2
mel = lambda f: 2595 * np.log10(1 + f / 700)
corners = 700 * (10 ** (np.linspace(mel(low), mel(high), mels + 2) / 2595) - 1)
f = np.arange(size // 2 + 1) * rate / size
left, center, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
bank = np.maximum(0, np.minimum((f - left) / (center - left), (right - f) / (right - center)))
out["log_mel"] = {"samples": n, "values": np.log(bank @ power.T + 1e-6).ravel().round(9).tolist()}

train = [
    "The quick brown fox jumps over the lazy dog.",
    "A quick-witted fox! The fox's DEN is near the river, near the mill.",
    "Dogs and foxes: 2 kinds, 42 names; naïve Über-dogs...",
    "the the the mill",
    "río Río rio",
]
test = ["the fox near the fox", "Über mill 42 unknown words", "", "RÍO dog the quick brown fox"]
cases = []
for parameters in [
    {"ngrams": 1, "sublinear": False},
    {"ngrams": 1, "sublinear": True},
    {"ngrams": 2, "sublinear": True, "min_count": 2},
    {"ngrams": 2, "sublinear": False},
]:
    peer = TfidfVectorizer(
        token_pattern=r"[^\W_]{2,}",
        ngram_range=(1, parameters["ngrams"]),
        sublinear_tf=parameters["sublinear"],
        min_df=parameters.get("min_count", 1),
    ).fit(train)
    rows = peer.transform(test).toarray().ravel().round(9).tolist()
    cases.append({"parameters": parameters, "terms": peer.get_feature_names_out().tolist(), "rows": rows})
out["tfidf"] = {"train": train, "test": test, "cases": cases}

# Adler-32 without its starting 1 of the first 200 test digits, projected
root = shared / "multimodal/av-mnist"
images = np.frombuffer(gzip.open(root / "mnist/t10k-images-idx3-ubyte.gz").read(), np.uint8, offset=16)
images = images.reshape(-1, 784)[:200].astype(np.float64)
mean, basis = np.load(root / "pca_mean_f64.npy"), np.load(root / "pca_basis_f64.npy")
projected = np.clip(np.round((images - mean) @ basis @ basis.T + mean), 0, 255).astype(np.uint8)
out["project"] = [zlib.adler32(row.tobytes(), 0) for row in projected]

# drawn from a generator of its own, so that adding it changes no other case
own = np.random.default_rng(11)
cases = []
for name, x in [
    ("amounts", np.round(np.exp(own.normal(7, 2, 60)), 2)),
    ("amounts with many zeros", np.round(np.maximum(0, own.normal(0, 3, 60)) ** 4, 3)),
    ("both signs", np.round(own.standard_t(2, 60) * 10 + 3, 3)),
    ("negative", np.round(-np.exp(own.normal(1, 1, 40)), 4)),
    ("normal", np.round(own.normal(5, 1, 40), 4)),
]:
    peer = PowerTransformer(method="yeo-johnson", standardize=False).fit(x[:, None])
    z = peer.transform(x[:, None])[:, 0].round(9).tolist()
    cases.append({"name": name, "x": x.tolist(), "lambda": float(peer.lambdas_[0]), "z": z})
out["power"] = cases

# sequences of three channels, one of them constant, lengths from 1 on; a generator of their own, so that what stands above stays
rng = np.random.default_rng(8)
sequences = [np.round(np.c_[rng.normal(3, 5, n), np.full(n, 0.3), rng.normal(0, 1e4, n)], 3) for n in (1, 2, 7, 40)]
sequences = [s.astype(np.float32).astype(np.float64) for s in sequences]
said = [np.stack([s.mean(0), s.std(0), s.min(0), s.max(0), s[0], s[-1]], 1).ravel() for s in sequences]
out["summary"] = {
    "sequences": [s.astype(np.float32).tolist() for s in sequences],
    "summary": [row.round(12).tolist() + [len(s)] for row, s in zip(said, sequences)],
}

(here / "../golden/features.json").write_text(json.dumps(out, ensure_ascii=False, separators=(",", ":")) + "\n")
print(versions)
