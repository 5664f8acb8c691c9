//! The projection of a row onto a few directions.

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::project_arrays;
use super::reading::{accept, damaged, images, nothing, other_shape, shaped, single, vectors};
use crate::error::{Error, Result};
use crate::files::confine;
use crate::model::graph::{Element, Graph, Value};
use crate::model::{
    Array, Column, Context, Feature, Field, FittedFeature, Images, Kind, Loaders, Parts, Vectors,
};
use crate::registry::Method;

/// Keeps of a row only what lies in the span of given directions: `(x - mean) V V' + mean`, in 64 bits.
///
/// For images the result is rounded to the nearest byte (halves to the even one) and clipped to 0..255:
/// `clip(round((x - mean) V V' + mean), 0, 255)`. The arrays are stored in the model; the files are read once.
///
/// # Shapes
/// Images of one shape, or vectors, of `d` values in all; `mean` is `[d]`, `basis` is `[d, k]` with orthonormal columns.
/// The output has the input's shape.
///
/// # Errors
/// Files outside the data folder, arrays that are no 32- or 64-bit floats, rows of another size.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Project {
    /// The `.npy` file of the mean, `[d]`, relative to the data folder. Required.
    pub mean: String,
    /// The `.npy` file of the directions, `[d, k]`, relative to the data folder. Required.
    pub basis: String,
    /// Rounds to bytes and clips to 0..255: `true` for images, which hold bytes, `false` for vectors.
    pub round: bool,
}

impl Default for Project {
    fn default() -> Self {
        Self { mean: String::new(), basis: String::new(), round: true }
    }
}

impl Method for Project {
    const NAME: &'static str = "project";
    const ABOUT: &'static str =
        "keeps what lies in the span of given directions (principal components from a file)";

    fn validate(&self) -> Result<()> {
        for (key, file) in [("mean", &self.mean), ("basis", &self.basis)] {
            if file.is_empty() {
                return Err(Error::argument("a file is needed")
                    .at(key)
                    .expected("a .npy file in the data folder"));
            }
        }
        Ok(())
    }
}

impl Feature for Project {
    fn output(&self, input: &Field) -> Result<Field> {
        accept(Self::NAME, input, &[Kind::Image, Kind::Vector])?;
        match (input.kind, self.round) {
            (Kind::Image, false) => {
                Err(Error::argument("an image holds bytes, so its projection is rounded")
                    .at(&input.name)
                    .remedy("leave round out, or put \"tensor\" before it"))
            }
            (Kind::Vector, true) => Err(Error::argument("the projection of vectors is not rounded")
                .at(&input.name)
                .remedy("set round: false")),
            _ => Ok(input.clone()),
        }
    }

    fn files(&self) -> Vec<String> {
        vec![self.mean.clone(), self.basis.clone()]
    }

    fn learns(&self) -> bool {
        false
    }

    fn fit(&self, input: &Field, column: &Column, context: &Context<'_>) -> Result<Box<dyn FittedFeature>> {
        let mut output = self.output(input)?;
        let name = &input.name;
        let root = context.root.ok_or_else(|| {
            Error::argument("\"project\" reads files, but no data folder was given")
                .at(name)
                .remedy("set data.root in the recipe, or --data")
        })?;
        output.shape = match input.kind {
            Kind::Image => {
                let images = images(Self::NAME, name, column)?;
                if images.absent().count() == images.len() {
                    return Err(nothing(Self::NAME, name));
                }
                let shape = images.uniform_shape().ok_or_else(|| {
                    Error::data("the images are not of one shape")
                        .at(name)
                        .remedy("bring them to one size first")
                })?;
                shape.to_vec()
            }
            _ => {
                let v = vectors(Self::NAME, name, column)?;
                if v.absent.count() == v.len() {
                    return Err(nothing(Self::NAME, name));
                }
                v.shape.clone()
            }
        };
        let width: usize = output.shape.iter().product();
        let (mean_shape, mean) = project_arrays::read(&confine(root, &self.mean)?)?;
        let (basis_shape, basis) = project_arrays::read(&confine(root, &self.basis)?)?;
        if mean_shape != [width] {
            return Err(other_shape(Self::NAME, &self.mean, &[width], &mean_shape));
        }
        match basis_shape.as_slice() {
            [d, k] if *d == width && *k > 0 => {
                Ok(Box::new(Projected { output, mean, basis, directions: *k }))
            }
            _ => Err(Error::data("the directions do not fit the rows")
                .at(&self.basis)
                .expected(format!("[{width}, directions]"))
                .got(format!("{basis_shape:?}"))),
        }
    }
}

