//! Numbers with units: `400 ms`, `64 MiB`, `95 %`, `10 MB/s`. A value in one unit becomes a number in another.

/// Units by family: the name, and how many of the family's smallest unit it is.
const FAMILIES: [&[(&str, f64)]; 3] = [
    &[
        ("ns", 1.0),
        ("us", 1e3),
        ("µs", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("m", 60e9),
        ("min", 60e9),
        ("h", 3600e9),
        ("d", 86_400e9),
    ],
    &[
        ("B", 1.0),
        ("bytes", 1.0),
        ("kB", 1e3),
        ("KB", 1e3),
        ("MB", 1e6),
        ("GB", 1e9),
        ("TB", 1e12),
        ("KiB", 1024.0),
        ("MiB", 1_048_576.0),
        ("GiB", 1_073_741_824.0),
        ("TiB", 1_099_511_627_776.0),
    ],
    &[("%", 1.0), ("ratio", 100.0)],
];

/// Takes `400 ms` apart: the number, and the unit; which is empty where none is written. Nothing where it does not
/// begin with a number.
pub(crate) fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let mut end = 0;
    let bytes = text.as_bytes();
    while end < bytes.len() {
        let exponent =
            matches!(bytes[end], b'e' | b'E') && bytes.get(end + 1).is_some_and(|b| b"+-0123456789".contains(b));
        let sign = matches!(bytes[end], b'-' | b'+') && (end == 0 || matches!(bytes[end - 1], b'e' | b'E'));
        if !(bytes[end].is_ascii_digit() || bytes[end] == b'.' || exponent || sign) {
            break;
        }
        end += 1;
    }
    let number = text[..end].parse::<f64>().ok().filter(|number| number.is_finite())?;
    Some((number, text[end..].trim()))
}

/// The value of `text` as a number of `unit`; the error says why there is none.
pub(crate) fn convert(text: &str, unit: &str) -> Result<f64, String> {
    let (number, from) = split(text).ok_or_else(|| format!("`{text}` is no number with a unit such as 400 ms"))?;
    if from.is_empty() || from == unit {
        return Ok(number);
    }
    let (from_family, from_size) = find(from).ok_or_else(|| format!("`{from}` is no unit that is known"))?;
    match find(unit) {
        Some((family, size)) if family == from_family => Ok(number * from_size / size),
        _ => Err(format!("`{from}` cannot be expressed in `{unit}`")),
    }
}

/// The family of a unit, with whether it is one per second, and its size.
fn find(unit: &str) -> Option<((usize, bool), f64)> {
    let (plain, per_second) = match unit.strip_suffix("/s") {
        Some(plain) => (plain, true),
        None => (unit, false),
    };
    FAMILIES.iter().enumerate().find_map(|(family, units)| {
        units.iter().find(|(name, _)| *name == plain).map(|(_, size)| ((family, per_second), *size))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_converted_within_their_family() {
        for (text, unit, wanted) in [
            ("400 ms", "ms", "400"),
            ("1 s", "ms", "1000"),
            ("1.5s", "ms", "1500"),
            ("250ms", "s", "0.25"),
            ("64 MiB", "B", "67108864"),
            ("95 %", "ratio", "0.95"),
            ("95 %", "%", "95"),
            ("10 MB/s", "B/s", "10000000"),
            ("-1e3 s", "s", "-1000"),
            ("7 carts", "carts", "7"),
            ("7", "ms", "7"),
            ("1 s", "B", "`s` cannot be expressed in `B`"),
            ("1 MB", "B/s", "`MB` cannot be expressed in `B/s`"),
            ("1 parsec", "ms", "`parsec` is no unit that is known"),
            ("fast", "ms", "`fast` is no number with a unit such as 400 ms"),
        ] {
            let found = convert(text, unit).map_or_else(|error| error, |number| number.to_string());
            assert_eq!(found, wanted, "{text} in {unit}");
        }
    }
}
