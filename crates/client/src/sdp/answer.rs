//! Reads of an answer what the client acts on.

use std::net::{IpAddr, SocketAddr};

/// Why an answer cannot be applied. A browser would fail `setRemoteDescription`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("the answer does not start with v=0")]
    NotSdp,
    #[error("the answer has {got} m-lines, the offer {offered}")]
    Lines { offered: usize, got: usize },
    #[error("m-line {at} is {got:?} in the answer and {offered:?} in the offer")]
    Mid { at: usize, offered: String, got: String },
    #[error("no {0} in the answer")]
    Missing(&'static str),
    #[error("section {0:?} has more than one audio SSRC")]
    ManySources(String),
    #[error("str0m refused it: {0}")]
    Rtc(String),
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) ufrag: String,
    pub(crate) pwd: String,
    pub(crate) fingerprint: Vec<u8>,
    pub(crate) candidates: Vec<SocketAddr>,
    pub(crate) sections: Vec<Section>,
}

/// One m-line of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) mid: String,
    pub(crate) rejected: bool,
    /// The server sends here (`sendrecv`, `sendonly`).
    pub(crate) sends: bool,
    /// The server receives here (`sendrecv`, `recvonly`).
    pub(crate) receives: bool,
    /// In the order of the m-line.
    pub(crate) payload_types: Vec<u8>,
    /// What the server sends here: the primary SSRC and its RTX.
    pub(crate) ssrc: Option<(u32, Option<u32>)>,
    /// The name of the stream of `a=msid`.
    pub(crate) stream_name: Option<String>,
    sources: Vec<u32>,
}

impl Answer {
    pub(crate) fn parse(text: &str) -> Result<Self, AnswerError> {
        let mut lines = text.split("\r\n");
        if lines.next() != Some("v=0") {
            return Err(AnswerError::NotSdp);
        }
        let mut answer = Self::default();
        for line in lines {
            if let Some(media) = line.strip_prefix("m=") {
                answer.sections.push(Section::open(media));
            } else if let Some(attribute) = line.strip_prefix("a=") {
                let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
                answer.attribute(name, value);
            }
        }
        for section in
            answer.sections.iter().filter(|section| section.stream_name.as_deref() == Some("audio"))
        {
            if section.sources.len() > 1 {
                return Err(AnswerError::ManySources(section.mid.clone()));
            }
        }
        Ok(answer)
    }

    fn attribute(&mut self, name: &str, value: &str) {
        match name {
            "ice-ufrag" => value.clone_into(&mut self.ufrag),
            "ice-pwd" => value.clone_into(&mut self.pwd),
            "fingerprint" => self.fingerprint = fingerprint(value).unwrap_or_default(),
            "candidate" => self.candidates.extend(host_candidate(value)),
            _ => {
                if let Some(section) = self.sections.last_mut() {
                    section.attribute(name, value);
                }
            }
        }
    }

    /// Checks what every browser checks: the same m-lines under the same names.
    pub(crate) fn matches(&self, mids: &[String]) -> Result<(), AnswerError> {
        if self.sections.len() != mids.len() {
            return Err(AnswerError::Lines { offered: mids.len(), got: self.sections.len() });
        }
        for (at, (section, offered)) in self.sections.iter().zip(mids).enumerate() {
            if section.mid != *offered {
                let (offered, got) = (offered.clone(), section.mid.clone());
                return Err(AnswerError::Mid { at, offered, got });
            }
        }
        for (missing, what) in [
            (self.ufrag.is_empty(), "ICE ufrag"),
            (self.pwd.is_empty(), "ICE password"),
            (self.fingerprint.is_empty(), "fingerprint"),
            (self.candidates.is_empty(), "host candidate"),
        ] {
            if missing {
                return Err(AnswerError::Missing(what));
            }
        }
        Ok(())
    }
}

impl Section {
    fn open(media: &str) -> Self {
        let mut words = media.split(' ').skip(1);
        let rejected = words.next() == Some("0");
        let payload_types = words.skip(1).filter_map(|word| word.parse().ok()).collect();
        Self { rejected, payload_types, ..Self::default() }
    }

    fn attribute(&mut self, name: &str, value: &str) {
        match name {
            "mid" => value.clone_into(&mut self.mid),
            "sendrecv" => (self.sends, self.receives) = (true, true),
            "sendonly" => (self.sends, self.receives) = (true, false),
            "recvonly" => (self.sends, self.receives) = (false, true),
            "msid" => self.stream_name = value.split(' ').next().map(str::to_owned),
            "ssrc-group" => {
                let mut words = value.split(' ');
                if words.next() == Some("FID")
                    && let Some(primary) = words.next().and_then(|word| word.parse().ok())
                {
                    self.ssrc = Some((primary, words.next().and_then(|word| word.parse().ok())));
                }
            }
            "ssrc" => {
                if let Some(ssrc) = value.split(' ').next().and_then(|word| word.parse().ok()) {
                    if !self.sources.contains(&ssrc) {
                        self.sources.push(ssrc);
                    }
                    self.ssrc.get_or_insert((ssrc, None));
                }
            }
            _ => {}
        }
    }
}

/// The SDK strips `typ srflx` from answers, so that only hosts count.
fn host_candidate(value: &str) -> Option<SocketAddr> {
    let words: Vec<&str> = value.split(' ').collect();
    let [_, _, protocol, _, ip, port, "typ", "host", ..] = words.as_slice() else { return None };
    if !protocol.eq_ignore_ascii_case("udp") {
        return None;
    }
    Some(SocketAddr::new(ip.parse::<IpAddr>().ok()?, port.parse().ok()?))
}

fn fingerprint(value: &str) -> Option<Vec<u8>> {
    let hex = value.strip_prefix("sha-256 ")?;
    hex.split(':').map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}
