//! Which partition a message goes to: equal keys meet in one, whoever writes them.

/// By the key, as Java's clients do it, and librdkafka as `murmur2_random`. What has no key goes round by its place.
pub(crate) fn of(key: Option<&[u8]>, place: usize, partitions: usize) -> usize {
    let number = key.map_or(place, |key| (murmur2(key) & 0x7fff_ffff) as usize);
    number % partitions.max(1)
}

/// Murmur2 with the seed of Java's clients.
fn murmur2(key: &[u8]) -> u32 {
    const MIX: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ key.len() as u32;
    let mut words = key.chunks_exact(4);
    for word in words.by_ref() {
        let word = word.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte)).wrapping_mul(MIX);
        hash = hash.wrapping_mul(MIX) ^ (word ^ word >> 24).wrapping_mul(MIX);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(MIX);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(MIX);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_hashed_as_java_does_it() {
        // What Kafka's client for Java gives, as the tests of librdkafka have it.
        let known = [
            ("kafka", 0xd067_cf64),
            ("giberish123456789", 0x8f55_2b0c),
            ("1234", 0x9fc9_7b14),
            ("234", 0xe7c0_09ca),
            ("34", 0x8739_30da),
            ("4", 0x5a4b_5ca1),
            ("PreAmbleWillBeRemoved,ThePrePartThatIs", 0x7842_4f1c),
            ("reAmbleWillBeRemoved,ThePrePartThatIs", 0x4a62_b377),
            ("eAmbleWillBeRemoved,ThePrePartThatIs", 0xe0e4_e09e),
            ("AmbleWillBeRemoved,ThePrePartThatIs", 0x62b8_b43f),
            ("", 0x106e_08d9),
        ];
        assert_eq!(known.map(|(key, _)| (key, murmur2(key.as_bytes()))), known);
    }

    #[test]
    fn what_has_no_key_goes_round() {
        assert_eq!([0, 1, 2, 3].map(|place| of(None, place, 3)), [0, 1, 2, 0]);
        // The sign of Java's number is dropped.
        assert_eq!(of(Some(b"kafka"), 7, 1 << 31), 0x5067_cf64);
    }
}