/// Fitted [`Project`].
struct Projected {
    output: Field,
    mean: Vec<f64>,
    /// `[d, k]`, row-major.
    basis: Vec<f64>,
    directions: usize,
}

impl Projected {
    /// The projection of one row.
    fn row(&self, values: impl Iterator<Item = f64>) -> Vec<f64> {
        let mut along = vec![0.0; self.directions];
        for ((x, mean), v) in values.zip(&self.mean).zip(self.basis.chunks(self.directions)) {
            for (a, b) in along.iter_mut().zip(v) {
                *a += (x - mean) * b;
            }
        }
        let back = |v: &[f64]| v.iter().zip(&along).map(|(b, a)| b * a).sum::<f64>();
        self.basis.chunks(self.directions).zip(&self.mean).map(|(v, mean)| back(v) + mean).collect()
    }
}

impl FittedFeature for Projected {
    fn kind(&self) -> &'static str {
        Project::NAME
    }

    fn output(&self) -> &Field {
        &self.output
    }

    fn apply(&self, column: &Column) -> Result<Column> {
        let name = &self.output.name;
        if self.output.kind == Kind::Vector {
            let v = shaped(Project::NAME, name, &self.output.shape, column)?;
            let mut data = vec![0.0; v.data.len()];
            data.par_chunks_mut(v.width()).enumerate().try_for_each(|(row, out)| {
                let Some(values) = v.get(row) else { return Ok(()) };
                for (o, y) in out.iter_mut().zip(self.row(values.iter().map(|x| f64::from(*x)))) {
                    *o = single(name, row, y)?;
                }
                Ok::<(), Error>(())
            })?;
            return Ok(Column::Vector(Vectors { shape: v.shape.clone(), data, absent: v.absent.clone() }));
        }
        let images = images(Project::NAME, name, column)?;
        let rows: Result<Vec<Option<Vec<u8>>>> = (0..images.len())
            .into_par_iter()
            .map(|row| {
                let Some((shape, pixels)) = images.get(row) else { return Ok(None) };
                if shape[..] != self.output.shape[..] {
                    return Err(other_shape(Project::NAME, name, &self.output.shape, &shape));
                }
                let projected = self.row(pixels.iter().map(|p| f64::from(*p)));
                Ok(Some(projected.iter().map(|y| y.round_ties_even().clamp(0.0, 255.0) as u8).collect()))
            })
            .collect();
        let mut out = Images::default();
        for (row, pixels) in rows?.iter().enumerate() {
            match (pixels, images.get(row)) {
                (Some(pixels), Some((shape, _))) => out.push(shape, pixels)?,
                _ => out.push_absent(),
            }
        }
        Ok(Column::Image(out))
    }

    fn graph(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let (width, directions) = (self.mean.len(), self.directions);
        let mean = graph.doubles("mean", &[width], self.mean.iter().copied());
        let basis = graph.doubles("basis", &[width, directions], self.basis.iter().copied());
        let back = graph.transpose(&basis, &[1, 0]);
        let flat = graph.reshape(x, &[0, width as i64]);
        let flat = graph.double(&flat);
        let centered = graph.sub(&flat, &mean);
        let along = graph.product(&centered, &basis);
        let within = graph.product(&along, &back);
        let mut moved = graph.add(&within, &mean);
        let kept = if x.element() == Element::U8 {
            moved = graph.one("Round", &moved);
            moved = graph.clip(&moved, 0.0, 255.0);
            graph.cast(&moved, Element::U8)
        } else {
            graph.single(&moved)
        };
        let shape: Vec<i64> = std::iter::once(0).chain(self.output.shape.iter().map(|s| *s as i64)).collect();
        Ok(graph.reshape(&kept, &shape))
    }

    fn save(&self) -> Result<Parts> {
        let shape = vec![self.mean.len(), self.directions];
        Ok(Parts::new(self.kind(), json!({"output": self.output}))
            .with_f64("mean", &self.mean)
            .with("basis", Array::F64(shape, self.basis.clone())))
    }
}

