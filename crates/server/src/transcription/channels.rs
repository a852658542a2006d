//! The sound of two talkers as one stream of two channels, and who was on which of them when.
//!
//! Amazon Transcribe is sent the channels in one stream and names in each result the one that it heard. Times are
//! positions in that stream.

use std::collections::VecDeque;
use std::sync::Arc;

use campanile_mixer::{SAMPLE_RATE, Said, TICK_SAMPLES};
use campanile_signaling::transcript;

use crate::mixing::OVERHEARD;

/// Samples of each channel that are sent at once: AWS advises 50 to 200 ms.
pub(super) const CHUNK_SAMPLES: usize = 5 * TICK_SAMPLES;

/// Turns of speakers that are remembered for each channel: an hour of lively talk. The oldest are forgotten; a result that
/// comes so late is said to be of the first that is known.
const MOST_TURNS: usize = 1_024;

/// Who says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Speaker {
    /// As the client knows it: with `#content` for the sound of a share.
    pub(super) attendee_id: String,
    pub(super) external_user_id: String,
}

#[derive(Debug, Default)]
struct Channel {
    speaker: Option<Arc<Speaker>>,
    /// Since when it has been whose, in milliseconds, in order.
    turns: VecDeque<(i64, Arc<Speaker>)>,
}

/// Two channels, from their beginning.
#[derive(Debug, Default)]
pub(super) struct Channels {
    channels: [Channel; OVERHEARD],
    /// Samples of each channel so far.
    samples: u64,
    /// What is not sent yet: 16 bits each, low byte first, the channels in turn.
    pcm: Vec<u8>,
}

impl Channels {
    /// What was said in one tick, by no more than [`OVERHEARD`].
    pub(super) fn take(&mut self, tick: Vec<(Speaker, Said)>) {
        let mut sounds: [Option<Said>; OVERHEARD] = [None; OVERHEARD];
        let mut newcomers = Vec::new();
        for (speaker, said) in tick {
            let is_his = |channel: &Channel| channel.speaker.as_deref() == Some(&speaker);
            match self.channels.iter().position(is_his).and_then(|at| sounds.get_mut(at)) {
                Some(sound) => *sound = Some(said),
                None => newcomers.push((speaker, said)),
            }
        }
        for (speaker, said) in newcomers {
            // A channel that nobody has had yet, or else one whose speaker is silent now.
            let free = |at: &usize| sounds.get(*at).is_some_and(Option::is_none);
            let unused = |at: &usize| self.channels.get(*at).is_some_and(|channel| channel.speaker.is_none());
            let at = (0..OVERHEARD).filter(free).find(unused).or_else(|| (0..OVERHEARD).find(free));
            let Some(at) = at else { continue };
            let began = self.position();
            if let (Some(channel), Some(sound)) = (self.channels.get_mut(at), sounds.get_mut(at)) {
                channel.begin(began, Arc::new(speaker));
                *sound = Some(said);
            }
        }
        for at in 0..TICK_SAMPLES {
            for sound in &sounds {
                let sample = sound.as_ref().and_then(|said| said.get(at)).copied().unwrap_or_default();
                self.pcm.extend_from_slice(&sample.to_le_bytes());
            }
        }
        self.samples += TICK_SAMPLES as u64;
    }

    /// So much of nothing.
    pub(super) fn silence(&mut self, samples: usize) {
        self.pcm.extend(std::iter::repeat_n(0, samples * OVERHEARD * size_of::<i16>()));
        self.samples += samples as u64;
    }

    /// The next piece to send, once there is a whole one.
    pub(super) fn chunk(&mut self) -> Option<Vec<u8>> {
        let length = CHUNK_SAMPLES * OVERHEARD * size_of::<i16>();
        (self.pcm.len() >= length).then(|| self.pcm.drain(..length).collect())
    }

    /// Milliseconds of each channel so far.
    fn position(&self) -> i64 {
        i64::try_from(self.samples * 1_000 / u64::from(SAMPLE_RATE)).unwrap_or(i64::MAX)
    }

    /// Says of each word whose it was, and when by the clock, whose time at the stream's beginning was `began`.
    pub(super) fn attribute(&self, result: &mut transcript::Result, began: i64) {
        let channel = result.channel_id.as_deref().and_then(|id| id.strip_prefix("ch_")?.parse().ok());
        let channel: Option<&Channel> = self.channels.get(channel.unwrap_or(0_usize));
        let shift = |time: &mut Option<i64>| *time = time.map(|time| time.saturating_add(began));
        for alternative in &mut result.alternatives {
            for item in &mut alternative.items {
                let (start, end) = (item.start_time.unwrap_or_default(), item.end_time.unwrap_or_default());
                let speaker = channel.and_then(|channel| channel.speaker_at(start.midpoint(end)));
                item.speaker_attendee_id = speaker.map(|speaker| speaker.attendee_id.clone());
                item.speaker_external_user_id = speaker.map(|speaker| speaker.external_user_id.clone());
                shift(&mut item.start_time);
                shift(&mut item.end_time);
            }
            for entity in &mut alternative.entities {
                shift(&mut entity.start_time);
                shift(&mut entity.end_time);
            }
        }
        shift(&mut result.start_time);
        shift(&mut result.end_time);
    }
}

