//! The only place that writes to standard output and standard error by hand.

use std::io::{self, IsTerminal as _, Write};
use std::net::SocketAddr;

use crate::config::{AccessKey, Config, DEV_OPERATOR_KEY, Mode, OperatorKey};

/// One line that says why we stop.
pub(super) fn problem(text: &str) {
    // Nobody is left to tell if standard error is closed.
    let _ = writeln!(io::stderr(), "campanile: {text}");
}

/// How far something has come. A terminal shows the latest line only.
pub(super) fn progress(text: &str) {
    let mut out = io::stderr().lock();
    let _ = if out.is_terminal() { write!(out, "\r\x1b[K{text}") } else { writeln!(out, "{text}") };
    let _ = out.flush();
}

/// Nothing more will be told of it.
pub(super) fn progress_ends() {
    let mut out = io::stderr().lock();
    if out.is_terminal() {
        let _ = writeln!(out);
    }
}

/// A block of text on standard output. A reader that has gone away is no reason to stop.
pub(super) fn block(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// What the service is reached by, once it runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reached<'a> {
    pub(super) config: &'a Config,
    pub(super) endpoint: &'a str,
    pub(super) http: SocketAddr,
    pub(super) media: SocketAddr,
}

/// Ends the start of either way to run: of `dev` with everything that the next step needs.
pub(super) fn started(reached: &Reached<'_>) -> String {
    let Reached { config, endpoint, http, media } = reached;
    let mut text = format!("\nendpoint    {endpoint}\n");
    if config.mode == Mode::Dev {
        text += &format!("test call   {endpoint}/ui/meet\n");
    }
    let temporary =
        if config.store.temporary { " (temporary: removed at the end; --data-dir DIR keeps it)" } else { "" };
    text += &format!("data        {}{temporary}\n", config.store.data_dir.display());
    text += &format!("ports       {}\n", ports(*http, *media));
    if let (Mode::Dev, Some(key)) = (config.mode, config.auth.keys.first()) {
        text += &exports(endpoint, key, &config.auth.region);
        if let OperatorKey::Given(key) = &config.security.operator_key
            && key.reveal() != DEV_OPERATOR_KEY
        {
            text += &format!("export CAMPANILE_OPERATOR_KEY={}\n", quoted(key.reveal()));
        }
        text += &format!(
            "\naws chime-sdk-meetings create-meeting --endpoint-url {endpoint} --client-request-token demo \
             --media-region us-east-1 --external-meeting-id demo\n\nCtrl-C ends it.\n"
        );
    }
    text
}

/// Where we listen, for firewalls and port maps.
fn ports(http: SocketAddr, media: SocketAddr) -> String {
    let between = if http.ip() == media.ip() { String::new() } else { format!(" (on {})", http.ip()) };
    let (tcp, udp) = (http.port(), media.port());
    format!("{tcp}/tcp API, signaling, console{between}; {udp}/udp media (on {})", media.ip())
}

/// What makes the AWS SDKs and CLI of a shell speak to us.
fn exports(endpoint: &str, key: &AccessKey, region: &str) -> String {
    let pairs = [
        ("AWS_ENDPOINT_URL_CHIME_SDK_MEETINGS", endpoint),
        ("AWS_ENDPOINT_URL_CHIME", endpoint),
        ("AWS_ACCESS_KEY_ID", &key.id),
        ("AWS_SECRET_ACCESS_KEY", key.secret.reveal()),
        ("AWS_REGION", region),
        ("AWS_DEFAULT_REGION", region),
    ];
    let lines = pairs.map(|(name, value)| format!("export {name}={}\n", quoted(value)));
    format!("\n{}", lines.concat())
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:[]@%+=,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::{Overrides, load};

    #[test]
    fn dev_prints_what_the_next_step_needs() {
        let flags = Overrides { data_dir: Some(PathBuf::from("/tmp/data")), ..Overrides::default() };
        let config = load(Mode::Dev, None, [], flags).unwrap();
        let (http, media) = ("127.0.0.1:8080".parse().unwrap(), "127.0.0.1:3478".parse().unwrap());
        let text = started(&Reached { config: &config, endpoint: "http://127.0.0.1:8080", http, media });
        insta::assert_snapshot!(text);
    }

    #[test]
    fn ports_on_two_addresses_are_told_apart() {
        let (http, media) = ("127.0.0.1:8080".parse().unwrap(), "0.0.0.0:3478".parse().unwrap());
        let expected = "8080/tcp API, signaling, console (on 127.0.0.1); 3478/udp media (on 0.0.0.0)";
        assert_eq!(ports(http, media), expected);
    }

    #[test]
    fn words_survive_the_shell() {
        for word in ["plain-word_1", "with space", "it's", "", "$(rm -rf x)", "a\"b\\c", "*", "new\nline"] {
            let shell = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", quoted(word))])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(shell.stdout).unwrap(), word);
        }
    }
}
