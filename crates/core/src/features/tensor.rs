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

/// The shares of red, green and blue in gray, of ITU-R BT.601.
const GRAY: [f32; 3] = [0.299, 0.587, 0.114];

/// Bytes divided by 255, channels first; resized with antialiasing (bilinear over the pixels that a new one covers,
/// not rounded to bytes) where a size is given. With `channels: 3` a gray image has its channel three times, with
/// `channels: 1` a color image becomes `.299 red + .587 green + .114 blue` (ITU-R BT.601).
///
/// # Shapes
/// Images of height x width x channels give `[channels, height, width]`, values from 0 to 1.
///
/// # Errors
/// Images of different sizes need `height` and `width`; different numbers of channels need `channels`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tensor {
    /// The height to resize to, in pixels; goes with `width`. Without it images keep their size.
    #[schemars(range(min = 1, max = 16384))]
    pub height: Option<usize>,
    /// The width to resize to, in pixels; goes with `height`.
    #[schemars(range(min = 1, max = 16384))]
    pub width: Option<usize>,
    /// The channels that every image gets: 1 for gray, 3 for red, green and blue. Without it images keep theirs.
    #[schemars(extend("enum" = [1, 3, null]))]
    pub channels: Option<usize>,
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
        if let Some(other) = self.channels.filter(|c| ![1, 3].contains(c)) {
            return Err(Error::argument("images cannot be brought to so many channels")
                .at("channels")
                .expected("1 or 3")
                .got(other));
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
                vec![self.channels.unwrap_or(*c), h, w]
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
        let same = |[h, w, c]: &[usize; 3]| {
            let size = resize.is_some() || [*h, *w] == [first[0], first[1]];
            size && self.channels.map_or(*c == first[2], |wanted| mixed(*c, wanted).is_some())
        };
        let channels = self.channels.unwrap_or(first[2]);
        if mixed(first[2], channels).is_none() {
            return Err(odd_channels(name, first[2], channels));
        }
        if let Some(other) = shapes.find(|s| !same(s)) {
            let [h, w, c] = first;
            let remedy =
                if other[2] == c || self.channels.is_some_and(|wanted| mixed(other[2], wanted).is_some()) {
                    "give tensor a height and a width to resize to"
                } else {
                    "give tensor the number of channels (1 or 3), or convert the files"
                };
            return Err(Error::data("the images are not of one shape")
                .at(name)
                .expected(format!("{h} x {w} x {c} as in the first row"))
                .got(format!("{} x {} x {}", other[0], other[1], other[2]))
                .remedy(remedy));
        }
        let [h, w] = resize.unwrap_or([first[0], first[1]]);
        output.shape = vec![channels, h, w];
        let (resize, mix) = (resize.is_some(), self.channels.is_some());
        Ok(Box::new(Tensors { output, channels, size: [h, w], resize, mix }))
    }
}

/// Fitted [`Tensor`].
struct Tensors {
    output: Field,
    channels: usize,
    size: [usize; 2],
    resize: bool,
    /// Whether images of other numbers of channels are brought to this one.
    mix: bool,
}

/// The channels that one of `wanted` is made of, each with its share, for images of `given` channels.
fn mixed(given: usize, wanted: usize) -> Option<Vec<Vec<(usize, f32)>>> {
    match (given, wanted) {
        (1, 3) => Some(vec![vec![(0, 1.0)]; 3]),
        (3, 1) => Some(vec![GRAY.into_iter().enumerate().collect()]),
        _ => (given == wanted).then(|| (0..wanted).map(|channel| vec![(channel, 1.0)]).collect()),
    }
}

fn odd_channels(name: &str, given: usize, wanted: usize) -> Error {
    Error::data(format!("images of {given} channels cannot be brought to {wanted}"))
        .at(name)
        .expected("images of 1 or 3 channels")
        .remedy("convert the files")
}

