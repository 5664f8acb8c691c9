//! No adaptation: the baseline that every other way is compared with.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::domains::{check_domains, check_width};
use crate::array::{ArrayView2, Matrix};
use crate::error::Result;
use crate::model::graph::{Graph, Value};
use crate::model::{Adapted, Adapter, Context, Loaders, Parts, Target};
use crate::registry::Method;

/// The key under which it is loaded.
pub(super) const KIND: &str = "source_only";

/// Leaves the features of both domains as they are: what a model of the source alone does on the target. Whatever
/// adapts must beat it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SourceOnly {}

impl Method for SourceOnly {
    const NAME: &'static str = "source_only";
    const ABOUT: &'static str = "No adaptation: the baseline";
}

impl Adapter for SourceOnly {
    fn fit(
        &self,
        source: ArrayView2<'_, f32>,
        labels: &Target,
        target: ArrayView2<'_, f32>,
        _: &Context<'_>,
    ) -> Result<Box<dyn Adapted>> {
        check_domains(source, labels, target)?;
        Ok(Box::new(Unchanged { width: source.ncols() }))
    }
}

/// The identity on features of a width.
struct Unchanged {
    width: usize,
}

/// Loads it.
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn Adapted>> {
    Ok(Box::new(Unchanged { width: parts.field("width")? }))
}

impl Adapted for Unchanged {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn source(&self, x: ArrayView2<'_, f32>) -> Result<Matrix> {
        check_width(x, self.width)?;
        Ok(x.to_owned())
    }

    fn target(&self, x: ArrayView2<'_, f32>) -> Result<Matrix> {
        self.source(x)
    }

    fn graph(&self, _: &mut Graph, x: &Value) -> Result<Value> {
        Ok(x.clone())
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new(KIND, json!({"width": self.width})))
    }
}
