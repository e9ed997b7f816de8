//! The vocabulary that every other crate speaks: time, labels, records, samples, points, health,
//! and the validated definitions of what is to be watched. It holds no behaviour beyond what a word
//! needs to keep its promise, and knows neither a clock nor a file.

pub mod baseline;
pub mod definition;
pub mod element;
pub mod health;
pub mod labels;
pub mod point;
pub mod reason;
pub mod record;
pub mod time;
pub mod transition;
pub mod value;

pub use baseline::{Band, Reading};
pub use element::Element;
pub use health::State;
pub use labels::Labels;
pub use point::{Event, Point};
pub use reason::{Counters, Reason};
pub use time::{Span, Time};
pub use transition::Transition;
pub use value::Value;
