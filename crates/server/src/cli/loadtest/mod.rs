//! `campanile loadtest`: many Chime clients over real sockets, against any service, and what became of them.
//!
//! A thin shell around `campanile_client`: it makes meetings and attendees through the AWS API, gives each client a
//! WebSocket and a UDP socket, and counts. One task is one attendee.

mod api;
mod attendee;
mod report;
mod voice;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use campanile_aws::sigv4::{Secret, Signer};
use campanile_client::{Camera, Identity, Policy, Preference, Preferences, Target, VideoFile};
use clap::Args;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant as Timer;

use self::api::{Api, Member, Placed};
use self::attendee::{Counts, Outcome, Seat};
use self::report::Report;
use super::{USAGE, print, run};
use crate::config::{DEV_ACCESS_KEY_ID, DEV_SECRET_ACCESS_KEY};
use crate::shutdown::Signals;

pub(super) const NOTES: &str = "\
Each attendee is a Chime client with its own WebSocket and UDP socket. Of every meeting the first
--talkers attendees speak and the first --cameras attendees film. Without --video a picture has the
size and bits of one but shows nothing; with it browsers in the meeting see the file.

Progress goes to standard error, the table (or JSON) to standard output. Ctrl-C ends the test early:
all leave, and the table is printed. Exit status: 0, or 1 if somebody did not get in or did not stay.";

/// Most attendees of one run: each is a task, two sockets and up to a few hundred kilobytes. More is refused.
const MOST_ATTENDEES: usize = 20_000;

/// From then on those who are not gone are not waited for. LEAVE is answered at once where all is well.
const LEAVE_PATIENCE: Duration = Duration::from_secs(10);

const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// What one layer of a synthetic camera takes, kbit/s, unless told otherwise: 25 of them fit under the SDK's 15 Mbit/s.
const USUAL_KBPS: u32 = 600;

#[derive(Debug, Args)]
pub(super) struct Loadtest {
    /// The URL of the AWS API of the service
    #[arg(
        long,
        value_name = "URL",
        env = "CAMPANILE_ENDPOINT",
        hide_env_values = true,
        default_value = "http://127.0.0.1:8080"
    )]
    endpoint: String,
    /// The access key that signs [default: that of `campanile dev`]
    #[arg(
        long,
        value_name = "ID",
        env = "AWS_ACCESS_KEY_ID",
        hide_env_values = true,
        requires = "secret_access_key"
    )]
    access_key_id: Option<String>,
    /// Its secret
    #[arg(
        long,
        value_name = "SECRET",
        env = "AWS_SECRET_ACCESS_KEY",
        hide_env_values = true,
        requires = "access_key_id"
    )]
    secret_access_key: Option<String>,
    /// The session token of temporary credentials
    #[arg(long, value_name = "TOKEN", env = "AWS_SESSION_TOKEN", hide_env_values = true)]
    session_token: Option<String>,
    /// The region that requests are signed for, and that meetings are made in
    #[arg(
        long,
        value_name = "REGION",
        env = "AWS_REGION",
        hide_env_values = true,
        default_value = "us-east-1"
    )]
    region: String,
    /// How many meetings
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    meetings: u16,
    /// Attendees of each meeting
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    attendees: u16,
    /// How many of them speak; all others send silence
    #[arg(long, value_name = "N", default_value_t = 3)]
    talkers: u16,
    /// How many of them film
    #[arg(long, value_name = "N", default_value_t = 0)]
    cameras: u16,
    /// How many of those cameras each attendee watches
    #[arg(long, value_name = "N", default_value_t = 25)]
    subscriptions: u16,
    /// Cameras send three layers (simulcast) instead of one
    #[arg(long, conflicts_with = "videos")]
    simulcast: bool,
    /// What cameras send: VP8 in IVF. May be given again; cameras take the files in turn
    #[arg(long = "video", value_name = "FILE")]
    videos: Vec<PathBuf>,
    /// Frames a second of every camera
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=60))]
    framerate: u32,
    /// How long everybody stays once all have been started
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    duration: u32,
    /// Over how long their starts are spread
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    ramp: u32,
    /// Join this meeting, by its MeetingId, instead of making any
    #[arg(long, value_name = "MEETING", conflicts_with = "meetings")]
    meeting: Option<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Runs the test and prints what came of it.
