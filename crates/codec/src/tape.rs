//! Not here yet.

/// A document.
#[derive(Debug, Default)]
pub(crate) struct Tape;
