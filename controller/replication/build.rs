//! Generates the protocols' types and services, without `protoc`: protox is a protobuf compiler in Rust.
#![allow(clippy::print_stdout)] // how a build script speaks to cargo

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let descriptors = protox::compile(["replication.proto", "tunnel.proto"], ["proto"])?;
    println!("cargo:rerun-if-changed=proto");
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
