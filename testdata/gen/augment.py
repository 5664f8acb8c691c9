"""Makes golden/augment.json. Needs numpy, scipy and opencv-python-headless.

    python testdata/gen/augment.py
"""

import json
from pathlib import Path

import cv2
import numpy as np
import scipy
from scipy.stats import beta

here = Path(__file__).resolve().parent
versions = {"numpy": np.__version__, "scipy": scipy.__version__, "opencv": cv2.__version__}
rng = np.random.default_rng(7)
out = {"versions": versions}

cases = []
for height, width, channels, angle, factor in [
    (28, 28, 1, 10.0, 1.0),
    (28, 28, 1, -7.5, 1.0),
    (11, 17, 3, 90.0, 1.0),
    (20, 14, 1, 33.3, 1.0),
    (20, 14, 1, 0.0, 1.3),
    (13, 13, 3, 0.0, 0.7),
]:
    # smooth and rough at once: a blurred image with some noise
    image = cv2.GaussianBlur(rng.integers(0, 256, (height, width, channels)).astype(np.uint8), (3, 3), 0.8)
    image = image.reshape(height, width, channels)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, factor)
    turned = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=0)
    cases.append(
        {
            "shape": [height, width, channels],
            "angle": angle,
            "factor": factor,
            "pixels": image.ravel().tolist(),
            "turned": turned.ravel().tolist(),
        }
    )
out["warp"] = cases
quantiles = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999]
out["beta"] = {"alpha": 0.2, "quantiles": quantiles, "cdf": beta(0.2, 0.2).cdf(quantiles).round(12).tolist()}

(here / "../golden/augment.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")
print(versions)
