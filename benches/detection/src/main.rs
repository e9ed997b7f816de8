//! How well the baselines find what is wrong, on labelled series.

fn main() {}
