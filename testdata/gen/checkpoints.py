"""Makes golden/checkpoints/: small files of torch.save and safetensors, and what they hold.

    pip install torch==2.15.0 safetensors==0.8.0 numpy
    python testdata/gen/checkpoints.py

The bytes are the same each time, but for old*.pth: PyTorch before 1.6 names storages by their address in memory.
"""

import collections
import json
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import nn

assert torch.__version__.startswith("2.15.0") and safetensors.__version__ == "0.8.0"
folder = Path(__file__).resolve().parent.parent / "golden" / "checkpoints"
folder.mkdir(exist_ok=True)
torch.manual_seed(7)
expected = {"versions": {"torch": torch.__version__.split("+")[0], "safetensors": safetensors.__version__}}


def told(tensors):
    """Type, shape and numbers as 32-bit floats, as text where they are not finite."""
    out = {}
    for name, t in tensors.items():
        t = t.detach()
        numbers = [v if abs(v) < float("inf") else repr(v) for v in t.to(torch.float32).flatten().tolist()]
        out[name] = {"dtype": str(t.dtype).removeprefix("torch."), "shape": list(t.shape), "numbers": numbers}
    return out


def save(name, content, tensors, **options):
    torch.save(content, folder / name, **options)
    expected[name] = told(tensors)


class Block(nn.Module):
    """Names as in torchvision's ResNet."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(2)
        self.layer1 = nn.Sequential(nn.Module())
        self.layer1[0].downsample = nn.Sequential(nn.Conv2d(2, 3, 1, bias=False))
        self.fc = nn.Linear(3, 2)

    def forward(self, x):
        x = self.layer1[0].downsample(self.bn1(self.conv1(x)))
        return self.fc(x.mean((2, 3)))


net = Block()
optimizer = torch.optim.Adam(net.parameters())
net(torch.randn(4, 1, 6, 6)).square().sum().backward()
optimizer.step()
state = net.state_dict()

save("state.pth", state, state)
save("old.pth", state, state, _use_new_zipfile_serialization=False)
training = {
    "epoch": 3,
    "state_dict": {f"module.{name}": t for name, t in state.items()},
    "optimizer": optimizer.state_dict(),
    "best": 0.5,
    "arguments": {"device": torch.device("cpu"), "size": torch.Size([6, 6]), "dtype": torch.float16, "note": b"\xff"},
    "seen": {1, 2},
    "large": 2**70,
    "rng_state": torch.tensor([1, 2], dtype=torch.uint8),
}
save("training.pth", training, training["state_dict"])
nested = {"generator": {"weight": torch.ones(2)}, "others": [torch.zeros(1), {"ema": (torch.tensor(2.0),)}]}
save("nested.pth", nested, {"generator.weight": torch.ones(2), "others.0": torch.zeros(1), "others.1.ema.0": torch.tensor(2.0)})

t = torch.randn(3, 4)
channels_last = torch.randn(2, 3, 2, 2).to(memory_format=torch.channels_last)
tagged = nn.Parameter(t[:1])
tagged.note = "an attribute"
views = collections.OrderedDict(
    whole=t,
    tied=t,
    turned=t.t(),
    part=t[1:, ::2],
    column=t[:, 1],
    channels_last=channels_last,
    number=torch.tensor(3.5),
    empty=torch.zeros(0, 3),
    parameter=nn.Parameter(t),
    tagged=tagged,
    buffer=nn.Buffer(t[0]),
    turned_half=t.t().half(),
)
save("views.pth", views, views)
old_views = {name: views[name] for name in ["whole", "tied", "turned", "part", "number", "empty"]}
save("old_views.pth", old_views, old_views, _use_new_zipfile_serialization=False)

odd = torch.tensor([0.1, -2.5, 65504.0, 1e-7, float("inf"), float("nan")], dtype=torch.float64)
types = {str(d).removeprefix("torch."): odd.to(d) for d in [torch.float64, torch.float32, torch.float16, torch.bfloat16]}
whole = torch.tensor([0, 1, 127, 100])
for d in ["int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool"]:
    types[d] = whole.to(getattr(torch, d))
types["large"] = torch.tensor([2**24 + 1, -(2**53) - 1, 2**62])
save("types.pth", types, types)
safetensors.torch.save_file(types, folder / "types.safetensors", metadata={"format": "pt"})
expected["types.safetensors"] = told(types)

names = list(state)
shards = {"model-00001-of-00002.safetensors": names[:4], "model-00002-of-00002.safetensors": names[4:]}
for shard, of in shards.items():
    safetensors.torch.save_file({name: state[name] for name in of}, folder / shard)
index = {
    "metadata": {"total_size": sum(t.numel() * t.element_size() for t in state.values())},
    "weight_map": {name: shard for shard, of in shards.items() for name in of},
}
(folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")
expected["model.safetensors.index.json"] = told(state)

# What has to be refused.
torch.save(net.fc, folder / "module.pth")
torch.save({"a": torch.tensor([1 + 2j]).conj()}, folder / "conjugated.pth")
torch.save({"a": torch.zeros(1).expand(4)}, folder / "expanded.pth")
torch.save(torch.zeros(2), folder / "nameless.pth")
torch.save({"state_dict": state, "model": state}, folder / "two.pth")

(folder / "expected.json").write_text(json.dumps(expected) + "\n")
