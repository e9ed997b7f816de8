//! The gRPC types of Vitalsign: what `proto/` says, as Rust. The reference is the comments there; nothing
//! is written by hand but this file, so that other languages start from the same source.

/// Package `vitalsign.v1`: messages, clients and servers.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod v1 {
    tonic::include_proto!("vitalsign.v1");
}

/// The descriptors of all files, encoded as a `google.protobuf.FileDescriptorSet`: server reflection
/// answers from them.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vitalsign.v1.bin"));
