//! Sound through the codec alone, and through the mixer over a network that loses packets, in virtual time.
//! `bench/quality/quality.py` makes the tables of docs/performance.md with it.
//!
//! ```text
//! quality codec IN OUT  application=lowdelay|audio|voip complexity=5 bitrate=40000
//! quality chain IN OUT  loss=0.05 burst=1 copies=0 apart=1 seed=1
//! quality delay         jitter=0 loss=0 copies=0 apart=1 seed=1
//! ```
//!
//! IN and OUT are raw samples: 48 kHz, one channel, 16 bits, little-endian.

#![allow(clippy::disallowed_methods, reason = "it measures time, and virtual time begins somewhere")]
#![allow(clippy::print_stdout, reason = "its numbers go to a script")]

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use campanile_mixer::{Encoding, Mix, MixSettings, Packet, SlotId, TICK_SAMPLES};

/// What the Chime SDK's browsers send: hybrid Opus at 32 kb/s with forward error correction.
const UPLINK_BITRATE: i32 = 32_000;

const TALKER: SlotId = SlotId(1);
const LISTENER: SlotId = SlotId(2);

/// Payload type of Opus inside redundant audio data.
const OPUS: u8 = 111;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = Options(arguments.iter().filter_map(|word| word.split_once('=')).collect());
    let words: Vec<&str> = arguments.iter().map(String::as_str).filter(|word| !word.contains('=')).collect();
    match words.as_slice() {
        ["codec", from, to] => write(to, &codec(&read(from)?, &options)?),
        ["chain", from, to] => {
            let sound = read(from)?;
            let mut chain = Chain::new(&options, uplink(opus::Application::Voip)?)?;
            let heard = chain.run(|at| sound.get(at).copied().unwrap_or(0.0), sound.len() / TICK_SAMPLES)?;
            println!("{}", chain.account());
            write(to, &heard)
        }
        ["delay"] => delay(&options),
        _ => Err("see the head of crates/mixer/examples/quality.rs".into()),
    }
}

struct Options<'a>(HashMap<&'a str, &'a str>);

impl Options<'_> {
    fn number(&self, name: &str, default: f64) -> Result<f64, Failure> {
        self.0.get(name).map_or(Ok(default), |text| Ok(text.parse()?))
    }
}

fn read(path: &str) -> Result<Vec<f32>, Failure> {
    let bytes = std::fs::read(path)?;
    Ok(bytes
        .chunks_exact(2)
        .map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0)
        .collect())
}

fn write(path: &str, samples: &[f32]) -> Result<(), Failure> {
    let bytes: Vec<u8> = samples
        .iter()
        .flat_map(|sample| ((sample * 32_767.0).clamp(-32_768.0, 32_767.0) as i16).to_le_bytes())
        .collect();
    Ok(std::fs::write(path, bytes)?)
}

/// Encodes and decodes; prints what it costs.
fn codec(sound: &[f32], options: &Options<'_>) -> Result<Vec<f32>, Failure> {
    let application = match options.0.get("application").copied() {
        Some("audio") => opus::Application::Audio,
        Some("voip") => opus::Application::Voip,
        _ => opus::Application::LowDelay,
    };
    let mut encoder = opus::Encoder::new(48_000, opus::Channels::Mono, application)?;
    encoder.set_bitrate(opus::Bitrate::Bits(options.number("bitrate", 40_000.0)? as i32))?;
    encoder.set_complexity(options.number("complexity", 5.0)? as i32)?;
    encoder.set_vbr_constraint(true)?;
    let mut decoder = opus::Decoder::new(48_000, opus::Channels::Mono)?;
    let (mut heard, mut packets) = (Vec::new(), Vec::new());
    let frames = sound.chunks_exact(TICK_SAMPLES);
    let began = Instant::now();
    for frame in frames.clone() {
        packets.push(encoder.encode_vec_float(frame, 1_275)?);
    }
    let encoded = began.elapsed();
    let mut pcm = [0.0; TICK_SAMPLES];
    let began = Instant::now();
    for packet in &packets {
        let length = decoder.decode_float(packet, &mut pcm, false)?;
        heard.extend_from_slice(&pcm[..length]);
    }
    let each = |time: Duration| time.as_secs_f64() * 1e6 / packets.len() as f64;
    let bytes: usize = packets.iter().map(Vec::len).sum();
    let hybrid = packets.iter().filter(|packet| packet[0] >> 3 < 16).count();
    println!(
        "encode_us={:.1} decode_us={:.1} kbps={:.1} hybrid={:.2}",
        each(encoded),
        each(began.elapsed()),
        bytes as f64 * 0.4 / packets.len() as f64,
        hybrid as f64 / packets.len() as f64
    );
    Ok(heard)
}

