//! Protobuf messages read as they lie (<https://protobuf.dev/programming-guides/encoding/>): fields in turn, borrowed,
//! without a schema. Groups, which nobody writes any more, are refused.

use crate::decoded::Fault;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    /// Nothing that is read here comes in four bytes.
    Fixed32,
    Bytes(&'a [u8]),
}

/// A field that is cut off or malformed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Malformed;

impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Fault {
        Fault::undecodable("a protobuf field that is cut off or malformed")
    }
}

/// What is left of a message.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

/// The fields of a message: number and content. Ends after the first error.
#[inline]
pub(crate) fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Wire<'a>), Malformed>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = field(&mut self.rest);
        if field.is_none() {
            self.rest = &[];
        }
        Some(field.ok_or(Malformed))
    }
}

/// Text, which must be UTF-8.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::undecodable("a protobuf string that is no UTF-8"))
}

/// The bytes of a text. Most are ASCII, which is seen sooner than that others are UTF-8.
#[inline]
pub(crate) fn text_bytes(bytes: &[u8]) -> Result<&[u8], Fault> {
    if bytes.is_ascii() { Ok(bytes) } else { text(bytes).map(str::as_bytes) }
}

#[inline(always)]
fn field<'a>(rest: &mut &'a [u8]) -> Option<(u32, Wire<'a>)> {
    let tag = u32::try_from(varint(rest)?).ok()?;
    let wire = match tag & 7 {
        0 => Wire::Varint(varint(rest)?),
        1 => Wire::Fixed64(u64::from_le_bytes(take(rest, 8)?.try_into().ok()?)),
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Wire::Bytes(take(rest, length)?)
        }
        5 => take(rest, 4).map(|_| Wire::Fixed32)?,
        _ => return None,
    };
    (tag >> 3 != 0).then_some((tag >> 3, wire))
}

#[inline(always)]
fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

#[inline(always)]
fn varint(rest: &mut &[u8]) -> Option<u64> {
    match **rest {
        // Tags and most lengths are of one byte.
        [byte @ ..0x80, ref after @ ..] => {
            *rest = after;
            Some(u64::from(byte))
        }
        _ => long_varint(rest),
    }
}

fn long_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (place, byte) in rest.iter().enumerate().take(10) {
        if place == 9 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            *rest = &rest[place + 1..];
            return Some(value);
        }
    }
    None
}
