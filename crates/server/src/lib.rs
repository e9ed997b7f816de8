//! The run loop around the engine, and what it tells: gRPC from a read model of what is committed.

pub mod grpc;
pub mod view;