fn uplink(application: opus::Application) -> Result<opus::Encoder, Failure> {
    let mut encoder = opus::Encoder::new(48_000, opus::Channels::Mono, application)?;
    encoder.set_bitrate(opus::Bitrate::Bits(UPLINK_BITRATE))?;
    encoder.set_inband_fec(true)?;
    Ok(encoder)
}

/// Marsaglia's xorshift, as numbers from 0 to 1.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// One talker, a network, the mixer and one listener.
struct Chain {
    mix: Mix,
    encoder: opus::Encoder,
    decoder: opus::Decoder,
    dice: Dice,
    /// Share of the packets that is lost, in bursts of this mean length: Gilbert's model.
    loss: f64,
    burst: f64,
    losing: bool,
    /// Most milliseconds that a packet takes longer than another.
    jitter: f64,
    copies: usize,
    apart: usize,
    earlier: VecDeque<Vec<u8>>,
    start: Instant,
    sent: u64,
    lost: u64,
    /// Milliseconds between the completion of a packet and its arrival, by packet.
    journeys: Vec<f64>,
}

impl Chain {
    fn new(options: &Options<'_>, encoder: opus::Encoder) -> Result<Self, Failure> {
        let mut mix = Mix::new(MixSettings::default())?;
        mix.join(TALKER);
        mix.join(LISTENER);
        let loss = options.number("loss", 0.0)?;
        let mut chain = Self {
            mix,
            encoder,
            decoder: opus::Decoder::new(48_000, opus::Channels::Mono)?,
            dice: Dice(0x9e37_79b9_7f4a_7c15 ^ options.number("seed", 1.0)? as u64),
            loss,
            burst: options.number("burst", 1.0)?.max(1.0),
            losing: false,
            jitter: options.number("jitter", 0.0)?,
            copies: options.number("copies", 0.0)? as usize,
            apart: options.number("apart", 1.0)?.max(1.0) as usize,
            earlier: VecDeque::new(),
            start: Instant::now(),
            sent: 0,
            lost: 0,
            journeys: Vec::new(),
        };
        // As Chromium does when its receiver reports tell of loss.
        chain.encoder.set_packet_loss_perc((loss * 100.0) as i32)?;
        Ok(chain)
    }

    fn loses(&mut self) -> bool {
        // From the good state to the bad so that the bad one has its share, and back after `burst` packets on average.
        let change =
            if self.losing { 1.0 / self.burst } else { self.loss / (self.burst * (1.0 - self.loss)) };
        if self.burst <= 1.0 {
            self.losing = self.dice.roll() < self.loss;
        } else if self.dice.roll() < change {
            self.losing = !self.losing;
        }
        self.losing
    }

    /// What the listener hears of so many ticks of sound.
    fn run(&mut self, sound: impl Fn(usize) -> f32, ticks: usize) -> Result<Vec<f32>, Failure> {
        let mut air: BTreeMap<(u64, u64), Packet> = BTreeMap::new();
        let mut heard = Vec::with_capacity(ticks * TICK_SAMPLES);
        let mut pcm = [0.0; TICK_SAMPLES];
        for tick in 0..ticks {
            let now = (tick as u64 + 1) * 20_000;
            let frame: Vec<f32> = (tick * TICK_SAMPLES..(tick + 1) * TICK_SAMPLES).map(&sound).collect();
            let packet = self.packet(tick, &frame)?;
            self.sent += 1;
            // Packets are complete somewhere between two ticks of the mixer: 7 ms after one.
            let journey = 7.0 + self.dice.roll() * self.jitter;
            self.journeys.push(journey);
            if self.loses() {
                self.lost += 1;
            } else {
                air.insert((now + (journey * 1_000.0) as u64, self.sent), packet);
            }
            while let Some(first) = air.first_entry().filter(|first| first.key().0 <= now) {
                let at = self.start + Duration::from_micros(first.key().0);
                self.mix.handle_packet(TALKER, first.remove(), at);
            }
            self.mix.handle_tick(self.start + Duration::from_micros(now));
            while let Some(frame) = self.mix.poll_output() {
                if frame.listeners.contains(&LISTENER) {
                    let length = self.decoder.decode_float(&frame.payload, &mut pcm, false)?;
                    heard.extend_from_slice(&pcm[..length]);
                }
            }
        }
        Ok(heard)
    }

