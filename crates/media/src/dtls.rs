//! str0m's cryptography, with one DTLS configuration for all sessions.
//!
//! dimpl tries out its key exchanges and signatures whenever a configuration is built, and str0m's own provider builds
//! one for each session: 0.6 ms of the worker's time for every client that joins.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion};
use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion};
use str0m::crypto::{CryptoError, from_feature_flags};

/// A flight of the handshake that is not answered is sent again after so long, then after twice as long each time: RFC 6347
/// §4.2.4.1 allows less than its second to those who must not keep people waiting, and a round trip takes less nearly
/// everywhere. Browsers begin at 50 ms or more.
const FIRST_RESEND: Duration = Duration::from_millis(250);

/// Half a minute in all.
const RESENDS: usize = 7;

/// What every worker gives its sessions; for clients of ours too.
pub fn crypto() -> CryptoProvider {
    static SHARED: Shared = Shared { config: OnceLock::new() };
    CryptoProvider { dtls_provider: &SHARED, ..from_feature_flags() }
}

#[derive(Debug)]
struct Shared {
    config: OnceLock<Config>,
}

#[derive(Clone)]
struct Config {
    mtu: Option<usize>,
    dimpl: Arc<dimpl::Config>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("mtu", &self.mtu).finish_non_exhaustive()
    }
}

impl Config {
    fn new(mtu: Option<usize>) -> Result<Config, CryptoError> {
        // ICE has proven the client's address before its handshake is looked at: no cookie is needed.
        let builder = dimpl::Config::builder()
            .use_server_cookie(false)
            .flight_start_rto(FIRST_RESEND)
            .flight_retries(RESENDS);
        let builder = match mtu {
            Some(mtu) => builder.mtu(mtu),
            None => builder,
        };
        let dimpl = builder.build().map_err(|error| CryptoError::Other(error.to_string()))?;
        Ok(Config { mtu, dimpl: Arc::new(dimpl) })
    }
}

impl DtlsProvider for Shared {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        from_feature_flags().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let config = match self.config.get() {
            Some(config) if config.mtu == mtu => config.clone(),
            Some(_) => Config::new(mtu)?,
            None => {
                let config = Config::new(mtu)?;
                self.config.get_or_init(|| config.clone());
                config
            }
        };
        let (config, certificate) = (config.dimpl, certificate.clone());
        let dtls = match version {
            DtlsVersion::Dtls12 => dimpl::Dtls::new_12(config, certificate, now),
            DtlsVersion::Dtls13 => dimpl::Dtls::new_13(config, certificate, now),
            DtlsVersion::Auto => dimpl::Dtls::new_auto(config, certificate, now),
            other => return Err(CryptoError::Other(format!("{other} is not supported"))),
        };
        Ok(Box::new(Instance(dtls)))
    }
}

struct Instance(dimpl::Dtls);

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Instance")
    }
}

impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        self.0.poll_output(buffer)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_share_one_configuration() {
        let shared = Shared { config: OnceLock::new() };
        let certificate = shared.generate_certificate().unwrap();
        let make = |mtu| shared.new_dtls(&certificate, Instant::now(), DtlsVersion::Dtls12, mtu).map(drop);
        let config = || Arc::clone(&shared.config.get().unwrap().dimpl);
        make(Some(1_150)).unwrap();
        let first = config();
        for mtu in [Some(1_150), Some(1_200), None] {
            make(mtu).unwrap();
            assert!(Arc::ptr_eq(&first, &config()));
        }
        assert_eq!(Arc::strong_count(&first), 2, "what sessions had of it is gone with them");
    }
}
