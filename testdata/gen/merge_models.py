"""Models in the forms in which they are found: files of torch, and adapters of low rank with what they make of a model.

Run with torch 2.15 and safetensors 0.8; writes golden/merge/models. The formulas of the adapters are those of peft 0.17
(`get_delta_weight`), written down here in 64 bits.
"""

import json
import math
from pathlib import Path

import torch
from safetensors.torch import save_file

OUT = Path(__file__).parent.parent / "golden" / "merge" / "models"
torch.manual_seed(5)

SHAPES = {
    "model.embed_tokens.weight": (5, 4),
    "model.layers.0.self_attn.q_proj.weight": (4, 4),
    "model.layers.0.mlp.up_proj.weight": (6, 4),
    "model.layers.1.self_attn.q_proj.weight": (4, 4),
    "model.layers.1.mlp.up_proj.weight": (6, 4),
    "model.norm.weight": (4,),
    "lm_head.weight": (5, 4),
}
CONFIG = {"num_hidden_layers": 2, "vocab_size": 5, "tie_word_embeddings": False}


def model():
    return {name: torch.randn(shape) for name, shape in SHAPES.items()}


def write(folder, tensors, name="model.safetensors"):
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / name)


def text(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n")


def adapter(name, base, settings, ranks, alphas, transposed=False):
    """An adapter and what it makes of `base`. `ranks` and `alphas` are those that the patterns mean, by module."""
    factors, merged = {}, dict(base)
    for module, rank in ranks.items():
        rows, columns = base[f"{module}.weight"].shape
        alpha = alphas.get(module, settings["lora_alpha"])
        scale = alpha / math.sqrt(rank) if settings.get("use_rslora") else alpha / rank
        embedding = module.endswith("embed_tokens")
        turned = embedding or transposed
        a = torch.randn(rank, rows if turned else columns)
        b = torch.randn(columns if turned else rows, rank)
        delta = b.double() @ a.double() * scale
        merged[f"{module}.weight"] = (base[f"{module}.weight"].double() + (delta.T if turned else delta)).float()
        kinds = ("lora_embedding_A", "lora_embedding_B") if embedding else ("lora_A.weight", "lora_B.weight")
        for kind, factor in zip(kinds, (a, b)):
            factors[f"base_model.model.{module}.{kind}"] = factor
    for module in settings.get("modules_to_save") or []:
        full = f"model.{module}.weight" if module == "norm" else f"{module}.weight"
        merged[full] = torch.randn(base[full].shape)
        factors[f"base_model.model.{full}"] = merged[full]
    write(OUT / name, factors, "adapter_model.safetensors")
    text(OUT / name / "adapter_config.json", {"peft_type": "LORA", **settings})
    write(OUT / name, merged, "expected.safetensors")


base = model()
write(OUT / "base", base)
text(OUT / "base" / "config.json", CONFIG)

q0, q1 = (f"model.layers.{i}.self_attn.q_proj" for i in range(2))
up0, up1 = (f"model.layers.{i}.mlp.up_proj" for i in range(2))
adapter(
    "lora",
    base,
    {
        "r": 2,
        "lora_alpha": 3,
        "target_modules": ["q_proj", "up_proj", "embed_tokens"],
        "modules_to_save": ["norm", "lm_head"],
        "rank_pattern": {"layers.0.mlp.up_proj": 3, "up_proj_no": 9, "layers.1.mlp.up_proj": 1},
        "alpha_pattern": {"layers.1.self_attn.q_proj": 7},
    },
    {q0: 2, q1: 2, up0: 3, up1: 1, "model.embed_tokens": 2},
    {q1: 7},
)
adapter("rslora", base, {"r": 4, "lora_alpha": 6, "use_rslora": True, "fan_in_fan_out": True}, {up0: 4, q1: 4}, {}, True)

torch.save(base, OUT / "base.bin")
halves = [dict(list(base.items())[:3]), dict(list(base.items())[3:])]
folder = OUT / "torch"
folder.mkdir(exist_ok=True)
index = {}
for i, half in enumerate(halves):
    file = f"pytorch_model-{i + 1:05}-of-00002.bin"
    torch.save(half, folder / file)
    index |= {name: file for name in half}
text(folder / "pytorch_model.bin.index.json", {"metadata": {"total_size": 0}, "weight_map": index})
