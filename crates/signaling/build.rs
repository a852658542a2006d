//! Turns what is in `proto` into Rust without needing protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let schema = protox::compile(["proto/signaling.proto", "proto/transcript.proto"], ["proto"])?;
    // `Bytes` fields are slices of the received message, and a data message is shared by all who get it.
    prost_build::Config::new().bytes(["."]).compile_fds(schema)?;
    Ok(())
}
