//! Files of one numpy array: format versions 1, 2 and 3, read strictly.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::numbers::{NdArray, Numbers};
use super::{MAX_ARRAY_BYTES, shown};
use crate::error::{Error, Result};

/// Headers are a line of text; more than this is none.
const MAX_HEADER: u64 = 1 << 16;

/// No array in use has more axes.
const MAX_AXES: usize = 8;

/// Reads an `.npy` file. Both orders are understood, the result is row-major.
///
/// Types: `<f4 <f8 |u1 <u2 <i2 <i4 <i8 |b1`; any other is refused by name.
///
/// # Errors
/// [`Error::Read`] if the file cannot be read; [`Error::Data`] if the header is malformed, the type is another, an
/// axis is empty, or the header claims another size than the file has (checked before anything is allocated).
///
/// # Reference
/// NumPy Enhancement Proposal 1, A Simple File Format for NumPy Arrays.
pub fn read_npy(path: &Path) -> Result<NdArray> {
    read_npy_named(path, &shown(path))
}

/// As [`read_npy`], under another name in messages.
pub(crate) fn read_npy_named(path: &Path, name: &str) -> Result<NdArray> {
    let file = File::open(path).map_err(|e| Error::read(path, e))?;
    let length = file.metadata().map_err(|e| Error::read(path, e))?.len();
    read_npy_from(&mut BufReader::new(file), length, name)
}

/// Reads one entry along the first axis of an `.npy` file, and gives how many there are: of `[members, rows, classes]` the `[rows, classes]`
/// of a member. Nothing else of the file is read.
///
/// # Errors
/// As [`read_npy`]; [`Error::Argument`] if there is no such entry; [`Error::Data`] for an array whose first axis is the fastest.
pub fn read_npy_entry(path: &Path, entry: usize) -> Result<NdArray> {
    let mut file = NpyFile::open(path)?;
    let (count, shape) = match file.shape.as_slice() {
        [count, shape @ ..] => (*count, shape.to_vec()),
        [] => (0, Vec::new()),
    };
    if entry >= count {
        return Err(Error::argument("the array has no such entry along its first axis")
            .at(shown(path))
            .expected(format!("0 to {}", count.saturating_sub(1)))
            .got(entry));
    }
    let each: usize = shape.iter().product();
    let mut values = Vec::new();
    file.read(entry * each, each, &mut values)?;
    Ok(NdArray { shape, data: Numbers::F64(values) })
}

/// The shape of an `.npy` file.
///
/// # Errors
/// As [`read_npy`], for the header.
pub fn npy_shape(path: &Path) -> Result<Vec<usize>> {
    let mut file = File::open(path).map_err(|e| Error::read(path, e))?;
    let length = file.metadata().map_err(|e| Error::read(path, e))?.len();
    Ok(read_header(&mut file, length, &shown(path))?.shape)
}

/// An array of which parts are read.
pub(crate) struct NpyFile {
    file: File,
    path: PathBuf,
    descr: String,
    shape: Vec<usize>,
    start: u64,
}

impl NpyFile {
    /// Opens an array in row order.
    ///
    /// # Errors
    /// As [`read_npy`]; [`Error::Data`] for an array whose first axis is the fastest.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let name = shown(path);
        let mut file = File::open(path).map_err(|e| Error::read(path, e))?;
        let length = file.metadata().map_err(|e| Error::read(path, e))?.len();
        let Opened { header, shape, start, .. } = read_header(&mut file, length, &name)?;
        if header.fortran && shape.len() > 1 {
            return Err(Error::data(
                "the array lies in the order of Fortran, of which no part can be read alone",
            )
            .at(name)
            .remedy("save it again with numpy.save(path, numpy.ascontiguousarray(x))"));
        }
        Ok(Self { file, path: path.to_path_buf(), descr: header.descr, shape, start })
    }

    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// `count` numbers from the number `from` on.
    pub(crate) fn read(&mut self, from: usize, count: usize, out: &mut Vec<f64>) -> Result<()> {
        let item = item_size(&self.descr).unwrap_or(1);
        let failed = |e| Error::read(&self.path, e);
        self.file.seek(SeekFrom::Start(self.start + from as u64 * item)).map_err(failed)?;
        let numbers = read_numbers(&mut self.file, &self.descr, count).map_err(failed)?;
        out.clear();
        numbers.each(0..count, |v| out.push(v));
        Ok(())
    }
}

