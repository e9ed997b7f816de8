//! How records lie on disk: the twins of what `engine` and `model` hold, field by field. Whole numbers are
//! varints (LEB128, signed ones in zigzag), doubles their eight bytes, so that NaN and -0.0 come back bit
//! for bit. What a baseline learned from a window is columns, which lie there as they are in memory. The first byte of each record is the version of this page: whoever adds, drops or moves a
//! field raises it, and `VERSION` with it.

use crate::told::Told;
use engine::state::*;
use model::transition::{Cause, Health};
use model::{Band, Counters, Element, Event, Labels, Reading, State, Time, Transition};
use std::sync::Arc;

/// The first byte of each record.
pub(crate) const RECORD_VERSION: u8 = 3;

/// Why a record or key cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged(pub(crate) &'static str);

/// The record's bytes.
pub(crate) fn encode<T: Wire>(record: &T) -> Vec<u8> {
    let mut out = vec![RECORD_VERSION];
    record.write(&mut out);
    out
}

/// Reads what `encode` wrote.
pub(crate) fn decode<T: Wire>(bytes: &[u8]) -> Result<T, Damaged> {
    let Some((&RECORD_VERSION, mut rest)) = bytes.split_first() else {
        return Err(Damaged("a record is of another version"));
    };
    let record = T::read(&mut rest)?;
    if rest.is_empty() { Ok(record) } else { Err(Damaged("a record is too long")) }
}

/// What has a place in a record.
pub(crate) trait Wire: Sized {
    fn write(&self, out: &mut Vec<u8>);
    fn read(input: &mut &[u8]) -> Result<Self, Damaged>;

    /// Writes the items of a list; what lies there as in memory is written as a whole.
    fn write_all(items: &[Self], out: &mut Vec<u8>) {
        for item in items {
            item.write(out);
        }
    }

    /// Reads this many items of a list.
    fn read_all(input: &mut &[u8], length: usize) -> Result<Vec<Self>, Damaged> {
        // Nothing takes less than a byte: a damaged length does not ask for more memory than the record has.
        let mut list = Vec::with_capacity(length.min(input.len()));
        for _ in 0..length {
            list.push(Self::read(input)?);
        }
        Ok(list)
    }
}

/// Writes and reads structs field by field, in the order given; a field that is forgotten does not compile.
macro_rules! record {
    ($($type:ident { $($field:ident),* })*) => {$(
        impl Wire for $type {
            fn write(&self, out: &mut Vec<u8>) {
                let $type { $($field),* } = self;
                $($field.write(out);)*
            }
            fn read(input: &mut &[u8]) -> Result<Self, Damaged> {
                $(let $field = Wire::read(input)?;)*
                Ok($type { $($field),* })
            }
        }
    )*};
}

record! {
    PartitionKey { source, topic, partition }
    PartitionRecord { start_offset, next_offset, topic_id, max_time, first_watermark, floor, idle }
    SourceRecord { mapping, frontier, silences, gaps, counters, lost, recreated }
    Counters { records, samples, events, refused }
    Instant { time, phase }
    AgendaRecord { origin, place }
    InstanceRecord { row, begin, born, last_sample, points, events }
    KeptPoint { start, end, count, values, incomplete, readings }
    Event { time, kind, topic, partition, offset, body }
    CheckRecord { row, state, since, results, message, evidence, missing_at, missed, expires_at, error }
    ActiveError { kind, message, line, column, since }
    ElementRecord { kind, labels, instance, definition, own, propagated, error }
    Standing { state, since, sequence, message }
    Band { average, lower, higher }
    Reading { band, score, stale }
    BaselineHead { name, agenda, determines, derives, kept_from }
    BaselineRecord { row, since, newest, band, asked, error }
    ColumnRecord { start, values, counts, anomalous }
    ModelRecord { end, bytes }
    BlockRecord { lane, positions, series }
    SeriesRecord { number, name, labels, panes, carry, events }
    PaneRecord { start_ns, count, sum, minimum, maximum, last_ns, last, values, buckets, samples, delta }
    MessagePlace { key_end, value_end, timestamp_ms }
    Transition { id, sequence, element, health, time, from, to, cause, message, evidence }
}

