//! The mix as clients hear it: three talkers and twenty listeners on the running binary.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]
#![allow(unreachable_pub, reason = "what tests share")]

mod support;

use std::time::Duration;

use opus::{Channels, Decoder};
use rustfft::FftPlanner;
use rustfft::num_complex::Complex;
use support::Server;
use support::client::{Client, Heard, RATE, Voice};

const TALKERS: [f64; 3] = [440.0, 660.0, 1_100.0];
const LISTENERS: usize = 20;

/// How far below the others the own tone must stay, decibel.
const SEPARATION: f64 = 40.0;

/// Seconds of the long form; the short form runs with every `make test`.
fn duration() -> Duration {
    let long = std::env::var_os("CAMPANILE_LONG").is_some();
    Duration::from_secs(if long { 60 } else { 12 })
}

#[tokio::test(flavor = "multi_thread")]
async fn three_talk_and_twenty_listen() {
    let server = Server::start();
    let duration = duration();
    let talkers: Vec<_> = TALKERS
        .iter()
        .zip([(150, 50), (100, 100), (90, 30)])
        .enumerate()
        .map(|(i, (&hertz, (talks, rests)))| {
            let call = server.test_call("mix", &format!("talker {i}"));
            Client::start(server.http, call, Some(Voice { hertz, talks, rests }), duration)
        })
        .collect();
    let listeners: Vec<_> = (0..LISTENERS)
        .map(|i| {
            let call = server.test_call("mix", &format!("listener {i}"));
            Client::start(server.http, call, None, duration)
        })
        .collect();

    for (i, talker) in talkers.into_iter().enumerate() {
        let heard = talker.heard().await;
        assert_steady(&heard, &format!("talker {i}"));
        let spectrum = Spectrum::of(&heard);
        for (j, &hertz) in TALKERS.iter().enumerate().filter(|(j, _)| *j != i) {
            let above = spectrum.decibel(hertz) - spectrum.decibel(TALKERS[i]);
            assert!(above >= SEPARATION, "talker {i} hears itself only {above:.1} dB below talker {j}");
        }
    }
    for (i, listener) in listeners.into_iter().enumerate() {
        let heard = listener.heard().await;
        assert_steady(&heard, &format!("listener {i}"));
        let spectrum = Spectrum::of(&heard);
        for hertz in TALKERS {
            let above = spectrum.decibel(hertz) - spectrum.decibel(2_000.0);
            assert!(above >= SEPARATION, "listener {i} hears {hertz} Hz only {above:.1} dB above silence");
        }
    }
    assert_encodes(&server.metrics());
}

/// 50.0 ± 0.5 packets a second, in sequence.
fn assert_steady(heard: &[Heard], who: &str) {
    let (first, last) = (heard.first().unwrap(), heard.last().unwrap());
    let seconds = (last.at - first.at).as_secs_f64();
    let rate = (heard.len() - 1) as f64 / seconds;
    assert!((49.5..=50.5).contains(&rate), "{who} hears {rate:.2} packets/s");
    let missing = last.sequence - first.sequence + 1 - heard.len() as u64;
    assert_eq!(missing, 0, "{who} misses packets on loopback");
}

/// In no tick more encodes than talkers and the one shared mix.
fn assert_encodes(metrics: &str) {
    let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
    let find = |prefix: &str| {
        let line = metrics.lines().find(|line| line.starts_with(prefix));
        value(line.unwrap_or_else(|| panic!("no {prefix} in\n{metrics}")))
    };
    let ticks = find("campanile_mixer_encodes_per_tick_count");
    let within = find(&format!("campanile_mixer_encodes_per_tick_bucket{{le=\"{}\"}}", TALKERS.len() + 1));
    assert!(ticks > 100.0, "{ticks} ticks are too few to tell");
    assert_eq!(ticks, within, "some tick encoded more than {} times", TALKERS.len() + 1);
}

/// The loudness of each frequency in what was heard.
struct Spectrum(Vec<f64>);

impl Spectrum {
    fn of(heard: &[Heard]) -> Spectrum {
        let mut decoder = Decoder::new(RATE as u32, Channels::Mono).unwrap();
        let mut sound = Vec::new();
        let mut frame = vec![0.0f32; 5_760];
        for packet in heard {
            let samples = decoder.decode_float(&packet.payload, &mut frame, false).unwrap();
            sound.extend_from_slice(&frame[..samples]);
        }
        // One second at a time, windowed, so that every hertz is one bin; the sum over all seconds.
        let fft = FftPlanner::new().plan_fft_forward(RATE);
        let mut power = vec![0.0; RATE / 2];
        for second in sound.chunks_exact(RATE) {
            let mut bins: Vec<Complex<f64>> = second
                .iter()
                .enumerate()
                .map(|(i, &sample)| {
                    let turn = std::f64::consts::TAU * i as f64 / RATE as f64;
                    // Blackman: side lobes 58 dB down, below what the test looks for.
                    let window = 0.42 - 0.5 * turn.cos() + 0.08 * (2.0 * turn).cos();
                    Complex::new(f64::from(sample) * window, 0.0)
                })
                .collect();
            fft.process(&mut bins);
            for (sum, bin) in power.iter_mut().zip(&bins) {
                *sum += bin.norm_sqr();
            }
        }
        Spectrum(power)
    }

    /// The loudest bin within 3 Hz.
    fn decibel(&self, hertz: f64) -> f64 {
        let at = hertz as usize;
        let power = self.0[at - 3..=at + 3].iter().copied().fold(1e-12, f64::max);
        10.0 * power.log10()
    }
}
