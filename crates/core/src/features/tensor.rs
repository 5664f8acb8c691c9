//! An image becomes numbers.

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::reading::{accept, damaged, images, nothing, other_shape};
use super::resample::Resample;
use crate::error::{Error, Result};
use crate::model::graph::{Element, Graph, Value, refused};
use crate::model::{Column, Context, Feature, Field, FittedFeature, Images, Kind, Loaders, Parts, Vectors};
use crate::registry::Method;

/// The largest side to resize to.
const LARGEST: usize = 16_384;

/// Bytes divided by 255, channels first; resized with antialiasing (bilinear over the pixels that a new one covers,
/// not rounded to bytes) where a size is given.
///
/// # Shapes
/// Images of height x width x channels give `[channels, height, width]`, values from 0 to 1.
///
/// # Errors
/// Images of different sizes need `height` and `width`; different numbers of channels are refused.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tensor {
    /// The height to resize to, in pixels; goes with `width`. Without it images keep their size.
    #[schemars(range(min = 1, max = 16384))]
    pub height: Option<usize>,
    /// The width to resize to, in pixels; goes with `height`.
    #[schemars(range(min = 1, max = 16384))]
    pub width: Option<usize>,
}

impl Tensor {
    fn size(&self) -> Option<[usize; 2]> {
        self.height.zip(self.width).map(|(h, w)| [h, w])
    }
}

impl Method for Tensor {
    const NAME: &'static str = "tensor";
    const ABOUT: &'static str = "images as numbers from 0 to 1, channels first, resized if asked";

    fn validate(&self) -> Result<()> {
        if self.height.is_some() != self.width.is_some() {
            return Err(Error::argument("height and width go together").expected("both or neither"));
        }
        match self.size() {
            Some(size) if size.iter().any(|s| !(1..=LARGEST).contains(s)) => {
                Err(Error::argument("images cannot have this size")
                    .expected(format!("1 to {LARGEST} pixels"))
                    .got(format!("{} x {}", size[0], size[1])))
            }
            _ => Ok(()),
        }
    }
}

impl Feature for Tensor {
    fn output(&self, input: &Field) -> Result<Field> {
        accept(Self::NAME, input, &[Kind::Image])?;
        let shape = match input.shape.as_slice() {
            [h, w, c] => {
                let [h, w] = self.size().unwrap_or([*h, *w]);
                vec![*c, h, w]
            }
            _ => Vec::new(),
        };
        Ok(Field::vector(&input.name, shape))
    }

    fn learns(&self) -> bool {
        false
    }

    fn fit(&self, input: &Field, column: &Column, _: &Context<'_>) -> Result<Box<dyn FittedFeature>> {
        let mut output = self.output(input)?;
        let name = &input.name;
        let images = images(Self::NAME, name, column)?;
        let mut shapes = (0..images.len()).filter_map(|r| images.get(r)).map(|(shape, _)| shape);
        let first = shapes.next().ok_or_else(|| nothing(Self::NAME, name))?;
        if first.contains(&0) {
            return Err(Error::data("an image holds no pixels").at(name).got(format!("{first:?}")));
        }
        let resize = self.size();
        let same = |shape: &[usize; 3]| if resize.is_some() { shape[2] == first[2] } else { *shape == first };
        if let Some(other) = shapes.find(|s| !same(s)) {
            let [h, w, c] = first;
            let remedy = if other[2] == c {
                "give tensor a height and a width to resize to"
            } else {
                "declare how many channels the column has, or convert the files"
            };
            return Err(Error::data("the images are not of one shape")
                .at(name)
                .expected(format!("{h} x {w} x {c} as in the first row"))
                .got(format!("{} x {} x {}", other[0], other[1], other[2]))
                .remedy(remedy));
        }
        let [h, w] = resize.unwrap_or([first[0], first[1]]);
        output.shape = vec![first[2], h, w];
        Ok(Box::new(Tensors { output, channels: first[2], size: [h, w], resize: resize.is_some() }))
    }
}

/// Fitted [`Tensor`].
struct Tensors {
    output: Field,
    channels: usize,
    size: [usize; 2],
    resize: bool,
}

