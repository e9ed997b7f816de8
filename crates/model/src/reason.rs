//! Why a record, a sample or an event was not used. Each refusal is counted under one reason.

/// Why something that was read is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The bytes are not what the source's format says.
    Undecodable,
    /// The record is larger than the format's decoder takes.
    Oversized,
    /// The record's value is null.
    Null,
    /// The record's value is empty.
    Empty,
    /// The record is well formed, but holds no sample or event.
    NothingInside,
    /// A field is there, but of another type than is wanted.
    WrongType,
    /// A name, a value or a time that is wanted is not there.
    Missing,
    /// The value is a text, a boolean or null, where samples are numbers.
    NotNumeric,
    /// The value is NaN or infinite, or larger than any double.
    NotFinite,
    /// The producer marked the point as holding no recorded value.
    NoRecordedValue,
    /// A kind of metric that is not read, such as a summary.
    Unsupported,
    /// The time lies outside 1677 to 2262, or is not a time.
    BadTime,
    /// The sample lies before its own partition's watermark.
    Late,
    /// The sample lies before its partition's floor.
    BelowFloor,
    /// The sample lies too far past its record's arrival.
    Ahead,
    /// A bound on series, instances or events was reached.
    Overflow,
}

impl Reason {
    /// All reasons, in the order of `Counters`.
    pub const ALL: [Reason; 16] = [
        Reason::Undecodable,
        Reason::Oversized,
        Reason::Null,
        Reason::Empty,
        Reason::NothingInside,
        Reason::WrongType,
        Reason::Missing,
        Reason::NotNumeric,
        Reason::NotFinite,
        Reason::NoRecordedValue,
        Reason::Unsupported,
        Reason::BadTime,
        Reason::Late,
        Reason::BelowFloor,
        Reason::Ahead,
        Reason::Overflow,
    ];

    /// The name in counters and logs: `not_finite`.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::Undecodable => "undecodable",
            Reason::Oversized => "oversized",
            Reason::Null => "null",
            Reason::Empty => "empty",
            Reason::NothingInside => "nothing_inside",
            Reason::WrongType => "wrong_type",
            Reason::Missing => "missing",
            Reason::NotNumeric => "not_numeric",
            Reason::NotFinite => "not_finite",
            Reason::NoRecordedValue => "no_recorded_value",
            Reason::Unsupported => "unsupported",
            Reason::BadTime => "bad_time",
            Reason::Late => "late",
            Reason::BelowFloor => "below_floor",
            Reason::Ahead => "ahead",
            Reason::Overflow => "overflow",
        }
    }
}

/// What a source has seen, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records read.
    pub records: u64,
    /// Samples that count, whether a stream wants them or not.
    pub samples: u64,
    /// Events that count, whether a stream wants them or not.
    pub events: u64,
    /// What was refused, in the order of `Reason::ALL`.
    pub refused: [u64; Reason::ALL.len()],
}

impl Counters {
    /// Counts one refusal.
    pub fn refuse(&mut self, reason: Reason) {
        self.refused[reason as usize] += 1;
    }

    /// How often something was refused for this reason.
    pub fn refused(&self, reason: Reason) -> u64 {
        self.refused[reason as usize]
    }

    /// Adds what another has counted.
    pub fn add(&mut self, other: &Counters) {
        self.records += other.records;
        self.samples += other.samples;
        self.events += other.events;
        for (mine, theirs) in self.refused.iter_mut().zip(other.refused) {
            *mine += theirs;
        }
    }
}