impl Channel {
    fn begin(&mut self, at: i64, speaker: Arc<Speaker>) {
        if self.turns.len() >= MOST_TURNS {
            self.turns.pop_front();
        }
        self.turns.push_back((at, Arc::clone(&speaker)));
        self.speaker = Some(speaker);
    }

    /// Whose the channel was then. What an engine puts a little too early is of the first who had it.
    fn speaker_at(&self, at: i64) -> Option<&Speaker> {
        let turn = self.turns.iter().rev().find(|(since, _)| *since <= at).or(self.turns.front());
        turn.map(|(_, speaker)| speaker.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use campanile_signaling::transcript::{Alternative, Item};

    use super::*;

    fn says(name: &str, level: i16) -> (Speaker, Said) {
        let speaker = Speaker { attendee_id: format!("id-{name}"), external_user_id: name.to_owned() };
        (speaker, [level; TICK_SAMPLES])
    }

    /// The first sample of each channel, tick by tick.
    fn sent(channels: &mut Channels) -> Vec<(i16, i16)> {
        let pcm: Vec<u8> = std::iter::from_fn(|| channels.chunk()).flatten().collect();
        let first =
            |tick: &[u8]| (i16::from_le_bytes([tick[0], tick[1]]), i16::from_le_bytes([tick[2], tick[3]]));
        pcm.chunks(TICK_SAMPLES * 4).map(first).collect()
    }

    #[test]
    fn a_speaker_stays_on_a_channel_as_long_as_it_can() {
        let mut channels = Channels::default();
        for tick in [
            vec![says("ann", 1)],
            vec![says("bob", 2), says("ann", 1)],
            vec![says("bob", 2)],
            vec![says("cleo", 3), says("bob", 2)],
            vec![says("ann", 1), says("cleo", 3)],
        ] {
            channels.take(tick);
        }
        assert_eq!(sent(&mut channels), [(1, 0), (1, 2), (0, 2), (3, 2), (3, 1)]);
    }

    #[test]
    fn pieces_are_whole_and_silence_takes_its_time() {
        let mut channels = Channels::default();
        channels.take(vec![says("ann", 7)]);
        assert_eq!(channels.chunk(), None);
        channels.silence(CHUNK_SAMPLES);
        assert_eq!(channels.chunk().map(|chunk| chunk.len()), Some(CHUNK_SAMPLES * 4));
        assert_eq!(channels.chunk(), None);
        assert_eq!(channels.position(), 120);
    }

    fn heard(channel: &str, items: &[(i64, i64)]) -> transcript::Result {
        let item = |&(start, end): &(i64, i64)| Item {
            start_time: Some(start),
            end_time: Some(end),
            ..Item::default()
        };
        let alternative = Alternative { items: items.iter().map(item).collect(), ..Alternative::default() };
        transcript::Result {
            channel_id: Some(channel.to_owned()),
            start_time: Some(0),
            end_time: Some(100),
            alternatives: vec![alternative],
            ..transcript::Result::default()
        }
    }

    #[test]
    fn words_are_of_whoever_had_the_channel_then() {
        let mut channels = Channels::default();
        // Channel 0: ann for 100 ms, then cleo; channel 1: bob from 20 ms on.
        channels.take(vec![says("ann", 1)]);
        (0..4).for_each(|_| channels.take(vec![says("bob", 1), says("ann", 2)]));
        (0..5).for_each(|_| channels.take(vec![says("bob", 1), says("cleo", 2)]));
        let names = |channel, items: &[(i64, i64)]| -> Vec<String> {
            let mut result = heard(channel, items);
            channels.attribute(&mut result, 1_000_000);
            let items = &result.alternatives[0].items;
            assert_eq!((result.start_time, result.end_time), (Some(1_000_000), Some(1_000_100)));
            items.iter().map(|item| item.speaker_external_user_id.clone().unwrap_or_default()).collect()
        };
        assert_eq!(
            names("ch_0", &[(10, 50), (80, 90), (90, 150), (150, 200), (900, 990)]),
            ["ann", "ann", "cleo", "cleo", "cleo"]
        );
        assert_eq!(names("ch_1", &[(0, 10), (30, 40)]), ["bob", "bob"]);
        assert_eq!(names("ch_9", &[(0, 10)]), [""]);
    }

    #[test]
    fn turns_are_bounded() {
        let mut channels = Channels::default();
        for turn in 0..3 * MOST_TURNS {
            channels.take(vec![says(&turn.to_string(), 1), says("steady", 1)]);
        }
        assert_eq!(channels.channels[0].turns.len() + channels.channels[1].turns.len(), MOST_TURNS + 1);
        assert_eq!(
            channels.channels[0].speaker_at(0).unwrap().external_user_id,
            (2 * MOST_TURNS).to_string()
        );
    }
}
