//! Join tokens: who may take which seat in which meeting, provable without asking the store.
//!
//! `base32lower(version, key id, meeting, attendee, generation, HMAC-SHA256 truncated to 20 bytes)`. Only
//! `[a-z2-7]`, because the token travels as a WebSocket subprotocol and, from old clients, in a query string.

use campanile_control::ids::{AttendeeId, MeetingId};
use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// What the client appends to the token (and to the attendee id) for the session that carries its content share.
pub const CONTENT_SUFFIX: &str = "#content";

/// The number of characters of a token, without [`CONTENT_SUFFIX`].
pub const TOKEN_LENGTH: usize = 93;

const VERSION: u8 = 1;
const MAC_LENGTH: usize = 20;
const BODY_LENGTH: usize = 1 + 1 + 16 + 16 + 4;
/// Separates this use of the secret from any other.
const LABEL: &[u8] = b"join";

/// The secret that join tokens are made and checked with.
#[derive(Clone)]
pub struct JoinTokenKey {
    key_id: u8,
    secret: [u8; 32],
}

impl std::fmt::Debug for JoinTokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinTokenKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// What a token says, once it has been found to be ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims {
    /// The meeting to join.
    pub meeting: MeetingId,
    /// Who joins it.
    pub attendee: AttendeeId,
    /// Must equal the generation that the store has for this attendee; raising that one revokes the token.
    pub generation: u32,
    /// The token carried [`CONTENT_SUFFIX`]: this is the session of the attendee's content share.
    pub content: bool,
}

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Wrong length, wrong characters, or a version that we never wrote.
    #[error("not a join token of this service")]
    Malformed,
    /// Made with another key than this one.
    #[error("made with key {0}")]
    OtherKey(u8),
    /// Shaped like ours, made by somebody else.
    #[error("wrong signature")]
    Forged,
}

impl JoinTokenKey {
    /// `key_id` goes into each token in clear, so that keys can be changed while meetings last.
    pub fn new(key_id: u8, secret: [u8; 32]) -> Self {
        Self { key_id, secret }
    }

    /// The number that this key's tokens carry.
    pub fn key_id(&self) -> u8 {
        self.key_id
    }

    /// The token of this attendee: the same each time it is asked for.
    pub fn mint(&self, meeting: MeetingId, attendee: AttendeeId, generation: u32) -> String {
        let mut bytes = Vec::with_capacity(BODY_LENGTH + MAC_LENGTH);
        bytes.push(VERSION);
        bytes.push(self.key_id);
        bytes.extend_from_slice(meeting.0.as_bytes());
        bytes.extend_from_slice(attendee.0.as_bytes());
        bytes.extend_from_slice(&generation.to_be_bytes());
        let mac = self.mac(&bytes);
        bytes.extend_from_slice(&mac);
        BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()
    }