    fn packet(&mut self, tick: usize, frame: &[f32]) -> Result<Packet, Failure> {
        let own = self.encoder.encode_vec_float(frame, 1_000)?;
        let loud = frame.iter().any(|sample| sample.abs() > 0.002);
        let copies: Vec<(usize, &Vec<u8>)> = (1..=self.copies)
            .rev()
            .filter_map(|n| Some((n * self.apart, self.earlier.get(n * self.apart - 1)?)))
            .collect();
        let mut payload = Vec::new();
        for (distance, copy) in &copies {
            let bits = ((distance * TICK_SAMPLES) << 10 | copy.len()) as u32;
            payload.push(0x80 | OPUS);
            payload.extend_from_slice(&bits.to_be_bytes()[1..]);
        }
        payload.push(OPUS);
        copies.iter().for_each(|(_, copy)| payload.extend_from_slice(copy));
        payload.extend_from_slice(&own);
        self.earlier.push_front(own.clone());
        self.earlier.truncate(self.copies * self.apart);
        let red = self.copies > 0;
        Ok(Packet {
            sequence: 1_000 + tick as u64,
            timestamp: (tick * TICK_SAMPLES) as u32,
            level: Some(if loud { 25 } else { 70 }),
            encoding: if red { Encoding::Red(OPUS) } else { Encoding::Opus },
            payload: Arc::from(if red { payload } else { own }),
        })
    }

    fn account(&self) -> String {
        let counters = self.mix.counters();
        format!(
            "sent={} lost={} replaced={} recovered={} concealed={} late={} stretched={} shortened={}",
            self.sent,
            self.lost,
            counters.replaced,
            counters.recovered,
            counters.concealed,
            counters.late,
            counters.stretched,
            counters.shortened
        )
    }
}

/// Milliseconds from one pulse to the next: no multiple of a tick, so that they fall everywhere in frames. A pulse that is
/// lost must not be taken for the next one.
const PULSES_APART: f64 = 503.0;

/// Milliseconds in which a pulse is looked for: more than the largest delay of the jitter buffer.
const PULSE_WITHIN: usize = 400;

/// Pulses in noise through the chain: how much later than without a mixer they are heard.
fn delay(options: &Options<'_>) -> Result<(), Failure> {
    const TICKS: usize = 15_000;
    let apart = (PULSES_APART * 48.0) as usize;
    // CELT, whose delay is the same for every pulse; the noise keeps the talker in the mix.
    let sound = |at: usize| {
        let noise = 0.01 * ((at as u64 * 7_919) % 199) as f32 / 199.0;
        noise + if at % apart < 48 { 0.8 * (at as f32 * 0.4).sin() } else { 0.0 }
    };
    let mut encoder = opus::Encoder::new(48_000, opus::Channels::Mono, opus::Application::LowDelay)?;
    encoder.set_bitrate(opus::Bitrate::Bits(128_000))?;
    let mut chain = Chain::new(options, encoder)?;
    let heard = chain.run(sound, TICKS)?;
    // Of both codecs: 2.5 ms of overlap each.
    let codecs = 2.0 * 2.5;
    let pulse = |from: usize| {
        (from..from + PULSE_WITHIN * 48).find(|at| heard.get(*at).is_some_and(|s| s.abs() > 0.25))
    };
    let (mut all, mut waits, mut buffers) = (Vec::new(), Vec::new(), Vec::new());
    let mut next = 5 * apart;
    while next + 600 * 48 < heard.len() {
        let tick = next / TICK_SAMPLES;
        if let Some(at) = pulse(next) {
            // The frame made at tick n (20 ms x (n + 1)) is heard from then on; without a mixer the pulse would be heard
            // when its packet, complete at the end of its frame, has made its journey.
            let journey = chain.journeys[tick];
            let total = (at + TICK_SAMPLES - next) as f64 / 48.0 - 20.0 - journey;
            let wait = 20.0 - (journey % 20.0);
            all.push(total);
            waits.push(wait);
            buffers.push(total - wait - codecs);
        }
        next += apart;
    }
    println!(
        "pulses={} total_p50={:.1} total_p99={:.1} tick_p50={:.1} buffer_p50={:.1} buffer_p99={:.1} codecs={codecs}",
        all.len(),
        percentile(&mut all, 0.5),
        percentile(&mut all, 0.99),
        percentile(&mut waits, 0.5),
        percentile(&mut buffers, 0.5),
        percentile(&mut buffers, 0.99)
    );
    println!("{}", chain.account());
    Ok(())
}

fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(((values.len() as f64 - 1.0) * part) as usize).copied().unwrap_or(f64::NAN)
}
