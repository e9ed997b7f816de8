//! The types that Kafka's messages are made of: written to a buffer, read from bytes that nobody trusts.
//!
//! From some version on each message is flexible: lengths are variable, and every struct ends with tagged fields.
//! Writer and reader carry that as a flag, so that a message is written down once for all its versions.

/// A topic's id; zeros where the broker tells none.
pub(crate) type TopicId = [u8; 16];

/// What the bytes say cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed message: {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// A message in the making.
pub(crate) struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    flexible: bool,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(bytes: &'a mut Vec<u8>, flexible: bool) -> Writer<'a> {
        Writer { bytes, flexible }
    }

    pub(crate) fn i8(&mut self, value: i8) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub(crate) fn i16(&mut self, value: i16) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.bytes.extend(value.to_be_bytes());
    }

    pub(crate) fn id(&mut self, id: &TopicId) {
        self.bytes.extend(id);
    }

    pub(crate) fn text(&mut self, text: &str) {
        if self.flexible {
            self.varint(text.len() as u32 + 1)
        } else {
            self.i16(text.len() as i16)
        }
        self.bytes.extend(text.as_bytes());
    }

    pub(crate) fn no_text(&mut self) {
        if self.flexible { self.varint(0) } else { self.i16(-1) }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.bytes.extend(bytes);
    }

    /// The beginning of an array.
    pub(crate) fn count(&mut self, count: usize) {
        if self.flexible { self.varint(count as u32 + 1) } else { self.i32(count as i32) }
    }

    /// The end of a struct.
    pub(crate) fn end(&mut self) {
        if self.flexible {
            self.varint(0);
        }
    }

    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

/// A message to be read.
pub(crate) struct Bytes<'a> {
    rest: &'a [u8],
    flexible: bool,
}

impl<'a> Bytes<'a> {
    pub(crate) fn new(rest: &'a [u8], flexible: bool) -> Bytes<'a> {
        Bytes { rest, flexible }
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed("it ends too early"))
    }

    pub(crate) fn i8(&mut self) -> Result<i8, Malformed> {
        self.array().map(i8::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    pub(crate) fn id(&mut self) -> Result<TopicId, Malformed> {
        self.array()
    }

    pub(crate) fn text(&mut self) -> Result<Option<&'a str>, Malformed> {
        let length = if self.flexible { self.compact()? } else { i32::from(self.i16()?) };
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        std::str::from_utf8(self.take(length)?).map(Some).map_err(|_| Malformed("a text is not UTF-8"))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = if self.flexible { self.compact()? } else { self.i32()? };
        self.take(usize::try_from(length).unwrap_or(0))
    }

    /// Elements of an array, none where it is null. Each takes a byte at least, so no count can ask for more memory
    /// than has come.
    pub(crate) fn each<T>(
        &mut self,
        mut element: impl FnMut(&mut Bytes<'a>) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = if self.flexible { self.compact()? } else { self.i32()? };
        let count = usize::try_from(count).unwrap_or(0);
        if count > self.rest.len() {
            return Err(Malformed("an array is longer than its message"));
        }
        // Grows with what is really there.
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(elements)
    }

    /// The end of a struct. Nothing that is wanted here comes in tagged fields.
    pub(crate) fn end(&mut self) -> Result<(), Malformed> {
        if self.flexible {
            for _ in 0..self.varint()? {
                self.varint()?;
                let length = self.varint()?;
                self.take(length as usize)?;
            }
        }
        Ok(())
    }

    /// A length of a flexible message: one more than it is, none as zero.
    fn compact(&mut self) -> Result<i32, Malformed> {
        Ok((self.varint()? as i32).wrapping_sub(1))
    }

    fn varint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed("a number is too long"))
    }
}
