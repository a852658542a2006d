//! Encryption that hides nothing and refuses nothing: a handshake of one record, ciphers that copy, and a message
//! integrity that is always the same. With it an input can be what a client would only send encrypted.

use std::time::{Duration, Instant};

use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion, KeyingMaterial};
use str0m::crypto::dtls::{
    DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion, SrtpProfile,
};
use str0m::crypto::{
    AeadAes128GcmCipher, AeadAes256GcmCipher, Aes128CmSha1_80Cipher, CryptoError, Sha1HmacProvider,
    SrtpProvider, SupportedAeadAes128Gcm, SupportedAeadAes256Gcm, SupportedAes128CmSha1_80,
    from_feature_flags,
};

/// The certificate of every client, as far as anybody looks at it.
pub const CLIENT_CERTIFICATE: &[u8] = b"a certificate";

/// An SRTP packet with this behind it, an SRTCP packet with this and [`SRTCP_INDEX`] is taken.
pub const TAG: [u8; 16] = [0; 16];
/// "Encrypted", and the first.
pub const SRTCP_INDEX: [u8; 4] = [0x80, 0, 0, 0];

/// RFC 7714 §12: two keys of 16 bytes, two salts of 12.
const KEYS: [u8; 56] = [0; 56];

/// The first byte of a record that is an alert (RFC 6347 §4.1): the client closes.
const ALERT: u8 = 21;

/// Later than any input lasts.
const NEVER: Duration = Duration::from_secs(1_000_000);

/// The provider whose sessions are open.
pub fn provider() -> CryptoProvider {
    CryptoProvider {
        srtp_provider: &Open,
        sha1_hmac_provider: &Open,
        dtls_provider: &Open,
        ..from_feature_flags()
    }
}

#[derive(Debug)]
struct Open;

impl Sha1HmacProvider for Open {
    fn sha1_hmac(&self, _key: &[u8], _payloads: &[&[u8]]) -> [u8; 20] {
        [0; 20]
    }
}

impl DtlsProvider for Open {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        None
    }

    fn new_dtls(
        &self,
        _certificate: &DtlsCert,
        now: Instant,
        _version: DtlsVersion,
        _mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        Ok(Box::new(Handshake { active: false, never: now + NEVER, state: State::Listening }))
    }
}

#[derive(Debug)]
struct Handshake {
    active: bool,
    never: Instant,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Listening,
    Heard,
    Connected,
    Known,
    Done,
    Bye,
}

impl DtlsInstance for Handshake {
    fn set_active(&mut self, active: bool) {
        self.active = active;
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        match self.state {
            State::Listening => self.state = State::Heard,
            State::Done if packet.first() == Some(&ALERT) => self.state = State::Bye,
            _ => {}
        }
        Ok(())
    }

    fn poll_output<'a>(&mut self, _buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        let (next, output) = match self.state {
            State::Heard => (State::Connected, DtlsOutput::Connected),
            State::Connected => (State::Known, DtlsOutput::PeerCert(CLIENT_CERTIFICATE)),
            State::Known => {
                let keys = KeyingMaterial::new(&KEYS);
                (State::Done, DtlsOutput::KeyingMaterial(keys, SrtpProfile::AEAD_AES_128_GCM))
            }
            State::Bye => (State::Done, DtlsOutput::CloseNotify),
            State::Listening | State::Done => (self.state, DtlsOutput::Timeout(self.never)),
        };
        self.state = next;
        output
    }

    fn handle_timeout(&mut self, _now: Instant) -> Result<(), DtlsImplError> {
        Ok(())
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        Ok(data.len())
    }

    fn is_active(&self) -> bool {
        self.active
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        None
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        Ok(())
    }
}

impl SrtpProvider for Open {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        &Open
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        &Open
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        &Open
    }

    fn srtp_aes_128_ecb_round(&self, _key: &[u8], _input: &[u8], _output: &mut [u8]) {}

    fn srtp_aes_256_ecb_round(&self, _key: &[u8], _input: &[u8], _output: &mut [u8]) {}
}

impl SupportedAeadAes128Gcm for Open {
    fn create_cipher(&self, _key: [u8; 16], _encrypt: bool) -> Box<dyn AeadAes128GcmCipher> {
        Box::new(Open)
    }
}

impl AeadAes128GcmCipher for Open {
    fn encrypt(
        &mut self,
        _iv: &[u8; 12],
        _aad: &[u8],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<(), CryptoError> {
        let (text, tag) = output.split_at_mut(input.len());
        text.copy_from_slice(input);
        tag.copy_from_slice(&TAG);
        Ok(())
    }

    fn decrypt(
        &mut self,
        _iv: &[u8; 12],
        _aads: &[&[u8]],
        input: &[u8],
        output: &mut [u8],
    ) -> Result<usize, CryptoError> {
        let text = input.strip_suffix(&TAG).ok_or_else(|| CryptoError::Other("no tag".to_owned()))?;
        output[..text.len()].copy_from_slice(text);
        Ok(text.len())
    }
}

impl SupportedAeadAes256Gcm for Open {
    fn create_cipher(&self, _key: [u8; 32], _encrypt: bool) -> Box<dyn AeadAes256GcmCipher> {
        unreachable!("the handshake chooses the other profile")
    }
}

impl SupportedAes128CmSha1_80 for Open {
    fn create_cipher(&self, _key: [u8; 16], _encrypt: bool) -> Box<dyn Aes128CmSha1_80Cipher> {
        unreachable!("the handshake chooses the other profile")
    }
}
