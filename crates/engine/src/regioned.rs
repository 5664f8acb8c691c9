//! A model with conformal regions: beside what it predicts it gives sets of classes, or intervals, that hold the truth as often as they promise.

use std::sync::Arc;

use consilience_core::calibrate::conformal::{self, Regions, Sets};
use consilience_core::model::graph::{Answer, Graph};
use consilience_core::model::{Batch, Loaders, Model, Parts, Predictions, Schema, Task};
use consilience_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The kind of the directory.
pub(crate) const KIND: &str = "regioned";
/// The name of the model within.
const INNER: &str = "model";

/// The column whose values part the rows into strata, each with thresholds of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stratum {
    /// The column of the data.
    pub column: String,
    /// Its values in order; any other is a stratum about which nothing is known.
    pub values: Vec<String>,
}

impl Stratum {
    /// The codes of some cells.
    pub fn codes<'a>(&self, cells: impl Iterator<Item = &'a str>) -> Vec<u32> {
        let code = |cell: &str| self.values.iter().position(|v| v == cell).unwrap_or(self.values.len());
        cells.map(|c| u32::try_from(code(c)).unwrap_or(u32::MAX)).collect()
    }
}

/// Regions with the column of their strata.
pub(crate) struct Attached {
    pub regions: Box<dyn Regions>,
    pub stratum: Option<Stratum>,
}

impl Attached {
    /// Those of a saved model; nothing if it has none.
    pub fn of(parts: &Parts) -> Result<Option<Self>> {
        if parts.kind != KIND {
            return Ok(None);
        }
        let regions = conformal::load(&parts.nested("regions")?)?;
        Ok(Some(Self { regions, stratum: parts.field("stratum")? }))
    }

    /// The regions of some rows. `cells` are those of the stratum's column.
    pub fn apply(&self, said: &Predictions, cells: Option<&[String]>) -> Result<Sets> {
        let codes = match (&self.stratum, cells) {
            (Some(stratum), Some(cells)) => Some(stratum.codes(cells.iter().map(String::as_str))),
            (Some(stratum), None) => {
                return Err(Error::data(format!(
                    "the regions of this model have thresholds by the column \"{}\", and the data lack it",
                    stratum.column
                )));
            }
            (None, _) => None,
        };
        self.regions.apply(std::slice::from_ref(said), codes.as_deref())
    }
}

/// A model with regions.
pub(crate) struct Regioned {
    model: Arc<dyn Model>,
    attached: Attached,
}

impl Regioned {
    /// Puts regions beside a model.
    pub fn new(model: Arc<dyn Model>, attached: Attached) -> Self {
        Self { model, attached }
    }
}

/// Loads one.
pub(crate) fn load(parts: &Parts, loaders: &Loaders) -> Result<Box<dyn Model>> {
    let inner = parts.members.get(INNER).ok_or_else(|| {
        Error::model("the model with regions lacks the model")
            .remedy("the model directory is damaged; restore it")
    })?;
    let attached = Attached::of(parts)?.ok_or_else(|| Error::internal("regions of another kind"))?;
    Ok(Box::new(Regioned { model: Arc::from(loaders.model(inner)?), attached }))
}

impl Model for Regioned {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn task(&self) -> &Task {
        self.model.task()
    }

    fn schema(&self) -> &Schema {
        self.model.schema()
    }

    fn predict(&self, batch: &Batch) -> Result<Predictions> {
        self.model.predict(batch)
    }

    fn graph(&self, graph: &mut Graph) -> Result<Answer> {
        self.model.graph(graph)
    }

    fn save(&self) -> Result<Parts> {
        let config = json!({"stratum": self.attached.stratum});
        let mut parts = Parts::new(KIND, config).nest("regions", self.attached.regions.save()?);
        parts.members.insert(INNER.to_owned(), self.model.save()?);
        Ok(parts)
    }

    fn parameters(&self) -> Option<u64> {
        self.model.parameters()
    }

    fn members(&self) -> Vec<(&str, &dyn Model)> {
        vec![(INNER, self.model.as_ref())]
    }

    fn weights(&self) -> Option<Vec<(String, f64)>> {
        self.model.weights()
    }
}
