//! Not read yet.

use crate::decoded::Fault;
use crate::{Decoded, Decoder, Message, PlanError, Settings};
use std::sync::Arc;

pub(crate) const SETTINGS: &[&str] = &[];

pub(crate) fn plan(_: &Settings) -> Result<Arc<dyn Decoder>, Vec<PlanError>> {
    Ok(Arc::new(Plan))
}

struct Plan;

impl Decoder for Plan {
    fn decode(&self, _: &Message<'_>, _: &mut Decoded) -> Result<(), Fault> {
        Ok(())
    }
}
