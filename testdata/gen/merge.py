"""Makes ../golden/merge: small Llama checkpoints, and what mergekit 0.1.4 merges of them.

    python testdata/gen/merge.py

Needs mergekit 0.1.4; made with torch 2.15.0, transformers 5.12.1, safetensors 0.5.3, numpy 2.4.6. The folder is made anew: delete it
first. Two runs give the same bytes except for multislerp* and sce*: there the peer adds models in an order that follows from addresses in
memory, and results differ in their last bits.

- `members/{base,ft1,ft2,ft3}`: one base and three fine-tunes in 32 bits. The base holds bfloat16 numbers; a fine-tune adds a delta in
  32 bits to nine of ten of them. In a tensor no two deltas of a fine-tune other than zero have the same size.
- `<case>.yaml` is the recipe of the peer, with paths relative to the folder; `<case>.safetensors` what it gives.
- `cases.json` lists the cases. A `plain` case has the same parameters for all tensors: `members`, `base` and `parameters` say them in
  the form of the methods' own parameters, and of the result the embeddings, the norm at the end and one layer are kept. The others are
  whole. `peer` names what the peer does otherwise on purpose or by mistake; such a case is met with `compat` only.

dare_*, della and della_linear draw numbers of the peer's own generator: they have a case only where everything is kept. ram and
ramplus_tl are not in this version of the peer.
"""
import json
import os
import sys
import tempfile

sys.path.pop(0)  # This folder: its kernels.py is not the one that a library looks for.
import numpy as np
import torch
import yaml
from mergekit.architecture import base as architecture
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_torch, save_file as save_torch

# With transformers 5 the peer's own classes lack a name that they use.
for of in (architecture.ConfiguredModuleArchitecture, architecture.ConfiguredModelArchitecture):
    of.model_rebuild(_types_namespace={"torch": torch} | vars(architecture))

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "merge")
H, INNER, LAYERS, VOCAB, HEADS, KV = 8, 10, 3, 11, 2, 1
HEAD = H // HEADS
CONFIG = dict(
    architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=H, intermediate_size=INNER, num_hidden_layers=LAYERS,
    num_attention_heads=HEADS, num_key_value_heads=KV, head_dim=HEAD, vocab_size=VOCAB, max_position_embeddings=64,
    rms_norm_eps=1e-5, rope_theta=10000.0, hidden_act="silu", tie_word_embeddings=False, torch_dtype="float32",
    bos_token_id=1, eos_token_id=2, attention_bias=False, mlp_bias=False,
)


def shapes():
    yield "model.embed_tokens.weight", (VOCAB, H)
    for layer in range(LAYERS):
        p = f"model.layers.{layer}."
        yield p + "input_layernorm.weight", (H,)
        yield p + "mlp.down_proj.weight", (H, INNER)
        yield p + "mlp.gate_proj.weight", (INNER, H)
        yield p + "mlp.up_proj.weight", (INNER, H)
        yield p + "post_attention_layernorm.weight", (H,)
        yield p + "self_attn.k_proj.weight", (KV * HEAD, H)
        yield p + "self_attn.o_proj.weight", (H, HEADS * HEAD)
        yield p + "self_attn.q_proj.weight", (HEADS * HEAD, H)
        yield p + "self_attn.v_proj.weight", (KV * HEAD, H)
    yield "model.norm.weight", (H,)
    yield "lm_head.weight", (VOCAB, H)


def bf16(x):
    return torch.from_numpy(x.astype(np.float32)).to(torch.bfloat16).float().numpy()


def members():
    rng = np.random.default_rng(20)
    base = {n: bf16((1 if len(s) == 1 else 0) + (0.05 if len(s) == 1 else 0.2) * rng.normal(size=s)) for n, s in shapes()}
    yield "base", base
    shared = {n: rng.normal(size=s) for n, s in shapes()}
    for i in (1, 2, 3):
        tuned = {}
        for n, s in shapes():
            delta = 0.02 * (0.5 * shared[n] + rng.normal(size=s)) * (rng.random(s) >= 0.1)
            tuned[n] = (base[n] + delta).astype(np.float32)
            sizes = np.abs(tuned[n] - base[n])
            sizes = sizes[sizes > 0]
            assert len(np.unique(sizes)) == len(sizes), n
        yield f"ft{i}", tuned


