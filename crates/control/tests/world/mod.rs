//! A world in memory: the smallest store that the law can live in.
#![allow(dead_code, unreachable_pub, reason = "shared by test crates, each of which uses its part")]

use campanile_control::*;
use jiff::Timestamp;
use uuid::Uuid;

pub const NEW: Namespace = Namespace::ChimeSdkMeetings;
pub const OLD: Namespace = Namespace::Chime;

/// Rows as a store would have them. Ids count upwards instead of being random.
pub struct World {
    pub meetings: Vec<Meeting>,
    pub ended: Vec<MeetingId>,
    pub attendees: Vec<Attendee>,
    pub events: Vec<Event>,
    pub effects: Vec<Effect>,
    pub rules: Rules,
    drawn: u128,
}

impl Default for World {
    /// The rules of an operator who has set nothing but one region more.
    fn default() -> World {
        let regions = ["us-east-1", "eu-central-1"].map(|name| MediaRegion::parse(name).unwrap()).to_vec();
        World {
            meetings: Vec::new(),
            ended: Vec::new(),
            attendees: Vec::new(),
            events: Vec::new(),
            effects: Vec::new(),
            rules: Rules { regions, ..Rules::default() },
            drawn: 0,
        }
    }
}

impl World {
    pub fn with_limits(meetings: u32, attendees: u32) -> World {
        let mut world = World::default();
        world.rules.limits = Limits { meetings, attendees, ..Limits::default() };
        world
    }

    fn draw(&mut self) -> Uuid {
        self.drawn += 1;
        Uuid::from_u128(self.drawn)
    }

    fn snapshot(&self, account: &AccountId, needs: &Needs<'_>) -> Snapshot {
        let own = || self.meetings.iter().filter(|meeting| meeting.account == *account);
        let state = |id: Option<MeetingId>| match own().find(|meeting| Some(meeting.id) == id) {
            Some(meeting) => MeetingState::Live(Box::new(meeting.clone())),
            None if id.is_some_and(|id| self.ended.contains(&id)) => MeetingState::Ended,
            None => MeetingState::Unknown,
        };
        let same_token = own().find(|meeting| Some(&meeting.token) == needs.token).cloned();
        let place = needs.meeting.or(same_token.as_ref().map(|meeting| meeting.id));
        let inside = || self.attendees.iter().filter(move |attendee| Some(attendee.meeting) == place);
        let wanted = |attendee: &&Attendee| match &needs.attendees {
            Who::Nobody => false,
            Who::Id(id) => attendee.id == *id,
            Who::Named(names) => names.contains(&&attendee.external_user_id),
            Who::Everybody => true,
        };
        Snapshot {
            same_token,
            live_meetings: own().count() as u32,
            meeting: state(needs.meeting),
            primary: state(needs.primary),
            replicas: own()
                .filter(|meeting| needs.replicas_of.is_some() && meeting.primary == needs.replicas_of)
                .cloned()
                .collect(),
            attendee_count: inside().count() as u32,
            attendees: inside().filter(wanted).cloned().collect(),
        }
    }

