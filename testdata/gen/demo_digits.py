#!/usr/bin/env python3
"""Makes testdata/demo/digits.zip, the data behind `csl demo`.

  python testdata/gen/demo_digits.py            write the archive
  python testdata/gen/demo_digits.py --check    score simple models on the archive

Making needs espeak-ng on PATH, and numpy, scipy and scikit-learn. The check
needs the same Python packages, but not espeak-ng. See testdata/README.md.
"""

import argparse
import csv
import gzip
import hashlib
import io
import os
import struct
import subprocess
import sys
import tempfile
import warnings
import wave
import zipfile
import zlib

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import scipy
import sklearn
from scipy.signal import resample_poly
from sklearn.datasets import load_digits

# The versions that made the archive in the repository. Others may change bytes.
PINNED = {"python": "3.11", "scikit-learn": "1.9.1", "numpy": "2.4.6",
          "scipy": "1.17.1", "espeak-ng": "1.51"}

SEED = 20240607
RATE = 8000
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]

# espeak-ng variants (timbres). Whole variants are given to one split, so not
# only a voice (accent and variant) but its timbre too stays in one split. They
# were dealt by hand so that the splits are about equally hard to recognise.
VARIANTS = {
    "train": ["m1", "m3", "m4", "m6", "m8", "f1", "f3", "f5", "whisper", "klatt2",
              "Andrea", "Denis", "Alicia", "Annie", "Gene", "anika", "steph", "grandpa",
              "zac"],
    "validation": ["m2", "f2", "klatt", "Lee", "Alex", "edward"],
    "test": ["m5", "m7", "f4", "croak", "whisperf", "klatt3", "belinda",
             "Andy", "Michael", "grandma"],
}
ACCENTS = ["en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan",
           "en-gb-x-gbcwmd", "en-029", "en-us-nyc"]
ACCENTS_PER_VARIANT = 2

ROWS = {"train": 1000, "validation": 300, "test": 497}

# Degradation. Both kinds are made harder on purpose.
SNR_DB = (0.0, 12.0)     # white noise on audio, uniform in dB per recording
SPEED = (120, 220)       # words per minute
PITCH = (20, 80)
LEAD_S = (0.0, 0.06)     # noise-only lead before and after the word
MAX_S = 0.7
MIN_S = 0.25
HIDE = 2                 # rows (or columns) of the 8 hidden in each image
IMAGE_NOISE = 32.0       # standard deviation of the noise on 0..255


def espeak_version():
    out = subprocess.run(["espeak-ng", "--version"], check=True, capture_output=True, text=True)
    return out.stdout.split(":")[1].split()[0]


def print_versions(with_espeak):
    found = {"python": "%d.%d" % sys.version_info[:2], "scikit-learn": sklearn.__version__,
             "numpy": np.__version__, "scipy": scipy.__version__}
    if with_espeak:
        found["espeak-ng"] = espeak_version()
    for name, version in found.items():
        note = "" if version == PINNED[name] else "   (archive made with %s)" % PINNED[name]
        print("%-13s %s%s" % (name, version, note))
    print("%-13s %s" % ("zlib", zlib.ZLIB_RUNTIME_VERSION))


NOTICE = """Written and spoken digits: demo data of Consilience.

images_clean.idx3.gz, images.idx3.gz, pairs.csv (image rows and labels):
  "Optical Recognition of Handwritten Digits", E. Alpaydin and C. Kaynak, UCI
  Machine Learning Repository, https://doi.org/10.24432/C50P49, licence CC BY 4.0
  (https://creativecommons.org/licenses/by/4.0/). The 1,797 images shipped with
  scikit-learn. Changed: values 0..16 rescaled to 0..255 in both files; in
  images.idx3.gz a band of %d rows or columns of each image is hidden and noise added.
audio/*.wav:
  Synthetic speech made with espeak-ng, with noise added. Released under CC0 1.0
  (https://creativecommons.org/publicdomain/zero/1.0/).
Pairs of an image and a recording are made at random within a class.
""" % HIDE


# ---------------------------------------------------------------- images

