//! Texts gone through eight bytes at a time, in plain integers. The first byte of a text is the lowest of its word.

/// A byte repeated.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The highest bit of each byte: what marks a byte.
const HIGHS: u64 = ONES << 7;

/// The eight bytes that begin here; behind the text's end they are zero.
#[inline]
pub(crate) fn load(text: &[u8], at: usize) -> u64 {
    match text.get(at..).and_then(<[u8]>::first_chunk) {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => load_last(text, at),
    }
}

#[inline(never)]
fn load_last(text: &[u8], at: usize) -> u64 {
    let left = text.len().saturating_sub(at);
    match text.last_chunk() {
        _ if left == 0 => 0,
        Some(chunk) => u64::from_le_bytes(*chunk) >> (64 - 8 * left),
        None => text[at..].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// Marks bytes that are this one. What is marked above the lowest mark may be marked wrongly, here as in `below`.
#[inline]
pub(crate) fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (ONES * u64::from(byte)), 1)
}

/// Marks bytes less than `limit`, which is 128 at most.
#[inline]
pub(crate) fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGHS
}

/// Whether all bytes are ASCII.
#[inline]
pub(crate) fn ascii(word: u64) -> bool {
    word & HIGHS == 0
}

/// The place of the first byte that `marks` marks, or the end of the text. It must mark zeros, which stand there.
#[inline]
pub(crate) fn find(text: &[u8], mut at: usize, mut marks: impl FnMut(u64) -> u64) -> usize {
    loop {
        let marked = marks(load(text, at));
        if marked != 0 {
            return text.len().min(at + (marked.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
}

/// How many digits the word begins with, and the number that they make.
#[inline]
pub(crate) fn digits(word: u64) -> (usize, u64) {
    let values = word ^ (ONES * u64::from(b'0'));
    let others = (values.wrapping_add(ONES * 0x76) | values) & HIGHS;
    let count = others.trailing_zeros() / 8;
    if count == 0 {
        return (0, 0);
    }
    // Zeros before the digits make eight of them; then pairs, fours and all are added up side by side.
    let eight = values << (64 - 8 * count);
    let pairs = eight.wrapping_mul(10).wrapping_add(eight >> 8);
    let (first, second) = (pairs & 0xFF_0000_00FF, (pairs >> 16) & 0xFF_0000_00FF);
    let sum = first.wrapping_mul(100 + (1_000_000 << 32)).wrapping_add(second.wrapping_mul(1 + (10_000 << 32)));
    (count as usize, sum >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_looking_at_each_byte(
            text in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b','), Just(b' '), b'a'..=b'z'], 0..40),
            at in 0..44_usize,
        ) {
            let found = find(&text, at, |word| equal(word, b',') | below(word, 0x21));
            let rest = text.get(at..).unwrap_or_default();
            let wanted = rest.iter().position(|byte| *byte == b',' || *byte < 0x21);
            prop_assert_eq!(found, wanted.map_or(text.len(), |place| at + place));
        }

        #[test]
        fn reads_the_digits_that_stand_first(text in "[0-9]{0,8}([^0-9]|)[0-9]{0,8}") {
            let first: String = text.chars().take_while(char::is_ascii_digit).take(8).collect();
            let wanted = (first.len(), first.parse().unwrap_or(0));
            prop_assert_eq!(digits(load(text.as_bytes(), 0)), wanted, "{}", text);
        }
    }
}
