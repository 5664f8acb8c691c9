"""Golden values for the networks, made by PyTorch: python3 testdata/gen/nn.py > testdata/golden/nn.json

Pinned: torch 2.15.0 (CPU). Forward passes, losses and gradients of small networks; steps of optimizers; schedules;
losses with label smoothing, with weights of classes and with a teacher.
"""
import json
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(20240601)
torch.set_num_threads(1)


def flat(t):
    return {"shape": list(t.shape), "values": [float(f"{v:.9g}") for v in t.detach().flatten().tolist()]}


def case(name, config, shapes, inputs, present, params, logits):
    """Logits of rows with their weighted cross-entropy and its gradient for every parameter."""
    rows, classes = logits.shape
    target = torch.tensor([r % classes for r in range(rows)])
    loss = F.cross_entropy(logits, target)
    loss.backward()
    return {
        "name": name, "config": config, "shapes": shapes, "inputs": [flat(x) for x in inputs], "present": present,
        "params": {k: flat(p) for k, p in params.items()}, "logits": flat(logits), "loss": loss.item(),
        "gradients": {k: flat(p.grad) for k, p in params.items()},
    }


def named(**modules):
    return {f"{m.replace('__', '.')}.{k}": p for m, mod in modules.items() for k, p in mod.named_parameters()}


cases = []

x = torch.randn(4, 6)
d1, d2, head = nn.Linear(6, 5), nn.Linear(5, 4), nn.Linear(4, 3)
cases.append(case("mlp", {"method": "mlp", "hidden": [5, 4]}, {"x": [6]}, [x], [[1] * 4],
                  named(encoders__x__dense1=d1, encoders__x__dense2=d2, head=head),
                  head(F.relu(d2(F.relu(d1(x)))))))

x = torch.randn(3, 2, 7, 9)
c1, c2, d, head = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 2, 3, padding=1), nn.Linear(2 * 1 * 2, 4), nn.Linear(4, 3)
h = F.max_pool2d(F.relu(c1(x)), 2)
h = F.max_pool2d(F.relu(c2(h)), 2)
cases.append(case("cnn", {"method": "cnn", "channels": [3, 2], "features": 4}, {"x": [2, 7, 9]}, [x], [[1] * 3],
                  named(encoders__x__conv1=c1, encoders__x__conv2=c2, encoders__x__dense=d, head=head),
                  head(F.relu(d(h.flatten(1))))))

x = torch.randn(2, 1, 6, 6)
c1, d, head = nn.Conv2d(1, 2, 5, padding=2), nn.Linear(2 * 3 * 3, 3), nn.Linear(3, 2)
cases.append(case("cnn with kernel 5", {"method": "cnn", "channels": [2], "kernel": 5, "features": 3},
                  {"x": [1, 6, 6]}, [x], [[1] * 2], named(encoders__x__conv1=c1, encoders__x__dense=d, head=head),
                  head(F.relu(d(F.max_pool2d(F.relu(c1(x)), 2).flatten(1))))))

x = torch.randn(3, 5, 3)
gru, head = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 3)
cases.append(case("gru", {"method": "gru", "hidden": 4}, {"x": [5, 3]}, [x], [[1] * 3],
                  named(encoders__x__gru=gru, head=head), head(gru(x)[0][:, -1])))

x = torch.randn(3, 1, 2, 6)
gru, head = nn.GRU(2, 3, batch_first=True), nn.Linear(3, 2)
cases.append(case("gru over frames", {"method": "gru", "hidden": 3}, {"x": [1, 2, 6]}, [x], [[1] * 3],
                  named(encoders__x__gru=gru, head=head), head(gru(x[:, 0].transpose(1, 2))[0][:, -1])))

a, b = torch.randn(4, 3), torch.randn(4, 2)
ra, rb = torch.tensor([1.0, 1, 0, 1]), torch.tensor([1.0, 0, 1, 1])
ea, eb, d, head = nn.Linear(3, 4), nn.Linear(2, 3), nn.Linear(4 + 3 + 2, 5), nn.Linear(5, 2)
u, v = F.relu(ea(a)) * ra[:, None], F.relu(eb(b)) * rb[:, None]
z = F.relu(d(torch.cat([u, v, ra[:, None], rb[:, None]], 1)))
cases.append(case("concat", {"method": "concat", "hidden": 5, "encoders": {"a": {"mlp": {"hidden": [4]}}, "b": {"mlp": {"hidden": [3]}}}},
                  {"a": [3], "b": [2]}, [a, b], [ra.int().tolist(), rb.int().tolist()],
                  named(encoders__a__dense1=ea, encoders__b__dense1=eb, fusion__dense=d, head=head), head(z)))

