//! An architecture: an encoder for each modality and a fusion. It holds no numbers; parameters go by name.

use std::collections::BTreeSet;

use consilience_core::features::Reader;
use consilience_core::members::Modality as Prepared;
use consilience_core::model::{Field, Outline, Task};
use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::backend::{self, Tensor};
use crate::encode::Encoder;
use crate::fusion::{Branch, Drawn, Features, Fusion, Joint};
use crate::graph::Sketch;
use crate::inputs::Inputs;
use crate::layers::Pass;
use crate::params::Declared;
use crate::train::Weights;

/// The most parameters of an encoder or a fusion: with gradients and moments they take 16 GB.
const LARGEST: u128 = 1 << 30;

/// A modality with its encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Modality {
    /// The prepared column.
    pub field: Field,
    /// What reads it.
    pub encoder: Encoder,
}

impl Modality {
    fn layer(&self) -> String {
        format!("encoders.{}", self.field.name)
    }
}

/// Encoders and a fusion put together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    /// The modalities, in the order of the prepared columns.
    pub modalities: Vec<Modality>,
    /// What joins them.
    pub fusion: Fusion,
}

impl Architecture {
    /// Checks that every encoder can read its modality, and that encoders and fusion are no larger than can be trained.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the column, or the width of the fusion.
    pub fn check(&self) -> Result<()> {
        if self.modalities.is_empty() {
            return Err(Error::argument("a network needs at least one column to read"));
        }
        let names: BTreeSet<&str> = self.modalities.iter().map(|m| m.field.name.as_str()).collect();
        if names.len() != self.modalities.len() {
            return Err(Error::argument("a column is given to a network twice"));
        }
        self.modalities.iter().try_for_each(|m| {
            reads_words(m)?;
            m.encoder.get().check(&m.field)?;
            let place = format!("column \"{}\"", m.field.name);
            bounded("encoder", &place, &m.encoder.get().declare(&m.layer(), &m.field))
        })?;
        bounded("fusion", "hidden", &self.fusion.get().declare(&self.branches(), 1))
    }

    /// Takes out the checkpoints that encoders start from.
    pub fn take_weights(&mut self) -> Vec<Weights> {
        let one = |m: &mut Modality| {
            let layer = m.layer();
            m.encoder.take_weights().map(|file| Weights { layer, file })
        };
        self.modalities.iter_mut().filter_map(one).collect()
    }

    /// The prepared columns, in order.
    pub fn fields(&self) -> Vec<Field> {
        self.modalities.iter().map(|m| m.field.clone()).collect()
    }

    fn branches(&self) -> Vec<Branch> {
        let branch =
            |m: &Modality| Branch { name: m.field.name.clone(), width: m.encoder.get().width(&m.field) };
        self.modalities.iter().map(branch).collect()
    }

    /// The parameters for a task.
    pub fn declare(&self, task: &Task) -> Vec<Declared> {
        let mut all: Vec<Declared> =
            self.modalities.iter().flat_map(|m| m.encoder.get().declare(&m.layer(), &m.field)).collect();
        all.extend(self.fusion.get().declare(&self.branches(), task.width()));
        all
    }

    /// How many numbers are trained; running moments are not.
    pub fn parameters(&self, task: &Task) -> u64 {
        self.declare(task).iter().filter(|d| d.learned).map(|d| d.size() as u64).sum()
    }

    /// Whether an encoder normalizes by the moments of a batch, which a batch of one row may not have.
    pub fn by_batch(&self) -> bool {
        self.modalities.iter().any(|m| m.encoder.get().by_batch())
    }

    /// How wide the features before the head are.
    pub fn width(&self) -> usize {
        self.fusion.get().width(&self.branches())
    }

