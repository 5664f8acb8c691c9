//! The methods of recipes: networks on one modality, and fusions of several.

mod concat;
mod late;
mod single;

pub use concat::Concat;
pub use late::Late;
pub use single::{Cnn, Gru, Lstm, Mlp, Resnet, Spectrogram, TextBag, TextCnn, Transformer, Waveform};

use std::collections::BTreeMap;
use std::path::Path;

use consilience_core::entry;
use consilience_core::features::Reader;
use consilience_core::model::{Context, Distill, Field, Fitted, Labelled, Lesson, Outline, Task};
use consilience_core::registry::{Registry, nearest};
use consilience_core::{Error, Result};

use crate::architecture::{Architecture, Modality};
use crate::encode::{Encode, Encoder};
use crate::fusion::{Fusion, SingleHead};
use crate::inputs::Prepare;
use crate::train::{self, Augmentation, Training};

/// Unfitted settings of a network.
pub trait NetworkMethod: Send + Sync {
    /// The architecture for prepared columns.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the column or setting that does not fit.
    fn architecture(&self, fields: &[Field]) -> Result<Architecture>;

    /// How it is trained.
    fn training(&self) -> &Training;

    /// The encoders that the recipe chooses, each with the column it is for; without one it is for every column.
    fn encoders(&self) -> Vec<(Option<&str>, &dyn Encode)>;

    /// How it reads a column, where the recipe names no feature steps for it.
    fn reader(&self, column: &str) -> Reader {
        let own = self.encoders().into_iter().find(|(of, _)| of.is_none_or(|of| of == column));
        own.map_or(Reader::Network, |(_, encoder)| encoder.reader())
    }

    /// The files below the data folder that it reads when it is fitted; their contents are part of its hash.
    fn files(&self) -> Vec<String> {
        self.encoders().iter().filter_map(|(_, e)| e.weights()).map(str::to_owned).collect()
    }

    /// Says before any work whether it can be fitted to such prepared columns and such a task.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the column or setting that does not fit.
    fn check(&self, fields: &[Field], task: &Task) -> Result<()> {
        self.training().validate()?;
        self.training().check(task)?;
        let architecture = self.architecture(fields)?;
        architecture.check()?;
        self.training().suits(&architecture)?;
        self.training().factors(&architecture.declare(task)).map(drop)
    }

    /// Says whether the checkpoints below the data folder that it starts from fit.
    ///
    /// # Errors
    /// As [`train::outside`].
    fn check_files(&self, fields: &[Field], task: &Task, root: &Path) -> Result<()> {
        let mut architecture = self.architecture(fields)?;
        let weights = architecture.take_weights();
        train::outside(&weights, &architecture, task, Some(root)).map(drop)
    }

    /// How it learns from a teacher, before any work; see [`Estimator::lesson`](consilience_core::model::Estimator::lesson).
    ///
    /// # Errors
    /// As [`train::lesson`].
    fn lesson(&self, task: &Task, asked: Distill) -> Result<Lesson> {
        train::lesson(task, asked)
    }

    /// Fits. `prepare` is the fitted preprocessing, which the model takes in; `augment` changes the rows
    /// that are fitted to.
    ///
    /// # Errors
    /// As [`train::fit`].
    fn fit(
        &self,
        data: &Labelled<'_>,
        prepare: Box<dyn Prepare>,
        augment: Augmentation,
        context: &Context<'_>,
    ) -> Result<Fitted> {
        let architecture = self.architecture(prepare.fields())?;
        train::fit(data, prepare, &augment, architecture, self.training(), context)
    }

    /// What it would become: layers, parameters, memory. Empty where the columns do not fit.
    fn outline(&self, fields: &[Field], task: &Task) -> Outline {
        match self.architecture(fields).and_then(|a| a.check().map(|()| a)) {
            Ok(architecture) => {
                let training = self.training();
                let mut outline = architecture.outline(task, training.batch);
                // Where to go back to: the start, and the last good epoch with its average and two moments.
                let average = u64::from(training.average.is_some());
                let copies = average + if training.retries > 0 { 4 + average } else { 0 };
                let more = 4 * copies * outline.parameters.unwrap_or_default();
                outline.memory = outline.memory.map(|m| m.saturating_add(more));
                outline
            }
            Err(_) => Outline::default(),
        }
    }
}

/// Networks on one modality.
pub static NETWORKS: Registry<dyn NetworkMethod> = Registry {
    what: "network",
    entries: &[
        entry!(dyn NetworkMethod, Mlp),
        entry!(dyn NetworkMethod, Cnn),
        entry!(dyn NetworkMethod, Gru),
        entry!(dyn NetworkMethod, Lstm),
        entry!(dyn NetworkMethod, Resnet),
        entry!(dyn NetworkMethod, Spectrogram),
        entry!(dyn NetworkMethod, Waveform),
        entry!(dyn NetworkMethod, TextBag),
        entry!(dyn NetworkMethod, TextCnn),
        entry!(dyn NetworkMethod, Transformer),
    ],
};

/// Fusions of several modalities, trained together with their encoders.
pub static FUSIONS: Registry<dyn NetworkMethod> = Registry {
    what: "fusion",
    entries: &[entry!(dyn NetworkMethod, Concat), entry!(dyn NetworkMethod, Late)],
};

/// The architecture of a network on one modality.
fn alone(fields: &[Field], encoder: Encoder) -> Result<Architecture> {
    let [field] = fields else {
        return Err(Error::argument("this network reads one modality")
            .expected("one column")
            .got(names(fields))
            .remedy("use fusion: concat or fusion: late for several"));
    };
    let modality = Modality { field: field.clone(), encoder };
    Ok(Architecture { modalities: vec![modality], fusion: Fusion::Single(SingleHead::default()) })
}

/// The architecture of a fusion; modalities without a chosen encoder get the usual one for their shape.
fn together(fields: &[Field], encoders: &BTreeMap<String, Encoder>, fusion: Fusion) -> Result<Architecture> {
    if fields.len() < 2 {
        return Err(Error::argument("a fusion needs at least two modalities")
            .got(names(fields))
            .remedy("name more columns in on, or fit a network to the one"));
    }
    let known: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
    if let Some(name) = encoders.keys().find(|n| !known.contains(&n.as_str())) {
        let error = Error::argument(format!("there is no modality \"{name}\""))
            .at("encoders")
            .expected(format!("one of {}", known.join(", ")));
        return Err(match nearest(name, known) {
            Some(near) => error.remedy(format!("did you mean \"{near}\"?")),
            None => error,
        });
    }
    let modality = |field: &Field| {
        let encoder = encoders.get(&field.name).cloned().map_or_else(|| Encoder::usual(field), Ok)?;
        Ok(Modality { field: field.clone(), encoder })
    };
    let modalities: Result<Vec<Modality>> = fields.iter().map(modality).collect();
    Ok(Architecture { modalities: modalities?, fusion })
}

fn names(fields: &[Field]) -> String {
    match fields.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "none".to_owned(),
        some => some,
    }
}
