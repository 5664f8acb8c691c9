//! PNG and JPEG images.

#[cfg(feature = "image")]
use std::io::Cursor;

#[cfg(feature = "image")]
use image::{ColorType, DynamicImage, ImageDecoder, ImageReader, Limits};

use crate::error::{Error, Result};

/// The largest image, in pixels.
#[cfg(feature = "image")]
const MAX_PIXELS: u64 = 64 << 20;

/// The most memory that decoding may take, in bytes.
#[cfg(feature = "image")]
const MAX_ALLOC: u64 = 512 << 20;

/// Decodes an image to bytes: `[height, width, channels]` and the pixels, one channel for gray, three for color.
///
/// A palette is resolved, 16 bits become 8 (`round(x / 257)`), and an alpha channel is left out: colors stay as they are
/// stored, blended with nothing.
///
/// # Errors
/// [`Error::Data`] naming the file if it is no PNG or JPEG image, was cut short, or is larger than 64 megapixels
/// (checked before pixels are decoded).
#[cfg(feature = "image")]
pub(crate) fn decode_image(bytes: &[u8], name: &str) -> Result<([usize; 3], Vec<u8>)> {
    let [height, width, channels] = image_shape(bytes, name)?;
    let image = reader(bytes, name)?.decode().map_err(|e| refused(&e, name))?;
    let pixels = match (channels, image) {
        (1, DynamicImage::ImageLuma16(i)) => i.into_raw().into_iter().map(to_byte).collect(),
        (1, DynamicImage::ImageLumaA16(i)) => {
            i.into_raw().as_chunks::<2>().0.iter().map(|[l, _]| to_byte(*l)).collect()
        }
        (1, DynamicImage::ImageLumaA8(i)) => {
            i.into_raw().as_chunks::<2>().0.iter().map(|[l, _]| *l).collect()
        }
        (1, i) => i.into_luma8().into_raw(),
        (_, DynamicImage::ImageRgb16(i)) => i.into_raw().into_iter().map(to_byte).collect(),
        (_, DynamicImage::ImageRgba16(i)) => i
            .into_raw()
            .as_chunks::<4>()
            .0
            .iter()
            .flat_map(|[r, g, b, _]| [*r, *g, *b].map(to_byte))
            .collect(),
        (_, DynamicImage::ImageRgba8(i)) => {
            i.into_raw().as_chunks::<4>().0.iter().flat_map(|[r, g, b, _]| [*r, *g, *b]).collect()
        }
        (_, i) => i.into_rgb8().into_raw(),
    };
    Ok(([height, width, channels], pixels))
}

/// The shape of an image from its header, as [`decode_image`] will give it.
///
/// # Errors
/// As [`decode_image`], as far as the header tells.
#[cfg(feature = "image")]
pub(crate) fn image_shape(bytes: &[u8], name: &str) -> Result<[usize; 3]> {
    let decoder = reader(bytes, name)?.into_decoder().map_err(|e| refused(&e, name))?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS || width == 0 || height == 0 {
        return Err(Error::data("the image is too large or empty")
            .at(name)
            .expected(format!("at most {MAX_PIXELS} pixels"))
            .got(format!("{width} x {height}"))
            .remedy("make it smaller"));
    }
    let gray =
        matches!(decoder.color_type(), ColorType::L8 | ColorType::La8 | ColorType::L16 | ColorType::La16);
    Ok([height as usize, width as usize, if gray { 1 } else { 3 }])
}

#[cfg(feature = "image")]
fn reader<'a>(bytes: &'a [u8], name: &str) -> Result<ImageReader<Cursor<&'a [u8]>>> {
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|e| Error::data(format!("the image cannot be read: {e}")).at(name))?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOC);
    reader.limits(limits);
    Ok(reader)
}

#[cfg(feature = "image")]
fn refused(e: &image::ImageError, name: &str) -> Error {
    Error::data(format!("the file is no readable image: {e}"))
        .at(name)
        .expected("a PNG or JPEG image")
        .remedy("it is damaged or of another format; data: {corrupt: absent} leaves such images out and counts them")
}

#[cfg(feature = "image")]
fn to_byte(x: u16) -> u8 {
    ((u32::from(x) + 128) / 257) as u8
}

/// Decodes an image: not in this build.
///
/// # Errors
/// [`Error::Data`] always.
#[cfg(not(feature = "image"))]
pub(crate) fn decode_image(_bytes: &[u8], name: &str) -> Result<([usize; 3], Vec<u8>)> {
    image_shape(&[], name).map(|s| (s, Vec::new()))
}

/// The shape of an image: not in this build.
///
/// # Errors
/// [`Error::Data`] always.
#[cfg(not(feature = "image"))]
pub(crate) fn image_shape(_bytes: &[u8], name: &str) -> Result<[usize; 3]> {
    Err(Error::data("this build cannot read images").at(name).remedy("build it with the feature image"))
}

#[cfg(all(test, feature = "image"))]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
pub(crate) mod tests {
    use image::{ExtendedColorType, ImageEncoder};

    use super::*;

    /// A PNG image of bytes in the color type.
    pub(crate) fn png(width: u32, height: u32, color: ExtendedColorType, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        image::codecs::png::PngEncoder::new(&mut out).write_image(bytes, width, height, color).unwrap();
        out
    }

    #[test]
    fn gray_and_color_are_kept_and_alpha_and_depth_are_not() {
        let both = |bytes: Vec<u8>| {
            let (shape, pixels) = decode_image(&bytes, "a").unwrap();
            assert_eq!(shape, image_shape(&bytes, "a").unwrap());
            (shape, pixels)
        };
        assert_eq!(both(png(3, 1, ExtendedColorType::L8, &[1, 2, 3])), ([1, 3, 1], vec![1, 2, 3]));
        assert_eq!(both(png(1, 1, ExtendedColorType::Rgb8, &[1, 2, 3])), ([1, 1, 3], vec![1, 2, 3]));
        assert_eq!(both(png(1, 1, ExtendedColorType::Rgba8, &[9, 8, 7, 0])), ([1, 1, 3], vec![9, 8, 7]));
        assert_eq!(both(png(1, 1, ExtendedColorType::La8, &[200, 10])), ([1, 1, 1], vec![200]));
        let deep: Vec<u8> = [0u16, 257, 65535, 385].iter().flat_map(|x| x.to_ne_bytes()).collect();
        assert_eq!(both(png(4, 1, ExtendedColorType::L16, &deep)), ([1, 4, 1], vec![0, 1, 255, 1]));
        let mut jpeg = Vec::new();
        image::codecs::jpeg::JpegEncoder::new(&mut jpeg)
            .write_image(&[128; 16 * 8], 16, 8, ExtendedColorType::L8)
            .unwrap();
        let (shape, pixels) = both(jpeg);
        assert_eq!(shape, [8, 16, 1]);
        assert!(pixels.iter().all(|p| p.abs_diff(128) <= 1));
    }

    #[test]
    fn what_is_no_image_is_refused_by_name() {
        let good = png(8, 8, ExtendedColorType::L8, &[7; 64]);
        let mut huge = good.clone();
        huge[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        for bytes in [b"not an image".to_vec(), Vec::new(), good[..good.len() / 2].to_vec(), huge] {
            let error = decode_image(&bytes, "a.png").unwrap_err();
            assert!(error.to_string().starts_with("a.png: "), "{error}");
            assert_eq!(error.exit_code(), 3);
        }
    }
}
