"""torchvision's ResNet-18 with random weights as people have it, and what it gives: python3 benches/nn/outside.py FOLDER

Pinned: torch 2.15.0 (CPU), torchvision 0.29.2, safetensors 0.8. Then, from the repository's root:
cargo bench --workspace --bench workloads -- outside FOLDER
"""
import sys

import torch
import torchvision
from safetensors.torch import save_file

torch.manual_seed(1)
model = torchvision.models.resnet18(weights=None)
# Running moments as after training, not those of the start.
model.train()
with torch.no_grad():
    for _ in range(3):
        model(torch.randn(8, 3, 224, 224))
    model.eval()
    x = torch.randn(4, 3, 224, 224)
    y = model(x)
torch.save(model.state_dict(), f"{sys.argv[1]}/resnet18.pth")
save_file(model.state_dict(), f"{sys.argv[1]}/resnet18.safetensors")
torch.save({"x": x, "y": y}, f"{sys.argv[1]}/cases.pth")