impl Tensors {
    fn row(&self, images: &Images, row: usize, out: &mut [f32]) -> Result<()> {
        let Some((shape, pixels)) = images.get(row) else { return Ok(()) };
        let [h, w, c] = shape;
        let mix = mixed(c, self.channels).filter(|_| self.mix || c == self.channels);
        let fits = mix.is_some() && if self.resize { h > 0 && w > 0 } else { [h, w] == self.size };
        if !fits {
            let expected = [self.size[0], self.size[1], self.channels];
            return Err(other_shape(Tensor::NAME, &self.output.name, &expected, &shape));
        }
        let resample = ([h, w] != self.size).then(|| Resample::new([h, w], self.size));
        let size = self.size[0] * self.size[1];
        let read = |channel: usize, plane: &mut [f32]| match &resample {
            Some(resample) => {
                resample.plane(pixels, c, channel, plane);
                plane.iter_mut().for_each(|v| *v = (*v / 255.0).clamp(0.0, 1.0));
            }
            None => {
                let from = pixels.iter().skip(channel).step_by(c);
                plane.iter_mut().zip(from).for_each(|(o, p)| *o = f32::from(*p) / 255.0);
            }
        };
        for (plane, shares) in out.chunks_mut(size).zip(mix.into_iter().flatten()) {
            match shares.as_slice() {
                [(channel, _)] => read(*channel, plane),
                several => {
                    let mut one = vec![0.0; size];
                    for (channel, share) in several {
                        read(*channel, &mut one);
                        plane.iter_mut().zip(&one).for_each(|(o, v)| *o += share * v);
                    }
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
        if self.resize || self.mix {
            return Err(refused("the step \"tensor\"", "images that are resized or change channels by it"));
        }
        let x = graph.single(x);
        let whole = graph.scalar(Element::F32, 255.0);
        let x = graph.div(&x, &whole);
        Ok(graph.transpose(&x, &[0, 3, 1, 2]))
    }

    fn save(&self) -> Result<Parts> {
        let mut config = json!({"output": self.output, "resize": self.resize});
        if let (true, Some(map)) = (self.mix, config.as_object_mut()) {
            map.insert("mix".to_owned(), true.into());
        }
        Ok(Parts::new(self.kind(), config))
    }
}

/// Loads a fitted [`Tensor`].
pub(super) fn load(parts: &Parts, _: &Loaders) -> Result<Box<dyn FittedFeature>> {
    let output: Field = parts.field("output")?;
    let [channels, h, w] = *output.shape.as_slice() else { return Err(damaged(parts)) };
    if channels.checked_mul(h).and_then(|v| v.checked_mul(w)).is_none_or(|v| v == 0) {
        return Err(damaged(parts));
    }
    let mix = parts.config.get("mix").is_some_and(|m| m == &serde_json::Value::Bool(true));
    Ok(Box::new(Tensors { output, channels, size: [h, w], resize: parts.field("resize")?, mix }))
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

    #[test]
    fn gray_and_color_images_are_brought_to_one_number_of_channels() {
        let mut images = Images::default();
        images.push([1, 2, 1], &[0, 255]).unwrap();
        images.push([1, 2, 3], &[255, 0, 0, 51, 102, 153]).unwrap();
        let field = Field::new("i", Kind::Image);
        let column = Column::Image(images.clone());
        let Err(error) = fit("tensor", json!({}), &field, &column) else { panic!() };
        assert!(error.to_string().contains("number of channels"), "{error}");
        let rows = |channels: usize| {
            let step = fit("tensor", json!({"channels": channels}), &field, &column).unwrap();
            assert_eq!(step.output().shape, [channels, 1, 2]);
            let again = load(&step.save().unwrap(), &Loaders::default()).unwrap();
            let Column::Vector(out) = again.apply(&column).unwrap() else { panic!() };
            out.data
        };
        assert_eq!(rows(3), [0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.2, 0.0, 0.4, 0.0, 0.6]);
        let expected = [0.0, 1.0, 0.299, 0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.6];
        assert!(rows(1).iter().zip(expected).all(|(a, e)| (a - e).abs() < 1e-6));
        images.push([1, 2, 2], &[0; 4]).unwrap();
        assert!(fit("tensor", json!({"channels": 3}), &field, &Column::Image(images)).is_err());
        assert!(crate::features::REGISTRY.build("tensor", &json!({"channels": 2})).is_err());
    }
}
