//! Makes Rust of the files under `proto/`, without protoc: who builds this needs nothing but cargo.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let proto = "../../proto";
    println!("cargo::rerun-if-changed={proto}");
    let files = protox::compile(["vitalsign/v1/health.proto", "vitalsign/v1/engine.proto"], [proto])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("vitalsign.v1.bin"), protox::prost::Message::encode_to_vec(&files))?;
    // Maps in order: the same message has the same bytes, which page tokens rely on.
    tonic_prost_build::configure().btree_map(".").compile_fds(files)?;
    Ok(())
}
