//! The API changes what attendees may, and operators decide, at random: nobody hears or sees what they may not.

use std::collections::BTreeSet;
use std::time::Duration;

use campanile_client::{Camera, Phase};
use campanile_control::{AttendeeId, Capabilities, MediaCapability};
use campanile_sim::{HostSettings, World, sound};

use crate::{SECOND, disperse, gather, run_seeds, seeds, world};

const ATTENDEES: usize = 4;

/// The tones of all attendees and of the two shares, in hertz, none of them a multiple of another.
const TONES: [u32; ATTENDEES + 2] = [310, 440, 570, 730, 1_010, 1_390];

/// A decision holds for everybody within this.
const SETTLED: Duration = Duration::from_millis(200);

/// How long is listened and watched then.
const LISTENED: Duration = Duration::from_millis(500);

/// Louder than this in what is listened to is heard; a voice is at 0.1 to 0.2, and what a decoder that begins in the
/// middle makes of other voices is below.
const AUDIBLE: f64 = 0.02;

const ALL: [MediaCapability; 4] =
    [MediaCapability::SendReceive, MediaCapability::Send, MediaCapability::Receive, MediaCapability::None];

/// What holds, in the plainest form.
#[derive(Debug, Clone)]
struct Held {
    may: [Capabilities; ATTENDEES],
    muted: BTreeSet<usize>,
    waiting: BTreeSet<usize>,
}

/// A voice or a picture: of whom, and whether of the share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Source {
    of: usize,
    content: bool,
}

impl Held {
    fn together(&self, one: usize, other: usize) -> bool {
        one != other && !self.waiting.contains(&one) && !self.waiting.contains(&other)
    }

    fn hears(&self, listener: usize, source: Source) -> bool {
        let may = self.may[source.of];
        let speaks = if source.content { may.content.sends() } else { may.audio.sends() };
        self.together(listener, source.of)
            && !self.muted.contains(&source.of)
            && speaks
            && self.may[listener].audio.receives()
    }

    fn sees(&self, viewer: usize, source: Source) -> bool {
        let (may, his) = (self.may[source.of], self.may[viewer]);
        let allowed = match source.content {
            true => may.content.sends() && his.content.receives(),
            false => may.video.sends() && his.video.receives(),
        };
        self.together(viewer, source.of) && allowed
    }
}

struct Meeting {
    world: World,
    /// Attendees first, then the shares of the first two, at their places in the world.
    hosts: Vec<usize>,
    attendees: Vec<AttendeeId>,
    held: Held,
}

/// What each place sends.
fn source(place: usize) -> Source {
    Source { of: place % ATTENDEES, content: place >= ATTENDEES }
}

impl Meeting {
    fn begin(seed: u64) -> Self {
        let mut world = world(seed);
        let settings = HostSettings { recorded: true, ..HostSettings::default() };
        let mut hosts = gather(&mut world, ATTENDEES, |_| settings.clone());
        for sharer in 0..TONES.len() - ATTENDEES {
            let share = world.add(HostSettings { share_of: Some(hosts[sharer]), ..settings.clone() });
            world.start(share);
            hosts.push(share);
        }
        for (host, hertz) in hosts.iter().zip(TONES) {
            world.act(*host, |client, _| client.set_track(sound::voice(hertz)));
        }
        let attendees = hosts[..ATTENDEES].iter().map(|host| world.host(*host).attendee().parse().unwrap());
        let attendees = attendees.collect();
        let may = [Capabilities::default(); ATTENDEES];
        let held = Held { may, muted: BTreeSet::new(), waiting: BTreeSet::new() };
        let mut meeting = Self { world, hosts, attendees, held };
        meeting.world.run(SECOND * 2);
        meeting.try_again();
        meeting.world.run(SECOND * 2);
        meeting
    }

    /// Whoever has lost its share or its camera tries to have it again, whether it may or not.
    fn try_again(&mut self) {
        for host in self.hosts.clone() {
            if matches!(self.world.host(host).client().phase(), Phase::Stopped(_)) {
                self.world.start(host);
            } else if !self.world.host(host).client().is_filming() {
                self.world.act(host, |client, now| client.start_video(Camera::single(200), now));
            }
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.world.random().below(bound as u64)).unwrap()
    }

