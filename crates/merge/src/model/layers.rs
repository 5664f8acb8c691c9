//! Layers by the names of tensors: `model.layers.3.mlp.up_proj.weight` lies in layer 3 of the stack `model.layers`.

use std::collections::BTreeMap;

/// Words after which the number of a layer stands.
const WORDS: [&str; 9] = [
    "layers",
    "layer",
    "h",
    "block",
    "blocks",
    "resblocks",
    "encoder_layers",
    "decoder_layers",
    "transformer_blocks",
];

/// Pieces of the names of tensors that come before the first layer.
const FIRST: [&str; 9] =
    ["embed", "wte", "wpe", "patch", "cls_token", "conv_stem", "stem", "word_embeddings", "input_layer"];

/// Where a tensor lies in its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// In a layer of a stack: its name without the number is `stack.N.rest`.
    Layer {
        /// What comes before the number.
        stack: &'a str,
        /// The number.
        layer: usize,
        /// What comes after it.
        rest: &'a str,
    },
    /// Before the first layer: an embedding.
    Before,
    /// After the last layer: the final norm, the head.
    After,
}

/// Where a tensor of this name lies. Of several numbers (`blocks.1.layers.3`, experts) the first counts.
pub fn place(name: &str) -> Place<'_> {
    let mut start = 0;
    while let Some(dot) = name.get(start..).and_then(|rest| rest.find('.')).map(|i| start + i) {
        let word = name.get(start..dot).unwrap_or_default();
        if WORDS.contains(&word)
            && let Some((number, rest)) = name.get(dot + 1..).and_then(|r| r.split_once('.'))
            && !number.is_empty()
            && number.len() <= 6
            && number.bytes().all(|b| b.is_ascii_digit())
            && let Ok(layer) = number.parse()
        {
            return Place::Layer { stack: name.get(..dot).unwrap_or_default(), layer, rest };
        }
        start = dot + 1;
    }
    match FIRST.iter().any(|f| name.contains(f)) {
        true => Place::Before,
        false => Place::After,
    }
}

/// The stacks of a model, with the number of layers of each.
pub fn stacks<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let mut all = BTreeMap::new();
    for name in names {
        if let Place::Layer { stack, layer, .. } = place(name) {
            let count = all.entry(stack).or_insert(0);
            *count = (layer + 1).max(*count);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_of_known_families() {
        for (name, stack, layer, rest) in [
            ("model.layers.12.self_attn.q_proj.weight", "model.layers", 12, "self_attn.q_proj.weight"),
            ("transformer.h.0.attn.c_attn.bias", "transformer.h", 0, "attn.c_attn.bias"),
            (
                "encoder.block.3.layer.0.SelfAttention.q.weight",
                "encoder.block",
                3,
                "layer.0.SelfAttention.q.weight",
            ),
            ("bert.encoder.layer.7.output.dense.bias", "bert.encoder.layer", 7, "output.dense.bias"),
            ("model.layers.1.mlp.experts.5.w1.weight", "model.layers", 1, "mlp.experts.5.w1.weight"),
            ("vision_model.encoder.layers.2.norm.weight", "vision_model.encoder.layers", 2, "norm.weight"),
            ("blocks.9.att.key.weight", "blocks", 9, "att.key.weight"),
        ] {
            assert_eq!(place(name), Place::Layer { stack, layer, rest }, "{name}");
        }
        for name in ["model.embed_tokens.weight", "transformer.wte.weight", "patch_embed.proj.weight"] {
            assert_eq!(place(name), Place::Before, "{name}");
        }
        for name in ["model.norm.weight", "lm_head.weight", "layers.x.weight", "layers.", "h..w", ""] {
            assert_eq!(place(name), Place::After, "{name}");
        }
        let names = ["a.layers.0.w", "a.layers.4.w", "b.h.1.w", "c"];
        assert_eq!(stacks(names), BTreeMap::from([("a.layers", 5), ("b.h", 2)]));
    }
}
