//! The binary as operators and strangers meet it: how it starts, what it refuses, what it withstands, how it ends.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// The aim is a third of a second; the machine that tests may have other things to do.
const READY_WITHIN: Duration = Duration::from_secs(20);

fn campanile() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_campanile"));
    // Settings of whoever runs the tests are not the tests'.
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn dev(directory: &Path) -> Command {
    let mut command = campanile();
    command.args(["dev", "--http", "127.0.0.1:0", "--media", "127.0.0.1:0", "--data-dir"]);
    command.arg(directory.join("data")).arg("--ready-file").arg(directory.join("ready.json"));
    command
}

/// A running service; killed when dropped.
struct Running {
    child: Child,
    ready: Value,
    address: SocketAddr,
}

impl Running {
    fn start(directory: &Path, command: &mut Command) -> Running {
        let path = directory.join("ready.json");
        let mut child = command.spawn().unwrap();
        let begun = Instant::now();
        while !path.exists() {
            assert!(child.try_wait().unwrap().is_none(), "ended: {}", output(child).1);
            assert!(begun.elapsed() < READY_WITHIN, "not ready");
            std::thread::sleep(Duration::from_millis(5));
        }
        let ready: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let address = ready["endpoint"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
        Running { child, ready, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// One request on a connection of its own; the whole answer.
    fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.replace("HOST", &self.address.to_string()).as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn get(&self, path: &str) -> String {
        self.exchange(&format!("GET {path} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"))
    }

    fn post(&self, path: &str, body: &str, headers: &str) -> String {
        let length = body.len();
        self.exchange(&format!(
            "POST {path} HTTP/1.1\r\nHost: HOST\r\nContent-Length: {length}\r\nContent-Type: application/json\r\n\
             {headers}Connection: close\r\n\r\n{body}"
        ))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end; (exit code, standard output, standard error, how long it took).
    fn end(mut self) -> (Option<i32>, String, String, Duration) {
        let begun = Instant::now();
        let status = self.child.wait().unwrap();
        let (mut out, mut err) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (status.code(), out, err, begun.elapsed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ours, by its handle; gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn output(child: Child) -> (Option<i32>, String) {
    told(child.wait_with_output().unwrap())
}

fn told(output: Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Runs what must fail at its start: the exit code, and the one line that says why.
fn refused(command: &mut Command) -> (i32, String) {
    let (code, text) = output(command.spawn().unwrap());
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("campanile: ")).collect();
    assert_eq!(lines.len(), 1, "one line says why: {text}");
    (code.unwrap(), lines[0].to_owned())
}

#[test]
fn it_starts_and_ends_as_promised() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::start(directory.path(), &mut dev(directory.path()));
    assert!(running.get("/healthz").starts_with("HTTP/1.1 200"));
    assert!(running.get("/readyz").ends_with("ready\n"));
    let page =
        running.exchange("GET / HTTP/1.1\r\nHost: HOST\r\nAccept: text/html\r\nConnection: close\r\n\r\n");
    assert!(page.contains("location: /ui/"), "a browser finds the console: {page}");
    running.signal(Signal::TERM);
    let (code, out, err, took) = running.end();
    assert_eq!(code, Some(0), "{err}");
    assert!(took < Duration::from_secs(2), "{took:?} with nothing to wait for");
    assert!(out.contains("export AWS_ENDPOINT_URL_CHIME_SDK_MEETINGS=http://127.0.0.1:"), "{out}");
    assert!(out.contains("/ui/meet"), "{out}");
}

#[test]
fn whoever_knows_that_it_is_ready_may_end_it() {
    for _ in 0..10 {
        let directory = tempfile::tempdir().unwrap();
        let running = Running::start(directory.path(), &mut dev(directory.path()));
        running.signal(Signal::TERM);
        let (code, _, err, _) = running.end();
        assert_eq!(code, Some(0), "{err}");
    }
}

#[test]
fn a_temporary_directory_is_removed_however_it_ends() {
    for second in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let temporary = tempfile::tempdir().unwrap();
        let mut command = campanile();
        command.args(["dev", "--http", "127.0.0.1:0", "--media", "127.0.0.1:0", "--ready-file"]);
        command.arg(directory.path().join("ready.json")).env("TMPDIR", temporary.path());
        let running = Running::start(directory.path(), &mut command);
        let made = std::fs::read_dir(temporary.path()).unwrap().count();
        assert_eq!(made, 1);
        // A request that never gets whole would hold the end up for seconds; a second Ctrl-C does not wait.
        let mut hanging = running.connect();
        if second {
            let head = format!("POST / HTTP/1.1\r\nHost: {}\r\nContent-Length: 9\r\n\r\n", running.address);
            hanging.write_all(head.as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(200));
        }
        running.signal(Signal::INT);
        if second {
            std::thread::sleep(Duration::from_millis(200));
            running.signal(Signal::INT);
        }
        let (code, out, err, took) = running.end();
        assert_eq!(code, Some(if second { 130 } else { 0 }), "{err}");
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert!(out.contains("temporary"), "{out}");
        assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
    }
}

#[test]
fn what_stops_a_start_is_said_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, line) = refused(dev(path).args(["--http", &format!("127.0.0.1:{port}")]));
    assert_eq!(code, 1);
    assert!(line.contains(&port) && line.contains("--http"), "{line}");

    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, line) = refused(dev(path).args(["--media", &format!("127.0.0.1:{port}")]));
    assert_eq!(code, 1);
    assert!(line.contains(&port) && line.contains("--media"), "{line}");

    std::fs::write(path.join("file"), "").unwrap();
    let (code, line) = refused(dev(path).arg("--data-dir").arg(path.join("file/data")));
    assert_eq!(code, 1);
    assert!(line.contains("data directory") && line.contains("--data-dir"), "{line}");

    let (code, line) = refused(dev(path).arg("--ready-file").arg(path.join("no/such/ready.json")));
    assert_eq!(code, 1);
    assert!(line.contains("ready file"), "{line}");

    let running = Running::start(path, &mut dev(path));
    let (code, line) = refused(&mut dev(path));
    assert_eq!(code, 1);
    assert!(line.contains(&format!("process {}", running.child.id())), "the holder is named: {line}");
}

#[test]
fn wrong_usage_is_two() {
    for arguments in [&["dev", "--no-such-flag"][..], &["sing"], &[], &["dev", "--advertise", "h"]] {
        let (code, text) = told(campanile().args(arguments).output().unwrap());
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains("Usage") || text.contains("--bind"), "{text}");
    }
    for arguments in
        [["dev", "--http", "0.0.0.0:0"], ["dev", "--media", "nonsense"], ["dev", "--bind", "0.0.0.0"]]
    {
        assert_eq!(refused(campanile().args(arguments)).0, 2);
    }
}

/// `serve` with keys of its own, from the environment.
fn serve(directory: &TempDir) -> Command {
    let mut command = campanile();
    command.args(["serve", "--http", "127.0.0.1:0", "--media", "127.0.0.1:0", "--data-dir"]);
    command.arg(directory.path().join("data")).arg("--ready-file").arg(directory.path().join("ready.json"));
    command
        .env("CAMPANILE_AUTH__ACCESS_KEY_ID", "AKIDOWN")
        .env("CAMPANILE_AUTH__SECRET_ACCESS_KEY", "own-secret");
    command
}

#[test]
fn serve_has_no_test_call_and_wants_a_private_key() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::start(directory.path(), &mut serve(&directory));
    assert_eq!(running.ready.get("secret_access_key"), None);
    let answer = running.post("/ui/api/test-call", r#"{"meeting":"demo","name":"Ada"}"#, "");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    running.signal(Signal::TERM);
    let (code, out, err, _) = running.end();
    assert_eq!(code, Some(0), "{err}");
    assert!(!out.contains("own-secret") && !err.contains("own-secret"));

    let key = directory.path().join("data/master.key");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let (code, line) = refused(&mut serve(&directory));
    assert_eq!(code, 1);
    assert!(line.contains("chmod 600"), "{line}");
}

#[test]
fn heads_have_bounds_and_slow_ones_hinder_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::start(directory.path(), &mut dev(directory.path()));
    let large = format!("GET /healthz HTTP/1.1\r\nHost: HOST\r\nX-Large: {}\r\n\r\n", "x".repeat(40 << 10));
    assert!(running.exchange(&large).starts_with("HTTP/1.1 431"));
    let many: String = (0..200).map(|i| format!("X-{i}: y\r\n")).collect();
    assert!(running.exchange(&format!("GET / HTTP/1.1\r\n{many}\r\n")).starts_with("HTTP/1.1 431"));
    assert!(running.exchange("nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));

    let slow: Vec<_> = (0..300)
        .map(|_| {
            let mut stream = running.connect();
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHo").unwrap();
            stream
        })
        .collect();
    let begun = Instant::now();
    assert!(running.get("/healthz").starts_with("HTTP/1.1 200"));
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert!(running.get("/metrics").contains("\ncampanile_http_connections 30"));
    drop(slow);
}

#[test]
fn a_connection_too_many_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = dev(directory.path());
    let running = Running::start(directory.path(), command.env("CAMPANILE_HTTP__MAX_CONNECTIONS", "2"));
    let mut held: Vec<_> = (0..2).map(|_| running.connect()).collect();
    // Accepted, both: each answers.
    for stream in &mut held {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", running.address);
        stream.write_all(request.as_bytes()).unwrap();
        stream.read_exact(&mut [0; 15]).unwrap();
    }
    let mut answer = String::new();
    running.connect().read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 503") && head.contains("Retry-After"), "{answer}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["Code"], "ServiceUnavailable");
    assert!(head.contains(&format!("Content-Length: {}", answer.len() - head.len() - 4)), "{answer}");
    drop(held);
    let begun = Instant::now();
    while !running.get_if_room("/healthz") {
        assert!(begun.elapsed() < Duration::from_secs(5), "places come back");
    }
}