    pub fn run(&mut self, account: &str, namespace: Namespace, write: &Write) -> Result<Outcome, Refusal> {
        let account = AccountId(account.to_owned());
        let needs = needs(write);
        let snapshot = self.snapshot(&account, &needs);
        let fresh = Fresh {
            meeting: MeetingId(self.draw()),
            attendees: (0..needs.attendee_ids).map(|_| AttendeeId(self.draw())).collect(),
        };
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let circumstances = Circumstances { account: &account, namespace, now, rules: &self.rules };
        let decision = decide(&snapshot, write, &fresh, circumstances)?;
        decision.changes.into_iter().for_each(|change| self.apply(change));
        self.events.extend(decision.events);
        self.effects.extend(decision.effects);
        Ok(decision.outcome)
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::InsertMeeting(meeting) => self.meetings.push(*meeting),
            Change::EndMeeting { meeting, .. } => {
                self.meetings.retain(|live| live.id != meeting);
                self.attendees.retain(|attendee| attendee.meeting != meeting);
                self.ended.push(meeting);
            }
            Change::InsertAttendee(attendee) => self.attendees.push(*attendee),
            Change::DeleteAttendee { meeting, attendee } => {
                self.attendees.retain(|row| (row.meeting, row.id) != (meeting, attendee));
            }
            Change::SetCapabilities { meeting, attendee, capabilities } => {
                self.attendee_mut(meeting, attendee).capabilities = capabilities;
            }
            Change::SetTags { resource: Tagged::Meeting(meeting), tags } => {
                self.meeting_mut(meeting).tags = tags;
            }
            Change::SetTags { resource: Tagged::Attendee(meeting, attendee), tags } => {
                self.attendee_mut(meeting, attendee).tags = tags;
            }
            Change::SetTranscription { meeting, configuration } => {
                self.meeting_mut(meeting).transcription = configuration;
            }
        }
    }

    fn meeting_mut(&mut self, id: MeetingId) -> &mut Meeting {
        self.meetings.iter_mut().find(|meeting| meeting.id == id).expect("a change of a live meeting")
    }

    fn attendee_mut(&mut self, meeting: MeetingId, id: AttendeeId) -> &mut Attendee {
        let mut all = self.attendees.iter_mut();
        all.find(|row| (row.meeting, row.id) == (meeting, id)).expect("a change of an attendee")
    }

    /// Makes a meeting in the default account and gives its id.
    pub fn meeting(&mut self, create: CreateMeeting) -> MeetingId {
        match self.run(ACCOUNT, NEW, &Write::CreateMeeting(Box::new(create))).unwrap() {
            Outcome::MeetingCreated(meeting) => meeting.id,
            other => panic!("{other:?}"),
        }
    }

    /// Makes a replica in the default account.
    pub fn replica(&mut self, token: &str, primary: MeetingId) -> Result<MeetingId, Refusal> {
        let mut create = request(token);
        create.primary_meeting_id = Some(PrimaryMeetingId::parse(&primary.to_string()).unwrap());
        match self.run(ACCOUNT, NEW, &Write::CreateMeeting(Box::new(create)))? {
            Outcome::MeetingCreated(meeting) => Ok(meeting.id),
            other => panic!("{other:?}"),
        }
    }

    pub fn add(&mut self, meeting: MeetingId, attendee: NewAttendee) -> Result<Attendee, Refusal> {
        match self.run(ACCOUNT, NEW, &Write::CreateAttendee { meeting, attendee })? {
            Outcome::AttendeeCreated(attendee) => Ok(*attendee),
            other => panic!("{other:?}"),
        }
    }

    pub fn batch(
        &mut self,
        meeting: MeetingId,
        attendees: Vec<Result<NewAttendee, BadItem>>,
    ) -> Result<(Vec<Attendee>, Vec<ItemError>), Refusal> {
        match self.run(ACCOUNT, NEW, &Write::BatchCreateAttendee { meeting, attendees })? {
            Outcome::AttendeesCreated { attendees, errors } => Ok((attendees, errors)),
            other => panic!("{other:?}"),
        }
    }
}

pub const ACCOUNT: &str = "000000000000";

pub fn token(text: &str) -> ClientRequestToken {
    ClientRequestToken::parse(text).unwrap()
}

/// A request that both namespaces take.
pub fn request(text: &str) -> CreateMeeting {
    let mut create = CreateMeeting::new(token(text));
    create.media_region = Some(MediaRegion::parse("eu-central-1").unwrap());
    create.external_meeting_id = Some(ExternalMeetingId::parse("standup", NEW).unwrap());
    create
}

pub fn someone(name: &str) -> NewAttendee {
    let external_user_id = ExternalUserId::parse(name, NEW).unwrap();
    NewAttendee { external_user_id, capabilities: None, tags: Tags::default() }
}

pub fn capable(name: &str, [audio, video, content]: [MediaCapability; 3]) -> NewAttendee {
    NewAttendee { capabilities: Some(Capabilities { audio, video, content }), ..someone(name) }
}
