//! `campanile loadtest` against the running binary.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]
#![allow(unreachable_pub, reason = "what tests share")]

mod support;

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::Server;

/// The page that promises this.
const PAGE: &str = include_str!("../../../docs/reference/loadtest.md");

/// Metrics of media are published once in a while.
const GONE_WITHIN: Duration = Duration::from_secs(10);

fn loadtest(server: &Server, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_campanile"))
        // Settings of whoever runs the tests are not the tests'.
        .env_clear()
        .args(["loadtest", "--endpoint", &format!("http://{}", server.http)])
        .args(arguments.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_example_of_the_page_runs() {
    let example = PAGE.lines().find_map(|line| line.strip_prefix("campanile loadtest --attendees"));
    let example = format!("--attendees{} --json", example.expect("an example in the page"));
    let server = Server::start();
    let output = loadtest(&server, &example);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (tiles, mix) = (&report["tiles"], &report["mix"]);
    let all = report["attendees"].as_u64().unwrap();
    assert_eq!((report["joined"].as_u64().unwrap(), &report["reconnects"]), (all, &0.into()), "{report:#}");
    assert!(report["join_ms"]["p99"].as_f64().unwrap() < 10_000.0, "{report:#}");
    assert!(report["first_sound_ms"]["p50"].is_number(), "{report:#}");
    // Fifty a second to each, for all the time that the example says; the starts are spread before it.
    let seconds = example.split_once("--duration ").unwrap().1.split(' ').next().unwrap();
    let expected = all * 50 * seconds.parse::<u64>().unwrap();
    assert!(mix["packets"].as_u64().unwrap() > expected * 9 / 10, "{report:#}");
    assert_eq!(mix["lost"], 0, "on loopback: {report:#}");
    assert!(tiles["wanted"].as_u64().unwrap() > 0, "{report:#}");
    assert_eq!((&tiles["seen"], &tiles["moving"]), (&tiles["wanted"], &tiles["wanted"]), "{report:#}");
    assert_eq!(tiles["undecodable"], 0, "{report:#}");
    for word in ["joined", "datagrams sent", "received"] {
        assert!(text(&output.stderr).contains(word), "progress: {}", text(&output.stderr));
    }
    // It left nothing behind: its meeting has ended and its media is gone.
    let begun = Instant::now();
    while gauge(&server, "campanile_media_sessions") > 0.0 {
        assert!(begun.elapsed() < GONE_WITHIN, "media sessions are left");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn attendees_of_a_meeting_that_is_not_ours_go_and_it_stays() {
    let server = Server::start();
    let call = server.test_call("loaded", "host");
    let meeting = call["Meeting"]["MeetingId"].as_str().unwrap();
    let output =
        loadtest(&server, &format!("--meeting {meeting} --attendees 2 --talkers 1 --ramp 0 --duration 2"));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert!(table.contains("2 of 2 joined, 0 reconnects"), "{table}");
    assert!(table.contains("audio gaps"), "{table}");
    // The meeting is there still, with its first attendee alone.
    let again = server.test_call("loaded", "another");
    assert_eq!(again["Meeting"]["MeetingId"], meeting);
}

#[test]
fn what_cannot_be_done_is_said_in_a_line() {
    let server = Server::start();
    for (arguments, status, said) in [
        ("--talkers 11", 2, "--talkers 11 is more than --attendees 10"),
        ("--meetings 1000 --attendees 1000", 2, "1000000 attendees are more than the 20000"),
        ("--cameras 1 --video /nowhere.ivf", 2, "cannot read /nowhere.ivf"),
        ("--meeting 11111111-1111-1111-1111-111111111111", 1, "404"),
        ("--access-key-id campanile-dev --secret-access-key wrong", 1, "signature"),
        ("--endpoint ftp://x", 1, "`ftp://x` is no URL"),
    ] {
        let output = loadtest(&server, arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{arguments}: {stderr}");
        assert!(stderr.starts_with("campanile: ") && stderr.contains(said), "{arguments}: {stderr}");
    }
}

fn gauge(server: &Server, name: &str) -> f64 {
    let metrics = server.metrics();
    let line = metrics.lines().find(|line| line.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in\n{metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}
