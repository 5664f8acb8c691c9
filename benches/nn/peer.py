"""The networks of `workloads.rs` in PyTorch on the CPU: `peer.py NAME [SECONDS]`, threads by TORCH_THREADS (2).

pip install torch==2.15.0 torchvision==0.29.2. Prints a line of JSON: median, least, count, peak of resident memory.
"""

import json
import os
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

torch.set_num_threads(int(os.environ.get("TORCH_THREADS", "2")))
name = sys.argv[1]
seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 4.0


def measure(work, warm=3):
    for _ in range(warm):
        work()
    times, begin = [], time.perf_counter()
    while len(times) < 3 or (time.perf_counter() - begin < seconds and len(times) < 2000):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    times.sort()
    peak = next(float(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
    told = dict(wl=name, ms=round(times[len(times) // 2], 4), min=round(times[0], 4), n=len(times), rss=round(peak))
    print(json.dumps(told))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(784, 512), nn.Linear(512, 256), nn.Linear(256, 10)

    def forward(self, x):
        return self.c(F.relu(self.b(F.relu(self.a(x)))))


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1)
        self.fc = nn.Linear(64 * 49, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.c1(x)), 2)
        return self.fc(F.max_pool2d(F.relu(self.c2(x)), 2).flatten(1))


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.fc = nn.LSTM(64, 128, batch_first=True), nn.Linear(128, 10)

    def forward(self, x):
        return self.fc(self.lstm(x)[0][:, -1])


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(4000, 128), nn.Parameter(torch.randn(128, 128))
        layer = nn.TransformerEncoderLayer(128, 4, 512, 0.0, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, nn.LayerNorm(128), enable_nested_tensor=False)
        self.fc = nn.Linear(128, 10)

    def forward(self, x):
        return self.fc(self.blocks(self.words(x) + self.places).mean(1))


def reader(channels, flat):
    """Convolution, rectifier and pooling for each number of channels, then 64 features."""
    layers, inputs = [], 1
    for outputs in channels:
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        inputs = outputs
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, 64), nn.ReLU())


class Concat(nn.Module):
    """The concat model of AV-MNIST."""

    def __init__(self):
        super().__init__()
        self.image, self.audio = reader([16, 32], 1568), reader([16, 32, 32], 1024)
        self.head = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, image, audio):
        return self.head(torch.cat([self.image(image), self.audio(audio)], 1))


def epochs():
    rows = 10_000
    image, audio = torch.randn(rows, 1, 28, 28), torch.randn(rows, 1, 32, 64)
    y, model = torch.arange(rows) * 7 % 10, Concat()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    model.train()

    def epoch():
        order = torch.randperm(rows)
        for at in range(0, rows, 64):
            some = order[at : at + 64]
            optimizer.zero_grad()
            loss = F.cross_entropy(model(image[some], audio[some]), y[some])
            loss.backward()
            optimizer.step()

    measure(epoch, warm=1)


def resnet18():
    from torchvision.models import resnet18

    return resnet18(weights=None)


def train(model, optimizer, x, y):
    model.train()

    def step():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        loss.item()

    measure(step)


torch.manual_seed(1)
if name == "mlp":
    model = Mlp()
    train(model, torch.optim.Adam(model.parameters(), 1e-3), torch.randn(128, 784), torch.arange(128) % 10)
elif name == "cnn":
    model = Cnn()
    train(model, torch.optim.SGD(model.parameters(), 1e-2), torch.randn(128, 1, 28, 28), torch.arange(128) % 10)
elif name == "lstm":
    model = Lstm()
    train(model, torch.optim.Adam(model.parameters(), 1e-3), torch.randn(32, 100, 64), torch.arange(32) % 10)
elif name == "transformer":
    model, x = Transformer(), torch.randint(1, 4000, (32, 128))
    train(model, torch.optim.Adam(model.parameters(), 1e-3), x, torch.arange(32) % 10)
elif name == "r18train":
    model = resnet18()
    train(model, torch.optim.SGD(model.parameters(), 1e-2), torch.randn(16, 3, 64, 64), torch.arange(16) % 10)
elif name == "r18infer":
    model, x = resnet18().eval(), torch.randn(8, 3, 224, 224)
    with torch.inference_mode():
        measure(lambda: model(x))
elif name == "avmnist":
    epochs()
elif name in ("softmax", "gelu"):
    x = torch.randn(4096, 1024)
    with torch.inference_mode():
        measure((lambda: torch.softmax(x, 1)) if name == "softmax" else (lambda: F.gelu(x)))
else:
    sys.exit(f"there is no workload {name}")
