//! The instructions of a pickle of protocol 2, those that tensors need, and a scan that refuses all others.

use super::globals;
use crate::error::{Error, Result, shown};

/// A text in the pickle, by place: it is not copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Text {
    start: u32,
    len: u32,
}

impl Text {
    /// Its length in bytes.
    pub(super) fn len(self) -> usize {
        self.len as usize
    }

    /// The text itself; empty if it is none of these bytes.
    pub(super) fn of(self, bytes: &[u8]) -> &str {
        let (start, len) = (self.start as usize, self.len as usize);
        bytes.get(start..start + len).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default()
    }
}

/// One instruction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Op {
    Protocol(u8),
    Stop,
    Mark,
    /// Nothing, a truth value, a float, or an integer of more than 64 bits: their values are never needed.
    Plain,
    Int(i64),
    Text(Text),
    EmptyDict,
    EmptyList,
    /// A tuple of all that stands above the last mark.
    Tuple,
    /// A tuple of as many values.
    TupleOf(usize),
    Append,
    Appends,
    SetItem,
    SetItems,
    Put(u32),
    Get(u32),
    Global(Text, Text),
    PersistentId,
    Reduce,
    Build,
    /// An instance or a name of another way to write them, which tensors do not need.
    Foreign(Text, Text),
    /// Any other.
    Other(u8),
}

/// The instructions of a pickle, one after the other.
pub(super) struct Ops<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Ops<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes have been read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next instruction.
    ///
    /// # Errors
    /// [`Error::Model`] if the pickle ends within it, or a text is no UTF-8.
    pub(super) fn next(&mut self) -> Result<Op> {
        let at = self.at;
        self.op().ok_or_else(|| malformed(at))
    }

    fn op(&mut self) -> Option<Op> {
        let code = self.number::<1>()?[0];
        Some(match code {
            0x80 => Op::Protocol(self.number::<1>()?[0]),
            b'.' => Op::Stop,
            b'(' => Op::Mark,
            b'N' | 0x88 | 0x89 => Op::Plain,
            b'G' => {
                self.number::<8>()?;
                Op::Plain
            }
            b'J' => Op::Int(i64::from(i32::from_le_bytes(self.number()?))),
            b'K' => Op::Int(i64::from(self.number::<1>()?[0])),
            b'M' => Op::Int(i64::from(u16::from_le_bytes(self.number()?))),
            0x8a => self.long()?,
            b'X' => {
                let len = u32::from_le_bytes(self.number()?);
                Op::Text(self.text(len)?)
            }
            b'U' | 0x8c => {
                let len = u32::from(self.number::<1>()?[0]);
                Op::Text(self.text(len)?)
            }
            b'}' => Op::EmptyDict,
            b']' => Op::EmptyList,
            b't' => Op::Tuple,
            b')' => Op::TupleOf(0),
            0x85..=0x87 => Op::TupleOf(usize::from(code - 0x84)),
            b'a' => Op::Append,
            b'e' => Op::Appends,
            b's' => Op::SetItem,
            b'u' => Op::SetItems,
            b'q' => Op::Put(u32::from(self.number::<1>()?[0])),
            b'r' => Op::Put(u32::from_le_bytes(self.number()?)),
            b'h' => Op::Get(u32::from(self.number::<1>()?[0])),
            b'j' => Op::Get(u32::from_le_bytes(self.number()?)),
            b'c' => Op::Global(self.line()?, self.line()?),
            b'i' => Op::Foreign(self.line()?, self.line()?),
            b'Q' => Op::PersistentId,
            b'R' => Op::Reduce,
            b'b' => Op::Build,
            // Of protocol 4, and read only to find the names behind them: the length of a frame.
            0x95 => {
                self.number::<8>()?;
                Op::Other(code)
            }
            _ => Op::Other(code),
        })
    }

    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = *self.bytes.get(self.at..)?.first_chunk()?;
        self.at += N;
        Some(bytes)
    }

    fn long(&mut self) -> Option<Op> {
        let len = usize::from(self.number::<1>()?[0]);
        let bytes = self.bytes.get(self.at..self.at + len)?;
        self.at += len;
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut word = [if negative { 0xff } else { 0 }; 8];
        Some(match word.get_mut(..len) {
            Some(low) => {
                low.copy_from_slice(bytes);
                Op::Int(i64::from_le_bytes(word))
            }
            None => Op::Plain,
        })
    }

    fn text(&mut self, len: u32) -> Option<Text> {
        let bytes = self.bytes.get(self.at..self.at.checked_add(len as usize)?)?;
        std::str::from_utf8(bytes).ok()?;
        let start = u32::try_from(self.at).ok()?;
        self.at += bytes.len();
        Some(Text { start, len })
    }

    fn line(&mut self) -> Option<Text> {
        let len = self.bytes.get(self.at..)?.iter().position(|&b| b == b'\n')?;
        let text = self.text(u32::try_from(len).ok()?)?;
        self.at += 1;
        Some(text)
    }
}

/// The error about a pickle that is wrong at some byte.
pub(super) fn malformed(at: usize) -> Error {
    Error::model(format!("the pickle is malformed at byte {at}"))
        .remedy("the file is damaged or cut short; get it again")
}

