//! The state machine: records and the shell's words go in, transitions and what must be kept come out.

pub mod state;