/// Writes and reads enums: a tag, then the fields.
macro_rules! choice {
    ($($type:ident { $($tag:literal = $variant:ident { $($field:ident),* }),* })*) => {$(
        impl Wire for $type {
            fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $($type::$variant { $($field),* } => { out.push($tag); $($field.write(out);)* })*
                }
            }
            fn read(input: &mut &[u8]) -> Result<Self, Damaged> {
                match u8::read(input)? {
                    $($tag => { $(let $field = Wire::read(input)?;)* Ok($type::$variant { $($field),* }) })*
                    _ => Err(Damaged(concat!("a record names no such ", stringify!($type)))),
                }
            }
        }
    )*};
}

choice! {
    State { 0 = Unknown {}, 1 = Clear {}, 2 = Deviating {}, 3 = Critical {} }
    Health { 0 = Own {}, 1 = Propagated {} }
    Entry {
        0 = Polled { partition, next_offset, at },
        1 = Active { partition, at_offset, floor },
        2 = Idle { partition, at_offset },
        3 = Tick { source, frontier },
        4 = Advanced { agenda, place },
        5 = Step {}
    }
    Told {
        0 = Born { sequence, element, record },
        1 = Transition { transition },
        2 = Removed { sequence, element }
    }
}

impl Wire for Messages {
    fn write(&self, out: &mut Vec<u8>) {
        self.bytes.write(out);
        self.index.write(out);
    }
    fn read(input: &mut &[u8]) -> Result<Self, Damaged> {
        let messages = Messages { bytes: Wire::read(input)?, index: Wire::read(input)? };
        let ends = messages.index.iter().flat_map(|place| [place.key_end, place.value_end]);
        let in_order = ends.clone().is_sorted() && ends.last().is_none_or(|end| end as usize <= messages.bytes.len());
        if in_order { Ok(messages) } else { Err(Damaged("messages lie beyond their bytes")) }
    }
}

impl Wire for Element {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Element::Component(name) => (0u8, name.clone()).write(out),
            Element::Relation { from, to } => (1u8, (from.clone(), to.clone())).write(out),
        }
    }
    fn read(input: &mut &[u8]) -> Result<Self, Damaged> {
        match u8::read(input)? {
            0 => Ok(Element::Component(Wire::read(input)?)),
            1 => Ok(Element::Relation { from: Wire::read(input)?, to: Wire::read(input)? }),
            _ => Err(Damaged("a record names no such kind of element")),
        }
    }
}

impl Wire for Cause {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Cause::Check { check, labels } => {
                out.push(0);
                check.write(out);
                labels.write(out);
            }
            Cause::Element(element) => {
                out.push(1);
                element.write(out);
            }
        }
    }
    fn read(input: &mut &[u8]) -> Result<Self, Damaged> {
        match u8::read(input)? {
            0 => Ok(Cause::Check { check: Wire::read(input)?, labels: Wire::read(input)? }),
            1 => Ok(Cause::Element(Wire::read(input)?)),
            _ => Err(Damaged("a record names no such kind of cause")),
        }
    }
}

fn take<'a>(input: &mut &'a [u8], bytes: usize) -> Result<&'a [u8], Damaged> {
    let (taken, rest) = input.split_at_checked(bytes).ok_or(Damaged("a record is cut short"))?;
    *input = rest;
    Ok(taken)
}

fn take_array<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], Damaged> {
    let (taken, rest) = input.split_first_chunk::<N>().ok_or(Damaged("a record is cut short"))?;
    *input = rest;
    Ok(*taken)
}

impl Wire for u8 {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }
    fn read(input: &mut &[u8]) -> Result<Self, Damaged> {
        Ok(take_array::<1>(input)?[0])
    }
    fn write_all(items: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(items);
    }
    fn read_all(input: &mut &[u8], length: usize) -> Result<Vec<u8>, Damaged> {
        take(input, length).map(<[u8]>::to_vec)
    }
}

impl Wire for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn read(input: &mut &[u8]) -> Result<Self, Damaged> {
        match u8::read(input)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Damaged("a record holds a boolean that is none")),
        }
    }
}

