//! Bytes as characters that can be printed: how files write tokens that are made of bytes.

/// The bytes that stand for themselves.
fn printed(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff)
}

/// All bytes, in the order of the characters that they are written as: first those that stand for themselves.
pub(super) fn in_order() -> impl Iterator<Item = u8> {
    (0..=255).filter(|b| printed(*b)).chain((0..=255).filter(|b| !printed(*b)))
}

/// The byte that a character stands for: itself, or one that cannot be printed for those from 256 on.
fn byte(character: char) -> Option<u8> {
    match u32::from(character) {
        code @ 0..=255 => u8::try_from(code).ok().filter(|b| printed(*b)),
        code => in_order().skip_while(|b| printed(*b)).nth(code as usize - 256),
    }
}

/// The bytes of a token as a file writes it; nothing if a character stands for no byte.
///
/// # Reference
/// Radford et al. (2019), "Language models are unsupervised multitask learners": byte-level pairs.
pub(super) fn of(token: &str) -> Option<Vec<u8>> {
    token.chars().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_one_character() {
        let all: Vec<u8> = in_order().collect();
        assert_eq!(all.len(), 256);
        assert_eq!((all[0], all[187], all[188], all[255]), (b'!', 0xff, 0, 0xad));
        let written = ['!', 'Ġ', 'Ċ', 'ÿ', 'Ń'].map(byte);
        assert_eq!(written, [b'!', b' ', b'\n', 0xff, 0xad].map(Some));
        assert_eq!(of("Ġthe"), Some(b" the".to_vec()));
        assert!(of("a b").is_none() && of("\u{144}").is_none() && of("漢").is_none());
    }
}