/// Loads a fitted [`Project`].
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedFeature>> {
    let output: Field = parts.field("output")?;
    let (mean, basis) = (parts.f64("mean")?.to_vec(), parts.f64("basis")?.to_vec());
    let width: usize = output.shape.iter().product();
    let directions = match parts.arrays.get("basis").map(Array::shape) {
        Some([d, k]) if *d == width && *k > 0 && d.checked_mul(*k) == Some(basis.len()) => *k,
        _ => return Err(damaged(parts)),
    };
    let kind_fits = matches!((output.kind, output.shape.len()), (Kind::Image, 3) | (Kind::Vector, _));
    if width == 0 || mean.len() != width || !kind_fits {
        return Err(damaged(parts));
    }
    Ok(Box::new(Projected { output, mean, basis, directions }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::conformance::{fit_in, golden, shared};

    #[test]
    fn degraded_digits_match_numpy() {
        let Some(shared) = shared() else { return };
        let root = shared.join("multimodal/av-mnist");
        let file = std::fs::File::open(root.join("mnist/t10k-images-idx3-ubyte.gz")).unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(file), &mut bytes).unwrap();
        let golden: Vec<u32> = serde_json::from_value(golden("project").clone()).unwrap();
        let mut images = Images::default();
        for pixels in bytes[16..].chunks(784).take(golden.len()) {
            images.push([28, 28, 1], pixels).unwrap();
        }
        let parameters = json!({"mean": "pca_mean_f64.npy", "basis": "pca_basis_f64.npy"});
        let column = Column::Image(images);
        let step = fit_in("project", parameters, &Field::new("i", Kind::Image), &column, &root).unwrap();
        let Column::Image(out) = step.apply(&column).unwrap() else { panic!() };
        let fletcher = |pixels: &[u8]| {
            let (mut a, mut b) = (0u32, 0u32);
            for p in pixels {
                a = (a + u32::from(*p)) % 65_521;
                b = (b + a) % 65_521;
            }
            b << 16 | a
        };
        for (row, expected) in golden.iter().enumerate() {
            assert_eq!(fletcher(out.get(row).unwrap().1), *expected, "image {row}");
        }
    }

    #[test]
    fn rounding_belongs_to_images_and_files_stay_inside() {
        let field = Field::vector("v", vec![2]);
        let build = |p| crate::features::REGISTRY.build("project", &p);
        let step = build(json!({"mean": "m.npy", "basis": "b.npy"})).unwrap();
        assert!(step.output(&field).unwrap_err().to_string().contains("round: false"));
        assert_eq!(step.files(), ["m.npy", "b.npy"]);
        assert!(build(json!({"mean": "m.npy"})).is_err());
        let column = Column::Vector(Vectors::new(vec![2], vec![1.0, 2.0]).unwrap());
        let parameters = json!({"mean": "../m.npy", "basis": "b.npy", "round": false});
        let root = tempfile::tempdir().unwrap();
        let Err(error) = fit_in("project", parameters, &field, &column, root.path()) else { panic!() };
        assert!(error.to_string().contains("outside"), "{error}");
    }
}
