//! The wire format of Protocol Buffers, as much of it as is written here.

/// A message that grows field by field. The same fields in the same order give the same bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// A whole number; negative ones take ten bytes.
    pub(super) fn int(&mut self, field: u32, value: i64) {
        self.tag(field, 0);
        self.varint(value as u64);
    }

    /// A 32-bit float.
    pub(super) fn float(&mut self, field: u32, value: f32) {
        self.tag(field, 5);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Bytes, or the bytes of a text.
    pub(super) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A text.
    pub(super) fn text(&mut self, field: u32, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    /// A message inside this one.
    pub(super) fn message(&mut self, field: u32, inner: &Self) {
        self.bytes(field, &inner.0);
    }

    /// Whole numbers, each under the field's number: ONNX packs none, and not every reader takes packed ones.
    pub(super) fn ints(&mut self, field: u32, values: impl IntoIterator<Item = i64>) {
        values.into_iter().for_each(|v| self.int(field, v));
    }

    /// 32-bit floats, each under the field's number.
    pub(super) fn floats(&mut self, field: u32, values: &[f32]) {
        values.iter().for_each(|v| self.float(field, *v));
    }

    /// What was written.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn tag(&mut self, field: u32, kind: u32) {
        self.varint(u64::from(field << 3 | kind));
    }

    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_encoding_guide() {
        // https://protobuf.dev/programming-guides/encoding
        let mut a = Message::default();
        a.int(1, 150);
        assert_eq!(a.clone().into_bytes(), [0x08, 0x96, 0x01]);
        let mut b = Message::default();
        b.text(2, "testing");
        assert_eq!(b.into_bytes(), [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]);
        let mut c = Message::default();
        c.message(3, &a);
        assert_eq!(c.into_bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let mut d = Message::default();
        d.ints(6, [3, 270, 86942]);
        assert_eq!(d.into_bytes(), [0x30, 0x03, 0x30, 0x8e, 0x02, 0x30, 0x9e, 0xa7, 0x05]);
        let mut e = Message::default();
        e.int(1, -2);
        assert_eq!(e.into_bytes(), [8, 0xfe, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
        let mut f = Message::default();
        f.float(1, 1.0);
        f.floats(2, &[1.0]);
        assert_eq!(f.into_bytes(), [0x0d, 0, 0, 0x80, 0x3f, 0x15, 0, 0, 0x80, 0x3f]);
    }
}