def idx3_gz(images):
    n, h, w = images.shape
    raw = struct.pack(">BBBBIII", 0, 0, 8, 3, n, h, w) + images.astype(np.uint8).tobytes()
    buf = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buf, mtime=0) as f:
        f.write(raw)
    return buf.getvalue()


def degrade_images(clean, rng):
    """Hides a band of rows or columns of each image, then adds Gaussian noise."""
    out = clean.astype(np.float64)
    for image in out:
        start = int(rng.integers(0, 8 - HIDE + 1))
        if rng.integers(0, 2) == 0:
            image[start:start + HIDE, :] = 0.0
        else:
            image[:, start:start + HIDE] = 0.0
    out += rng.normal(0.0, IMAGE_NOISE, out.shape)
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


# ---------------------------------------------------------------- audio

def synthesise(voice, speed, pitch, word, folder):
    """One word at 8 kHz, mean 0, silence trimmed at 40 dB under the loudest frame."""
    path = os.path.join(folder, "w.wav")
    subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "-w", path, word],
                   check=True, stdout=subprocess.DEVNULL)
    with wave.open(path) as w:
        rate = w.getframerate()
        assert w.getnchannels() == 1 and w.getsampwidth() == 2
        x = np.frombuffer(w.readframes(w.getnframes()), dtype="<i2").astype(np.float64) / 32768.0
    assert rate == 22050, rate
    x = resample_poly(x, 160, 441)
    hop = 80
    frames = x[: len(x) // hop * hop].reshape(-1, hop)
    power = (frames ** 2).mean(axis=1)
    loud = np.flatnonzero(power > power.max() * 1e-4)
    x = x[loud[0] * hop: (loud[-1] + 1) * hop]
    return x - x.mean()


def record(voice, word, rng, folder):
    speed = int(rng.integers(SPEED[0], SPEED[1] + 1))
    pitch = int(rng.integers(PITCH[0], PITCH[1] + 1))
    before, after = (int(rng.uniform(*LEAD_S) * RATE) for _ in range(2))
    snr = rng.uniform(*SNR_DB)
    x = synthesise(voice, speed, pitch, word, folder)
    while len(x) > MAX_S * RATE:          # too slow a take: say it faster
        speed += 20
        x = synthesise(voice, speed, pitch, word, folder)
    power = (x ** 2).mean()
    spare = int(MAX_S * RATE) - len(x)
    before = min(before, spare)
    after = min(after, spare - before)
    after = max(after, int(MIN_S * RATE) - len(x) - before)
    x = np.concatenate([np.zeros(before), x, np.zeros(after)])
    x = x + rng.normal(0.0, np.sqrt(power / 10.0 ** (snr / 10.0)), len(x))
    x = x / np.abs(x).max() * 0.95
    return np.clip(np.rint(x * 127.0) + 128, 0, 255).astype(np.uint8)


def wav_bytes(samples):
    buf = io.BytesIO()
    with wave.open(buf, "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(1)                 # 8-bit unsigned PCM
        w.setframerate(RATE)
        w.writeframes(samples.tobytes())
    return buf.getvalue()


# ---------------------------------------------------------------- pairs

def split_rows(labels, rng):
    """Stratified split with the exact totals of ROWS."""
    n = len(labels)
    keyed = []
    for digit in range(10):
        rows = rng.permutation(np.flatnonzero(labels == digit))
        keyed += [((i + 0.5) / len(rows), digit, int(r)) for i, r in enumerate(rows)]
    keyed.sort()
    split = [""] * n
    for place, (_, _, row) in enumerate(keyed):
        if place < ROWS["train"]:
            split[row] = "train"
        elif place < ROWS["train"] + ROWS["validation"]:
            split[row] = "validation"
        else:
            split[row] = "test"
    return split


def make(out):
    print_versions(True)
    digits = load_digits()
    labels = digits.target.astype(int)
    clean = np.rint(digits.images * 255.0 / 16.0).astype(np.uint8)
    images = degrade_images(clean, np.random.default_rng([SEED, 1]))
    split = split_rows(labels, np.random.default_rng([SEED, 2]))

    rng = np.random.default_rng([SEED, 3])
    voices = {}
    turn = 0
    for name, variants in VARIANTS.items():
        voices[name] = []
        for variant in variants:
            for _ in range(ACCENTS_PER_VARIANT):
                voices[name].append(ACCENTS[turn % len(ACCENTS)] + "+" + variant)
                turn += 1

    audio, pool = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name in voices:
            for v, voice in enumerate(voices[name]):
                token = voice.replace("+", "_")
                for digit, word in enumerate(WORDS):
                    path = "audio/%d_%s_1.wav" % (digit, token)
                    audio[path] = wav_bytes(record(voice, word, rng, folder))
                    pool.setdefault((name, digit), []).append((path, token))

    # Pairing: within split and class, recordings are dealt in shuffled rounds,
    # so each is used about equally often.
    rng = np.random.default_rng([SEED, 4])
    chosen = [None] * len(labels)
    for (name, digit), files in sorted(pool.items()):
        rows = [i for i in range(len(labels)) if labels[i] == digit and split[i] == name]
        deal = []
        while len(deal) < len(rows):
            deal += [files[i] for i in rng.permutation(len(files))]
        for row, pick in zip(rows, deal):
            chosen[row] = pick

    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["id", "split", "image_row", "audio_file", "voice", "label"])
    for row, label in enumerate(labels):
        path, token = chosen[row]
        table.writerow(["d%04d" % row, split[row], row, path, token, int(label)])

    used = {c[0] for c in chosen}
    entries = [("NOTICE.txt", NOTICE.encode(), zipfile.ZIP_DEFLATED),
               ("pairs.csv", text.getvalue().encode(), zipfile.ZIP_DEFLATED),
               ("images.idx3.gz", idx3_gz(images), zipfile.ZIP_STORED),
               ("images_clean.idx3.gz", idx3_gz(clean), zipfile.ZIP_STORED)]
    entries += [(p, audio[p], zipfile.ZIP_DEFLATED) for p in sorted(audio) if p in used]
    os.makedirs(out, exist_ok=True)
    target = os.path.join(out, "digits.zip")
    with zipfile.ZipFile(target, "w") as z:
        for name, data, how in entries:
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = how
            info.create_system = 3
            info.external_attr = 0o100644 << 16
            z.writestr(info, data, compress_type=how, compresslevel=9)
    data = open(target, "rb").read()
    print("%s  %d bytes  %d recordings (%d made)" % (target, len(data), len(used), len(audio)))
    print("sha256 %s" % hashlib.sha256(data).hexdigest())


# ---------------------------------------------------------------- check

def log_mel(x, n_fft=256, hop=128, n_mels=32, frames=64):
    window = np.hanning(n_fft + 1)[:-1]
    if len(x) < n_fft:
        x = np.pad(x, (0, n_fft - len(x)))
    count = 1 + (len(x) - n_fft) // hop
    cut = np.stack([x[i * hop: i * hop + n_fft] * window for i in range(count)])
    power = np.abs(np.fft.rfft(cut, axis=1)) ** 2
    top = 2595.0 * np.log10(1.0 + RATE / 2.0 / 700.0)
    hz = 700.0 * (10.0 ** (np.linspace(0.0, top, n_mels + 2) / 2595.0) - 1.0)
    freq = np.arange(n_fft // 2 + 1) * RATE / n_fft
    bank = np.zeros((n_mels, len(freq)))
    for m in range(n_mels):
        lo, mid, hi = hz[m: m + 3]
        bank[m] = np.clip(np.minimum((freq - lo) / (mid - lo), (hi - freq) / (hi - mid)), 0.0, None)
    mel = np.log(power @ bank.T + 1e-6)
    out = np.full((frames, n_mels), np.log(1e-6))
    out[: min(frames, count)] = mel[:frames]
    return out


def read_archive(path):
    with zipfile.ZipFile(path) as z:
        rows = list(csv.DictReader(io.StringIO(z.read("pairs.csv").decode())))
        def idx(name):
            raw = gzip.decompress(z.read(name))
            n, h, w = struct.unpack(">III", raw[4:16])
            return np.frombuffer(raw, np.uint8, offset=16).reshape(n, h, w)
        images, clean = idx("images.idx3.gz"), idx("images_clean.idx3.gz")
        sound = {}
        for name in z.namelist():
            if name.endswith(".wav"):
                with wave.open(io.BytesIO(z.read(name))) as w:
                    assert (w.getnchannels(), w.getsampwidth(), w.getframerate()) == (1, 1, RATE)
                    pcm = np.frombuffer(w.readframes(w.getnframes()), np.uint8)
                sound[name] = (pcm.astype(np.float64) - 128.0) / 128.0
    return rows, images, clean, sound


def check(out):
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    warnings.filterwarnings("ignore")
    print_versions(False)
    rows, images, clean, sound = read_archive(os.path.join(out, "digits.zip"))
    y = np.array([int(r["label"]) for r in rows])
    split = np.array([r["split"] for r in rows])
    voice = np.array([r["voice"] for r in rows])
    at = {s: np.flatnonzero(split == s) for s in ROWS}

    # What the manifest promises.
    assert sorted(int(r["image_row"]) for r in rows) == list(range(len(images)))
    assert np.array_equal(np.array([clean[int(r["image_row"])] for r in rows]),
                          np.rint(load_digits().images * 255.0 / 16.0))
    assert np.array_equal(y, load_digits().target)
    assert {r["audio_file"] for r in rows} == set(sound)
    for r in rows:
        assert r["audio_file"] == "audio/%s_%s_1.wav" % (r["label"], r["voice"])
    for field in (lambda v: v, lambda v: v.rsplit("_", 1)[1]):
        sets = [{field(v) for v in voice[at[s]]} for s in ROWS]
        assert not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])
    length = np.array([len(x) for x in sound.values()]) / RATE
    assert length.min() >= MIN_S and length.max() <= MAX_S
    print("recordings %d, %.2f to %.2f s, mean %.2f s" % (len(sound), length.min(), length.max(), length.mean()))
    for s in ROWS:
        print("%-10s rows %4d  voices %2d  variants %2d  recordings %3d  classes %s" % (
            s, len(at[s]), len(set(voice[at[s]])), len({v.rsplit("_", 1)[1] for v in voice[at[s]]}),
            len({rows[i]["audio_file"] for i in at[s]}), np.bincount(y[at[s]]).tolist()))

    order = [int(r["image_row"]) for r in rows]
    pixels = images[order].reshape(len(rows), -1) / 255.0
    plain = clean[order].reshape(len(rows), -1) / 255.0
    mel = {name: log_mel(x).ravel() for name, x in sound.items()}
    mels = np.stack([mel[r["audio_file"]] for r in rows])

    def probabilities(model, x):
        model = make_pipeline(StandardScaler(), model).fit(x[at["train"]], y[at["train"]])
        return {s: model.predict_proba(x[at[s]]) for s in ("validation", "test")}

    def acc(p, s):
        return float((p[s].argmax(1) == y[at[s]]).mean())

    def show(name, p):
        print("%-44s %.3f       %.3f" % (name, acc(p, "validation"), acc(p, "test")))

    def mean(a, b):
        return {s: (a[s] + b[s]) / 2.0 for s in a}

    def logistic(c):
        return LogisticRegression(C=c, max_iter=2000)

    def mlp():
        return MLPClassifier((64,), alpha=1.0, max_iter=200, random_state=7)

    print("%-44s validation  test" % "accuracy")
    show("clean image, logistic regression", probabilities(logistic(0.1), plain))
    li, la = probabilities(logistic(0.1), pixels), probabilities(logistic(0.001), mels)
    show("image, logistic regression", li)
    show("audio, logistic regression", la)
    show("mean of the two", mean(li, la))
    mi, ma = probabilities(mlp(), pixels), probabilities(mlp(), mels)
    show("image, MLP 64", mi)
    show("audio, MLP 64", ma)
    show("mean of the two", mean(mi, ma))


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default=os.path.join(here, "..", "demo"),
                        help="folder of digits.zip (default: testdata/demo)")
    parser.add_argument("--check", action="store_true",
                        help="read the archive, test its promises, score simple models")
    args = parser.parse_args()
    out = os.path.relpath(args.out)
    (check if args.check else make)(out)


if __name__ == "__main__":
    main()
