"""Golden files for the readers and the grouped folds of consilience-core.

Writes testdata/golden/data.json: small files of every format as hex, as the peers write them, with the values they hold;
and the balance that scikit-learn's StratifiedGroupKFold reaches on a fixed set of groups.

    pip install numpy==2.4.6 scikit-learn==1.9.1 pyarrow==26.0.1 pillow==13.0.0
    python testdata/gen/data.py
"""

import gzip
import io
import json
import struct
import sys
import wave
from pathlib import Path

import numpy as np
import PIL
import pyarrow as pa
import pyarrow.parquet as pq
import sklearn
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold

OUT = Path(__file__).resolve().parents[1] / "golden" / "data.json"


def npy_files():
    base = np.arange(6).reshape(2, 3)
    out = []
    for name in ["<f4", "<f8", "|u1", "<u2", "<i2", "<i4", "<i8", "|b1"]:
        values = (base % 2 if name == "|b1" else base + (0.5 if "f" in name else 0)).astype(name)
        for order in "CF":
            file = io.BytesIO()
            np.save(file, np.asarray(values, order=order))
            out.append({"type": name, "order": order, "hex": file.getvalue().hex(), "values": values.astype(float).ravel().tolist()})
    for version in [(2, 0), (3, 0)]:
        file = io.BytesIO()
        np.lib.format.write_array(file, base.astype("<i4"), version=version)
        out.append({"type": "<i4", "order": "C", "hex": file.getvalue().hex(), "values": base.astype(float).ravel().tolist()})
    return out


def npz_file():
    file = io.BytesIO()
    np.savez_compressed(file, a=np.arange(4, dtype="<f8").reshape(2, 2), y=np.array([1, 0], dtype="<i8"))
    return {"hex": file.getvalue().hex(), "a": [0, 1, 2, 3], "y": [1, 0]}


def idx_file():
    body = bytes([0, 0, 8, 3]) + struct.pack(">III", 2, 2, 2) + bytes(range(8))
    return {"hex": gzip.compress(body, mtime=0).hex(), "values": list(range(8))}


def wav_files():
    out = []
    rng = np.random.default_rng(0)
    for bits in [8, 16, 24, 32]:
        for channels in [1, 2]:
            whole = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), size=(5, channels))
            stored = whole + 128 if bits == 8 else whole
            raw = b"".join(int(v).to_bytes(bits // 8, "little", signed=bits != 8) for v in stored.ravel())
            file = io.BytesIO()
            with wave.open(file, "wb") as w:
                w.setnchannels(channels)
                w.setsampwidth(bits // 8)
                w.setframerate(8000)
                w.writeframes(raw)
            values = (whole / 2.0 ** (bits - 1)).mean(axis=1)
            out.append({"bits": bits, "channels": channels, "hex": file.getvalue().hex(), "values": values.tolist()})
    return out


def image_files():
    rng = np.random.default_rng(1)
    gray = rng.integers(0, 256, (3, 4), dtype=np.uint8)
    color = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
    alpha = np.dstack([color, rng.integers(0, 256, (3, 4), dtype=np.uint8)])
    deep = rng.integers(0, 65536, (3, 4), dtype=np.uint16)
    palette = Image.fromarray(color).quantize(4)
    bits = Image.fromarray(gray > 127)
    out = []

    def add(name, image, pixels):
        file = io.BytesIO()
        image.save(file, "PNG")
        out.append({"name": name, "hex": file.getvalue().hex(), "shape": list(pixels.shape), "pixels": pixels.ravel().tolist()})

    add("gray", Image.fromarray(gray), gray[..., None])
    add("color", Image.fromarray(color), color)
    add("alpha", Image.fromarray(alpha), color)
    add("deep", Image.fromarray(deep), ((deep.astype(np.uint32) + 128) // 257).astype(np.uint8)[..., None])
    add("palette", palette, np.asarray(palette.convert("RGB")))
    add("bits", bits, (np.asarray(bits) * 255).astype(np.uint8)[..., None])
    return out


def parquet_file():
    table = pa.table({
        "i": pa.array([1, None, -3], pa.int32()),
        "f": pa.array([0.5, float("nan"), None], pa.float32()),
        "b": pa.array([True, None, False]),
        "s": pa.array(["x", None, "z"]),
        "d": pa.array(["m", "f", None]).dictionary_encode(),
    })
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    texts = {"i": ["1", "", "-3"], "f": ["0.5", "", ""], "b": ["true", "", "false"], "s": ["x", "", "z"], "d": ["m", "f", ""]}
    return {"hex": file.getvalue().hex(), "texts": texts}


def grouped_folds():
    """1,000 rows in 60 groups of uneven size, 3 classes of uneven share; the balance is the largest deviation, over folds and
    classes, of the class's rows in the fold from a fifth of them, relative to that fifth."""
    rng = np.random.default_rng(2)
    group = np.sort(rng.choice(60, 1000, p=(w := 1 / np.arange(1, 61)) / w.sum()))
    tilt = rng.dirichlet([2, 1, 0.5], 60)
    label = np.array([rng.choice(3, p=tilt[g]) for g in group])
    worst = []
    for seed in range(10):
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(label, label, group)
        counts = np.array([np.bincount(label[test], minlength=3) for _, test in folds])
        fair = np.bincount(label) / 5
        worst.append(float(np.abs(counts / fair - 1).max()))
    return {"group": group.tolist(), "label": label.tolist(), "peer_balance": float(np.median(worst))}


def main():
    versions = {"python": sys.version.split()[0], "numpy": np.__version__, "scikit-learn": sklearn.__version__, "pyarrow": pa.__version__, "pillow": PIL.__version__}
    golden = {
        "made_by": versions,
        "npy": npy_files(),
        "npz": npz_file(),
        "idx": idx_file(),
        "wav": wav_files(),
        "image": image_files(),
        "parquet": parquet_file(),
        "folds": grouped_folds(),
    }
    OUT.write_text(json.dumps(golden) + "\n")
    print(versions, OUT.stat().st_size, "bytes; peer's balance", golden["folds"]["peer_balance"])


if __name__ == "__main__":
    main()