    /// One decision of the API or of an operator.
    fn decide(&mut self) {
        let who = self.below(ATTENDEES);
        let attendee = self.attendees[who];
        match self.below(6) {
            0 => {
                let muted = !self.held.muted.remove(&who);
                if muted {
                    self.held.muted.insert(who);
                }
                self.world.moderate(|meeting, now| meeting.handle_muted(attendee, muted, now));
            }
            1 => {
                let waiting = !self.held.waiting.remove(&who);
                if waiting {
                    self.held.waiting.insert(who);
                }
                self.world.moderate(|meeting, now| meeting.handle_waiting(attendee, waiting, now));
            }
            _ => {
                let [audio, video, content] = [(); 3].map(|()| ALL[self.below(ALL.len())]);
                let may = Capabilities { audio, video, content };
                self.held.may[who] = may;
                self.world.moderate(|meeting, now| meeting.handle_capabilities(attendee, may, now));
            }
        }
    }

    /// Looks for what is heard and seen and must not be, for a while. With `all` also for what is not and ought to be.
    fn observe(&mut self, round: usize, all: bool) {
        for host in &self.hosts {
            drop(self.world.host_mut(*host).take_recorded());
            self.world.host_mut(*host).take_pictures();
        }
        self.world.run(LISTENED);
        for (at, host) in self.hosts.iter().enumerate() {
            let Source { of: viewer, content } = source(at);
            let heard = sound::heard(&self.world.host_mut(*host).take_recorded(), &TONES);
            let pictures = self.world.host_mut(*host).take_pictures();
            for (place, level) in heard.iter().enumerate() {
                let source = source(place);
                let packets = pictures.get(&u32::try_from(self.hosts[place]).unwrap()).copied().unwrap_or(0);
                let (hears, sees) = (self.held.hears(viewer, source), self.held.sees(viewer, source));
                let told =
                    format!("round {round}, {viewer} (share: {content}) of {source:?}, {:?}", self.held);
                // Nobody listens to what the session of a share hears, but it must not be more than its attendee may.
                let is_own = content && viewer == source.of;
                assert!(hears || is_own || *level < AUDIBLE, "heard at {level:.3} and may not be: {told}");
                assert!(sees && !content || packets == 0, "{packets} packets seen that may not be: {told}");
                if all && !content && viewer != source.of {
                    assert!(*level > AUDIBLE, "not heard ({level:.3}): {told}");
                    assert!(
                        packets > 0,
                        "not seen: {told}: {:?}",
                        self.world.host(self.hosts[place]).events()
                    );
                }
            }
        }
    }
}

fn change(seed: u64, rounds: usize) {
    let mut meeting = Meeting::begin(seed);
    meeting.observe(0, true);
    for round in 1..=rounds {
        // Some clients do not listen: what is forbidden is so without their help.
        for host in meeting.hosts.clone() {
            let withhold = meeting.below(2) == 0;
            meeting.world.withhold(host, withhold);
        }
        // Several at once, or shortly one after another, now and then, and somebody tries to get round them.
        meeting.decide();
        while meeting.world.random().below(2) == 0 {
            let pause = meeting.world.random().up_to(Duration::from_millis(100));
            meeting.world.run(pause);
            meeting.decide();
            if meeting.world.random().below(2) == 0 {
                meeting.try_again();
            }
        }
        let broken = meeting.below(3 * ATTENDEES);
        if broken < ATTENDEES {
            // What was decided holds for who comes back.
            meeting.world.break_socket(meeting.hosts[broken]);
        }
        meeting.world.run(SETTLED);
        meeting.observe(round, false);
        meeting.try_again();
        let pause = meeting.world.random().up_to(SECOND * 2);
        meeting.world.run(pause);
        meeting.observe(round, false);
    }
    for host in meeting.hosts.clone() {
        meeting.world.withhold(host, false);
    }
    // Everything is allowed again, and nothing of what was forbidden has stuck.
    for (who, attendee) in meeting.attendees.clone().into_iter().enumerate() {
        meeting.held.may[who] = Capabilities::default();
        meeting.world.moderate(|meeting, now| {
            meeting.handle_capabilities(attendee, Capabilities::default(), now);
            meeting.handle_muted(attendee, false, now);
            meeting.handle_waiting(attendee, false, now);
        });
    }
    (meeting.held.muted, meeting.held.waiting) = Default::default();
    for _ in 0..4 {
        meeting.world.run(SECOND * 2);
        meeting.try_again();
    }
    meeting.world.run(SECOND * 6);
    meeting.observe(rounds + 1, true);
    assert_eq!(meeting.world.node().worker_counters().map(|counters| counters.panics).sum::<u64>(), 0);
    disperse(&mut meeting.world);
}

#[test]
fn nobody_hears_or_sees_what_it_may_not_while_capabilities_change_at_random() {
    let test = "nobody_hears_or_sees_what_it_may_not_while_capabilities_change_at_random";
    run_seeds(test, seeds(1..41), |seed| change(seed, 20));
}
