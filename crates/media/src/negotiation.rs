//! Applies an offer to a session and writes the answer.
//!
//! Everything that can be refused is refused before the first change, so that an offer is taken whole or not at all.

use std::sync::Arc;
use std::time::Instant;

use str0m::Candidate;
use str0m::RtcConfig;
use str0m::config::{CryptoProvider, DtlsCert};
use str0m::format::{CodecConfig, CodecSpec, FormatParams, PayloadParams};
use str0m::ice::IceCreds;
use str0m::media::{Frequency, MediaKind, Mid, Rid};
use str0m::rtp::{Extension, ExtensionMap};

use crate::entropy::Entropy;
use crate::forward::Forwarder;
use crate::layers::LayerKey;
use crate::link::{FIRST_ESTIMATE, REPORT_EVERY};
use crate::rate::RateMeter;
use crate::redundancy::Redundancy;
use crate::sdp::answer::{self, LocalTransport, Role, SectionAnswer};
use crate::sdp::codec::{CodecKind, CodecTable, Format};
use crate::sdp::offer::{self, Offer, OpusWishes};
use crate::sdp::{Direction, HeaderExtension, Kind};
use crate::session::{Admits, Audio, Fault, Section, SectionKey, Session, Setup, Sink, Tile};
use crate::{MeetingId, SendLayer, SessionId, StreamId, Track, Wish};

/// 96 bits: ufrags are names in our demultiplexer and must not collide.
const UFRAG_CHARS: usize = 16;

/// 192 bits; RFC 8839 §5.4 asks for 128.
const PWD_CHARS: usize = 32;

/// A rid that no packet can carry: str0m turns every character that is not a letter or digit into `_`.
const NO_RID: Rid = Rid::from_array(*b"~none~  ");

/// What all sessions of a worker share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) crypto: Arc<CryptoProvider>,
    pub(crate) certificate: DtlsCert,
    /// Of the certificate, as SDP writes it.
    pub(crate) fingerprint: String,
    /// One for each address family: str0m must know where requests were sent to.
    pub(crate) candidates: Vec<Candidate>,
    /// All of them, for answers.
    pub(crate) addresses: Vec<std::net::SocketAddr>,
}

/// What the first offer of a session fixes for its whole life.
pub(crate) fn setup(
    offer: &Offer,
    shared: &Shared,
    entropy: &mut Entropy,
    meeting: MeetingId,
    id: SessionId,
) -> Setup {
    let table = CodecTable::from_sections(&offer.sections);
    let extensions = session_extensions(&offer.sections);
    let ufrag = entropy.ice_chars(UFRAG_CHARS);
    let pwd = entropy.ice_chars(PWD_CHARS);

    let mut map = ExtensionMap::empty();
    for (id, extension) in &extensions {
        map.set(*id, str0m_extension(*extension));
    }
    let mut rtc = RtcConfig::new()
        .set_crypto_provider(Arc::clone(&shared.crypto))
        .set_dtls_cert(shared.certificate.clone())
        .set_local_ice_credentials(IceCreds { ufrag: ufrag.clone(), pass: pwd.clone() })
        .set_ice_lite(true)
        .set_rtp_mode(true)
        .enable_bwe(Some(str0m::bwe::Bitrate::bps(FIRST_ESTIMATE.0)))
        .set_stats_interval(Some(REPORT_EVERY))
        .set_extension_map(map);
    *rtc.codec_config() = codec_config(&table);
    let local = LocalTransport {
        ufrag,
        pwd,
        fingerprint: shared.fingerprint.clone(),
        candidates: shared.addresses.clone(),
        session: id.0,
    };
    let candidates = shared.candidates.clone();
    Setup { id, meeting, rtc, candidates, local, remote: offer.transport.clone(), table, extensions }
}

/// All extensions of the first offer under their ids. Of two meanings for one id the first wins.
fn session_extensions(sections: &[offer::Section]) -> Vec<(u8, HeaderExtension)> {
    let mut all: Vec<(u8, HeaderExtension)> = Vec::new();
    for (id, extension) in sections.iter().flat_map(|section| &section.extensions) {
        if all.iter().all(|(known_id, known)| known_id != id && known != extension) {
            all.push((*id, *extension));
        }
    }
    all
}

fn str0m_extension(extension: HeaderExtension) -> Extension {
    match extension {
        HeaderExtension::AudioLevel => Extension::AudioLevel,
        HeaderExtension::AbsSendTime => Extension::AbsoluteSendTime,
        HeaderExtension::TransportCc => Extension::TransportSequenceNumber,
        HeaderExtension::Mid => Extension::RtpMid,
        HeaderExtension::Rid => Extension::RtpStreamId,
        HeaderExtension::RepairedRid => Extension::RepairedRtpStreamId,
        HeaderExtension::TransmissionOffset => Extension::TransmissionTimeOffset,
        HeaderExtension::VideoOrientation => Extension::VideoOrientation,
    }
}

