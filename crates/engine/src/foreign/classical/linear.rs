//! Scaling, imputing, normalizing, and linear models.

use consilience_core::Result;

use super::attributes::{Attributes, Finish, logistic};
use super::{Operator, Table};

/// `(x - offset) * scale`.
struct Scaler {
    offset: Vec<f64>,
    scale: Vec<f64>,
}

/// One constant for all columns, or one for each.
fn of(constants: &[f64], column: usize) -> f64 {
    constants.get(if constants.len() == 1 { 0 } else { column }).copied().unwrap_or(f64::NAN)
}

fn fits(constants: &[f64], table: &Table, what: &str) -> Result<()> {
    table.wide_as(if constants.len() == 1 { table.width } else { constants.len() }, what)
}

pub(super) fn scaler(attributes: &Attributes<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Scaler { offset: attributes.floats("offset")?, scale: attributes.floats("scale")? }))
}

impl Operator for Scaler {
    fn run(&self, input: &Table) -> Result<Table> {
        fits(&self.offset, input, "Scaler")?;
        fits(&self.scale, input, "Scaler")?;
        Ok(input.each(|column, x| (x - of(&self.offset, column)) * of(&self.scale, column)))
    }
}

/// Replaces what stands for nothing.
struct Imputer {
    nothing: f64,
    values: Vec<f64>,
}

pub(super) fn imputer(attributes: &Attributes<'_>) -> Result<Box<dyn Operator>> {
    let nothing = attributes.float("replaced_value_float")?.unwrap_or(f64::NAN);
    Ok(Box::new(Imputer { nothing, values: attributes.floats("imputed_value_floats")? }))
}

impl Operator for Imputer {
    fn run(&self, input: &Table) -> Result<Table> {
        fits(&self.values, input, "Imputer")?;
        let gone = |x: f64| if self.nothing.is_nan() { x.is_nan() } else { x == self.nothing };
        Ok(input.each(|column, x| if gone(x) { of(&self.values, column) } else { x }))
    }
}

/// Rows of norm one.
struct Normalizer(fn(&[f64]) -> f64);

pub(super) fn normalizer(attributes: &Attributes<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Normalizer(match attributes.text("norm")?.unwrap_or("MAX") {
        "MAX" => |row| row.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "L1" => |row| row.iter().map(|v| v.abs()).sum(),
        "L2" => |row| row.iter().map(|v| v * v).sum::<f64>().sqrt(),
        other => return Err(attributes.refuse(format!("the norm {other} is not supported"))),
    })))
}

impl Operator for Normalizer {
    fn run(&self, input: &Table) -> Result<Table> {
        let mut out = input.clone();
        for row in out.data.chunks_mut(out.width.max(1)) {
            let norm = (self.0)(row);
            if norm != 0.0 {
                row.iter_mut().for_each(|v| *v /= norm);
            }
        }
        Ok(out)
    }
}

/// `x W' + b`, then what is done with scores.
struct Linear {
    name: &'static str,
    /// `[scores, columns]`.
    weights: Vec<f64>,
    intercepts: Vec<f64>,
    /// Whether one score stands for two classes.
    doubled: bool,
    finish: Finish,
}

impl Linear {
    fn checked(self, attributes: &Attributes<'_>) -> Result<Box<dyn Operator>> {
        let scores = self.intercepts.len();
        if scores == 0 || self.weights.is_empty() || !self.weights.len().is_multiple_of(scores) {
            return Err(attributes.refuse("its coefficients do not fit its intercepts"));
        }
        Ok(Box::new(self))
    }
}

pub(super) fn regressor(attributes: &Attributes<'_>) -> Result<Box<dyn Operator>> {
    let targets = usize::try_from(attributes.int("targets")?.unwrap_or(1)).unwrap_or(0);
    if targets != 1 {
        return Err(attributes.refuse("it predicts several values").expected("one"));
    }
    let intercepts =
        Some(attributes.floats("intercepts")?).filter(|i| !i.is_empty()).unwrap_or_else(|| vec![0.0]);
    let weights = attributes.floats("coefficients")?;
    Linear { name: "LinearRegressor", weights, intercepts, doubled: false, finish: attributes.finish()? }
        .checked(attributes)
}

pub(super) fn classifier(attributes: &Attributes<'_>) -> Result<Box<dyn Operator>> {
    let classes = attributes.classes()?;
    let intercepts = attributes.floats("intercepts")?;
    let finish = attributes.finish()?;
    let doubled = intercepts.len() == 1 && classes == 2 && finish == Finish::Logistic;
    if intercepts.len() != classes && !doubled {
        return Err(attributes
            .refuse("its scores do not fit its classes")
            .expected(format!("{classes} scores"))
            .got(intercepts.len()));
    }
    let weights = attributes.floats("coefficients")?;
    Linear { name: "LinearClassifier", weights, intercepts, doubled, finish }.checked(attributes)
}

impl Operator for Linear {
    fn run(&self, input: &Table) -> Result<Table> {
        let scores = self.intercepts.len();
        let width = self.weights.len() / scores.max(1);
        input.wide_as(width, self.name)?;
        let mut data = Vec::with_capacity(input.rows() * scores);
        for row in input.data.chunks(width) {
            let start = data.len();
            for (weights, intercept) in self.weights.chunks(width).zip(&self.intercepts) {
                data.push(weights.iter().zip(row).map(|(w, x)| w * x).sum::<f64>() + intercept);
            }
            match data.get_mut(start..) {
                Some([score]) if self.doubled => {
                    let p = logistic(*score);
                    *score = 1.0 - p;
                    data.push(p);
                }
                Some(row) => self.finish.apply(row),
                None => {}
            }
        }
        Ok(Table { width: if self.doubled { 2 } else { scores }, data })
    }
}
