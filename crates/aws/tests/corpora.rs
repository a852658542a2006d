//! Replays the corpora of the fuzz targets: what fuzzing once found interesting holds in every run of the tests.

use std::path::Path;

#[allow(unreachable_pub, reason = "this is the library of the fuzz crate too")]
#[path = "../../../fuzz/src/lib.rs"]
mod targets;

#[allow(clippy::print_stdout, reason = "the name of the input, shown if it fails")]
fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", corpus.display());
    for file in files {
        println!("{}", file.display());
        run(&std::fs::read(&file).unwrap());
    }
}

#[test]
fn page() {
    replay("page", targets::page::run);
}

#[test]
fn rest() {
    replay("rest", targets::rest::run);
}

#[test]
fn sigv4() {
    replay("sigv4", targets::sigv4::run);
}
