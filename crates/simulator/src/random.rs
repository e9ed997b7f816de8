//! Small random numbers: SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014),
//! so that a seed means the same shop for as long as this file stays as it is.

pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to, not including, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From 0 up to, not including, `end`, which is positive.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// About `middle`: at most the share `spread` of it away, with three decimals as producers measure.
    pub(crate) fn around(&mut self, middle: f64, spread: f64) -> f64 {
        let value = middle * (1.0 + spread * (2.0 * self.unit() - 1.0));
        (value * 1000.0).round() / 1000.0
    }

    /// How many of `of` attempts succeed with this probability.
    pub(crate) fn share(&mut self, of: u64, probability: f64) -> u64 {
        (0..of).filter(|_| self.unit() < probability).count() as u64
    }
}
