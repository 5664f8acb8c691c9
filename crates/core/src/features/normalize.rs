//! Given means and deviations, one a channel.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::reading::{accept, damaged, nothing, shaped, single, vectors};
use crate::error::{Error, Result};
use crate::model::{Column, Context, Feature, Field, FittedFeature, Kind, Loaders, Parts, Vectors};
use crate::registry::Method;

/// `(x - mean) / deviation` with given constants, as models that were trained elsewhere ask for; nothing is learned
/// from rows. `standardize` learns them.
///
/// # Shapes
/// A vector keeps its shape. There is one constant for all, or one for each channel: each entry of the first dimension
/// of rows of two dimensions or more (`[channels, height, width]`), each position of other rows.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Normalize {
    /// What is subtracted: one number, or one a channel.
    #[schemars(length(min = 1))]
    pub mean: Vec<f64>,
    /// What is divided by then: one number, or one a channel; not 0.
    #[schemars(length(min = 1))]
    pub deviation: Vec<f64>,
}

impl Default for Normalize {
    fn default() -> Self {
        Self { mean: vec![0.0], deviation: vec![1.0] }
    }
}

impl Method for Normalize {
    const NAME: &'static str = "normalize";
    const ABOUT: &'static str = "subtracts given means and divides by given deviations, one a channel";

    fn validate(&self) -> Result<()> {
        for (key, values) in [("mean", &self.mean), ("deviation", &self.deviation)] {
            let bad = values.iter().find(|v| !v.is_finite() || (key == "deviation" && **v == 0.0));
            if values.is_empty() || bad.is_some() {
                let got = bad.map_or_else(|| "none".to_owned(), f64::to_string);
                return Err(Error::argument("the constants cannot be used")
                    .at(key)
                    .expected("finite numbers; deviations not 0")
                    .got(got));
            }
        }
        Ok(())
    }
}

impl Normalize {
    fn fits(&self, name: &str, shape: &[usize]) -> Result<()> {
        let channels = shape.first().copied().unwrap_or(0);
        for (key, values) in [("mean", &self.mean), ("deviation", &self.deviation)] {
            if values.len() != 1 && values.len() != channels {
                return Err(Error::argument(format!("{key} of \"{}\" does not fit the rows", Self::NAME))
                    .at(name)
                    .expected(format!("1 or {channels} numbers, for rows of shape {shape:?}"))
                    .got(values.len()));
            }
        }
        Ok(())
    }
}

impl Feature for Normalize {
    fn output(&self, input: &Field) -> Result<Field> {
        accept(Self::NAME, input, &[Kind::Vector])?;
        if !input.shape.is_empty() && !input.shape.contains(&0) {
            self.fits(&input.name, &input.shape)?;
        }
        Ok(Field::vector(&input.name, input.shape.clone()))
    }

    fn learns(&self) -> bool {
        false
    }

    fn fit(&self, input: &Field, column: &Column, _: &Context<'_>) -> Result<Box<dyn FittedFeature>> {
        let mut output = self.output(input)?;
        let rows = vectors(Self::NAME, &input.name, column)?;
        if rows.absent.count() == rows.len() {
            return Err(nothing(Self::NAME, &input.name));
        }
        output.shape.clone_from(&rows.shape);
        self.fits(&input.name, &output.shape)?;
        Ok(Box::new(Normalized { output, constants: self.clone() }))
    }
}

/// Fitted [`Normalize`].
struct Normalized {
    output: Field,
    constants: Normalize,
}

impl FittedFeature for Normalized {
    fn kind(&self) -> &'static str {
        Normalize::NAME
    }

    fn output(&self) -> &Field {
        &self.output
    }

    fn apply(&self, column: &Column) -> Result<Column> {
        let name = &self.output.name;
        let rows = shaped(Normalize::NAME, name, &self.output.shape, column)?;
        let each = rows.width() / self.output.shape.first().copied().unwrap_or(1).max(1);
        let of = |values: &[f64], channel: usize| values[if values.len() == 1 { 0 } else { channel }];
        let mut data = vec![0.0; rows.data.len()];
        for (row, out) in data.chunks_mut(rows.width()).enumerate() {
            let Some(values) = rows.get(row) else { continue };
            for (channel, (out, values)) in out.chunks_mut(each).zip(values.chunks(each)).enumerate() {
                let mean = of(&self.constants.mean, channel);
                let deviation = of(&self.constants.deviation, channel);
                for (o, x) in out.iter_mut().zip(values) {
                    *o = single(name, row, (f64::from(*x) - mean) / deviation)?;
                }
            }
        }
        Ok(Column::Vector(Vectors { shape: rows.shape.clone(), data, absent: rows.absent.clone() }))
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new(self.kind(), json!({"output": self.output}))
            .with_f64("mean", &self.constants.mean)
            .with_f64("deviation", &self.constants.deviation))
    }
}

/// Loads a fitted [`Normalize`].
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedFeature>> {
    let output: Field = parts.field("output")?;
    let constants =
        Normalize { mean: parts.f64("mean")?.to_vec(), deviation: parts.f64("deviation")?.to_vec() };
    let sound = constants.validate().is_ok() && constants.fits(&output.name, &output.shape).is_ok();
    if !sound || output.shape.iter().product::<usize>() == 0 {
        return Err(damaged(parts));
    }
    Ok(Box::new(Normalized { output, constants }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::conformance::fit;

    #[test]
    fn channels_have_constants_of_their_own() {
        let field = Field::vector("v", vec![2, 1, 2]);
        let column = Column::Vector(Vectors::new(vec![2, 1, 2], vec![1., 2., 3., 5.]).unwrap());
        let apply = |parameters| {
            let step = fit("normalize", parameters, &field, &column).unwrap();
            let Column::Vector(out) = step.apply(&column).unwrap() else { panic!() };
            out.data
        };
        assert_eq!(apply(json!({"mean": [1, 3], "deviation": [0.5, 2]})), [0., 2., 0., 1.]);
        assert_eq!(apply(json!({"mean": [1], "deviation": [2]})), [0., 0.5, 1., 2.]);
        let build = |p| crate::features::REGISTRY.build("normalize", &p);
        let error = build(json!({"mean": [1, 2, 3]})).unwrap().output(&field).unwrap_err();
        assert!(error.to_string().contains("1 or 2 numbers"), "{error}");
        for bad in [json!({"deviation": [0]}), json!({"mean": []})] {
            assert!(build(bad).is_err());
        }
    }
}
