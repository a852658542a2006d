//! The ready file: for scripts that start the service and want to know when, and where, it accepts.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;

use crate::config::{Config, Mode, OperatorKey};
use crate::keys::random_text;

/// Distinguishes drafts of processes that write the same file.
const DRAFT_BYTES: usize = 5;

/// What stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Ready {
    endpoint: String,
    region: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key_id: Option<String>,
    /// Not in `serve`: there the operator has it, and another copy would be one too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_access_key: Option<String>,
    /// As with the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    operator_key: Option<String>,
    console_url: String,
    pid: u32,
}

impl Ready {
    pub(super) fn new(config: &Config, endpoint: &str) -> Ready {
        let key = config.auth.keys.first();
        Ready {
            endpoint: endpoint.to_owned(),
            region: config.auth.region.clone(),
            access_key_id: key.map(|key| key.id.clone()),
            secret_access_key: key
                .filter(|_| config.mode == Mode::Dev)
                .map(|key| key.secret.reveal().to_owned()),
            operator_key: match &config.security.operator_key {
                OperatorKey::Given(key) if config.mode == Mode::Dev => Some(key.reveal().to_owned()),
                OperatorKey::Given(_) | OperatorKey::File(_) => None,
            },
            console_url: format!("{endpoint}/ui/"),
            pid: std::process::id(),
        }
    }

    /// Writes it whole or not at all: a draft beside it, renamed. Only its owner can read it.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        let draft = path.with_extension(format!("{}.draft", random_text(DRAFT_BYTES)));
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            file.write_all(&text)?;
            std::fs::rename(&draft, path)
        };
        write().inspect_err(|_| drop(std::fs::remove_file(&draft)))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::{Overrides, load};

    #[test]
    fn it_has_its_seven_members_and_leaves_no_draft() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ready.json");
        std::fs::write(&path, "of an earlier run").unwrap();
        let config = load(Mode::Dev, None, [], Overrides::default()).unwrap();
        Ready::new(&config, "http://127.0.0.1:8080").write(&path).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let expected = serde_json::json!({
            "endpoint": "http://127.0.0.1:8080",
            "region": "us-east-1",
            "access_key_id": "campanile-dev",
            "secret_access_key": "campanile-dev-secret",
            "operator_key": "campanile-dev-operator",
            "console_url": "http://127.0.0.1:8080/ui/",
            "pid": std::process::id(),
        });
        assert_eq!(read, expected);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn serve_writes_no_secret() {
        let environment =
            [("CAMPANILE_AUTH__ACCESS_KEY_ID", "a"), ("CAMPANILE_AUTH__SECRET_ACCESS_KEY", "hush")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = load(Mode::Serve, None, environment, Overrides::default()).unwrap();
        let text = serde_json::to_string(&Ready::new(&config, "http://h")).unwrap();
        assert!(!text.contains("hush"), "{text}");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let config = load(Mode::Dev, None, [], Overrides::default()).unwrap();
        assert!(Ready::new(&config, "http://h").write(&dir.path().join("no/such/dir")).is_err());
    }
}