/// What stands before the numbers of an array, checked against the length of the file.
struct Opened {
    header: Header,
    shape: Vec<usize>,
    count: usize,
    /// Where the numbers begin.
    start: u64,
}

fn malformed(name: &str, what: &str) -> Error {
    Error::data(format!("the file is no valid npy array: {what}"))
        .at(name)
        .remedy("it is damaged, or no numpy file; save it again with numpy.save")
}

fn cut(name: &str, e: &std::io::Error) -> Error {
    malformed(name, &format!("it ends early or cannot be read ({e})"))
}

fn read_header(reader: &mut dyn Read, length: u64, name: &str) -> Result<Opened> {
    let malformed = |what: &str| malformed(name, what);
    let cut = |e: std::io::Error| cut(name, &e);
    let mut start = [0u8; 8];
    reader.read_exact(&mut start).map_err(cut)?;
    let [m0, m1, m2, m3, m4, m5, major, minor] = start;
    if [m0, m1, m2, m3, m4, m5] != *b"\x93NUMPY" {
        return Err(malformed("it does not begin with \\x93NUMPY"));
    }
    let (size_bytes, header_length) = match (major, minor) {
        (1, 0) => {
            let mut size = [0u8; 2];
            reader.read_exact(&mut size).map_err(cut)?;
            (2, u64::from(u16::from_le_bytes(size)))
        }
        (2 | 3, 0) => {
            let mut size = [0u8; 4];
            reader.read_exact(&mut size).map_err(cut)?;
            (4, u64::from(u32::from_le_bytes(size)))
        }
        _ => return Err(malformed(&format!("version {major}.{minor} is not known"))),
    };
    if header_length > MAX_HEADER || header_length > length {
        return Err(malformed(&format!("its header claims {header_length} bytes")));
    }
    let mut header = vec![0u8; header_length as usize];
    reader.read_exact(&mut header).map_err(cut)?;
    let text = std::str::from_utf8(&header).map_err(|_| malformed("its header is no text"))?;
    let header = Header::parse(text).map_err(|what| malformed(&what))?;

    let item = item_size(&header.descr).ok_or_else(|| {
        Error::data("the array's type is not supported")
            .at(name)
            .expected("one of <f4 <f8 |u1 <u2 <i2 <i4 <i8 |b1")
            .got(format!("\"{}\"", header.descr))
            .remedy("save it with another type, e.g. numpy.save(path, x.astype(numpy.float32))")
    })?;
    if header.shape.len() > MAX_AXES {
        return Err(malformed(&format!("it has {} axes", header.shape.len())));
    }
    if header.shape.contains(&0) {
        return Err(Error::data("the array is empty")
            .at(name)
            .got(format!("shape {:?}", header.shape))
            .remedy("get the file again, or write it with at least one row"));
    }
    let count = header.shape.iter().try_fold(1u64, |a, b| a.checked_mul(*b));
    let body = length.saturating_sub(8 + size_bytes + header_length);
    let claimed = count.and_then(|c| c.checked_mul(item));
    if claimed != Some(body) || body > MAX_ARRAY_BYTES {
        return Err(Error::data("the header claims another size than the file has")
            .at(name)
            .expected(format!("{body} bytes of values"))
            .got(format!("shape {:?} of \"{}\"", header.shape, header.descr))
            .remedy("the file was cut short or damaged; get it again"));
    }
    let shape = header.shape.iter().map(|d| *d as usize).collect();
    Ok(Opened { header, shape, count: (body / item) as usize, start: 8 + size_bytes + header_length })
}

