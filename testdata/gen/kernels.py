"""Golden values for the kernels of the networks, made by PyTorch:

    python3 testdata/gen/kernels.py > testdata/golden/kernels.json

Pinned: torch 2.15.0 (CPU). Each case has inputs, the output y, numbers `pull` of its shape, and the gradients of
sum(pull * y) for the inputs. Inputs have two decimals, so that both sides read the same numbers.
"""
import json
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

torch.manual_seed(20240602)
torch.set_num_threads(1)


def draw(*shape):
    return torch.tensor([round(v, 2) for v in torch.randn(shape).flatten().tolist()]).reshape(shape).requires_grad_()


def plain(t):
    return {"shape": list(t.shape), "values": [round(v, 2) for v in t.detach().flatten().tolist()]}


def flat(t):
    return {"shape": list(t.shape), "values": [float(f"{v:.8g}") for v in t.detach().flatten().tolist()]}


cases = []


def case(kernel, settings, inputs, y, mask=None):
    pull = draw(*y.shape)
    if mask is not None:
        pull = (pull.detach() * mask).requires_grad_()
    (y * pull.detach()).sum().backward()
    cases.append({
        "kernel": kernel, "settings": settings, "inputs": [plain(x) for x in inputs], "output": flat(y),
        "pull": plain(pull), "gradients": [flat(x.grad) for x in inputs],
    })


for (x, w), stride, padding, dilation, groups, rectify in [
    (([2, 3, 5, 4], [2, 3, 3, 3]), 1, [1, 1], 1, 1, True),
    (([2, 4, 8, 6], [2, 2, 3, 2]), 2, [2, 1], 2, 2, False),
]:
    inputs = [draw(*x), draw(*w), draw(w[0])]
    y = F.conv2d(*inputs, stride=stride, padding=padding, dilation=dilation, groups=groups)
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "rectify": rectify}
    case("conv2d", settings, inputs, F.relu(y) if rectify else y)

for (x, w), stride, padding, dilation, groups, more, rectify in [
    (([2, 3, 3, 4], [3, 2, 3, 3]), 2, [1, 1], 1, 1, [1, 1], True),
    (([2, 4, 3, 2], [4, 1, 3, 2]), 3, [2, 1], 2, 2, [2, 0], False),
]:
    inputs = [draw(*x), draw(*w), draw(w[1] * groups)]
    y = F.conv_transpose2d(*inputs, stride=stride, padding=padding, output_padding=more, groups=groups, dilation=dilation)
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "more": more, "rectify": rectify}
    case("conv_transpose2d", settings, inputs, F.relu(y) if rectify else y)

for residual in [False, True]:
    inputs = [draw(3, 2, 3, 2), draw(2), draw(2)] + ([draw(3, 2, 3, 2)] if residual else [])
    y = F.batch_norm(inputs[0], None, None, inputs[1], inputs[2], training=True, eps=1e-5)
    case("batch_norm", {"rectify": residual}, inputs, F.relu(y + inputs[3]) if residual else y)

x = draw(2, 2, 5, 7)
case("max_pool", {"size": 3, "stride": 2, "padding": 1}, [x], F.max_pool2d(x, 3, 2, 1))
x = draw(2, 2, 5, 7)
case("mean_pool", {"size": 3, "stride": 2, "padding": 1}, [x], F.avg_pool2d(x, 3, 2, 1, count_include_pad=False))

rows, steps, width, hidden, lengths = 3, 4, 2, 3, [4, 1, 3]
for kernel, make in [("lstm", nn.LSTM), ("gru", nn.GRU)]:
    network = make(width, hidden, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(torch.tensor([round(v, 2) for v in p.flatten().tolist()]).reshape(p.shape))
    x = draw(rows, steps, width)
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    y, _ = pad_packed_sequence(network(packed)[0], batch_first=True)
    mask = torch.tensor([[[float(t < n)] for t in range(steps)] for n in lengths])
    # weight_ih, weight_hh, bias_ih, bias_hh of the forward direction, then of the backward one.
    case(kernel, {"lengths": lengths}, [x, *network.parameters()], y, mask)

inputs = [draw(3, 2, 5), draw(2, 5), draw(2, 5)]
case("layer_norm", {}, inputs, F.layer_norm(inputs[0], [2, 5], inputs[1], inputs[2], eps=1e-5))
inputs = [draw(2, 4, 2, 3), draw(4), draw(4)]
case("group_norm", {"groups": 2}, inputs, F.group_norm(inputs[0], 2, inputs[1], inputs[2], eps=1e-5))

indices, offsets = [3, 0, 5, 2, 2, 4], [0, 0, 2, 5]
for mode in ["sum", "mean", "max"]:
    weights = [0.5, -1.25, 2.0, 0.0, 1.5, 0.75] if mode == "sum" else None
    table = draw(6, 3)
    y = F.embedding_bag(torch.tensor(indices), table, torch.tensor(offsets), mode=mode,
                        per_sample_weights=None if weights is None else torch.tensor(weights))
    case("embedding_bag", {"mode": mode, "indices": indices, "offsets": offsets, "weights": weights}, [table], y)

x = draw(3, 5)
case("softmax", {}, [x], F.softmax(x, 1))
x, truth, share = draw(3, 4), [[1.0, 0, 0, 0], [0, 0.25, 0, 0.75], [0, 0, 1, 0]], [0.5, 0.25, 0.125]
y = (F.cross_entropy(x, torch.tensor(truth), reduction="none") * torch.tensor(share)).sum().reshape(1)
case("cross_entropy", {"truth": truth, "share": share}, [x], y)
x = (draw(4, 6).detach() * 2).requires_grad_()
case("gelu", {}, [x], F.gelu(x))
x = draw(3, 5)
case("log_softmax", {}, [x], F.log_softmax(x, 1))
for kernel, function in [("tanh", torch.tanh), ("sigmoid", torch.sigmoid)]:
    x = (draw(4, 6).detach() * 2).requires_grad_()
    case(kernel, {}, [x], function(x))

# Rows of several lengths, one after the other.
lengths, heads = [4, 0, 1, 3], 2
x = draw(sum(lengths), 3 * 6)
rows = []
for row in x.split(lengths):
    q, k, v = (part.reshape(len(row), heads, 3).transpose(0, 1) for part in row.split(6, 1))
    rows.append(F.scaled_dot_product_attention(q, k, v).transpose(0, 1).reshape(len(row), 6))
case("attention", {"lengths": lengths, "heads": heads}, [x], torch.cat(rows))

x, weight, bias = draw(sum(lengths), 3), draw(5, 2, 3), draw(5)
rows = [
    F.relu(F.conv1d(row.T[None], weight.transpose(1, 2), bias, padding=1).amax(2)) if len(row) else torch.zeros(1, 5)
    for row in x.split(lengths)
]
case("largest_window", {"lengths": lengths}, [x, weight, bias], torch.cat(rows))

json.dump({"peer": f"torch {torch.__version__}", "cases": cases}, sys.stdout, separators=(",", ":"))
print(f"torch {torch.__version__}, python {sys.version.split()[0]}", file=sys.stderr)