impl Wire for u64 {
    fn write(&self, out: &mut Vec<u8>) {
        let mut left = *self;
        while left >= 0x80 {
            out.push(left as u8 | 0x80);
            left >>= 7;
        }
        out.push(left as u8);
    }
    fn read(input: &mut &[u8]) -> Result<Self, Damaged> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = u8::read(input)?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Damaged("a record holds a number that is too large"))
    }
}

impl Wire for u32 {
    fn write(&self, out: &mut Vec<u8>) {
        u64::from(*self).write(out);
    }
    fn read(input: &mut &[u8]) -> Result<Self, Damaged> {
        u64::read(input)?.try_into().map_err(|_| Damaged("a record holds a number that is too large"))
    }
}

impl Wire for i64 {
    fn write(&self, out: &mut Vec<u8>) {
        (((*self << 1) ^ (*self >> 63)) as u64).write(out);
    }
    fn read(input: &mut &[u8]) -> Result<Self, Damaged> {
        let zigzag = u64::read(input)?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }
}

impl Wire for i32 {
    fn write(&self, out: &mut Vec<u8>) {
        i64::from(*self).write(out);
    }
    fn read(input: &mut &[u8]) -> Result<Self, Damaged> {
        i64::read(input)?.try_into().map_err(|_| Damaged("a record holds a number that is too large"))
    }
}

impl Wire for u128 {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.to_be_bytes());
    }
    fn read(input: &mut &[u8]) -> Result<Self, Damaged> {
        Ok(u128::from_be_bytes(take_array(input)?))
    }
}

impl Wire for f64 {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.to_bits().to_le_bytes());
    }
    fn read(input: &mut &[u8]) -> Result<Self, Damaged> {
        Ok(f64::from_bits(u64::from_le_bytes(take_array(input)?)))
    }
}

/// Four bytes, little-endian. A column is one copy, in either direction.
impl Wire for f32 {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.to_bits().to_le_bytes());
    }
    fn read(input: &mut &[u8]) -> Result<Self, Damaged> {
        Ok(f32::from_bits(u32::from_le_bytes(take_array(input)?)))
    }
    fn write_all(items: &[f32], out: &mut Vec<u8>) {
        let written = out.len();
        out.resize(written + size_of_val(items), 0);
        for (item, place) in items.iter().zip(out[written..].as_chunks_mut::<4>().0) {
            *place = item.to_bits().to_le_bytes();
        }
    }
    fn read_all(input: &mut &[u8], length: usize) -> Result<Vec<f32>, Damaged> {
        let bytes = take(input, length.checked_mul(4).ok_or(Damaged("a record is cut short"))?)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_bits(u32::from_le_bytes(*bytes))).collect())
    }
}

impl Wire for Time {
    fn write(&self, out: &mut Vec<u8>) {
        self.nanos().write(out);
    }
    fn read(input: &mut &[u8]) -> Result<Self, Damaged> {
        Ok(Time::from_nanos(Wire::read(input)?))
    }
}

impl Wire for String {
    fn write(&self, out: &mut Vec<u8>) {
        self.len().write(out);
        out.extend(self.as_bytes());
    }
    fn read(input: &mut &[u8]) -> Result<Self, Damaged> {
        let length = usize::read(input)?;
        let bytes = take(input, length)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Damaged("a record holds a text that is not UTF-8"))
    }
}

impl Wire for Arc<str> {
    fn write(&self, out: &mut Vec<u8>) {
        self.len().write(out);
        out.extend(self.as_bytes());
    }
    fn read(input: &mut &[u8]) -> Result<Self, Damaged> {
        String::read(input).map(Arc::from)
    }
}

/// Lengths.
impl Wire for usize {
    fn write(&self, out: &mut Vec<u8>) {
        (*self as u64).write(out);
    }
    fn read(input: &mut &[u8]) -> Result<Self, Damaged> {
        u64::read(input)?.try_into().map_err(|_| Damaged("a record holds a number that is too large"))
    }
}