/// Reads an array from a stream that is said to be `length` bytes long.
pub(crate) fn read_npy_from(reader: &mut dyn Read, length: u64, name: &str) -> Result<NdArray> {
    let Opened { header, shape, count, .. } = read_header(reader, length, name)?;
    let malformed = |what: &str| malformed(name, what);
    let cut = |e: std::io::Error| cut(name, &e);
    let data = read_numbers(reader, &header.descr, count).map_err(cut)?;
    // The end must come now; in an archive this also checks the sum over all bytes.
    let mut more = [0u8; 1];
    match reader.read(&mut more) {
        Ok(0) => {}
        Ok(_) => return Err(malformed("there are bytes after the last value")),
        Err(e) => return Err(cut(e)),
    }
    if header.descr == "|b1"
        && let Numbers::U8(v) = &data
        && v.iter().any(|b| *b > 1)
    {
        return Err(malformed("a boolean is neither 0 nor 1"));
    }
    let data = if header.fortran { in_row_order(&shape, data) } else { data };
    Ok(NdArray { shape, data })
}

fn item_size(descr: &str) -> Option<u64> {
    Some(match descr {
        "|u1" | "|b1" => 1,
        "<u2" | "<i2" => 2,
        "<f4" | "<i4" => 4,
        "<f8" | "<i8" => 8,
        _ => return None,
    })
}

fn read_numbers(reader: &mut dyn Read, descr: &str, count: usize) -> std::io::Result<Numbers> {
    Ok(match descr {
        "<u2" => Numbers::U16(read_items(reader, count, u16::from_le_bytes)?),
        "<i2" => Numbers::I16(read_items(reader, count, i16::from_le_bytes)?),
        "<i4" => Numbers::I32(read_items(reader, count, i32::from_le_bytes)?),
        "<i8" => Numbers::I64(read_items(reader, count, i64::from_le_bytes)?),
        "<f4" => Numbers::F32(read_items(reader, count, f32::from_le_bytes)?),
        "<f8" => Numbers::F64(read_items(reader, count, f64::from_le_bytes)?),
        _ => Numbers::U8(read_items(reader, count, |[b]: [u8; 1]| b)?),
    })
}

/// Reads items in blocks, so that a stream that ends early costs no more memory than it had bytes.
pub(crate) fn read_items<T, const N: usize>(
    reader: &mut dyn Read,
    count: usize,
    item: fn([u8; N]) -> T,
) -> std::io::Result<Vec<T>> {
    const BLOCK: usize = 1 << 16;
    let mut out = Vec::with_capacity(count.min(BLOCK));
    let mut block = vec![0u8; N * BLOCK.min(count)];
    let mut left = count;
    while left > 0 {
        let now = left.min(BLOCK);
        let part = block.get_mut(..now * N).unwrap_or_default();
        reader.read_exact(part)?;
        out.extend(part.as_chunks::<N>().0.iter().map(|c| item(*c)));
        left -= now;
    }
    Ok(out)
}

fn in_row_order(shape: &[usize], data: Numbers) -> Numbers {
    match data {
        Numbers::U8(v) => Numbers::U8(reordered(shape, &v)),
        Numbers::U16(v) => Numbers::U16(reordered(shape, &v)),
        Numbers::I16(v) => Numbers::I16(reordered(shape, &v)),
        Numbers::I32(v) => Numbers::I32(reordered(shape, &v)),
        Numbers::I64(v) => Numbers::I64(reordered(shape, &v)),
        Numbers::F32(v) => Numbers::F32(reordered(shape, &v)),
        Numbers::F64(v) => Numbers::F64(reordered(shape, &v)),
    }
}

