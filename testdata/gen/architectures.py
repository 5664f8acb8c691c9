"""Golden values of whole architectures, made by PyTorch and torchvision:
python3 testdata/gen/architectures.py testdata/golden/checkpoints/resnet18.pth > testdata/golden/architectures.json

Pinned: torch 2.15.0 (CPU), torchvision 0.29.2. Numbers of parameters follow from their names and places by integers alone,
so that none has to be written down: see `fill`, which the test does again.
"""
import json
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

torch.set_num_threads(1)


def fill(name, shape):
    """Numbers in [-.5, .5) from integers, then scaled by what the parameter is."""
    salt = sum(name.encode())
    count = 1
    for s in shape:
        count *= s
    i = torch.arange(count, dtype=torch.int64)
    v = ((i * 7919 + salt * 10429) % 2003).double() / 2003 - 0.5
    if len(shape) > 1:
        v = v * (6.0 / (count // shape[0])) ** 0.5
    elif name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
        v = v + 1.0
    return v.float().reshape(shape)


def few(t):
    """The first numbers of a tensor and the sum of squares of all."""
    t = t.detach().double().flatten()
    return {"first": [float(f"{v:.9g}") for v in t[:4].tolist()], "squares": float(f"{(t * t).sum().item():.9g}")}


def case(name, config, shape, rows, module, ours):
    """`ours` turns a name of the module into one of ours, or None where we have no such number."""
    for key, tensor in module.state_dict().items():
        if ours(key) is not None:
            tensor.copy_(fill(ours(key), list(tensor.shape)))
    x = fill("input", [rows, *shape])
    module.eval()
    predicted = module(x).detach()
    module.train()
    logits = module(x)
    loss = F.cross_entropy(logits, torch.tensor([r % logits.shape[1] for r in range(rows)]))
    loss.backward()
    # Deep in a narrow network of fifty layers, gradients in f32 differ from those in f64 by hundredths in PyTorch itself; at
    # both ends they do not.
    ends = len(module.state_dict()) > 300
    some = lambda pairs: {ours(k): few(t) for i, (k, t) in enumerate(pairs)
                          if (k.startswith(("conv1.", "bn1.", "fc.")) if ends else i % 7 == 0 or len(pairs) < 30)}
    moments = some([(k, t) for k, t in module.state_dict().items() if "running" in k])
    return {
        "name": name, "config": config, "shape": list(shape), "rows": rows, "tensors": sum(ours(k) is not None for k in module.state_dict()),
        "predicted": predicted.flatten().tolist(), "logits": logits.detach().flatten().tolist(), "loss": loss.item(),
        "moments": moments, "gradients": some([(k, p.grad) for k, p in module.named_parameters()]),
    }


class Narrow(ResNet):
    """torchvision's ResNet with another width, number of channels and stem."""

    def __init__(self, block, layers, channels, width, classes, small):
        nn.Module.__init__(self)
        self._norm_layer, self.inplanes, self.dilation, self.groups, self.base_width = nn.BatchNorm2d, width, 1, 1, 64
        self.conv1 = nn.Conv2d(channels, width, 3 if small else 7, 1 if small else 2, 1 if small else 3, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        for stage in range(4):
            layer = self._make_layer(block, width << stage, layers[stage], stride=1 if stage == 0 else 2)
            setattr(self, f"layer{stage + 1}", layer)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear((width << 3) * block.expansion, classes)


def resnet_name(key):
    if key.endswith("num_batches_tracked"):
        return None
    return key.replace("fc.", "head.") if key.startswith("fc.") else f"encoders.x.{key}"


class Cnn(nn.Module):
    """Two blocks of two convolutions with batch norm, means of 2 x 2, the mean over places, a dense layer, a head."""

    def __init__(self):
        super().__init__()
        sizes = [(2, 3), (3, 3), (3, 4), (4, 4)]
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1, bias=False) for i, o in sizes)
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for _, o in sizes)
        self.dense, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms)):
            x = F.relu(norm(conv(x)))
            if i % 2 == 1:
                x = F.avg_pool2d(x, 2)
        return self.head(F.relu(self.dense(x.mean((2, 3)))))


def cnn_name(key):
    if key.endswith("num_batches_tracked"):
        return None
    kind, *rest = key.split(".")
    if kind in ("convs", "norms"):
        i = int(rest[0])
        return f"encoders.x.{kind[:-1]}{i // 2 + 1}.{i % 2}.{rest[1]}"
    return key if kind == "head" else f"encoders.x.{key}"


class Recurrent(nn.Module):
    """Two layers in both directions; the last state of one direction beside the first of the other."""

    def __init__(self, cell):
        super().__init__()
        self.cell, self.head = cell(3, 4, num_layers=2, bidirectional=True, batch_first=True), nn.Linear(8, 3)

    def forward(self, x):
        y = self.cell(x)[0]
        return self.head(torch.cat([y[:, -1, :4], y[:, 0, 4:]], 1))


def recurrent_name(kind):
    return lambda key: key if key.startswith("head") else key.replace("cell.", f"encoders.x.{kind}.")


both = {"hidden": 4, "layers": 2, "bidirectional": True}
cases = [
    case("resnet 18", {"method": "resnet", "width": 4}, [3, 40, 33], 4, Narrow(BasicBlock, [2, 2, 2, 2], 3, 4, 3, False), resnet_name),
    case("resnet 34, small stem", {"method": "resnet", "depth": 34, "width": 2, "stem": "small"}, [1, 9, 14], 3,
         Narrow(BasicBlock, [3, 4, 6, 3], 1, 2, 3, True), resnet_name),
    case("resnet 50", {"method": "resnet", "depth": 50, "width": 2}, [3, 40, 40], 3, Narrow(Bottleneck, [3, 4, 6, 3], 3, 2, 3, False), resnet_name),
    case("cnn", {"method": "cnn", "channels": [3, 4], "repeat": 2, "norm": "batch", "pool": "mean", "reduce": "mean", "features": 5},
         [2, 9, 12], 4, Cnn(), cnn_name),
    case("lstm", {"method": "lstm", **both}, [7, 3], 4, Recurrent(nn.LSTM), recurrent_name("lstm")),
    case("gru", {"method": "gru", **both}, [7, 3], 4, Recurrent(nn.GRU), recurrent_name("gru")),
]
# A checkpoint as people have them; its numbers are those of `fill` by torchvision's own names.
narrow = Narrow(BasicBlock, [2, 2, 2, 2], 3, 2, 3, False)
for key, tensor in narrow.state_dict().items():
    if tensor.is_floating_point():
        tensor.copy_(fill(key, list(tensor.shape)))
torch.save(narrow.state_dict(), sys.argv[1])
json.dump({"peer": f"torch {torch.__version__}, torchvision {torchvision.__version__}", "cases": cases}, sys.stdout)
