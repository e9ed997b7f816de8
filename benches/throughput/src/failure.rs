//! What keeps a measurement from being made, in words for who wants it: the place, and the remedy.

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(pub(crate) String);

impl Failure {
    /// Says where it happened, in front of what happened.
    pub(crate) fn at(place: impl std::fmt::Display, what: impl std::fmt::Display) -> Failure {
        Failure(format!("{place}: {what}"))
    }
}