/// From first axis fastest to last axis fastest. The caller has checked that the shape's product is the length.
fn reordered<T: Copy>(shape: &[usize], data: &[T]) -> Vec<T> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = 1;
    for d in shape {
        strides.push(stride);
        stride *= d;
    }
    let mut out = Vec::with_capacity(data.len());
    let mut at = vec![0usize; shape.len()];
    let mut position = 0usize;
    for _ in 0..data.len() {
        out.push(data[position]);
        for axis in (0..shape.len()).rev() {
            at[axis] += 1;
            position += strides[axis];
            if at[axis] < shape[axis] {
                break;
            }
            position -= strides[axis] * shape[axis];
            at[axis] = 0;
        }
    }
    out
}

struct Header {
    descr: String,
    fortran: bool,
    shape: Vec<u64>,
}

impl Header {
    /// The header is a Python dictionary of exactly three keys; nothing else of the language is understood.
    fn parse(text: &str) -> std::result::Result<Self, String> {
        let mut p = Parser { rest: text.trim() };
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        p.take('{')?;
        while !p.peek('}') {
            let key = p.quoted()?;
            p.take(':')?;
            let twice = match key {
                "descr" if p.peek('[') => return Err("it has named fields".to_owned()),
                "descr" => descr.replace(p.quoted()?.to_owned()).is_some(),
                "fortran_order" => fortran.replace(p.boolean()?).is_some(),
                "shape" => shape.replace(p.tuple()?).is_some(),
                _ => return Err(format!("its header has the unknown key \"{key}\"")),
            };
            if twice {
                return Err(format!("its header has the key \"{key}\" twice"));
            }
            if !p.peek('}') {
                p.take(',')?;
            }
        }
        p.take('}')?;
        if !p.rest.is_empty() {
            return Err("its header goes on after the dictionary".to_owned());
        }
        match (descr, fortran, shape) {
            (Some(descr), Some(fortran), Some(shape)) => Ok(Self { descr, fortran, shape }),
            _ => Err("its header lacks descr, fortran_order or shape".to_owned()),
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn peek(&mut self, c: char) -> bool {
        self.skip();
        self.rest.starts_with(c)
    }

    fn take(&mut self, c: char) -> std::result::Result<(), String> {
        self.skip();
        self.rest = self.rest.strip_prefix(c).ok_or_else(|| format!("its header lacks \"{c}\""))?;
        Ok(())
    }

    fn quoted(&mut self) -> std::result::Result<&'a str, String> {
        self.skip();
        let quote = self.rest.chars().next().filter(|c| *c == '\'' || *c == '"');
        let quote = quote.ok_or("its header lacks a quoted word")?;
        let (word, rest) = self
            .rest
            .get(1..)
            .and_then(|r| r.split_once(quote))
            .ok_or("a quote in its header is never closed")?;
        self.rest = rest;
        Ok(word)
    }

    fn boolean(&mut self) -> std::result::Result<bool, String> {
        self.skip();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err("fortran_order is neither True nor False".to_owned())
    }

    fn tuple(&mut self) -> std::result::Result<Vec<u64>, String> {
        let mut out = Vec::new();
        self.take('(')?;
        while !self.peek(')') {
            let digits = self.rest.len() - self.rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, rest) = self.rest.split_at(digits);
            out.push(number.parse::<u64>().map_err(|_| "its shape holds no whole number".to_owned())?);
            // numpy of Python 2 wrote long integers with an L.
            self.rest = rest.strip_prefix('L').unwrap_or(rest);
            if !self.peek(')') {
                self.take(',')?;
            }
        }
        self.take(')')?;
        Ok(out)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An npy file of version 1 as numpy writes it.
    pub(crate) fn npy(descr: &str, fortran: &str, shape: &str, body: &[u8]) -> Vec<u8> {
        let mut header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
        while (10 + header.len() + 1) % 64 != 0 {
            header.push(' ');
        }
        header.push('\n');
        let mut out = b"\x93NUMPY\x01\x00".to_vec();
        out.extend((header.len() as u16).to_le_bytes());
        out.extend(header.bytes());
        out.extend(body);
        out
    }

    fn read(bytes: &[u8]) -> Result<NdArray> {
        read_npy_from(&mut &bytes[..], bytes.len() as u64, "x.npy")
    }

    #[test]
    fn both_orders_and_all_types_are_read() {
        let body: Vec<u8> = (0..6i32).flat_map(|x| x.to_le_bytes()).collect();
        let c = read(&npy("<i4", "False", "(2, 3)", &body)).unwrap();
        assert_eq!((c.shape.clone(), c.data), (vec![2, 3], Numbers::I32(vec![0, 1, 2, 3, 4, 5])));
        let f = read(&npy("<i4", "True", "(2, 3)", &body)).unwrap();
        assert_eq!(f.data, Numbers::I32(vec![0, 2, 4, 1, 3, 5]));
        let f = read(&npy("|u1", "True", "(2, 1, 2)", &[1, 2, 3, 4])).unwrap();
        assert_eq!(f.data, Numbers::U8(vec![1, 3, 2, 4]));
        let one = read(&npy("<f8", "False", "()", &2.5f64.to_le_bytes())).unwrap();
        assert_eq!((one.rows(), one.to_f64()), (1, vec![2.5]));
        for (descr, size) in [("<f4", 4), ("<i8", 8), ("<u2", 2), ("<i2", 2), ("|b1", 1)] {
            assert_eq!(read(&npy(descr, "False", "(3,)", &vec![0; 3 * size])).unwrap().rows(), 3, "{descr}");
        }
    }

    #[test]
    fn impossible_headers_are_refused_before_anything_is_allocated() {
        let huge = read(&npy("<f8", "False", "(1152921504606846976,)", &[0; 8])).unwrap_err();
        assert!(huge.to_string().contains("claims another size"), "{huge}");
        let over = read(&npy("|u1", "False", "(4294967296, 4294967296, 2)", &[0])).unwrap_err();
        assert!(over.to_string().contains("claims another size"), "{over}");
        for (bytes, says) in [
            (npy("<f8", "False", "(2,)", &[0; 15]), "claims another size"),
            (npy("<f8", "False", "(2,)", &[0; 17]), "claims another size"),
            (npy("<U3", "False", "(1,)", &[0; 12]), "\"<U3\""),
            (npy(">f4", "False", "(1,)", &[0; 4]), "\">f4\""),
            (npy("|O", "False", "(1,)", &[0; 8]), "\"|O\""),
            (npy("|u1", "False", "(0, 5)", &[]), "empty"),
            (npy("|b1", "False", "(1,)", &[7]), "boolean"),
            (npy("|u1", "Maybe", "(1,)", &[7]), "fortran_order"),
            (npy("|u1", "False", "(-1,)", &[7]), "whole number"),
            (b"PK".to_vec(), "ends early"),
            (b"not an array at all".to_vec(), "NUMPY"),
            (Vec::new(), "ends early"),
        ] {
            let error = read(&bytes).unwrap_err();
            assert_eq!(error.exit_code(), 3);
            assert!(error.to_string().starts_with("x.npy: "), "{error}");
            assert!(error.to_string().contains(says), "{error} lacks {says}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        /// No change of a valid file can panic, nor give more values than there were bytes.
        #[test]
        fn mutations_never_panic_nor_grow(
            changes in prop::collection::vec((0usize..200, any::<u8>()), 1..6), cut in 0usize..300,
        ) {
            let body: Vec<u8> = (0..12u8).collect();
            let mut bytes = npy("<u2", "True", "(3, 2)", &body);
            for (at, value) in changes {
                let n = bytes.len();
                bytes[at % n] = value;
            }
            bytes.truncate(cut.max(1));
            if let Ok(array) = read(&bytes) {
                prop_assert!(array.data.len() <= bytes.len());
                prop_assert_eq!(array.shape.iter().product::<usize>(), array.data.len());
            }
        }
    }
}