FT = ["ft1", "ft2", "ft3"]
W = [0.5, 0.3, 0.2]
# name, method, members, base, parameters, peer's odd ways
PLAIN = [
    ("linear", "linear", FT, None, {"weight": 1.0}),
    ("linear_weights", "linear", FT, None, {"weight": [2.0, 1.5, 0.25]}),
    ("linear_sum", "linear", FT, None, {"weight": [0.6, 0.9, -0.25], "normalize": False}),
    ("slerp", "slerp", ["ft2"], "ft1", {"t": 0.35}),
    ("slerp_outside", "slerp", ["ft3"], "base", {"t": 1.25}),
    ("nuslerp", "nuslerp", FT[:2], None, {"weight": [0.65, 0.35]}),
    ("nuslerp_rows", "nuslerp", FT[:2], None, {"weight": [0.2, 0.6], "nuslerp_flatten": False, "nuslerp_row_wise": True}),
    ("nuslerp_columns", "nuslerp", FT[:2], None, {"weight": [0.2, 0.6], "nuslerp_flatten": False}),
    ("nuslerp_base", "nuslerp", FT[:2], "base", {"weight": [0.65, 0.35]}),
    ("nuslerp_base_rows", "nuslerp", FT[:2], "base", {"weight": 0.5, "nuslerp_flatten": False, "nuslerp_row_wise": True}),
    ("nuslerp_base_columns", "nuslerp", FT[:2], "base", {"weight": [0.7, 0.3], "nuslerp_flatten": False}),
    ("multislerp", "multislerp", FT, None, {"weight": W}),
    ("multislerp_base", "multislerp", FT, "base", {"weight": [1.0, 2.0, 3.0]}),
    ("multislerp_raw", "multislerp", FT, "base", {"weight": [0.5, 0.6, 0.7], "normalize_weights": False}),
    ("karcher", "karcher", FT, None, {}),
    ("karcher_long", "karcher", FT, None, {"max_iter": 100, "tol": 1e-9}),
    ("karcher_short", "karcher", FT[:2], None, {"max_iter": 1}),
    ("task_arithmetic", "task_arithmetic", FT, "base", {"weight": W}),
    ("task_arithmetic_lambda", "task_arithmetic", FT, "base", {"weight": [1.0, 0.8, -0.5], "lambda": 0.7}),
    ("task_arithmetic_normal", "task_arithmetic", FT, "base", {"weight": [1.0, 0.8, 0.5], "normalize": True}),
    ("ties", "ties", FT, "base", {"weight": 1.0, "density": 0.5}),
    ("ties_weights", "ties", FT, "base", {"weight": [1.0, 0.6, 0.3], "density": [0.9, 0.5, 0.25], "lambda": 1.3}),
    ("ties_sum", "ties", FT, "base", {"weight": [0.4, 0.6, 0.3], "density": 0.7, "normalize": False}),
    ("ties_rescale", "ties", FT, "base", {"weight": [1.0, 0.6, 0.3], "density": 0.4, "rescale": True}),
    ("breadcrumbs", "breadcrumbs", FT, "base", {"weight": W, "density": 0.6, "gamma": 0.15}),
    ("breadcrumbs_normal", "breadcrumbs", FT, "base", {"weight": [1.0, 0.6, 0.3], "density": [0.8, 0.6, 0.5], "gamma": [0.2, 0.15, 0.3], "normalize": True, "rescale": True, "lambda": 0.8}),
    ("breadcrumbs_small", "breadcrumbs", FT, "base", {"weight": W, "density": 0.6}),
    ("breadcrumbs_ties", "breadcrumbs_ties", FT, "base", {"weight": W, "density": 0.6, "gamma": 0.15}),
    ("breadcrumbs_ties_normal", "breadcrumbs_ties", FT, "base", {"weight": [1.0, 0.6, 0.3], "density": 0.7, "gamma": 0.2, "normalize": True}),
    ("dare_linear_whole", "dare_linear", FT, "base", {"weight": W, "density": 1.0}),
    ("dare_ties_whole", "dare_ties", FT, "base", {"weight": [1.0, 0.6, 0.3], "density": 1.0, "lambda": 0.9}),
    ("model_stock", "model_stock", FT, "base", {}),
    ("model_stock_rows", "model_stock", FT, "base", {"filter_wise": True}),
    ("model_stock_two", "model_stock", FT[:2], "base", {}),
    ("sce", "sce", FT, "base", {}),
    ("sce_half", "sce", FT, "base", {"select_topk": 0.4}),
    ("nearswap", "nearswap", ["ft1"], "base", {"t": 0.01}),
    ("arcee_fusion", "arcee_fusion", ["ft2"], "base", {}),
    ("passthrough", "passthrough", ["ft1"], None, {}),
    ("passthrough_scale", "passthrough", ["ft1"], None, {"scale": 0.75}),
]
PER_MEMBER = {"weight", "density", "gamma", "epsilon", "scale"}
# What the peer does otherwise; see above.
PEER = {
    "breadcrumbs_small": "int(gamma * n) = 0 drops whole deltas",
    "model_stock_rows": "where members pull apart the share of their mean is not held within 0 and 1",
}