/// In RTP mode str0m looks at payload types and clock rates only, so the format parameters may stay empty.
fn codec_config(table: &CodecTable) -> CodecConfig {
    let params = table.entries().iter().flat_map(|entry| {
        let (codec, clock_rate, channels) = match entry.codec {
            CodecKind::Opus => (str0m::format::Codec::Opus, Frequency::FORTY_EIGHT_KHZ, Some(2)),
            CodecKind::Vp8 => (str0m::format::Codec::Vp8, Frequency::NINETY_KHZ, None),
            CodecKind::H264 => (str0m::format::Codec::H264, Frequency::NINETY_KHZ, None),
            CodecKind::Vp9 => (str0m::format::Codec::Vp9, Frequency::NINETY_KHZ, None),
            CodecKind::Av1 => (str0m::format::Codec::Av1, Frequency::NINETY_KHZ, None),
        };
        let spec = CodecSpec { codec, clock_rate, channels, format: FormatParams::default() };
        let mut own = PayloadParams::new(entry.pt.into(), entry.rtx.map(Into::into), spec);
        // str0m need not know what redundant audio data is.
        let mut red = entry.red.map(|red| PayloadParams::new(red.into(), None, spec));
        for params in std::iter::once(&mut own).chain(&mut red) {
            // str0m probes in any section with this feedback. But a probe in the audio section, under an SSRC that is not
            // the mix's, is a second stream to Chromium, which then plays that and not the mix.
            params.set_fb_transport_cc(entry.codec != CodecKind::Opus);
        }
        std::iter::once(own).chain(red)
    });
    CodecConfig::new_from_payload_params(params.collect())
}

/// What the signaling side wants from an offer.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) send: Vec<SendLayer>,
    /// Parallel to the video m-lines; only streams that somebody publishes.
    pub(crate) receive: Vec<Option<(StreamId, LayerKey)>>,
    /// How much sections are wanted, by mid.
    pub(crate) wishes: Vec<(String, Wish)>,
}

/// What a section is to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Showing {
    pub(crate) stream: StreamId,
    pub(crate) layer: LayerKey,
    pub(crate) wish: Option<Wish>,
}

/// What was agreed with a client.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) sdp: String,
    pub(crate) tracks: Vec<Track>,
    pub(crate) published: Vec<(Mid, Option<Rid>, SendLayer)>,
    /// Every section that could show something, and what it shows now.
    pub(crate) tiles: Vec<(SectionKey, Option<Showing>)>,
    /// Sections that are gone, and the layers that fed them.
    pub(crate) gone: Vec<(SectionKey, Vec<LayerKey>)>,
    /// If they changed.
    pub(crate) wishes: Option<OpusWishes>,
}

/// What an accepted section is for, before anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Rejected,
    Audio,
    Camera,
    Tile(Showing),
    Inactive,
}

impl Session {
    /// Applies an offer. Fails only if the session is lost.
    pub(crate) fn negotiate(
        &mut self,
        offer: &Offer,
        wanted: &Wanted,
        entropy: &mut Entropy,
        now: Instant,
        sink: &mut Sink<'_>,
    ) -> Result<Agreed, Fault> {
        let plan = plan(offer, wanted, &self.table);
        let mut agreed = Agreed {
            sdp: String::new(),
            tracks: Vec::new(),
            published: Vec::new(),
            tiles: Vec::new(),
            gone: self.remove_sections(offer, &plan, now, sink)?,
            wishes: None,
        };
        let mut answers = Vec::with_capacity(plan.len());
        for (section, (purpose, formats)) in offer.sections.iter().zip(plan) {
            if purpose == Purpose::Rejected {
                answers.push(SectionAnswer::rejected());
                continue;
            }
            let key = self.ensure_section(section, purpose, now, sink)?;
            let role = match purpose {
                Purpose::Audio => self.agree_audio(section, key, entropy, &mut agreed),
                Purpose::Camera => agree_camera(section, &wanted.send, &mut agreed),
                Purpose::Tile(showing) => {
                    let rtx_offered = formats.iter().any(|format| format.rtx.is_some());
                    self.agree_tile(section, key, showing, rtx_offered, entropy, &mut agreed)
                }
                Purpose::Inactive | Purpose::Rejected => Role::Inactive,
            };
            if section.kind == Kind::Video && !matches!(role, Role::Receive { .. }) {
                agreed.tiles.push((key, None));
            }
            let extensions =
                section.extensions.iter().filter(|pair| self.extensions.contains(pair)).copied().collect();
            answers.push(SectionAnswer { role, formats, extensions });
        }
        self.forget_bindings();
        self.answers += 1;
        agreed.sdp = answer::write(offer, &answers, &self.local, self.answers);
        Ok(agreed)
    }

