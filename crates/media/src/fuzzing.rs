//! For fuzzing alone, behind a feature that no binary turns on.

use std::sync::Arc;

use str0m::config::CryptoProvider;

use crate::Worker;

impl Worker {
    /// All sessions to come use this. With ciphers that are none, what lies behind encryption can be fuzzed.
    pub fn set_crypto(&mut self, crypto: CryptoProvider) {
        self.shared.crypto = Arc::new(crypto);
    }
}