impl Running {
    fn get_if_room(&self, path: &str) -> bool {
        let mut stream = self.connect();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        let mut answer = Vec::new();
        // A refused connection may be gone before it is written to or read.
        stream.write_all(request.as_bytes()).is_ok()
            && stream.read_to_end(&mut answer).is_ok()
            && answer.starts_with(b"HTTP/1.1 200")
    }
}

#[test]
fn the_test_call_is_for_its_own_page() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::start(directory.path(), &mut dev(directory.path()));
    let body = r#"{"meeting":"demo","name":"Ada"}"#;
    let own = format!("Origin: http://{}\r\n", running.address);
    let foreign = [
        "Origin: http://evil.example\r\n",
        "Origin: http://localhost:3000\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
    ];
    for headers in foreign {
        assert!(running.post("/ui/api/test-call", body, headers).starts_with("HTTP/1.1 403"), "{headers}");
    }
    let admit = || -> Value {
        let answer = running.post("/ui/api/test-call", body, &own);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("no-store"), "{answer}");
        serde_json::from_str(body).unwrap()
    };
    let (ada, other) = (admit(), admit());
    assert_eq!(ada["Meeting"]["MeetingId"], other["Meeting"]["MeetingId"]);
    assert_ne!(ada["Attendee"]["AttendeeId"], other["Attendee"]["AttendeeId"]);
    assert!(ada["Attendee"]["ExternalUserId"].as_str().unwrap().starts_with("Ada#"));

    // Nobody gives up another's seat; the holder of the token does, and may say so twice.
    let leave = |token: &Value| {
        let body = json!({
            "MeetingId": ada["Meeting"]["MeetingId"],
            "AttendeeId": ada["Attendee"]["AttendeeId"],
            "JoinToken": token,
        });
        running.post("/ui/api/test-call/leave", &body.to_string(), &own)
    };
    assert!(leave(&other["Attendee"]["JoinToken"]).starts_with("HTTP/1.1 403"));
    assert!(leave(&json!("nonsense")).starts_with("HTTP/1.1 403"));
    assert!(leave(&Value::Null).starts_with("HTTP/1.1 400"));
    assert!(leave(&ada["Attendee"]["JoinToken"]).starts_with("HTTP/1.1 204"));
    assert!(leave(&ada["Attendee"]["JoinToken"]).starts_with("HTTP/1.1 204"));
}