    /// Checks a token as the client presents it, with or without [`CONTENT_SUFFIX`].
    ///
    /// Whether the meeting and the attendee still exist, and with this generation, is for the caller to find out.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        let (token, content) = match token.strip_suffix(CONTENT_SUFFIX) {
            Some(base) => (base, true),
            None => (token, false),
        };
        let canonical = |byte: u8| matches!(byte, b'a'..=b'z' | b'2'..=b'7');
        if token.len() != TOKEN_LENGTH || !token.bytes().all(canonical) {
            return Err(TokenError::Malformed);
        }
        let bytes =
            BASE32_NOPAD.decode(token.to_ascii_uppercase().as_bytes()).map_err(|_| TokenError::Malformed)?;
        let (body, presented) = bytes.split_at_checked(BODY_LENGTH).ok_or(TokenError::Malformed)?;
        let mut reader = Reader(body);
        let ([version], [key_id]) = (reader.take()?, reader.take()?);
        if version != VERSION {
            return Err(TokenError::Malformed);
        }
        if key_id != self.key_id {
            return Err(TokenError::OtherKey(key_id));
        }
        if !bool::from(self.mac(body).as_slice().ct_eq(presented)) {
            return Err(TokenError::Forged);
        }
        Ok(Claims {
            meeting: MeetingId(Uuid::from_bytes(reader.take()?)),
            attendee: AttendeeId(Uuid::from_bytes(reader.take()?)),
            generation: u32::from_be_bytes(reader.take()?),
            content,
        })
    }

    fn mac(&self, body: &[u8]) -> [u8; MAC_LENGTH] {
        let mut mac = Hmac::<Sha256>::new(&self.secret_block());
        mac.update(LABEL);
        mac.update(body);
        let full: [u8; 32] = mac.finalize().into_bytes().into();
        let mut truncated = [0; MAC_LENGTH];
        truncated.copy_from_slice(full.first_chunk::<MAC_LENGTH>().unwrap_or(&[0; MAC_LENGTH]));
        truncated
    }

    /// The secret as HMAC's full key block: RFC 2104 pads a short key with zeros, and a key of this form is the
    /// one that cannot have a wrong length.
    fn secret_block(&self) -> hmac::digest::Key<Hmac<Sha256>> {
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        for (to, from) in block.iter_mut().zip(self.secret) {
            *to = from;
        }
        block
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], TokenError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(TokenError::Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> JoinTokenKey {
        JoinTokenKey::new(7, [42; 32])
    }

    fn ids() -> (MeetingId, AttendeeId) {
        (MeetingId(Uuid::from_u128(0x11)), AttendeeId(Uuid::from_u128(0x22)))
    }

    #[test]
    fn mints_what_the_wire_can_carry() {
        let (meeting, attendee) = ids();
        let token = key().mint(meeting, attendee, 3);
        assert_eq!(token.len(), TOKEN_LENGTH);
        assert!(token.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7')), "{token}");
        assert_eq!(token, key().mint(meeting, attendee, 3), "derivable again");
    }

    #[test]
    fn the_form_does_not_change_between_releases() {
        let (meeting, attendee) = ids();
        // Computed by other means: python's hmac and base64 over the same bytes.
        assert_eq!(
            key().mint(meeting, attendee, 3),
            "aedqaaaaaaaaaaaaaaaaaaaaaaabcaaaaaaaaaaaaaaaaaaaaaaaaiqaaaaahnqczi3uroas2mnuzfp6ryo2p57idie4a"
        );
    }

    #[test]
    fn verifies_with_and_without_content() {
        let (meeting, attendee) = ids();
        let token = key().mint(meeting, attendee, 9);
        let claims = Claims { meeting, attendee, generation: 9, content: false };
        assert_eq!(key().verify(&token), Ok(claims));
        assert_eq!(key().verify(&format!("{token}#content")), Ok(Claims { content: true, ..claims }));
        assert_eq!(key().verify(&format!("{token}#content#content")), Err(TokenError::Malformed));
        assert_eq!(key().verify(&format!("{token}#else")), Err(TokenError::Malformed));
    }

    #[test]
    fn refuses_other_keys_and_other_forms() {
        let (meeting, attendee) = ids();
        let token = key().mint(meeting, attendee, 0);
        assert_eq!(JoinTokenKey::new(8, [42; 32]).verify(&token), Err(TokenError::OtherKey(7)));
        assert_eq!(JoinTokenKey::new(7, [43; 32]).verify(&token), Err(TokenError::Forged));
        let shouted = token.to_uppercase();
        for form in ["", "#content", "fake-join-token", &shouted, &token[1..], &format!("{token}a")] {
            assert_eq!(key().verify(form), Err(TokenError::Malformed), "{form}");
        }
    }

    #[test]
    fn debug_keeps_the_secret() {
        assert_eq!(format!("{:?}", key()), "JoinTokenKey { key_id: 7, .. }");
    }

    proptest! {
        #[test]
        fn every_changed_character_is_noticed(at in 0..TOKEN_LENGTH, to in "[a-z2-7]") {
            let (meeting, attendee) = ids();
            let token = key().mint(meeting, attendee, 1);
            let mut forged = token.clone();
            forged.replace_range(at..=at, &to);
            prop_assert_eq!(key().verify(&forged).is_ok(), forged == token);
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = key().verify(&text);
        }
    }
}