pub(super) fn main(wanted: &Loadtest) -> ExitCode {
    let films = match wanted.check().and_then(|()| wanted.films()) {
        Ok(films) => films,
        Err(error) => {
            print::problem(&format!("{error:#}"));
            return ExitCode::from(USAGE);
        }
    };
    run::raise_file_limit();
    let run = || -> anyhow::Result<Report> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(wanted.run(&films))
    };
    match run() {
        Ok(report) => {
            print::block(&if wanted.json { report.json() } else { report.table() });
            match report.fault() {
                None => ExitCode::SUCCESS,
                Some(fault) => {
                    print::problem(&fault);
                    ExitCode::FAILURE
                }
            }
        }
        Err(error) => {
            print::problem(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

impl Loadtest {
    fn check(&self) -> anyhow::Result<()> {
        let count = usize::from(self.attendees);
        for (flag, part) in [("--talkers", self.talkers), ("--cameras", self.cameras)] {
            if usize::from(part) > count {
                bail!("{flag} {part} is more than --attendees {count}");
            }
        }
        let all = count * usize::from(self.meetings);
        if all > MOST_ATTENDEES {
            bail!("{all} attendees are more than the {MOST_ATTENDEES} that one run takes; start several");
        }
        Ok(())
    }

    /// The cameras, of which each takes one in turn.
    fn films(&self) -> anyhow::Result<Vec<Camera>> {
        if self.videos.is_empty() {
            let camera = if self.simulcast { Camera::simulcast() } else { Camera::single(USUAL_KBPS) };
            return Ok(vec![Camera { framerate: self.framerate, ..camera }]);
        }
        let film = |path: &PathBuf| {
            let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let file = VideoFile::ivf(&bytes)
                .map_err(|error| anyhow!("{}: {error}; VP8 in IVF is wanted", path.display()))?;
            let kbps = file.kbps(self.framerate);
            Ok(Camera::file(file, kbps, self.framerate))
        };
        self.videos.iter().map(film).collect()
    }

    fn api(&self) -> anyhow::Result<Api> {
        let (key, secret) = match (&self.access_key_id, &self.secret_access_key) {
            (Some(key), Some(secret)) => (key.as_str(), secret.as_str()),
            _ => (DEV_ACCESS_KEY_ID, DEV_SECRET_ACCESS_KEY),
        };
        let signer = Signer {
            access_key_id: key.to_owned(),
            secret: Secret::new(secret),
            session_token: self.session_token.clone(),
            region: self.region.clone(),
        };
        Api::new(&self.endpoint, signer)
    }

    async fn run(&self, films: &[Camera]) -> anyhow::Result<Report> {
        let mut signals = Signals::catch()?;
        let api = self.api()?;
        let mut scenes = Vec::new();
        let built = tokio::select! {
            built = self.build(&api, &mut scenes) => built,
            () = signals.requested() => Err(anyhow!("interrupted before anybody had joined")),
        };
        let outcomes = match built {
            Ok(()) => self.play(&scenes, films, &mut signals).await,
            Err(error) => Err(error),
        };
        self.tidy(&api, &scenes).await;
        Ok(Report::of(&outcomes?))
    }

    /// Makes meetings and attendees. What was made before something went wrong stands in `scenes` too.
    async fn build(&self, api: &Api, scenes: &mut Vec<Scene>) -> anyhow::Result<()> {
        let run = uuid::Uuid::new_v4().simple().to_string();
        for number in 0..self.meetings {
            let placed = match &self.meeting {
                Some(meeting) => api.meeting(meeting).await?,
                None => api.create_meeting(&format!("loadtest-{run}-{number}"), &self.region).await?,
            };
            scenes.push(Scene { placed, members: Vec::new() });
            let Some(scene) = scenes.last_mut() else { continue };
            // Whoever has the same name in a meeting is the same attendee.
            let names: Vec<String> =
                (0..self.attendees).map(|seat| format!("loadtest-{run}-{seat}")).collect();
            api.create_attendees(&scene.placed.meeting_id, &names, &mut scene.members).await?;
        }
        Ok(())
    }

    /// Everybody joins, stays, and leaves.
    async fn play(
        &self,
        scenes: &[Scene],
        films: &[Camera],
        signals: &mut Signals,
    ) -> anyhow::Result<Vec<Outcome>> {
        let identity = Identity::generate(campanile_media::crypto())?;
        let voices = voice::several(self.talkers.into())?;
        let counts = Arc::new(Counts::default());
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let begin = Instant::now();
        let all = scenes.iter().map(|scene| scene.members.len()).sum::<usize>().max(1);
        let (ramp, stay) = (Duration::from_secs(self.ramp.into()), Duration::from_secs(self.duration.into()));
        for scene in scenes {
            let local = local_address(&scene.placed.audio_host).await?;
            for (seat, member) in scene.members.iter().enumerate() {
                let film = (seat < usize::from(self.cameras)).then(|| films.get(seat % films.len()));
                let seat = Seat {
                    number: u32::try_from(tasks.len()).unwrap_or(u32::MAX),
                    attendee_id: member.attendee_id.clone(),
                    join_token: member.join_token.clone(),
                    signaling_url: scene.placed.signaling_url.clone(),
                    audio_host: scene.placed.audio_host.clone(),
                    local,
                    policy: self.policy(scene, seat),
                    track: voices.get(seat).cloned(),
                    camera: film.flatten().cloned(),
                    start: begin + ramp.mul_f64(tasks.len() as f64 / all as f64),
                };
                let (identity, counts, stopped) = (identity.clone(), Arc::clone(&counts), stopped.clone());
                tasks.spawn(attendee::attend(seat, identity, counts, stopped));
            }
        }
        drop(stopped);
        wait(begin, ramp + stay, &counts, all, signals).await;
        // Nobody may be left to hear it.
        let _ = stop.send(true);
        let collect = async {
            let mut outcomes = Vec::with_capacity(all);
            while let Some(outcome) = tasks.join_next().await {
                outcomes.push(outcome.map_err(|error| anyhow!("an attendee's task failed: {error}"))?);
            }
            Ok(outcomes)
        };
        tokio::time::timeout(LEAVE_PATIENCE * 2, collect).await.context("some do not come to an end")?
    }

    /// The cameras that follow one's own: no camera is watched by more than any other.
    fn policy(&self, scene: &Scene, seat: usize) -> Policy {
        let cameras = scene.members.get(..self.cameras.into()).unwrap_or(&scene.members);
        let others = (1..=cameras.len()).filter_map(|step| cameras.get((seat + step) % cameras.len()));
        let others = others
            .filter(|camera| Some(&camera.attendee_id) != scene.members.get(seat).map(|m| &m.attendee_id));
        let preference = Preference { priority: 1, target: Target::Maximum };
        let watched = others.take(self.subscriptions.into());
        let chosen: BTreeMap<_, _> = watched.map(|camera| (camera.attendee_id.clone(), preference)).collect();
        // Nobody chosen would mean everybody.
        if chosen.is_empty() { Policy::Nothing } else { Policy::Priority(Preferences { chosen }) }
    }

    /// Leaves nothing behind: our meetings, or our attendees in one that is not ours.
    async fn tidy(&self, api: &Api, scenes: &[Scene]) {
        for scene in scenes {
            let meeting = &scene.placed.meeting_id;
            let gone = match &self.meeting {
                None => api.delete_meeting(meeting).await,
                Some(_) => api.delete_attendees(meeting, &scene.members).await,
            };
            if let Err(error) = gone {
                print::problem(&format!("meeting {meeting} was not tidied up: {error:#}"));
            }
        }
    }
}

/// One meeting and who is in it.
#[derive(Debug)]
struct Scene {
    placed: Placed,
    members: Vec<Member>,
}

/// Tells how it goes until it is over, or somebody wants it to be.
async fn wait(begin: Instant, whole: Duration, counts: &Counts, all: usize, signals: &mut Signals) {
    let end = Timer::from_std(begin + whole);
    let mut every = tokio::time::interval(PROGRESS_EVERY);
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(end) => break,
            () = signals.requested() => break,
            _ = every.tick() => print::progress(&format!(
                "{:>4} s  {} of {all} joined, {} datagrams sent, {} received",
                begin.elapsed().as_secs(),
                counts.joined.load(Ordering::Relaxed),
                counts.sent.load(Ordering::Relaxed),
                counts.received.load(Ordering::Relaxed),
            )),
        }
    }
    print::progress_ends();
}

/// The address of this machine from which media reaches the service.
async fn local_address(audio_host: &str) -> anyhow::Result<IpAddr> {
    let remote = tokio::net::lookup_host(audio_host)
        .await
        .with_context(|| format!("cannot find the media host `{audio_host}`"))?
        .next()
        .with_context(|| format!("the media host `{audio_host}` has no address"))?;
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Nothing is sent: the system only picks the address it would send from.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(remote).await.with_context(|| format!("no way to the media host {remote}"))?;
    Ok(socket.local_addr()?.ip())
}
