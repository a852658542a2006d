//! Embeds the built console, where there is one.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    // Asked for as this runs: what is compiled in may name another checkout that shares the target directory.
    let package = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let built = Path::new(&package).join("../../console/dist");
    // A path that does not exist would make cargo run this, and build the crate, every time. In a checkout that
    // cannot be written to, that is still better than a console that is never noticed.
    if !built.exists() {
        let _ = fs::create_dir(&built);
    }
    // Relative to the package: checkouts that share a target directory then each look at their own console.
    println!("cargo::rerun-if-changed=../../console/dist");

    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    let assets = if built.join("index.html").exists() {
        // The code names files by their whole paths. Those of a checkout may be gone when another one compiles it.
        let copy = Path::new(&out).join("console");
        if copy.exists() {
            fs::remove_dir_all(&copy)?;
        }
        copy_folder(&built, &copy)?;
        // Embedded in every profile: the binary then is what it is, wherever it is started.
        memory_serve::assets_to_code(&copy.to_string_lossy(), &copy, Path::new(&out), true, |_| ())
    } else {
        "&[]".to_owned()
    };
    fs::write(Path::new(&out).join("memory_serve_assets.rs"), format!("&[(\"console\", {assets})]"))
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