#[tokio::test]
async fn no_log_holds_a_secret() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = dev(directory.path());
    command.args(["--secret-access-key", "a-secret-that-shows"]).env("CAMPANILE_LOG__LEVEL", "trace");
    // A pipe that nobody reads would fill up.
    let log = directory.path().join("log");
    command.stderr(std::fs::File::create(&log).unwrap());
    let running = Running::start(directory.path(), &mut command);
    let answer = running.post("/ui/api/test-call", r#"{"meeting":"demo","name":"Ada"}"#, "");
    let call: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let token = call["Attendee"]["JoinToken"].as_str().unwrap();

    let url = call["Meeting"]["MediaPlacement"]["SignalingUrl"].as_str().unwrap();
    let mut request = url.into_client_request().unwrap();
    let protocols = format!("_aws_wt_session, {token}").parse().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocols);
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    socket.close(None).await.unwrap();
    let turn = format!("X-Chime-Auth-Token: _aws_wt_session={token}\r\n");
    assert!(running.post("/v2/turn_sessions", "{}", &turn).starts_with("HTTP/1.1 403"));
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let events = r#"{"events": []}"#;
    assert!(running.post("/v1/client-events", events, &bearer).starts_with("HTTP/1.1 200"));
    let beacon = format!(r#"{{"events": [], "authorization": "{token}"}}"#);
    assert!(running.post("/v1/client-events?beacon=1", &beacon, "").starts_with("HTTP/1.1 200"));
    let signed = "Authorization: AWS4-HMAC-SHA256 Credential=campanile-dev/20260101/us-east-1/chime/aws4_request, \
                  SignedHeaders=host;x-amz-date, Signature=\
                  00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\r\nX-Amz-Date: 20260101T000000Z\r\n";
    assert!(running.post("/meetings", "{}", signed).starts_with("HTTP/1.1 403"));

    running.signal(Signal::TERM);
    let mut running = running;
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains("api call"), "calls are logged");
    for secret in [token, "a-secret-that-shows", "00112233445566778899aabbccddeeff"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "a log line holds {secret}");
    }
}