    /// Removes what the offer stopped, recycled or uses for something else.
    fn remove_sections(
        &mut self,
        offer: &Offer,
        plan: &[(Purpose, Vec<Format>)],
        now: Instant,
        sink: &mut Sink<'_>,
    ) -> Result<Vec<(SectionKey, Vec<LayerKey>)>, Fault> {
        let stays = |section: &Section| {
            offer.sections.iter().zip(plan).any(|(offered, (purpose, _))| {
                *purpose != Purpose::Rejected && offered.mid == section.name && offered.kind == section.kind
            })
        };
        let stopped: Vec<SectionKey> =
            self.sections.iter().filter(|(_, section)| !stays(section)).map(|(key, _)| key).collect();
        let mut gone = Vec::with_capacity(stopped.len());
        for key in stopped {
            let Some(section) = self.sections.remove(key) else { continue };
            self.change(now, sink, |api| api.remove_media(section.mid))?;
            if self.audio.as_ref().is_some_and(|audio| audio.section == key) {
                self.audio = None;
            }
            let layers = section.tile.iter().flat_map(Tile::attached).collect();
            gone.push((key, layers));
        }
        Ok(gone)
    }

    /// Makes str0m know the section and exactly the incoming streams that the offer allows.
    fn ensure_section(
        &mut self,
        offered: &offer::Section,
        purpose: Purpose,
        now: Instant,
        sink: &mut Sink<'_>,
    ) -> Result<SectionKey, Fault> {
        let admits = admission(offered, purpose);
        let mid = Mid::from(offered.mid.as_str());
        let known = self.section_named(&offered.mid);
        let before = known.and_then(|key| self.sections.get(key)).map(|section| section.admits.clone());
        let key = match known {
            Some(key) => key,
            None => self.sections.insert(Section {
                name: offered.mid.clone(),
                mid,
                kind: offered.kind,
                admits: admits.clone(),
                tile: None,
            }),
        };
        if before.as_ref() == Some(&admits) {
            return Ok(key);
        }
        let only_ssrcs_change =
            matches!((&before, &admits), (Some(Admits::Announced(_)), Admits::Announced(_)));
        if only_ssrcs_change {
            if let Some(Admits::Announced(Some((old, _)))) = before {
                self.change(now, sink, |api| api.remove_stream_rx(old.into()))?;
            }
        } else {
            if before.is_some() {
                self.change(now, sink, |api| api.remove_media(mid))?;
                self.undeclare_outgoing(key);
            }
            self.declare(mid, offered.kind, &admits, now, sink)?;
        }
        if let Admits::Announced(Some((ssrc, rtx))) = admits {
            let audio = offered.kind == Kind::Audio;
            self.change(now, sink, |api| {
                // A stream of this number that belongs elsewhere would be found instead of a new one.
                api.remove_stream_rx(ssrc.into());
            })?;
            self.change(now, sink, |api| {
                let stream = api.expect_stream_rx(ssrc.into(), rtx.map(Into::into), mid, None);
                // Opus is answered without nack.
                stream.suppress_nack(audio);
            })?;
        }
        if let Some(section) = self.sections.get_mut(key) {
            section.admits = admits;
        }
        Ok(key)
    }

    /// str0m dropped the section's outgoing streams with it; they are declared anew with their next packet.
    fn undeclare_outgoing(&mut self, key: SectionKey) {
        if let Some(tile) = self.tile_mut(key) {
            tile.declared = false;
        }
        if let Some(audio) = self.audio.as_mut().filter(|audio| audio.section == key) {
            audio.declared = false;
        }
    }

    fn declare(
        &mut self,
        mid: Mid,
        kind: Kind,
        admits: &Admits,
        now: Instant,
        sink: &mut Sink<'_>,
    ) -> Result<(), Fault> {
        let kind = if kind == Kind::Audio { MediaKind::Audio } else { MediaKind::Video };
        self.change(now, sink, |api| {
            let media = api.declare_media(mid, kind);
            match admits {
                Admits::Announced(_) => media.expect_rid_rx(NO_RID),
                Admits::Layers(rids) => rids.iter().for_each(|rid| media.expect_rid_rx(*rid)),
                Admits::Anything => {}
            }
        })
    }

