//! What has health: components, and relations between them.

use std::fmt;
use std::sync::Arc;

/// The identity of a topology element.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Element {
    /// A component, by its name.
    Component(Arc<str>),
    /// A relation, from the dependent to what it depends on.
    Relation {
        /// The component that depends.
        from: Arc<str>,
        /// The component it depends on.
        to: Arc<str>,
    },
}

impl Element {
    /// The component of this name.
    pub fn component(name: impl Into<Arc<str>>) -> Element {
        Element::Component(name.into())
    }

    /// The relation between these two.
    pub fn relation(from: impl Into<Arc<str>>, to: impl Into<Arc<str>>) -> Element {
        Element::Relation { from: from.into(), to: to.into() }
    }

    /// Reads what `Display` writes: a name, or two with ` -> ` between them. Names hold no ` -> `.
    pub fn parse(text: &str) -> Element {
        match text.split_once(" -> ") {
            Some((from, to)) => Element::relation(from.trim(), to.trim()),
            None => Element::component(text.trim()),
        }
    }
}

/// `checkout`, or `checkout -> payments`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::Component(name) => f.pad(name),
            Element::Relation { from, to } => f.pad(&format!("{from} -> {to}")),
        }
    }
}
