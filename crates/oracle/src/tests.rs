//! The semantics, read a second time: each rule with what it must come to, worked out by hand.