impl Tensors {
    fn row(&self, images: &Images, row: usize, out: &mut [f32]) -> Result<()> {
        let Some((shape, pixels)) = images.get(row) else { return Ok(()) };
        let [h, w, c] = shape;
        let fits = c == self.channels && if self.resize { h > 0 && w > 0 } else { [h, w] == self.size };
        if !fits {
            let expected = [self.size[0], self.size[1], self.channels];
            return Err(other_shape(Tensor::NAME, &self.output.name, &expected, &shape));
        }
        let resample = ([h, w] != self.size).then(|| Resample::new([h, w], self.size));
        for (channel, plane) in out.chunks_mut(self.size[0] * self.size[1]).enumerate() {
            match &resample {
                Some(resample) => {
                    resample.plane(pixels, c, channel, plane);
                    plane.iter_mut().for_each(|v| *v = (*v / 255.0).clamp(0.0, 1.0));
                }
                None => {
                    let from = pixels.iter().skip(channel).step_by(c);
                    plane.iter_mut().zip(from).for_each(|(o, p)| *o = f32::from(*p) / 255.0);
                }
            }
        }
        Ok(())
    }
}

impl FittedFeature for Tensors {
    fn kind(&self) -> &'static str {
        Tensor::NAME
    }

    fn output(&self) -> &Field {
        &self.output
    }

    fn apply(&self, column: &Column) -> Result<Column> {
        let images = images(Tensor::NAME, &self.output.name, column)?;
        let width: usize = self.output.shape.iter().product();
        let mut data = vec![0.0; images.len() * width];
        data.par_chunks_mut(width).enumerate().try_for_each(|(row, out)| self.row(images, row, out))?;
        Ok(Column::Vector(Vectors {
            shape: self.output.shape.clone(),
            data,
            absent: images.absent().clone(),
        }))
    }

    fn graph(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        if self.resize {
            return Err(refused("the step \"tensor\"", "images that are resized by it"));
        }
        let x = graph.single(x);
        let whole = graph.scalar(Element::F32, 255.0);
        let x = graph.div(&x, &whole);
        Ok(graph.transpose(&x, &[0, 3, 1, 2]))
    }

    fn save(&self) -> Result<Parts> {
        Ok(Parts::new(self.kind(), json!({"output": self.output, "resize": self.resize})))
    }
}

/// Loads a fitted [`Tensor`].
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedFeature>> {
    let output: Field = parts.field("output")?;
    let [channels, h, w] = *output.shape.as_slice() else { return Err(damaged(parts)) };
    if channels.checked_mul(h).and_then(|v| v.checked_mul(w)).is_none_or(|v| v == 0) {
        return Err(damaged(parts));
    }
    Ok(Box::new(Tensors { output, channels, size: [h, w], resize: parts.field("resize")? }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::conformance::fit;

    #[test]
    fn channels_come_first_and_sizes_must_agree() {
        let mut images = Images::default();
        images.push([1, 2, 2], &[0, 255, 51, 102]).unwrap();
        images.push_absent();
        let field = Field::new("i", Kind::Image);
        let step = fit("tensor", json!({}), &field, &Column::Image(images.clone())).unwrap();
        assert_eq!(step.output().shape, [2, 1, 2]);
        let Column::Vector(out) = step.apply(&Column::Image(images.clone())).unwrap() else { panic!() };
        assert_eq!((out.get(0), out.get(1)), (Some(&[0.0f32, 0.2, 1.0, 0.4][..]), None));
        images.push([2, 2, 2], &[51; 8]).unwrap();
        let mixed = Column::Image(images);
        assert!(step.apply(&mixed).is_err());
        let Err(error) = fit("tensor", json!({}), &field, &mixed) else { panic!() };
        assert!(error.to_string().contains("height"), "{error}");
        let step = fit("tensor", json!({"height": 2, "width": 1}), &field, &mixed).unwrap();
        let Column::Vector(out) = step.apply(&mixed).unwrap() else { panic!() };
        assert_eq!(out.shape, [2, 2, 1]);
        assert!(out.get(2).unwrap().iter().all(|v| (v - 0.2).abs() < 1e-6));
        assert!((out.get(0).unwrap()[0] - 0.1).abs() < 1e-6);
        assert!(crate::features::REGISTRY.build("tensor", &json!({"height": 2})).is_err());
    }
}
