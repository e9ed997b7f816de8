//! Labels: names and values that identify a series, an instance or an element.

use std::fmt;
use std::sync::Arc;

/// Label names and values, sorted by name, each name once. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

impl Default for Labels {
    fn default() -> Labels {
        Labels(Arc::new([]))
    }
}

impl Labels {
    /// Sorts the pairs by name; of a name that stands twice the last value counts.
    pub fn new<N: Into<Arc<str>>, V: Into<Arc<str>>>(pairs: impl IntoIterator<Item = (N, V)>) -> Labels {
        let mut sorted: Vec<(Arc<str>, Arc<str>)> = Vec::new();
        for (name, value) in pairs {
            let (name, value) = (name.into(), value.into());
            match sorted.binary_search_by(|pair| pair.0.cmp(&name)) {
                Ok(place) => sorted[place].1 = value,
                Err(place) => sorted.insert(place, (name, value)),
            }
        }
        Labels(sorted.into())
    }

    /// The value of a label.
    pub fn get(&self, name: &str) -> Option<&Arc<str>> {
        self.0.binary_search_by(|pair| (*pair.0).cmp(name)).ok().map(|place| &self.0[place].1)
    }

    /// The pairs, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Arc<str>)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These labels and `others`; where both have a name, the value of `others` counts.
    pub fn with(&self, others: &Labels) -> Labels {
        if others.is_empty() {
            return self.clone();
        }
        Labels::new(self.iter().chain(others.iter()).map(|(name, value)| (name.clone(), value.clone())))
    }

    /// Whether no label that both have differs: then they may speak of the same thing.
    pub fn agrees_with(&self, others: &Labels) -> bool {
        self.iter().all(|(name, value)| others.get(name).is_none_or(|other| other == value))
    }
}

/// `{host="web-1", zone="b"}`; `{}` where there is none.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (place, (name, value)) in self.iter().enumerate() {
            write!(f, "{}{name}={value:?}", if place == 0 { "" } else { ", " })?;
        }
        f.write_str("}")
    }
}