impl<T: Wire> Wire for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.is_some().write(out);
        if let Some(inner) = self {
            inner.write(out);
        }
    }
    fn read(input: &mut &[u8]) -> Result<Self, Damaged> {
        bool::read(input)?.then(|| T::read(input)).transpose()
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.len().write(out);
        T::write_all(self, out);
    }
    fn read(input: &mut &[u8]) -> Result<Self, Damaged> {
        let length = usize::read(input)?;
        T::read_all(input, length)
    }
}

impl<const N: usize> Wire for [u64; N] {
    fn write(&self, out: &mut Vec<u8>) {
        self.to_vec().write(out);
    }
    fn read(input: &mut &[u8]) -> Result<Self, Damaged> {
        Vec::read(input)?.try_into().map_err(|_| Damaged("a record holds another number of counters"))
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }
    fn read(input: &mut &[u8]) -> Result<Self, Damaged> {
        Ok((A::read(input)?, B::read(input)?))
    }
}

impl Wire for Labels {
    fn write(&self, out: &mut Vec<u8>) {
        self.len().write(out);
        for (name, value) in self.iter() {
            name.write(out);
            value.write(out);
        }
    }
    fn read(input: &mut &[u8]) -> Result<Self, Damaged> {
        Ok(Labels::new(Vec::<(Arc<str>, Arc<str>)>::read(input)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_bits() {
        for number in [0, 1, 127, 128, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(decode(&encode(&number)), Ok(number));
            assert_eq!(decode(&encode(&(number as i64))), Ok(number as i64));
            let double = f64::from_bits(number);
            assert_eq!(decode::<f64>(&encode(&double)).map(f64::to_bits), Ok(number));
        }
        for number in [i64::MIN, -1, i64::MAX] {
            assert_eq!(decode(&encode(&number)), Ok(number));
        }
    }

    #[test]
    fn columns_keep_their_bits_and_cost_nothing_beside_them() {
        let values: Vec<f32> = [0, 1, 0x7fc0_0001, 0x8000_0000, 0xff80_0000, u32::MAX].map(f32::from_bits).to_vec();
        let column = ColumnRecord { start: Time::MIN, values, counts: (0..=255).collect(), anomalous: vec![1] };
        let whole = encode(&column);
        assert_eq!(whole.len(), 1 + 10 + (1 + 6 * 4) + (2 + 256) + (1 + 1));
        let found: ColumnRecord = decode(&whole).expect("a column");
        assert_eq!((found.start, &found.counts, &found.anomalous), (Time::MIN, &column.counts, &column.anomalous));
        let bits = |column: &ColumnRecord| column.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found), bits(&column));
        assert!((0..whole.len()).all(|length| decode::<ColumnRecord>(&whole[..length]).is_err()));
        let huge = [&[RECORD_VERSION][..], &[0xff; 9], &[1]].concat();
        assert!(decode::<Vec<f32>>(&huge).is_err() && decode::<Vec<u8>>(&huge).is_err());
    }

    #[test]
    fn damage_is_told_and_not_a_crash() {
        let whole = encode(&vec![Some(Labels::new([("host", "web-1")])), None]);
        assert!(decode::<Vec<Option<Labels>>>(&whole).is_ok());
        for length in 0..whole.len() {
            assert!(decode::<Vec<Option<Labels>>>(&whole[..length]).is_err(), "cut at {length}");
        }
        let long = [whole.as_slice(), &[0]].concat();
        assert_eq!(decode::<Vec<Option<Labels>>>(&long), Err(Damaged("a record is too long")));
        assert_eq!(decode::<u64>(&[1, 0]), Err(Damaged("a record is of another version")));
        let huge = [&[RECORD_VERSION][..], &[0xff; 9], &[1]].concat();
        assert!(decode::<Vec<u64>>(&huge).is_err());
        assert!(decode::<u64>(&[RECORD_VERSION, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).is_err());
    }

    #[test]
    fn the_format_stays_what_it_is() {
        let pane =
            PaneRecord { start_ns: -1, count: 300, sum: vec![1], last: 1.0, delta: true, ..PaneRecord::default() };
        let bytes = encode(&pane);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "0301ac020102\
            00000000000000000000000000000000\
            00000000000000f03f00000001"
        );
    }
}