/// As many refused names are told.
const TOLD: usize = 5;

/// Goes over all instructions of a pickle up to its end, before any value is made, and gives its length.
///
/// # Errors
/// [`Error::Model`] that names the globals which tensors do not need, or the first instruction that they do not.
pub(in crate::weights) fn scan(bytes: &[u8]) -> Result<usize> {
    let mut ops = Ops::new(bytes);
    let mut refused: Vec<(&str, &str)> = Vec::new();
    let mut last: [Option<Text>; 2] = [None, None];
    let mut stranger = None;
    let end = loop {
        let at = ops.at();
        // What comes behind something refused may be anything; the names found until there are told.
        let op = match ops.next() {
            Ok(op) => op,
            Err(_) if stranger.is_some() || !refused.is_empty() => break at,
            Err(e) => return Err(e),
        };
        let name = match op {
            Op::Stop => break ops.at(),
            Op::Global(module, name) if globals::allowed(module.of(bytes), name.of(bytes)).is_none() => {
                Some((module, name))
            }
            Op::Foreign(module, name) => Some((module, name)),
            // Of protocol 4: a global named by the two texts before it.
            Op::Other(0x93) => last[0].zip(last[1]),
            _ => None,
        };
        match op {
            Op::Text(text) => last = [last[1], Some(text)],
            Op::Other(code) => stranger = stranger.or(Some((code, at))),
            Op::Protocol(version) if version > 2 => stranger = stranger.or(Some((0x80, at))),
            _ => {}
        }
        if let Some((module, name)) = name {
            let name = (module.of(bytes), name.of(bytes));
            if refused.len() < TOLD && !refused.contains(&name) {
                refused.push(name);
            }
        }
    };
    if !refused.is_empty() {
        return Err(refusal(&refused));
    }
    match stranger {
        None => Ok(end),
        Some((0x80, _)) => Err(Error::model("the pickle has a protocol other than that of torch.save")
            .expected("protocol 2")
            .remedy("save it again with torch.save(model.state_dict(), path)")),
        Some((code, at)) => Err(Error::model(format!(
            "the pickle has the instruction {code:#04x}, which tensors do not need"
        ))
        .at(format!("byte {at}"))
        .remedy(ONLY_TENSORS)),
    }
}

const ONLY_TENSORS: &str = "where you trust the file, load it in PyTorch and save tensors only: \
    torch.save(model.state_dict(), path)";

fn refusal(names: &[(&str, &str)]) -> Error {
    let list: Vec<String> = names.iter().map(|(m, n)| shown(&format!("{m}.{n}"), 80)).collect();
    let list = list.join(", ");
    if names.iter().any(|(module, _)| globals::is_code(module)) {
        return Error::model(format!("the file asks to run {list} when it is opened; nothing was run"))
            .remedy("do not open it with any program; get the weights from elsewhere");
    }
    Error::model(format!("the file holds more than tensors: {list}"))
        .expected("a state dictionary of tensors")
        .remedy(ONLY_TENSORS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(pickle: &[u8]) -> String {
        scan(pickle).unwrap_err().to_string()
    }

    #[test]
    fn names_that_tensors_do_not_need_are_told() {
        // Protocols 2, 0, 0 with an instance, and 4.
        assert!(error(b"\x80\x02cposix\nsystem\nX\x02\0\0\0ls\x85R.").contains("posix.system"));
        assert!(error(b"cos\nsystem\n(S'ls'\ntR.").contains("os.system"));
        assert!(error(b"(S'ls'\nios\nsystem\n.").contains("os.system"));
        assert!(error(b"(ios\nsystem\n.").contains("os.system"));
        let four = b"\x80\x04\x95\x1d\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02ls\x94\x85\x94R\x94.";
        assert!(error(four).contains("posix.system"), "{}", error(four));
        let module = error(b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81}b.");
        assert!(module.contains("Linear") && module.contains("state_dict()"), "{module}");
    }

    #[test]
    fn nothing_is_allowed_beside_the_list() {
        assert_eq!(scan(b"\x80\x02N.tail").unwrap(), 4);
        assert!(error(b"\x80\x02)\x81.").contains("0x81"));
        assert!(error(b"\x80\x04N.").contains("protocol"));
        for cut in [&b""[..], b"\x80", b"\x80\x02", b"X\xff\xff\xff\xffabc", b"ctorch\n", b"X\x01\0\0\0\xff."]
        {
            assert!(error(cut).contains("malformed"), "{cut:?}");
        }
    }

    #[test]
    fn integers_keep_their_sign() {
        let ints = |bytes: &[u8]| Ops::new(bytes).next().unwrap();
        assert_eq!(ints(b"\x8a\x01\xff"), Op::Int(-1));
        assert_eq!(ints(b"\x8a\x05\0\0\0\0\x01"), Op::Int(1 << 32));
        assert_eq!(ints(b"\x8a\0"), Op::Int(0));
        assert_eq!(ints(b"\x8a\x09\0\0\0\0\0\0\0\0\x01"), Op::Plain);
        assert_eq!(ints(b"J\xfe\xff\xff\xff"), Op::Int(-2));
    }
}
