"""Models by PyTorch as ONNX files, with what ONNX Runtime says of rows: python3 testdata/gen/onnx_torch.py

Pinned: torch 2.15.0 (CPU), onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0. A small CNN is trained on the rows for training of
the demo's images (testdata/demo/digits.zip) and written to recipes/onnx/digits_cnn.onnx; its features alone, with numbers in a
file beside, to testdata/golden/onnx/encoder.onnx; three images with what both say to testdata/golden/onnx/torch.json.
"""
import csv
import gzip
import io
import json
import pathlib
import zipfile

import onnx
import onnxruntime
import torch
from torch import nn

root = pathlib.Path(__file__).parent.parent.parent
golden = root / "testdata" / "golden" / "onnx"
torch.manual_seed(20261127)
torch.set_num_threads(1)

with zipfile.ZipFile(root / "testdata" / "demo" / "digits.zip") as archive:
    table = list(csv.DictReader(io.StringIO(archive.read("pairs.csv").decode())))
    images = gzip.decompress(archive.read("images.idx3.gz"))[16:]
pixels = torch.frombuffer(bytearray(images), dtype=torch.uint8).reshape(-1, 1, 8, 8).float() / 255


def part(name):
    rows = [r for r in table if r["split"] == name]
    x = torch.stack([pixels[int(r["image_row"])] for r in rows])
    return (x - 0.3) / 0.35, torch.tensor([int(r["label"]) for r in rows])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        )
        self.head = nn.Linear(192, 10)

    def forward(self, image):
        return self.head(self.features(image))


net = Net()
x, y = part("train")
optimizer = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=0.05)
for _ in range(40):
    for rows in torch.randperm(len(x)).split(64):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
        optimizer.step()
net.eval()
tx, ty = part("test")
print("accuracy on the test rows", (net(tx).argmax(1) == ty).float().mean().item())

file = root / "recipes" / "onnx" / "digits_cnn.onnx"
file.parent.mkdir(exist_ok=True)
torch.onnx.export(
    net, (x[:1],), file, dynamo=False, input_names=["image"], output_names=["logits"],
    dynamic_axes={"image": {0: "rows"}, "logits": {0: "rows"}},
)
encoder = torch.onnx.export(net.features, (x[:2],), dynamo=True, input_names=["image"], output_names=["features"],
                            dynamic_shapes=({0: "rows"},))
made = encoder.model_proto
# What the exporter says of its own source lines and folders.
for node in made.graph.node:
    del node.metadata_props[:]
for value in [*made.graph.value_info, *made.graph.input, *made.graph.output, *made.graph.initializer]:
    del value.metadata_props[:]
del made.metadata_props[:], made.graph.metadata_props[:]
onnx.save(made, golden / "encoder.onnx", save_as_external_data=True, location="encoder.onnx.data", size_threshold=64)


def given(path, x):
    return onnxruntime.InferenceSession(path).run(None, {"image": x.numpy()})[0].tolist()


three = tx[:3]
(golden / "torch.json").write_text(json.dumps({
    "bytes": (pixels[[int(r["image_row"]) for r in table if r["split"] == "test"][:3]] * 255).round().int().flatten(1).tolist(),
    "logits": given(file, three),
    "features": given(golden / "encoder.onnx", three),
}) + "\n")