    /// Inputs to features and outputs. The features of a modality are zero on rows without it.
    ///
    /// # Errors
    /// As [`Pass::param`] and [`Pass::see`].
    pub fn forward(&self, pass: &Pass<'_>, inputs: Inputs) -> Result<Joint> {
        let Inputs { rows, values, present } = inputs;
        let mut features = Vec::with_capacity(self.modalities.len());
        for ((modality, x), flags) in self.modalities.iter().zip(values).zip(&present) {
            let Some(x) = x else {
                features.push(None);
                continue;
            };
            let (encoder, layer) = (modality.encoder.get(), modality.layer());
            let there: Vec<usize> = (0..rows).filter(|r| flags.get(*r).is_some_and(|f| *f > 0.0)).collect();
            if there.len() == rows {
                features.push(Some(encoder.forward(pass, &layer, &modality.field, x)?));
                continue;
            }
            // Rows without the modality are not encoded: nothing is to be learned from what stands in for them.
            let h = encoder.forward(pass, &layer, &modality.field, backend::rows(x, &there))?;
            let width = h.dims()[1];
            let mut places = vec![there.len(); rows];
            there.iter().enumerate().for_each(|(i, r)| places[*r] = i);
            features.push(Some(backend::rows(Tensor::cat(vec![h, backend::zeros([1, width])], 0), &places)));
        }
        self.fusion.get().forward(pass, &self.branches(), Features { rows, values: features, present })
    }

    /// Writes what [`Architecture::forward`] does when predicting onto a graph, from the prepared modalities on.
    ///
    /// # Errors
    /// [`Error::Model`] naming the column, for an encoder or a fusion that no graph can say.
    pub fn graph(&self, sketch: &mut Sketch<'_>, inputs: &[Prepared]) -> Result<Drawn> {
        let mut features = Vec::with_capacity(self.modalities.len());
        for (modality, Prepared { value, present }) in self.modalities.iter().zip(inputs) {
            let h = modality.encoder.get().graph(sketch, &modality.layer(), &modality.field, value);
            let h = h.map_err(|e| e.at(format!("column \"{}\"", modality.field.name)))?;
            // Whoever asks about a single modality that a row lacks gets no answer in the end.
            let there = present.as_ref().filter(|_| inputs.len() > 1);
            features.push(Prepared { value: sketch.graph.or_zero(there, &h), present: present.clone() });
        }
        self.fusion.get().graph(sketch, &self.branches(), &features)
    }

    /// What a parameter is called in PyTorch: in a network on one modality as its encoder says, without the prefix of the
    /// encoder; else as here.
    pub fn torch_name(&self, name: &str) -> String {
        match self.modalities.as_slice() {
            [one] => {
                let prefix = format!("{}.", one.layer());
                one.encoder.get().torch_name(name.strip_prefix(&prefix).unwrap_or(name))
            }
            _ => name.to_owned(),
        }
    }

    /// What it would become for batches of `batch` rows: a line a layer, parameters, memory in training.
    pub fn outline(&self, task: &Task, batch: usize) -> Outline {
        let parameters = self.parameters(task);
        let mut lines = Vec::new();
        let mut numbers = 0u64;
        for m in &self.modalities {
            lines.push(format!("{} {:?}", m.field.name, m.field.shape));
            numbers += m.field.shape.iter().product::<usize>() as u64;
            for (line, size) in m.encoder.get().outline(&m.field) {
                lines.push(format!("{}.{line}", m.layer()));
                numbers += size;
            }
        }
        lines.extend(self.fusion.get().outline(&self.branches(), task.width()));
        // Activations and their gradients; values, gradients and two moments of the parameters; four bytes each.
        let memory =
            (2 * numbers).saturating_mul(batch as u64).saturating_add(4 * parameters).saturating_mul(4);
        Outline { parameters: Some(parameters), lines, memory: Some(memory), inputs: self.fields() }
    }
}

