"""Makes synthetic checkpoints of Llama's shape: a base and three fine-tunes, bf16, two shards each.

usage: python3 benches/merge/models.py DIR [--size m|s]

m has 513,590,784 numbers (1.03 GB a model), s 127,157,248 (254 MB). Needs torch and safetensors."""

import argparse
import json
import os

import torch
from safetensors.torch import save_file

SIZES = {
    "m": dict(hidden=1536, inner=4096, layers=16, vocabulary=32000, kv=768),
    "s": dict(hidden=1024, inner=2816, layers=8, vocabulary=16000, kv=512),
}


def tensors(size):
    h, i, kv = size["hidden"], size["inner"], size["kv"]
    yield "model.embed_tokens.weight", (size["vocabulary"], h)
    for layer in range(size["layers"]):
        p = f"model.layers.{layer}."
        yield p + "input_layernorm.weight", (h,)
        yield p + "mlp.down_proj.weight", (h, i)
        yield p + "mlp.gate_proj.weight", (i, h)
        yield p + "mlp.up_proj.weight", (i, h)
        yield p + "post_attention_layernorm.weight", (h,)
        yield p + "self_attn.k_proj.weight", (kv, h)
        yield p + "self_attn.o_proj.weight", (h, h)
        yield p + "self_attn.q_proj.weight", (h, h)
        yield p + "self_attn.v_proj.weight", (kv, h)
    yield "model.norm.weight", (h,)
    yield "lm_head.weight", (size["vocabulary"], h)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--size", default="m", choices=SIZES)
    arguments = parser.parse_args()
    size = SIZES[arguments.size]
    names = list(tensors(size))
    half = len(names) // 2
    config = dict(
        architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=size["hidden"],
        intermediate_size=size["inner"], num_hidden_layers=size["layers"], num_attention_heads=16,
        num_key_value_heads=8, head_dim=size["kv"] // 8, vocab_size=size["vocabulary"],
        max_position_embeddings=2048, rms_norm_eps=1e-5, rope_theta=10000.0, hidden_act="silu",
        tie_word_embeddings=False, torch_dtype="bfloat16", bos_token_id=1, eos_token_id=2,
        attention_bias=False, mlp_bias=False,
    )
    for k, model in enumerate(["base", "ft1", "ft2", "ft3"]):
        folder = os.path.join(arguments.out, model)
        os.makedirs(folder, exist_ok=True)
        files = {}
        for part, chunk in ((1, names[:half]), (2, names[half:])):
            file = f"model-{part:05d}-of-00002.safetensors"
            arrays = {}
            for index, (name, shape) in enumerate(chunk):
                base = torch.Generator().manual_seed(1000 * part + index)
                own = torch.Generator().manual_seed(7_000_000 * k + 1000 * part + index)
                noise = torch.randn(shape, generator=base)
                start = 1 + 0.05 * noise if len(shape) == 1 else 0.02 * noise
                start = start.to(torch.bfloat16)
                if k:
                    start = (start.float() + 1e-3 * torch.randn(shape, generator=own)).to(torch.bfloat16)
                arrays[name] = start
                files[name] = file
            save_file(arrays, os.path.join(folder, file), metadata={"format": "pt"})
        total = sum(torch.Size(shape).numel() for _, shape in names) * 2
        index = dict(metadata=dict(total_size=total), weight_map=files)
        json.dump(index, open(os.path.join(folder, "model.safetensors.index.json"), "w"))
        json.dump(config, open(os.path.join(folder, "config.json"), "w"), indent=1)


main()
