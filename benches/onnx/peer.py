"""ResNet-18 in Python's onnxruntime on the CPU: `peer.py FILE BATCH [SECONDS]`, threads by ORT_THREADS (2).
`peer.py export FILE` writes the model with torchvision, weights at random.

pip install torch==2.15.0 torchvision==0.29.2 onnx==1.23.2 (export), onnxruntime==1.32.0 numpy==2.4.6 (timing). Prints a line of JSON:
median, least, count, peak of resident memory.
"""
import json
import os
import sys
import time


def export(path):
    import torch
    import torchvision

    torch.manual_seed(1)
    net = torchvision.models.resnet18(weights=None).eval()
    torch.onnx.export(
        net, (torch.randn(1, 3, 224, 224),), path, dynamo=False, input_names=["image"], output_names=["logits"],
        dynamic_axes={"image": {0: "rows"}, "logits": {0: "rows"}},
    )


def measure(path, batch, seconds):
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("ORT_THREADS", "2"))
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).standard_normal((batch, 3, 224, 224)).astype(np.float32)
    for _ in range(3):
        session.run(None, {"image": x})
    times, begin = [], time.perf_counter()
    while len(times) < 3 or (time.perf_counter() - begin < seconds and len(times) < 2000):
        start = time.perf_counter()
        session.run(None, {"image": x})
        times.append((time.perf_counter() - start) * 1e3)
    times.sort()
    peak = next(float(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
    told = dict(wl=f"b{batch}", ms=round(times[len(times) // 2], 4), min=round(times[0], 4), n=len(times), rss=round(peak))
    print(json.dumps(told))


if sys.argv[1] == "export":
    export(sys.argv[2])
else:
    measure(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 4.0)
