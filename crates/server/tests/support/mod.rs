//! Boots the binary as a user would, on free ports and a directory of its own.

#![allow(dead_code, reason = "shared by test crates, each of which uses its part")]

pub mod client;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A running `campanile dev`; ended when dropped.
pub struct Server {
    child: Child,
    pub http: SocketAddr,
    _directory: TempDir,
}

impl Server {
    pub fn start() -> Server {
        let directory = tempfile::tempdir().unwrap();
        let ready = directory.path().join("ready.json");
        let child = Command::new(env!("CARGO_BIN_EXE_campanile"))
            .args(["dev", "--http", "127.0.0.1:0", "--media", "127.0.0.1:0", "--data-dir"])
            .arg(directory.path().join("data"))
            .arg("--ready-file")
            .arg(&ready)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Server { child, http: ([127, 0, 0, 1], 0).into(), _directory: directory };
        let begun = Instant::now();
        let text = loop {
            // The file appears whole, by rename.
            if let Ok(text) = std::fs::read_to_string(&ready) {
                break text;
            }
            assert!(server.child.try_wait().unwrap().is_none(), "the service ended at its start");
            assert!(begun.elapsed() < Duration::from_secs(20), "the service does not get ready");
            std::thread::sleep(Duration::from_millis(5));
        };
        let ready: Value = serde_json::from_str(&text).unwrap();
        let endpoint = ready["endpoint"].as_str().unwrap();
        server.http = endpoint.strip_prefix("http://").unwrap().parse().unwrap();
        server
    }

    /// The attendee that the test call's endpoint makes: the answers of CreateMeeting and CreateAttendee.
    pub fn test_call(&self, meeting: &str, name: &str) -> Value {
        let body = serde_json::json!({ "meeting": meeting, "name": name }).to_string();
        let head = format!(
            "POST /ui/api/test-call HTTP/1.1\r\nHost: {0}\r\nOrigin: http://{0}\r\nContent-Type: application/json\r\n\
             Content-Length: {1}\r\nConnection: close\r\n\r\n",
            self.http,
            body.len()
        );
        serde_json::from_str(&self.exchange(&(head + &body))).unwrap()
    }

    /// The metrics page.
    pub fn metrics(&self) -> String {
        self.exchange(&format!("GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.http))
    }

    /// One request by hand; the body of its answer.
    fn exchange(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.http).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 2"), "{answer}");
        if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            dechunk(body)
        } else {
            body.into()
        }
    }
}

fn dechunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    whole
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ours, by its handle; gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
