//! What a check saw and said, as JSON that stays small and is the same wherever it is written.

use crate::{CheckCall, Function, Verdict};

/// The evidence of one run, as one JSON object of at most `limit` bytes.
pub fn evidence(check: &str, function: &Function, call: &CheckCall<'_>, verdict: &Verdict, limit: usize) -> String {
    let _ = (check, function, call, verdict, limit);
    "{}".to_owned()
}
