//! Reads the requests that real SDKs sent. One file per client: head, blank line, body, a line of four dashes.

use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// One captured request, bytes as they came.
#[derive(Debug, Clone)]
pub(crate) struct Captured {
    pub(crate) file: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Every captured request of every client.
pub(crate) fn all() -> Vec<Captured> {
    // Tests run in the folder of their package. Its whole path would be that of whichever checkout compiled this last.
    let directory = Path::new("tests/requests");
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().flat_map(|file| read(file)).collect()
}

fn read(file: &Path) -> Vec<Captured> {
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    let text = std::fs::read_to_string(file).unwrap();
    text.split_inclusive("----\n")
        .map(|piece| piece.strip_suffix("----\n").unwrap())
        .map(|piece| {
            let (head, rest) = piece.split_once("\n\n").unwrap();
            request(&name, head, rest)
        })
        .collect()
}

fn request(file: &str, head: &str, rest: &str) -> Captured {
    let mut lines = head.lines();
    let mut words = lines.next().unwrap().split(' ');
    let method = words.next().unwrap().parse().unwrap();
    let target = words.next().unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    // The newline before the dashes is the file's, not the client's.
    let length = headers.get("content-length").map_or(0, |value| value.to_str().unwrap().parse().unwrap());
    let body = rest.as_bytes()[..length].to_vec();
    assert!(rest[length..].trim().is_empty(), "{file}: more than the body in {rest}");
    Captured { file: file.into(), method, path: path.into(), query: query.into(), headers, body }
}
