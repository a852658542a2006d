//! The verbs that an operator has for a running service: they speak to `/admin/v1`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use serde_json::Value;

use super::exchange::{begin, exchange, whole_body};
use super::print;
use crate::config::{DEFAULT_DATA_DIR, DEV_OPERATOR_KEY, OPERATOR_KEY_FILE};
use crate::edge::origin::is_loopback;

/// A service that does not answer within this is not there.
const PATIENCE: Duration = Duration::from_secs(10);
/// Meetings that are asked for at once.
const PAGE: u32 = 1000;

pub(super) const NOTES: &str = "\
They speak to a running service. Its operator's key is that of `campanile dev` if nothing else is said, or
stands in operator.key in the data directory of `campanile serve`. Exit status: 0, or 1 with the reason.";

#[derive(Debug, Args)]
pub(super) struct Service {
    /// The URL of the service
    #[arg(long, value_name = "URL", env = "CAMPANILE_ENDPOINT", default_value = "http://127.0.0.1:8080")]
    endpoint: String,
    /// The operator's key
    #[arg(long, value_name = "KEY", env = "CAMPANILE_OPERATOR_KEY", hide_env_values = true)]
    key: Option<String>,
    /// The file that holds it [default: /var/lib/campanile/operator.key, if it is there; on this machine only]
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    key_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Meetings {
    /// List meetings, the oldest first
    List {
        /// Those that have ended too, as long as they are remembered
        #[arg(long)]
        ended: bool,
        #[command(flatten)]
        service: Service,
    },
    /// Show all that is known of a meeting
    Show {
        /// Its MeetingId
        meeting: String,
        #[command(flatten)]
        service: Service,
    },
    /// Show what happened in a meeting, as the clients of its attendees told it
    Timeline {
        /// Its MeetingId
        meeting: String,
        #[command(flatten)]
        service: Service,
    },
    /// Show who hears whom in a meeting, or say it: for whispers, interpreters, groups
    MixRules {
        /// Its MeetingId
        meeting: String,
        /// This attendee hears these alone, if anybody; may be given again
        #[arg(long, value_name = "LISTENER=ATTENDEE,..")]
        hears: Vec<String>,
        /// This attendee is heard by these alone, if anybody; may be given again
        #[arg(long, value_name = "SPEAKER=ATTENDEE,..")]
        heard_by: Vec<String>,
        /// Everybody hears everybody again
        #[arg(long, conflicts_with_all = ["hears", "heard_by"])]
        clear: bool,
        #[command(flatten)]
        service: Service,
    },
    /// End a meeting: everybody is disconnected
    End {
        /// Its MeetingId
        meeting: String,
        #[command(flatten)]
        service: Service,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Attendees {
    /// List the attendees of a meeting
    List {
        /// Its MeetingId
        meeting: String,
        #[command(flatten)]
        service: Service,
    },
    /// Mute an attendee for all: nobody hears it, and it cannot undo that
    Mute(One),
    /// Let an attendee be heard again, unless it has muted itself
    Unmute(One),
    /// Move an attendee out of the meeting to wait: it hears and sees nobody, and nobody hears or sees it
    Hold(One),
    /// Let an attendee in again that waits
    Admit(One),
    /// Delete an attendee: it is disconnected, and its join token is void
    Remove(One),
}

/// One attendee of a running service.
#[derive(Debug, Args)]
pub(super) struct One {
    /// The MeetingId
    meeting: String,
    /// The AttendeeId
    attendee: String,
    #[command(flatten)]
    service: Service,
}

impl One {
    /// Asks something about this attendee; `done` is what is then true of it.
    pub(super) fn ask(&self, method: Method, what: &str, done: &str) -> anyhow::Result<String> {
        let (meeting, attendee) = (segment(&self.meeting), segment(&self.attendee));
        let answer = self.service.ask(method, &format!("meetings/{meeting}/attendees/{attendee}{what}"))?;
        Ok(self.service.told(&answer, || format!("attendee {} {done}\n", self.attendee)))
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Recordings {
    /// List recordings, the newest first
    List {
        /// Those of this MeetingId only
        meeting: Option<String>,
        #[command(flatten)]
        service: Service,
    },
    /// Record a meeting: a file for each attendee and one of the mix
    Start {
        /// The MeetingId
        meeting: String,
        #[command(flatten)]
        service: Service,
    },
    /// End the recording of a meeting and close its files
    Stop {
        /// The MeetingId
        meeting: String,
        #[command(flatten)]
        service: Service,
    },
}

pub(super) fn recordings(verb: &Recordings) -> ExitCode {
    finish(match verb {
        Recordings::List { meeting, service } => list_recordings(service, meeting.as_deref()),
        Recordings::Start { meeting, service } => {
            service.ask(Method::PUT, &format!("meetings/{}/recording", segment(meeting))).map(|answer| {
                service.told(&answer, || format!("recording to {}\n", plain(&answer["directory"])))
            })
        }
        Recordings::Stop { meeting, service } => {
            service.ask(Method::DELETE, &format!("meetings/{}/recording", segment(meeting))).map(|answer| {
                let seconds = answer["duration_ms"].as_f64().unwrap_or_default() / 1_000.0;
                service.told(&answer, || match answer["state"].as_str() {
                    Some("ended") => {
                        format!("recorded {seconds:.1} s to {}\n", plain(&answer["directory"]))
                    }
                    _ => format!(
                        "{}: {} after {seconds:.1} s in {}\n",
                        plain(&answer["state"]),
                        plain(&answer["reason"]),
                        plain(&answer["directory"])
                    ),
                })
            })
        }
    })
}

fn list_recordings(service: &Service, meeting: Option<&str>) -> anyhow::Result<String> {
    let path = match meeting {
        Some(meeting) => format!("meetings/{}/recordings", segment(meeting)),
        None => "recordings".to_owned(),
    };
    let answer = service.ask(Method::GET, &path)?;
    let recordings = answer["recordings"].as_array().cloned().unwrap_or_default();
    let columns = [
        ("RECORDING", "recording_id"),
        ("MEETING", "meeting_id"),
        ("STARTED", "started_at"),
        ("STATE", "state"),
        ("MS", "duration_ms"),
        ("DIRECTORY", "directory"),
    ];
    Ok(service.told(&answer, || table(&columns, &recordings, "no recordings\n")))
}

pub(super) fn meetings(verb: &Meetings) -> ExitCode {
    finish(match verb {
        Meetings::List { ended, service } => list_meetings(service, *ended),
        Meetings::Show { meeting, service } => show_meeting(service, meeting),
        Meetings::Timeline { meeting, service } => show_timeline(service, meeting),
        Meetings::MixRules { meeting, hears, heard_by, clear, service } => {
            mix_rules(service, meeting, hears, heard_by, *clear)
        }
        Meetings::End { meeting, service } => service
            .ask(Method::DELETE, &format!("meetings/{}", segment(meeting)))
            .map(|answer| service.told(&answer, || format!("meeting {meeting} has ended\n"))),
    })
}

pub(super) fn attendees(verb: &Attendees) -> ExitCode {
    finish(match verb {
        Attendees::List { meeting, service } => list_attendees(service, meeting),
        Attendees::Mute(one) => one.ask(Method::PUT, "/muted", "is muted for all"),
        Attendees::Unmute(one) => one.ask(Method::DELETE, "/muted", "is no longer muted for all"),
        Attendees::Hold(one) => one.ask(Method::PUT, "/waiting", "waits"),
        Attendees::Admit(one) => one.ask(Method::DELETE, "/waiting", "was let in"),
        Attendees::Remove(one) => one.ask(Method::DELETE, "", "was removed"),
    })
}

pub(super) fn finish(printed: anyhow::Result<String>) -> ExitCode {
    match printed {
        Ok(text) => {
            print::block(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            print::problem(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// All pages of a list.
fn whole(service: &Service, path: &str, member: &str) -> anyhow::Result<Vec<Value>> {
    let mut items = Vec::new();
    let mut after = String::new();
    loop {
        let page = service.ask(Method::GET, &format!("{path}limit={PAGE}{after}"))?;
        items.extend(page[member].as_array().cloned().unwrap_or_default());
        match page["next"].as_u64() {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(items),
        }
    }
}

fn show_timeline(service: &Service, meeting: &str) -> anyhow::Result<String> {
    let path = format!("meetings/{}/timeline?", segment(meeting));
    let timeline = whole(service, &path, "timeline")?;
    let columns = [
        ("AT", "at"),
        ("ATTENDEE", "attendee_id"),
        ("EVENT", "event"),
        ("ATTRIBUTES", "attributes"),
        ("PLATFORM", "platform"),
    ];
    let table = || table(&columns, &timeline, "nothing was told\n");
    Ok(service.told(&serde_json::json!({ "timeline": timeline }), table))
}

fn list_meetings(service: &Service, ended: bool) -> anyhow::Result<String> {
    let meetings = whole(service, &format!("meetings?ended={ended}&"), "meetings")?;
    let columns = [
        ("MEETING", "meeting_id"),
        ("EXTERNAL ID", "external_meeting_id"),
        ("REGION", "media_region"),
        ("CREATED", "created_at"),
        ("ATTENDEES", "attendees"),
        ("CONNECTED", "connected"),
        ("ENDED", "end_reason"),
    ];
    let shown = if ended { &columns[..] } else { &columns[..columns.len() - 1] };
    let table = || table(shown, &meetings, "no meetings\n");
    Ok(service.told(&serde_json::json!({ "meetings": meetings }), table))
}

fn show_meeting(service: &Service, meeting: &str) -> anyhow::Result<String> {
    let shown = service.ask(Method::GET, &format!("meetings/{}", segment(meeting)))?;
    Ok(service.told(&shown, || {
        let members = shown.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        let lines = members.map(|(name, value)| format!("{:<22} {}\n", name.replace('_', " "), plain(value)));
        lines.collect()
    }))
}

fn list_attendees(service: &Service, meeting: &str) -> anyhow::Result<String> {
    let answer = service.ask(Method::GET, &format!("meetings/{}/attendees", segment(meeting)))?;
    let attendees = answer["attendees"].as_array().cloned().unwrap_or_default();
    let columns = [
        ("ATTENDEE", "attendee_id"),
        ("EXTERNAL ID", "external_user_id"),
        ("CREATED", "created_at"),
        ("CONNECTED", "connected"),
        ("MUTED", "muted"),
        ("WAITING", "waiting"),
    ];
    Ok(service.told(&answer, || table(&columns, &attendees, "no attendees\n")))
}

fn mix_rules(
    service: &Service,
    meeting: &str,
    hears: &[String],
    heard_by: &[String],
    clear: bool,
) -> anyhow::Result<String> {
    let path = format!("meetings/{}/mix-rules", segment(meeting));
    let listeners = hears.iter().map(|text| rule(text, "listener", "hears"));
    let speakers = heard_by.iter().map(|text| rule(text, "speaker", "heard_by"));
    let rules = listeners.chain(speakers).collect::<anyhow::Result<Vec<Value>>>()?;
    let answer = match (clear, rules.is_empty()) {
        (true, _) => service.ask(Method::DELETE, &path)?,
        (false, true) => service.ask(Method::GET, &path)?,
        (false, false) => service.ask_with(Method::PUT, &path, &serde_json::json!({ "rules": rules }))?,
    };
    Ok(service.told(&answer, || {
        let rules = answer["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
        let list = |set: &Value| -> String {
            let names: Vec<String> = set.as_array().into_iter().flatten().map(plain).collect();
            if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
        };
        let line = |rule: &Value| match rule.get("listener") {
            Some(listener) => format!("{} hears only {}\n", plain(listener), list(&rule["hears"])),
            None => format!("{} is heard only by {}\n", plain(&rule["speaker"]), list(&rule["heard_by"])),
        };
        if rules.is_empty() {
            "everybody hears everybody\n".to_owned()
        } else {
            rules.iter().map(line).collect()
        }
    }))
}

/// `WHO=A,B` as the API has it.
fn rule(text: &str, who: &str, others: &str) -> anyhow::Result<Value> {
    let Some((one, list)) = text.split_once('=') else {
        bail!("`{text}` is no rule: write ATTENDEE=ATTENDEE,ATTENDEE or ATTENDEE= for nobody")
    };
    let list: Vec<&str> = list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    Ok(serde_json::json!({ (who): one.trim(), (others): list }))
}

/// A value on one line; texts without quotes, and without what could move a terminal's cursor.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// Columns as wide as what stands in them.
pub(super) fn table(columns: &[(&str, &str)], rows: &[Value], none: &str) -> String {
    if rows.is_empty() {
        return none.to_owned();
    }
    let cells = rows.iter().map(|row| columns.iter().map(|(_, member)| plain(&row[*member])).collect());
    let heads = columns.iter().map(|(head, _)| (*head).to_owned()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(heads).chain(cells).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        })
        .collect();
    let line = |cells: &Vec<String>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| {
            let gap = width.saturating_sub(cell.chars().count());
            format!("{cell}{}", " ".repeat(gap))
        });
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    lines.iter().map(line).collect()
}

/// A segment of a path: an id as it is; anything else so that it stays one segment.
pub(super) fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

impl Service {
    pub(super) fn told(&self, answer: &Value, text: impl FnOnce() -> String) -> String {
        if self.json { format!("{answer:#}\n") } else { text() }
    }

    fn key(&self, endpoint: &Uri) -> anyhow::Result<String> {
        let read = |path: &PathBuf| {
            let text = std::fs::read_to_string(path);
            text.map(|key| key.trim().to_owned()).with_context(|| format!("cannot read {}", path.display()))
        };
        if let Some(key) = &self.key {
            return Ok(key.clone());
        }
        if let Some(path) = &self.key_file {
            return read(path);
        }
        // The key of the service on this machine is not shown to others.
        let default = PathBuf::from(DEFAULT_DATA_DIR).join(OPERATOR_KEY_FILE);
        if !is_loopback(endpoint.host().unwrap_or_default()) {
            bail!("give the operator's key of {endpoint} with --key or --key-file")
        }
        if default.exists() { read(&default) } else { Ok(DEV_OPERATOR_KEY.to_owned()) }
    }

    /// One request; its answer, or why there is none.
    pub(super) fn ask(&self, method: Method, path: &str) -> anyhow::Result<Value> {
        self.request(method, path, Bytes::new())
    }

    /// The same with something to say.
    fn ask_with(&self, method: Method, path: &str, said: &Value) -> anyhow::Result<Value> {
        self.request(method, path, said.to_string().into())
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Value> {
        let request = self.made(method, path)?.body(Full::new(body)).context(UNSENDABLE)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let answered = runtime.block_on(async { tokio::time::timeout(PATIENCE, exchange(request)).await });
        let (status, body) = self.reached(answered)?;
        self.read(status, &body)
    }

    fn made(&self, method: Method, path: &str) -> anyhow::Result<http::request::Builder> {
        let endpoint = self.name();
        let url: Uri = format!("{endpoint}/admin/v1/{path}")
            .parse()
            .map_err(|_| anyhow!("`{endpoint}` is no URL; write --endpoint http://HOST:PORT"))?;
        if !matches!(url.scheme_str(), Some("http" | "https")) {
            bail!("`{endpoint}` is no URL of the service; write --endpoint http://HOST:PORT");
        }
        let key = format!("Bearer {}", self.key(&url)?);
        Ok(Request::builder().method(method).header(header::AUTHORIZATION, key).uri(url))
    }

    /// An answer that goes on, piece by piece, until the service ends it; after the event with this id.
    pub(super) fn follow(
        &self,
        path: &str,
        after: Option<&str>,
        mut heard: impl FnMut(&str),
    ) -> anyhow::Result<()> {
        let mut request = self.made(Method::GET, path)?;
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        let request = request.body(Full::default()).context(UNSENDABLE)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let answer = self.reached(tokio::time::timeout(PATIENCE, begin(request)).await)?;
            let (status, mut body) = (answer.status(), answer.into_body());
            if !status.is_success() {
                return self.read(status, &whole_body(body).await?).map(drop);
            }
            while let Some(frame) = body.frame().await {
                if let Some(piece) = frame?.data_ref() {
                    heard(&String::from_utf8_lossy(piece));
                }
            }
            Ok(())
        })
    }

    fn name(&self) -> &str {
        self.endpoint.trim_end_matches('/')
    }

    /// What came of a request, or why nothing did.
    fn reached<T>(
        &self,
        answered: Result<anyhow::Result<T>, tokio::time::error::Elapsed>,
    ) -> anyhow::Result<T> {
        let endpoint = self.name();
        answered.map_err(|_| anyhow!("{endpoint} does not answer"))?.with_context(|| {
            format!("cannot reach {endpoint}; is the service running there? --endpoint URL names another")
        })
    }

    /// The answer as a value, or as the reason of a refusal.
    fn read(&self, status: StatusCode, body: &Bytes) -> anyhow::Result<Value> {
        let endpoint = self.name();
        let answer: Value = serde_json::from_slice(body)
            .map_err(|_| anyhow!("{endpoint} answered {status}, and not as Campanile does"))?;
        if status.is_success() {
            return Ok(answer);
        }
        let said = answer["error"].as_str().unwrap_or("no reason was given");
        match status {
            StatusCode::UNAUTHORIZED => {
                bail!("{endpoint} does not know this operator's key; give it with --key or --key-file")
            }
            _ => bail!("{said} ({endpoint} answered {status})"),
        }
    }
}

const UNSENDABLE: &str = "the operator's key cannot be sent: it has characters that no header can hold";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tables_are_as_wide_as_they_must_be() {
        let rows =
            [json!({"a": "x", "b": 1}), json!({"a": "é long one", "b": null}), json!({"a": "\u{1b}[2J"})];
        let shown = table(&[("NAME", "a"), ("COUNT", "b")], &rows, "nothing\n");
        insta::assert_snapshot!(shown, @"
        NAME        COUNT
        x           1
        é long one  -
        \u{fffd}[2J        -
        ");
        assert_eq!(table(&[("NAME", "a")], &[], "nothing\n"), "nothing\n");
    }

    #[test]
    fn what_is_no_id_stays_one_segment() {
        assert_eq!(segment("../keys?x=/"), "%2E%2E%2Fkeys%3Fx%3D%2F");
    }
}
