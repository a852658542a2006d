//! `campanile events`: what was recorded, as it is recorded, and what was not delivered.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::Value;

use super::operator::{Service, finish, segment, table};
use super::print;

#[derive(Debug, Subcommand)]
pub(super) enum Events {
    /// List the events that are kept: of the last hour, and those not delivered everywhere
    List {
        /// Of this meeting only
        #[arg(long, value_name = "MEETING")]
        meeting: Option<String>,
        #[command(flatten)]
        service: Service,
    },
    /// Print events as they are recorded, one JSON object a line, until Ctrl-C
    Tail {
        /// Of this meeting only
        #[arg(long, value_name = "MEETING")]
        meeting: Option<String>,
        /// Begin after the event with this id
        #[arg(long, value_name = "EVENT")]
        after: Option<String>,
        #[command(flatten)]
        service: Service,
    },
    /// List deliveries that were given up
    Dead {
        /// Of this meeting only
        #[arg(long, value_name = "MEETING")]
        meeting: Option<String>,
        #[command(flatten)]
        service: Service,
    },
    /// Try again what was given up
    Replay {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        service: Service,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Which {
    /// All of it
    #[arg(long)]
    all: bool,
    /// Of one event, by its id
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// Of one meeting
    #[arg(long, value_name = "MEETING")]
    meeting: Option<String>,
}

pub(super) fn events(verb: &Events) -> ExitCode {
    finish(match verb {
        Events::List { meeting, service } => list(service, meeting.as_deref()),
        Events::Dead { meeting, service } => dead(service, meeting.as_deref()),
        Events::Replay { which, service } => replay(service, which),
        Events::Tail { meeting, after, service } => tail(service, meeting.as_deref(), after.as_deref()),
    })
}

/// All pages of a list.
fn pages(service: &Service, path: &str, member: &str, meeting: Option<&str>) -> anyhow::Result<Vec<Value>> {
    let of = meeting.map(|meeting| format!("&meeting={}", segment(meeting))).unwrap_or_default();
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let page = service.ask(Method::GET, &format!("{path}limit=1000&after={after}{of}"))?;
        all.extend(page[member].as_array().cloned().unwrap_or_default());
        match page["next"].as_i64() {
            Some(next) => after = next,
            None => return Ok(all),
        }
    }
}

fn list(service: &Service, meeting: Option<&str>) -> anyhow::Result<String> {
    let events = pages(service, "events/list?", "events", meeting)?;
    let rows: Vec<Value> = events
        .iter()
        .map(|event| {
            let detail = &event["detail"];
            serde_json::json!({
                "id": event["id"], "time": event["time"], "type": detail["eventType"],
                "meeting": detail["meetingId"], "attendee": detail["attendeeId"],
            })
        })
        .collect();
    let columns = [
        ("EVENT", "id"),
        ("TIME", "time"),
        ("TYPE", "type"),
        ("MEETING", "meeting"),
        ("ATTENDEE", "attendee"),
    ];
    Ok(service.told(&serde_json::json!({ "events": events }), || table(&columns, &rows, "no events\n")))
}

fn dead(service: &Service, meeting: Option<&str>) -> anyhow::Result<String> {
    let rows = pages(service, "deliveries?dead=true&", "deliveries", meeting)?;
    let columns = [
        ("EVENT", "event_id"),
        ("TYPE", "event_type"),
        ("MEETING", "meeting_id"),
        ("SINK", "sink"),
        ("ATTEMPTS", "attempts"),
        ("LAST ERROR", "last_error"),
    ];
    let text = || table(&columns, &rows, "nothing was given up\n");
    Ok(service.told(&serde_json::json!({ "deliveries": rows }), text))
}

fn replay(service: &Service, which: &Which) -> anyhow::Result<String> {
    let query = match which {
        Which { event: Some(event), .. } => format!("event={}", segment(event)),
        Which { meeting: Some(meeting), .. } => format!("meeting={}", segment(meeting)),
        Which { all: true, .. } => "all=true".to_owned(),
        Which { .. } => bail!("say which: --all, --event EVENT or --meeting MEETING"),
    };
    let answer = service.ask(Method::POST, &format!("deliveries/replay?{query}"))?;
    Ok(service.told(&answer, || format!("{} deliveries are tried again\n", answer["replayed"])))
}

/// Ends when the service does.
fn tail(service: &Service, meeting: Option<&str>, after: Option<&str>) -> anyhow::Result<String> {
    let of = meeting.map(|meeting| format!("?meeting={}", segment(meeting))).unwrap_or_default();
    let mut line = String::new();
    service.follow(&format!("events{of}"), after, |text| {
        line.push_str(text);
        while let Some(end) = line.find('\n') {
            let whole: String = line.drain(..=end).collect();
            if let Some(event) = whole.strip_prefix("data:") {
                print::block(&format!("{}\n", event.trim()));
            }
        }
    })?;
    Ok(String::new())
}
