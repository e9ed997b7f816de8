//! A model's bytes: its numbers one after the other, little-endian, in the order of its fields. What is read back is
//! the same bit for bit.

/// What has a place in a model's bytes.
pub(crate) trait Stored: Sized {
    /// Appends the bytes.
    fn put(&self, bytes: &mut Vec<u8>);
    /// Takes them off the front; nothing where they end too early or mean nothing.
    fn take(bytes: &mut &[u8]) -> Option<Self>;
}

macro_rules! stored_numbers {
    ($($number:ty),*) => {$(
        impl Stored for $number {
            fn put(&self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }

            fn take(bytes: &mut &[u8]) -> Option<Self> {
                let (number, rest) = bytes.split_first_chunk()?;
                *bytes = rest;
                Some(<$number>::from_le_bytes(*number))
            }
        }
    )*};
}
stored_numbers!(u8, u16, u32, i64, f32, f64);

impl<T: Stored + Copy + Default, const N: usize> Stored for [T; N] {
    fn put(&self, bytes: &mut Vec<u8>) {
        self.iter().for_each(|one| one.put(bytes));
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let mut all = [T::default(); N];
        for one in &mut all {
            *one = T::take(bytes)?;
        }
        Some(all)
    }
}

impl<T: Stored> Stored for Option<T> {
    fn put(&self, bytes: &mut Vec<u8>) {
        u8::from(self.is_some()).put(bytes);
        self.iter().for_each(|some| some.put(bytes));
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        match u8::take(bytes)? {
            0 => Some(None),
            1 => T::take(bytes).map(Some),
            _ => None,
        }
    }
}

/// A table that is empty while nothing is in it, and has `length` places from then on.
pub(crate) fn put_table<T: Stored>(table: &[T], bytes: &mut Vec<u8>) {
    u8::from(!table.is_empty()).put(bytes);
    table.iter().for_each(|place| place.put(bytes));
}

/// The table that was put there.
pub(crate) fn take_table<T: Stored>(length: usize, bytes: &mut &[u8]) -> Option<Vec<T>> {
    match u8::take(bytes)? {
        0 => Some(Vec::new()),
        1 if bytes.len() >= length * size_of::<T>() => (0..length).map(|_| T::take(bytes)).collect(),
        _ => None,
    }
}

/// A number in single precision, at the end of its range where it lies beyond: tables are kept so.
pub(crate) fn narrow(number: f64) -> f32 {
    number.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
}
