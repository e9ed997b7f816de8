//! Texts gone through eight bytes at a time, in plain integers. The first byte of a text is the lowest of its word.

/// A byte repeated.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The highest bit of each byte: what marks a byte.
const HIGHS: u64 = ONES << 7;

/// The eight bytes that begin here; behind the text's end they are zero.
#[inline]
pub(crate) fn load(text: &[u8], at: usize) -> u64 {
    first(text.get(at..).unwrap_or_default())
}

/// The first eight bytes; behind the text's end they are zero.
#[inline]
pub(crate) fn first(text: &[u8]) -> u64 {
    match text.first_chunk() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => few(text),
    }
}

/// Less than eight bytes.
#[inline]
fn few(text: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return u64::from(first) | u64::from(last) << (8 * (text.len() - 4));
    }
    text.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
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

/// Marks what a piece of a JSON string ends with: its quote, a backslash, or a control character. Marks above the
/// lowest may be wrong, as in `below`.
#[inline]
pub(crate) fn string_end(word: u64) -> u64 {
    // With this bit turned the quote stands right behind the control characters, and nothing else comes before it.
    below(word ^ (ONES * 0x02), b'"' - 1) | equal(word, b'\\')
}

/// Marks all spaces, control characters, commas, equals signs and backslashes, and nothing else.
#[inline]
pub(crate) fn line_marks(word: u64) -> u64 {
    // Seven bits and a number less than 128 never reach into the byte above.
    let low = word & !HIGHS;
    let other = |byte: u8| (low ^ (ONES * u64::from(byte))) + !HIGHS;
    let above_space = low + ONES * (0x80 - 0x21);
    !(above_space & other(b',') & other(b'=') & other(b'\\') | word) & HIGHS
}

/// Whether all bytes are ASCII.
#[inline]
pub(crate) fn ascii(word: u64) -> bool {
    word & HIGHS == 0
}

/// The place of the first byte that `marks` marks, or the end of the text. It must mark zeros, which stand there.
#[inline]
pub(crate) fn find(text: &[u8], mut marks: impl FnMut(u64) -> u64) -> usize {
    let mut rest = text;
    while let Some((chunk, behind)) = rest.split_first_chunk() {
        let marked = marks(u64::from_le_bytes(*chunk));
        if marked != 0 {
            return text.len() - rest.len() + (marked.trailing_zeros() / 8) as usize;
        }
        rest = behind;
    }
    text.len() - rest.len() + rest.len().min((marks(few(rest)).trailing_zeros() / 8) as usize)
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
            text in proptest::collection::vec(prop_oneof![any::<u8>(), b' '..=b',', Just(b'\\'), b'a'..=b'z'], 0..40),
        ) {
            let place = |wanted: fn(&u8) -> bool| text.iter().position(wanted).unwrap_or(text.len());
            let found = find(&text, |word| equal(word, b',') | below(word, 0x21));
            prop_assert_eq!(found, place(|byte| *byte == b',' || *byte < 0x21));
            prop_assert_eq!(find(&text, string_end), place(|byte| *byte < 0x20 || b"\"\\".contains(byte)));
            for (place, byte) in text.iter().take(8).enumerate() {
                let marked = line_marks(first(&text)) >> (8 * place) & 0x80 != 0;
                prop_assert_eq!(marked, *byte < 0x21 || b",=\\".contains(byte));
            }
        }

        #[test]
        fn reads_the_digits_that_stand_first(text in "[0-9]{0,8}([^0-9]|)[0-9]{0,8}") {
            let first: String = text.chars().take_while(char::is_ascii_digit).take(8).collect();
            let wanted = (first.len(), first.parse().unwrap_or(0));
            prop_assert_eq!(digits(load(text.as_bytes(), 0)), wanted, "{}", text);
        }
    }
}
