//! Embeds the built console, where there is one.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let console = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../console");
    let built = console.join("dist");
    // A path that does not exist would make cargo run this, and build the crate, every time. In a checkout that
    // cannot be written to, that is still better than a console that is never noticed.
    if !built.exists() {
        let _ = fs::create_dir(&built);
    }
    // Relative to the package: checkouts that share a target directory then each look at their own console.
    println!("cargo::rerun-if-changed=../../console/dist");

    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    let assets = if built.join("index.html").exists() {
        let built = built.canonicalize()?;
        // Embedded in every profile: the binary then is what it is, wherever it is started.
        memory_serve::assets_to_code(&built.to_string_lossy(), &built, Path::new(&out), true, |_| ())
    } else {
        "&[]".to_owned()
    };
    fs::write(Path::new(&out).join("memory_serve_assets.rs"), format!("&[(\"console\", {assets})]"))
}
