//! The command line.

mod events;
mod exchange;
mod loadtest;
mod operator;
mod print;
mod ready;
mod run;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Mode, Overrides};

/// A self-hosted meeting service that speaks Amazon Chime SDK.
#[derive(Debug, Parser)]
#[command(name = "campanile", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run on this machine for development: known keys, loopback, no configuration
    #[command(after_help = DEV_NOTES, next_line_help = true, args_override_self = true)]
    Dev(Dev),
    /// Run with your own settings: a TOML file, the environment, flags
    #[command(after_help = SERVE_NOTES, next_line_help = true, args_override_self = true)]
    Serve(Serve),
    /// List, show, moderate and end the meetings of a running service
    #[command(subcommand, after_help = operator::NOTES)]
    Meetings(operator::Meetings),
    /// List, moderate and remove the attendees of a meeting of a running service
    #[command(subcommand, after_help = operator::NOTES)]
    Attendees(operator::Attendees),
    /// Show the events of a running service, and what could not be delivered
    #[command(subcommand, after_help = operator::NOTES)]
    Events(events::Events),
    /// Record the meetings of a running service
    #[command(subcommand, after_help = operator::NOTES)]
    Recordings(operator::Recordings),
    /// Drive a service with many clients and say how it fared
    #[command(after_help = loadtest::NOTES, next_line_help = true, args_override_self = true)]
    Loadtest(loadtest::Loadtest),
}

// clap does not wrap lines without another dependency, so the lines are broken here.
const DEV_NOTES: &str = "\
The keys of `campanile dev` are public, which is why it listens on loopback only. To let phones or
containers in, give --bind and --advertise; random keys are then made and printed.

Settings of `campanile serve` work here too, as environment variables: CAMPANILE_LOG__LEVEL=debug.";

const SERVE_NOTES: &str = "\
Every key of the file can also be given as an environment variable, CAMPANILE_<TABLE>__<KEY>, for
example CAMPANILE_HTTP__LISTEN. Flags win over the environment, the environment over the file, the
file over the defaults. An unknown key is an error. config/example.toml shows them all.

The API needs an access key: auth.access_key_id and auth.secret_access_key (or .._file).";

#[derive(Debug, Args)]
struct Dev {
    /// Where API, signaling and console listen (TCP); port 0 picks one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    http: Option<String>,
    /// Where media listens (UDP); port 0 picks one [default: 127.0.0.1:3478]
    #[arg(long, value_name = "ADDRESS:PORT")]
    media: Option<String>,
    /// Where meetings are kept [default: a temporary directory, removed at the end]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Write the addresses and keys to this file, as JSON, once everything accepts
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// The access key that the API accepts [default: campanile-dev]
    #[arg(long, value_name = "ID")]
    access_key_id: Option<String>,
    /// Its secret [default: campanile-dev-secret]
    #[arg(long, value_name = "SECRET")]
    secret_access_key: Option<String>,
    /// The Region in ARNs and in what is printed [default: us-east-1]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Listen beyond loopback, on this address; 0.0.0.0 is every one. Makes random keys
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<IpAddr>,
    /// The host name or address that others reach this machine by [default: that of --bind]
    #[arg(long, value_name = "HOST", requires = "bind")]
    advertise: Option<String>,
    /// Let calls of the API go wrong, for the tests of applications: CreateMeeting:1:ThrottlingException,
    /// *:2-3:delay=1500ms, CreateAttendee:1:lost. May be given again; see docs/reference/faults.md
    #[arg(long = "fault", value_name = "OPERATION:CALLS:EFFECT")]
    faults: Vec<String>,
}

#[derive(Debug, Args)]
struct Serve {
    /// The settings, as TOML
    #[arg(long, value_name = "FILE", env = "CAMPANILE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// http.listen: where API, signaling and console listen (TCP) [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    http: Option<String>,
    /// http.public_url: the URL that clients reach it by
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// media.listen: where media listens (UDP) [default: 127.0.0.1:3478]
    #[arg(long, value_name = "ADDRESS:PORT")]
    media: Option<String>,
    /// media.public_address: the host, and port if it differs, that clients reach media by
    #[arg(long, value_name = "HOST[:PORT]")]
    public_address: Option<String>,
    /// store.url: where meetings and the master key are kept [default: /var/lib/campanile]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// log.level: error, warn, info, debug, or a filter like campanile=debug,info
    #[arg(long, value_name = "FILTER")]
    log_level: Option<String>,
    /// Write the addresses to this file, as JSON, once everything accepts
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

impl Dev {
    fn settle(self) -> Settled {
        let overrides = Overrides {
            http: self.http,
            media: self.media,
            data_dir: self.data_dir,
            access_key_id: self.access_key_id,
            secret_access_key: self.secret_access_key,
            region: self.region,
            bind: self.bind,
            advertise: self.advertise,
            faults: self.faults,
            ..Overrides::default()
        };
        Settled { mode: Mode::Dev, file: None, overrides, ready_file: self.ready_file }
    }
}

impl Serve {
    fn settle(self) -> Settled {
        let overrides = Overrides {
            http: self.http,
            media: self.media,
            public_url: self.public_url,
            public_address: self.public_address,
            data_dir: self.data_dir,
            log_level: self.log_level,
            ..Overrides::default()
        };
        Settled { mode: Mode::Serve, file: self.config, overrides, ready_file: self.ready_file }
    }
}

/// What both ways to run come down to.
struct Settled {
    mode: Mode,
    file: Option<PathBuf>,
    overrides: Overrides,
    ready_file: Option<PathBuf>,
}

/// The exit status for flags and settings that cannot be used; what fails later is 1.
const USAGE: u8 = 2;

/// Does what the command line says. clap itself ends the process on `--help` and on flags it does not know.
pub fn main() -> ExitCode {
    let settled = match Cli::parse().command {
        Command::Dev(dev) => dev.settle(),
        Command::Serve(serve) => serve.settle(),
        Command::Meetings(verb) => return operator::meetings(&verb),
        Command::Attendees(verb) => return operator::attendees(&verb),
        Command::Events(verb) => return events::events(&verb),
        Command::Recordings(verb) => return operator::recordings(&verb),
        Command::Loadtest(wanted) => return loadtest::main(&wanted),
    };
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let config = match config::load(settled.mode, settled.file.as_deref(), environment, settled.overrides) {
        Ok(config) => config,
        Err(error) => {
            print::problem(&error.to_string());
            return ExitCode::from(USAGE);
        }
    };
    match run::run(config, settled.ready_file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print::problem(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    fn help(of: Option<&str>) -> String {
        // As wide as a terminal of which nothing is known.
        let mut command = Cli::command().term_width(100);
        command.build();
        match of {
            None => command.render_long_help().to_string(),
            Some(name) => command.find_subcommand_mut(name).unwrap().render_help().to_string(),
        }
    }

    #[test]
    fn help_reads_well() {
        insta::assert_snapshot!("help", help(None));
        insta::assert_snapshot!("help_dev", help(Some("dev")));
        insta::assert_snapshot!("help_serve", help(Some("serve")));
        insta::assert_snapshot!("help_meetings", help(Some("meetings")));
        insta::assert_snapshot!("help_attendees", help(Some("attendees")));
        insta::assert_snapshot!("help_events", help(Some("events")));
        insta::assert_snapshot!("help_recordings", help(Some("recordings")));
        insta::assert_snapshot!("help_loadtest", help(Some("loadtest")));
    }
}
