//! Text files.

use crate::error::{Error, Result};

/// The largest text, in bytes.
const MAX_TEXT: usize = 1 << 26;

/// The text of a file's bytes; a byte-order mark is left out.
///
/// # Errors
/// [`Error::Data`] naming the file if it is no UTF-8 or larger than 64 MiB.
pub(crate) fn decode_text(bytes: &[u8], name: &str) -> Result<String> {
    if bytes.len() > MAX_TEXT {
        return Err(Error::data("the text is too large")
            .at(name)
            .expected(format!("at most {MAX_TEXT} bytes"))
            .got(bytes.len()));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| {
        Error::data(format!("the text is not UTF-8 (byte {})", e.valid_up_to()))
            .at(name)
            .remedy("save the file as UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_utf8_passes() {
        assert_eq!(decode_text("\u{feff}h\u{e9}".as_bytes(), "a.txt").unwrap(), "h\u{e9}");
        let error = decode_text(b"ab\xff", "a.txt").unwrap_err().to_string();
        assert!(error.starts_with("a.txt: the text is not UTF-8 (byte 2)"), "{error}");
        assert!(decode_text(&vec![b'a'; MAX_TEXT + 1], "a.txt").is_err());
    }
}