steps = []
for name, make in {
    "adam": lambda p: torch.optim.AdamW([{"params": p[:1], "weight_decay": 0.1}, {"params": p[1:], "weight_decay": 0.0}], lr=0.05),
    "sgd": lambda p: torch.optim.SGD([{"params": p[:1], "weight_decay": 0.1}, {"params": p[1:], "weight_decay": 0.0}], lr=0.05, momentum=0.9),
}.items():
    w, b = torch.randn(2, 3, requires_grad=True), torch.randn(2, requires_grad=True)
    start = [flat(w), flat(b)]
    optimizer = make([w, b])
    gradients = []
    for _ in range(4):
        w.grad, b.grad = torch.randn_like(w), torch.randn_like(b)
        gradients.append([flat(w.grad), flat(b.grad)])
        optimizer.step()
    steps.append({"name": name, "rate": 0.05, "decay": 0.1, "momentum": 0.9, "start": start, "gradients": gradients,
                  "end": [flat(w), flat(b)]})


def factors(make, total):
    p = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([p], lr=1.0)
    schedule = make(optimizer, total)
    out = []
    for _ in range(total):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return out


schedules = {
    "cosine": factors(lambda o, n: torch.optim.lr_scheduler.CosineAnnealingLR(o, n), 12),
    "one_cycle": factors(lambda o, n: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=n), 20),
}



def loss_case(rows, classes, smoothing, weights):
    """The mean cross-entropy with label smoothing, or with weights of classes, and its gradient for the logits."""
    logits = torch.randn(rows, classes, requires_grad=True)
    target = torch.randint(classes, (rows,))
    weight = None if weights is None else torch.tensor(weights)
    loss = F.cross_entropy(logits, target, weight=weight, label_smoothing=smoothing)
    loss.backward()
    return {"classes": classes, "logits": flat(logits)["values"], "target": target.tolist(), "smoothing": smoothing,
            "weights": weights, "loss": loss.item(), "gradient": flat(logits.grad)["values"]}


# With both at once PyTorch also weighs the classes that the truth is spread over; we weigh rows, so each is alone here.
losses = [loss_case(7, 4, 0.1, None), loss_case(5, 2, 0.3, None), loss_case(6, 11, 0.9, None),
          loss_case(8, 3, 0.0, [0.5, 2.0, 1.25]), loss_case(9, 5, 0.0, [4.0, 0.125, 1.0, 1.0, 0.75])]


def lesson_case(rows, classes, temperature, share, weighted):
    """A student's loss by a teacher and by labels (values for one class), weighed by rows, and its gradient for the logits."""
    logits = torch.randn(rows, classes, requires_grad=True)
    weight = torch.rand(rows) + 0.5 if weighted else torch.ones(rows)
    if classes == 1:
        target, teacher = torch.randint(5, (rows,)), torch.randn(rows, 1)
        each = share * (teacher[:, 0] - logits[:, 0]) ** 2 + (1 - share) * (target.float() - logits[:, 0]) ** 2
    else:
        target, teacher = torch.randint(classes, (rows,)), F.softmax(2 * torch.randn(rows, classes), 1)
        soft = F.softmax(teacher.log() / temperature, 1)
        cross = -(soft * F.log_softmax(logits / temperature, 1)).sum(1)
        hard = F.cross_entropy(logits, target, reduction="none")
        each = share * temperature ** 2 * cross + (1 - share) * hard
    loss = (weight * each).sum() / weight.sum()
    loss.backward()
    return {"classes": classes, "logits": flat(logits)["values"], "target": target.tolist(),
            "teacher": flat(teacher)["values"], "temperature": temperature, "share": share,
            "weight": flat(weight)["values"], "loss": loss.item(), "gradient": flat(logits.grad)["values"]}


lessons = [lesson_case(6, 4, 3.0, 0.9, False), lesson_case(5, 2, 1.0, 0.5, True), lesson_case(7, 11, 20.0, 1.0, True),
           lesson_case(4, 3, 2.0, 0.25, False), lesson_case(8, 1, 1.0, 0.9, True)]

json.dump({"peer": f"torch {torch.__version__}", "cases": cases, "steps": steps, "schedules": schedules, "losses": losses,
           "lessons": lessons}, sys.stdout)
print(f"torch {torch.__version__}, python {sys.version.split()[0]}", file=sys.stderr)
