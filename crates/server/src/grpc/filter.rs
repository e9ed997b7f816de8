//! Which elements a caller means.

use super::convert;
use crate::view::ElementView;
use api::v1;
use model::{Element, State};
use tonic::Status;

/// A filter, checked.
#[derive(Debug)]
pub(super) struct Filter {
    kind: Option<v1::ElementKind>,
    r#type: String,
    labels: Vec<(String, String)>,
    own: States,
    propagated: States,
    prefix: String,
}

/// States that are meant; none for any.
#[derive(Debug)]
pub(super) struct States(Vec<State>);

impl States {
    /// Reads the states of a field.
    pub(super) fn parse(field: &str, states: &[i32]) -> Result<States, Status> {
        let wanted = "UNKNOWN (1), CLEAR (2), DEVIATING (3), CRITICAL (4)";
        states
            .iter()
            .map(|number| {
                v1::State::try_from(*number).ok().and_then(convert::state_from).ok_or_else(|| {
                    Status::invalid_argument(format!("{field} holds {number}, which is none of {wanted}"))
                })
            })
            .collect::<Result<_, _>>()
            .map(States)
    }

    pub(super) fn hold(&self, state: Option<State>) -> bool {
        self.0.is_empty() || state.is_some_and(|state| self.0.contains(&state))
    }
}

impl Filter {
    pub(super) fn parse(filter: Option<v1::ElementFilter>) -> Result<Filter, Status> {
        let filter = filter.unwrap_or_default();
        let kind = match v1::ElementKind::try_from(filter.kind) {
            Ok(v1::ElementKind::Unspecified) => None,
            Ok(kind) => Some(kind),
            Err(_) => {
                let found = filter.kind;
                let wanted = "COMPONENT (1), RELATION (2), or 0 for both";
                return Err(Status::invalid_argument(format!("filter.kind is {found}, which is none of {wanted}")));
            }
        };
        Ok(Filter {
            kind,
            r#type: filter.r#type,
            labels: filter.labels.into_iter().collect(),
            own: States::parse("filter.own_states", &filter.own_states)?,
            propagated: States::parse("filter.propagated_states", &filter.propagated_states)?,
            prefix: filter.name_prefix,
        })
    }

    pub(super) fn passes(&self, shown: &ElementView) -> bool {
        let record = &shown.record;
        self.kind.is_none_or(|kind| kind == convert::kind(&shown.element))
            && (self.r#type.is_empty() || *record.kind == *self.r#type)
            && self.labels.iter().all(|(name, value)| record.labels.get(name).is_some_and(|found| **found == **value))
            && self.own.hold(Some(record.own.state))
            && self.propagated.hold(Some(record.propagated.state))
            && self.has_prefix(&shown.element)
    }

    fn has_prefix(&self, element: &Element) -> bool {
        match element {
            Element::Component(name) => name.starts_with(&self.prefix),
            Element::Relation { .. } => self.prefix.is_empty() || element.to_string().starts_with(&self.prefix),
        }
    }
}

/// Reads the name of an element.
pub(super) fn element(field: &str, name: &str) -> Result<Element, Status> {
    let element = Element::parse(name);
    let empty = match &element {
        Element::Component(name) => name.is_empty(),
        Element::Relation { from, to } => from.is_empty() || to.is_empty(),
    };
    if empty {
        let wanted = "the name of a component, or of a relation such as `checkout -> payments`";
        return Err(Status::invalid_argument(format!("{field} is `{name}`, where {wanted} is wanted")));
    }
    Ok(element)
}