/// Refuses an encoder that takes the numbers of tokens for amounts.
fn reads_words(modality: &Modality) -> Result<()> {
    let Modality { field, encoder } = modality;
    if field.words == 0 || encoder.get().reader() == Reader::Words {
        return Ok(());
    }
    Err(Error::argument("the column holds the numbers of tokens, which are names and no amounts")
        .at(format!("column \"{}\"", field.name))
        .expected("text_bag, text_cnn or transformer")
        .remedy("take one of these, or give the text other features than tokens, such as tfidf"))
}

/// Refuses more parameters than can be trained.
fn bounded(what: &str, place: &str, declared: &[Declared]) -> Result<()> {
    let one = |d: &Declared| d.shape.iter().fold(1u128, |n, s| n.saturating_mul(*s as u128));
    let size = declared.iter().fold(0u128, |n, d| n.saturating_add(one(d)));
    if size > LARGEST {
        return Err(Error::argument(format!("the {what} has too many parameters"))
            .at(place)
            .expected(format!("at most {LARGEST}"))
            .got(size)
            .remedy("take narrower layers"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{CnnEncoder, MlpEncoder};
    use crate::fusion::ConcatHead;
    use consilience_core::model::Classes;

    #[test]
    fn an_encoder_that_no_memory_holds_is_refused_before_it_is_made() {
        for hidden in [vec![1 << 30], vec![100_000, 100_000], vec![usize::MAX, usize::MAX]] {
            let modality = Modality {
                field: Field::vector("table", vec![7]),
                encoder: Encoder::Mlp(MlpEncoder { hidden }),
            };
            let one =
                Architecture { modalities: vec![modality], fusion: Fusion::Concat(ConcatHead { hidden: 6 }) };
            let error = one.check().unwrap_err().to_string();
            assert!(error.contains("too many parameters") && error.contains("column \"table\""), "{error}");
        }
        for hidden in [1 << 30, usize::MAX] {
            let modality = Modality {
                field: Field::vector("table", vec![7]),
                encoder: Encoder::Mlp(MlpEncoder { hidden: vec![5] }),
            };
            let one =
                Architecture { modalities: vec![modality], fusion: Fusion::Concat(ConcatHead { hidden }) };
            let error = one.check().unwrap_err().to_string();
            assert!(error.contains("hidden: the fusion has too many parameters"), "{error}");
        }
    }

    #[test]
    fn the_outline_counts_what_is_declared() {
        let image = Field::vector("image", vec![1, 28, 28]);
        let table = Field::vector("table", vec![7]);
        let architecture = Architecture {
            modalities: vec![
                Modality { field: image, encoder: Encoder::Cnn(CnnEncoder::default()) },
                Modality { field: table, encoder: Encoder::Mlp(MlpEncoder { hidden: vec![5] }) },
            ],
            fusion: Fusion::Concat(ConcatHead { hidden: 6 }),
        };
        architecture.check().unwrap();
        let task = Task::Classify(Classes::new(vec!["a".into(), "b".into()]).unwrap());
        let cnn = 16 * 9 + 16 + 32 * 16 * 9 + 32 + 64 * 1568 + 64;
        let expected = cnn + 5 * 7 + 5 + 6 * (64 + 5 + 2) + 6 + 2 * 6 + 2;
        assert_eq!(architecture.outline(&task, usize::MAX).memory, Some(u64::MAX));
        let outline = architecture.outline(&task, 64);
        assert_eq!(outline.parameters, Some(expected as u64));
        assert!(outline.lines.contains(&"encoders.image.conv1 16x14x14".to_owned()), "{:?}", outline.lines);
        let names: Vec<String> = architecture.declare(&task).into_iter().map(|d| d.name).collect();
        assert!(names.contains(&"encoders.image.conv1.weight".to_owned()));
        assert!(names.contains(&"fusion.dense.bias".to_owned()));
        let json = serde_json::to_value(&architecture).unwrap();
        assert_eq!(serde_json::from_value::<Architecture>(json).unwrap(), architecture);
    }
}