WHOLE = {
    "gradient": ("slerp", """
base_model: members/ft1
models: [{model: members/ft1}, {model: members/ft2}]
parameters: {t: [0.1, 0.5, 0.9, 0.3]}
"""),
    "filters": ("slerp", """
base_model: members/ft1
models: [{model: members/ft1}, {model: members/ft2}]
parameters:
  t:
    - {filter: self_attn, value: [0, 0.5, 0.3, 0.7, 1]}
    - {filter: mlp, value: [1, 0.5, 0.7, 0.3, 0]}
    - {filter: layernorm, value: 0.75}
    - value: 0.5
"""),
    "precedence": ("task_arithmetic", """
base_model: members/base
models:
  - {model: members/ft1, parameters: {weight: [0.2, 0.9]}}
  - {model: members/ft2}
  - model: members/ft3
    parameters: {weight: [{filter: v_proj, value: [1, 0, 0.5]}, {filter: "*", value: 0.25}]}
parameters: {weight: 0.4, lambda: [{filter: mlp, value: 0.5}, {value: 1.5}]}
"""),
    "stacked": ("passthrough", """
slices:
  - sources: [{model: members/ft1, layer_range: [0, 2]}]
  - sources: [{model: members/ft2, layer_range: [1, 3], parameters: {scale: [{filter: o_proj, value: 0.5}, {value: 1}]}}]
"""),
    "slices": ("linear", """
slices:
  - sources:
      - {model: members/ft1, layer_range: [0, 2], parameters: {weight: [0, 1]}}
      - {model: members/ft2, layer_range: [0, 2], parameters: {weight: 0.5}}
  - sources:
      - {model: members/ft2, layer_range: [2, 3]}
      - {model: members/ft3, layer_range: [1, 2], parameters: {weight: 3}}
    parameters: {weight: 2}
parameters: {weight: 7}
"""),
    "bfloat16": ("ties", """
base_model: members/base
models:
  - {model: members/ft1, parameters: {weight: 1, density: 0.5}}
  - {model: members/ft2, parameters: {weight: 0.5, density: 0.75}}
"""),
    "linear_base": ("linear", """
base_model: members/base
models:
  - {model: members/ft1, parameters: {weight: 0.5}}
  - {model: members/ft2, parameters: {weight: 0.25}}
parameters: {weight: 0.75}
"""),
    "modules": ("nuslerp", """
modules:
  default:
    models:
      - {model: members/ft1, parameters: {weight: 1}}
      - {model: members/ft3, parameters: {weight: [1, 2, 4]}}
"""),
}


def recipe(method, names, base, parameters):
    own = lambda i: {k: v[i] if isinstance(v, list) else v for k, v in parameters.items() if k in PER_MEMBER}
    models = []
    if method == "slerp":
        models.append({"model": f"members/{base}"})
    for i, name in enumerate(names):
        models.append({"model": f"members/{name}"} | ({"parameters": own(i)} if own(i) else {}))
    out = {"merge_method": method, "models": models}
    if base:
        out["base_model"] = f"members/{base}"
    rest = {k: v for k, v in parameters.items() if k not in PER_MEMBER}
    if rest:
        out["parameters"] = rest
    return out


def run(text, keep, path):
    with tempfile.TemporaryDirectory() as out:
        options = MergeOptions(copy_tokenizer=False, write_model_card=False, quiet=True)
        run_merge(MergeConfiguration.model_validate(yaml.safe_load(text)), out, options)
        files = [f for f in sorted(os.listdir(out)) if f.endswith(".safetensors")]
        tensors = {}
        for f in files:
            tensors |= load_torch(os.path.join(out, f))
        layers = json.load(open(os.path.join(out, "config.json")))["num_hidden_layers"]
    save_torch({n: t.contiguous() for n, t in sorted(tensors.items()) if keep(n)}, path)
    return layers, len(tensors)


def main():
    os.makedirs(os.path.join(OUT, "members"))
    os.chdir(OUT)
    for name, tensors in members():
        os.makedirs(f"members/{name}")
        save_file(tensors, f"members/{name}/model.safetensors", metadata={"format": "pt"})
        with open(f"members/{name}/config.json", "w") as f:
            f.write(json.dumps(CONFIG, indent=1) + "\n")
    cases = []
    for name, method, names, base, parameters in PLAIN:
        config = recipe(method, names, base, parameters) | {"dtype": "float32", "out_dtype": "float32"}
        text = yaml.safe_dump(config, sort_keys=False, default_flow_style=None)
        keep = lambda n: "layers." not in n and not n.startswith("lm_head") or "layers.1." in n
        print(name, run(text, keep, f"{name}.safetensors"), flush=True)
        open(f"{name}.yaml", "w").write(text)
        case = dict(name=name, method=method, plain=True, base=base, members=names, parameters=parameters, relative=1e-6)
        cases.append(case | ({"peer": PEER[name]} if name in PEER else {}))
    for name, (method, text) in WHOLE.items():
        out = "bfloat16" if name == "bfloat16" else "float32"
        text = f"merge_method: {method}\n{text.strip()}\ndtype: float32\nout_dtype: {out}\n"
        layers, count = run(text, lambda n: True, f"{name}.safetensors")
        print(name, layers, count, flush=True)
        open(f"{name}.yaml", "w").write(text)
        case = dict(name=name, method=method, plain=False, layers=layers)
        case |= {"midpoint": 1e-6} if name == "bfloat16" else {"relative": 1e-6}
        cases.append(case)
    with open("cases.json", "w") as f:
        f.write("[\n" + ",\n".join(" " + json.dumps(c) for c in cases) + "\n]\n")
    size = sum(os.path.getsize(os.path.join(d, f)) for d, _, fs in os.walk(".") for f in fs)
    print("bytes", size)


if __name__ == "__main__":
    if os.path.exists(OUT):
        raise SystemExit(f"{os.path.normpath(OUT)} is there already: delete it first")
    main()