    fn agree_audio(
        &mut self,
        section: &offer::Section,
        key: SectionKey,
        entropy: &mut Entropy,
        agreed: &mut Agreed,
    ) -> Role {
        let direction = section.direction.mirrored();
        let audio = self.audio.get_or_insert_with(|| Audio {
            section: key,
            ssrc: entropy.ssrc(),
            listens: false,
            sequence: entropy.first_sequence().into(),
            timestamp: entropy.u32(),
            declared: false,
            started: false,
            red: None,
            redundancy: Redundancy::default(),
            meter: RateMeter::default(),
        });
        audio.listens = direction.sends();
        let offered =
            |pt: u8| section.formats.iter().any(|format| format.red.is_some_and(|red| red.pt == pt));
        audio.red = self.table.red().filter(|(red, _)| offered(*red));
        if self.wishes != Some(section.opus) {
            self.wishes = Some(section.opus);
            agreed.wishes = self.wishes;
        }
        Role::Audio { direction, ssrc: audio.ssrc }
    }

    fn agree_tile(
        &mut self,
        section: &offer::Section,
        key: SectionKey,
        showing: Showing,
        rtx_offered: bool,
        entropy: &mut Entropy,
        agreed: &mut Agreed,
    ) -> Role {
        let Some(state) = self.sections.get_mut(key) else { return Role::Inactive };
        let tile = state.tile.get_or_insert_with(|| Tile {
            ssrc: entropy.ssrc(),
            rtx: entropy.ssrc(),
            subscription: None,
            forwarder: Forwarder::new(entropy.first_sequence(), entropy.u32()),
            declared: false,
        });
        agreed.tracks.push(Track { mid: section.mid.clone(), ssrc: tile.ssrc, stream: showing.stream });
        agreed.tiles.push((key, Some(showing)));
        Role::Receive { ssrc: tile.ssrc, rtx: rtx_offered.then_some(tile.rtx) }
    }
}

/// The purpose of each section and the formats it gets. One audio section, one camera.
fn plan(offer: &Offer, wanted: &Wanted, table: &CodecTable) -> Vec<(Purpose, Vec<Format>)> {
    let mut has_audio = false;
    let mut has_camera = false;
    let mut receive = wanted.receive.iter();
    let mut plan = Vec::with_capacity(offer.sections.len());
    for section in &offer.sections {
        // The list counts every video m-line, rejected ones too.
        let asked = if section.kind == Kind::Video { receive.next().copied().flatten() } else { None };
        let formats = table.accept(section);
        let purpose = if section.rejected || formats.is_empty() {
            Purpose::Rejected
        } else if section.kind == Kind::Audio {
            match std::mem::replace(&mut has_audio, true) {
                true => Purpose::Rejected,
                false => Purpose::Audio,
            }
        } else if section.direction.sends() && !wanted.send.is_empty() && !has_camera {
            has_camera = true;
            Purpose::Camera
        } else {
            match asked {
                Some((stream, layer)) if section.direction == Direction::RecvOnly => {
                    let wish =
                        wanted.wishes.iter().find(|(mid, _)| *mid == section.mid).map(|(_, wish)| *wish);
                    Purpose::Tile(Showing { stream, layer, wish })
                }
                _ => Purpose::Inactive,
            }
        };
        plan.push((purpose, formats));
    }
    plan
}

fn admission(section: &offer::Section, purpose: Purpose) -> Admits {
    let sends = match purpose {
        Purpose::Audio => section.direction.sends(),
        Purpose::Camera => true,
        Purpose::Tile(_) | Purpose::Inactive | Purpose::Rejected => false,
    };
    if !sends {
        Admits::Announced(None)
    } else if section.kind == Kind::Video && !section.rids.is_empty() {
        Admits::Layers(section.rids.iter().map(|rid| Rid::from(rid.as_str())).collect())
    } else if section.ssrc.is_some() {
        Admits::Announced(section.ssrc)
    } else {
        Admits::Anything
    }
}

/// The i-th layer of the offer is the i-th allocated stream; without layers there is one stream.
fn agree_camera(section: &offer::Section, send: &[SendLayer], agreed: &mut Agreed) -> Role {
    let mid = Mid::from(section.mid.as_str());
    if section.rids.is_empty() {
        agreed.published.extend(send.first().map(|sent| (mid, None, *sent)));
    } else {
        let layers = section.rids.iter().zip(send);
        agreed.published.extend(layers.map(|(rid, sent)| (mid, Some(Rid::from(rid.as_str())), *sent)));
    }
    Role::Camera { direction: section.direction.mirrored() }
}
