//! What settings mean, source by source and rule by rule.

use std::path::{Path, PathBuf};

use super::settings::Settings;
use super::*;

const EXAMPLE: &str = include_str!("../../../../config/example.toml");

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn dev(flags: Overrides) -> Result<Config, ConfigError> {
    load(Mode::Dev, None, [], flags)
}

/// `serve` with keys and what else the environment says.
fn serve(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let keys = [("CAMPANILE_AUTH__ACCESS_KEY_ID", "AKID"), ("CAMPANILE_AUTH__SECRET_ACCESS_KEY", "hush")];
    let keys = keys.iter().filter(|(key, _)| pairs.iter().all(|(name, _)| name != key));
    let pairs: Vec<_> = keys.chain(pairs).copied().collect();
    load(Mode::Serve, None, environment(&pairs), Overrides::default())
}

fn refusal(result: Result<Config, ConfigError>) -> String {
    let text = result.map(|config| format!("{config:?}")).unwrap_err().to_string();
    assert!(!text.contains('\n'), "one line: {text}");
    text
}

fn file(dir: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = dir.path().join("campanile.toml");
    std::fs::write(&path, text).unwrap();
    path
}

/// The example with its commented keys made real.
fn uncommented() -> String {
    let is_key = |line: &str| {
        line.strip_prefix('#')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()) && rest.contains(" = "))
    };
    EXAMPLE.lines().map(|line| if is_key(line) { &line[1..] } else { line }).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_parses_and_has_every_key() {
    toml::from_str::<Settings>(EXAMPLE).unwrap();
    let settings: Settings = toml::from_str(&uncommented()).unwrap();
    let keys = serde_json::to_value(&settings).unwrap();
    for (table, keys) in keys.as_object().unwrap() {
        for (key, value) in keys.as_object().unwrap() {
            assert!(!value.is_null(), "config/example.toml does not have {table}.{key}");
        }
    }
}

#[test]
fn the_example_shows_the_true_defaults() {
    let dir = tempfile::tempdir().unwrap();
    // What has no default stands there as a sample.
    let samples = ["public_url", "public_address", "access_key_id", "secret_access_key"];
    let lines = uncommented();
    let lines: Vec<_> =
        lines.lines().filter(|line| !samples.iter().any(|key| line.starts_with(key))).collect();
    let path = file(&dir, &lines.join("\n"));
    let keys = environment(&[
        ("CAMPANILE_AUTH__ACCESS_KEY_ID", "AKID"),
        ("CAMPANILE_AUTH__SECRET_ACCESS_KEY", "hush"),
    ]);
    let written = load(Mode::Serve, Some(&path), keys, Overrides::default()).unwrap();
    assert_eq!(format!("{written:?}"), format!("{:?}", serve(&[]).unwrap()));
}

#[test]
fn later_sources_win() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "[http]\nlisten = \"127.0.0.1:1\"\nmax_connections = 7\n[log]\nlevel = \"warn\"");
    let from_environment = environment(&[
        ("CAMPANILE_AUTH__ACCESS_KEY_ID", "AKID"),
        ("CAMPANILE_AUTH__SECRET_ACCESS_KEY", "hush"),
        ("CAMPANILE_HTTP__LISTEN", "127.0.0.1:2"),
        ("CAMPANILE_HTTP__MAX_CONNECTIONS", "8"),
        ("CAMPANILE_LOG__LEVEL", ""),
        ("CAMPANILE_CONFIG", "not a setting"),
        ("OTHER_HTTP__LISTEN", "not ours"),
    ]);
    let flags = Overrides { http: Some("127.0.0.1:3".to_owned()), ..Overrides::default() };
    let config = load(Mode::Serve, Some(&path), from_environment, flags).unwrap();
    assert_eq!(config.http.listen.port(), 3);
    assert_eq!(config.http.max_connections, 8);
    assert_eq!(config.log.level, "warn");
}

#[test]
fn unknown_keys_are_named_with_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "[http]\nlisten = \"127.0.0.1:0\"\nlissten = \"x\"\n");
    let text = refusal(load(Mode::Serve, Some(&path), [], Overrides::default()));
    assert!(text.contains("lissten") && text.contains("line 3") && text.contains("campanile.toml"), "{text}");
    let path = file(&dir, "[notify]\nx = 1\n");
    assert!(refusal(load(Mode::Serve, Some(&path), [], Overrides::default())).contains("notify"));
    assert!(refusal(serve(&[("CAMPANILE_HTTP__LISSTEN", "x")])).contains("CAMPANILE_HTTP__LISSTEN"));
    assert!(refusal(serve(&[("CAMPANILE_HTP__LISTEN", "x")])).contains("CAMPANILE_HTP__LISTEN"));
    let text = refusal(load(Mode::Serve, Some(Path::new("/no/such.toml")), [], Overrides::default()));
    assert!(text.contains("/no/such.toml"), "{text}");
}

#[test]
fn errors_speak_of_what_the_user_wrote() {
    let flags = Overrides { http: Some("nonsense".to_owned()), ..Overrides::default() };
    let text = refusal(dev(flags));
    assert!(text.starts_with("--http: `nonsense`") && text.contains("127.0.0.1:8080"), "{text}");
    let text = refusal(serve(&[("CAMPANILE_MEDIA__LISTEN", "3478")]));
    assert!(text.starts_with("CAMPANILE_MEDIA__LISTEN: `3478`"), "{text}");
    let table = [
        ("CAMPANILE_HTTP__PUBLIC_URL", "meet.example.org"),
        ("CAMPANILE_HTTP__PUBLIC_URL", "ftp://h"),
        ("CAMPANILE_HTTP__PUBLIC_URL", "https://h/path"),
        ("CAMPANILE_HTTP__PUBLIC_URL", "https://a:b@h"),
        ("CAMPANILE_HTTP__MAX_CONNECTIONS", "0"),
        ("CAMPANILE_HTTP__MAX_CONNECTIONS", "many"),
        ("CAMPANILE_MEDIA__PUBLIC_ADDRESS", "host:port"),
        ("CAMPANILE_MEDIA__PUBLIC_ADDRESS", "no-such-host.invalid"),
        ("CAMPANILE_STORE__URL", "postgres://h/db"),
        ("CAMPANILE_STORE__URL", "sqlite::memory:"),
        ("CAMPANILE_STORE__URL", "sqlite:"),
        ("CAMPANILE_AUTH__MODE", "off"),
        ("CAMPANILE_AUTH__ACCOUNT", "12"),
        ("CAMPANILE_AUTH__REGION", "US East"),
        ("CAMPANILE_AUTH__ACCESS_KEY_ID", "a/b"),
        ("CAMPANILE_AUTH__SECRET_ACCESS_KEY_FILE", "/no/such/secret"),
        ("CAMPANILE_LIMITS__MEETINGS", "0"),
        ("CAMPANILE_LIMITS__ATTENDEES", "251"),
        ("CAMPANILE_LIMITS__ATTENDEES", "-1"),
        ("CAMPANILE_LOG__LEVEL", "campanile=loud"),
        ("CAMPANILE_LOG__FORMAT", "xml"),
    ];
    for (variable, value) in table {
        let text = refusal(serve(&[(variable, value)]));
        assert!(text.contains(variable), "{variable}={value}: {text}");
    }
}

#[test]
fn dev_needs_nothing() {
    let config = dev(Overrides::default()).unwrap();
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.media.listen.to_string(), "127.0.0.1:3478");
    assert_eq!(config.auth.keys[0].id, DEV_ACCESS_KEY_ID);
    assert_eq!(config.auth.keys[0].secret.reveal(), DEV_SECRET_ACCESS_KEY);
    assert_eq!(config.auth.mode, AuthMode::Strict);
    assert_eq!(config.auth.account, "000000000000");
    assert!(config.store.temporary);
    assert_ne!(config.store.data_dir, dev(Overrides::default()).unwrap().store.data_dir);
    assert_eq!(config.http.endpoint(config.http.listen), "http://127.0.0.1:8080");
    assert_eq!(config.media.audio_host(config.media.listen), "127.0.0.1:3478");
    let flags = Overrides {
        http: Some("localhost:0".to_owned()),
        data_dir: Some("d".into()),
        ..Overrides::default()
    };
    let config = dev(flags).unwrap();
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:0");
    assert_eq!(config.store.url, "sqlite:d/campanile.db");
    assert_eq!(config.store.data_dir, Path::new("d"));
    assert_eq!(config.security.master_key_file, Path::new("d/master.key"));
    assert!(!config.store.temporary);
}

#[test]
fn dev_sets_no_limit_to_the_number_of_meetings() {
    assert_eq!(dev(Overrides::default()).unwrap().limits.control.meetings, u32::MAX);
    assert_eq!(serve(&[]).unwrap().limits.control.meetings, 250);
    let variable = environment(&[("CAMPANILE_LIMITS__MEETINGS", "3")]);
    let told = load(Mode::Dev, None, variable, Overrides::default()).unwrap();
    assert_eq!(told.limits.control.meetings, 3);
}

#[test]
fn dev_leaves_loopback_only_when_told_to() {
    for address in ["0.0.0.0:8080", "192.0.2.1:8080", "[::]:8080"] {
        let flags = Overrides { http: Some(address.to_owned()), ..Overrides::default() };
        let text = refusal(dev(flags));
        assert!(text.contains("--http") && text.contains("--bind"), "{text}");
        let flags = Overrides { media: Some(address.to_owned()), ..Overrides::default() };
        assert!(refusal(dev(flags)).contains("--media"));
    }
    let variable = environment(&[("CAMPANILE_HTTP__LISTEN", "0.0.0.0:8080")]);
    assert!(refusal(load(Mode::Dev, None, variable, Overrides::default())).contains("--bind"));
}

fn bound(bind: &str, advertise: Option<&str>) -> Overrides {
    Overrides {
        bind: Some(bind.parse().unwrap()),
        advertise: advertise.map(str::to_owned),
        ..Overrides::default()
    }
}

#[test]
fn beyond_loopback_keys_are_random() {
    let text = refusal(dev(bound("0.0.0.0", None)));
    assert!(text.contains("--advertise"), "{text}");
    let config = dev(bound("0.0.0.0", Some("192.0.2.7"))).unwrap();
    assert_eq!(config.http.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(config.media.listen.to_string(), "0.0.0.0:3478");
    assert_eq!(config.http.endpoint(config.http.listen), "http://192.0.2.7:8080");
    assert_eq!(config.media.candidate(config.media.listen).to_string(), "192.0.2.7:3478");
    let other = dev(bound("0.0.0.0", Some("192.0.2.7"))).unwrap();
    assert_ne!(config.auth.keys[0].id, DEV_ACCESS_KEY_ID);
    assert_ne!(config.auth.keys[0].secret, other.auth.keys[0].secret);
    assert!(config.auth.keys[0].secret.reveal().len() >= 20);

    let config = dev(bound("192.0.2.1", None)).unwrap();
    assert_eq!(config.http.endpoint(config.http.listen), "http://192.0.2.1:8080");
    let own = Overrides {
        access_key_id: Some("mine".to_owned()),
        secret_access_key: Some("my own secret".to_owned()),
        ..bound("192.0.2.1", None)
    };
    assert_eq!(dev(own).unwrap().auth.keys[0].secret.reveal(), "my own secret");
    let known =
        Overrides { secret_access_key: Some(DEV_SECRET_ACCESS_KEY.to_owned()), ..bound("192.0.2.1", None) };
    assert_ne!(dev(known).unwrap().auth.keys[0].secret.reveal(), DEV_SECRET_ACCESS_KEY);
    let loopback = dev(bound("127.0.0.1", None)).unwrap();
    assert_eq!(loopback.auth.keys[0].id, DEV_ACCESS_KEY_ID);
    let ipv6 = dev(bound("::1", None)).unwrap();
    assert_eq!(ipv6.http.endpoint(ipv6.http.listen), "http://[::1]:8080");
    assert_eq!(ipv6.media.audio_host(ipv6.media.listen), "[::1]:3478");
    let twice = Overrides { http: Some("192.0.2.9:80".to_owned()), ..bound("192.0.2.1", None) };
    assert!(refusal(dev(twice)).contains("--bind"));
}

#[test]
fn serve_wants_keys_of_its_own() {
    let with = |pairs: &[(&str, &str)]| load(Mode::Serve, None, environment(pairs), Overrides::default());
    let said = refusal(with(&[]));
    assert!(
        said.contains("auth.access_key_id is not set") && said.contains("CAMPANILE_AUTH__ACCESS_KEY_ID"),
        "{said}"
    );
    assert!(refusal(with(&[("CAMPANILE_AUTH__ACCESS_KEY_ID", "a")])).contains("secret_access_key"));
    assert!(refusal(serve(&[("CAMPANILE_AUTH__ACCESS_KEY_ID", DEV_ACCESS_KEY_ID)])).contains("public"));
    assert!(
        refusal(serve(&[("CAMPANILE_AUTH__SECRET_ACCESS_KEY", DEV_SECRET_ACCESS_KEY)])).contains("public")
    );
    let config = with(&[("CAMPANILE_AUTH__MODE", "any-credentials")]).unwrap();
    assert!(config.auth.keys.is_empty());
    let text = refusal(serve(&[
        ("CAMPANILE_AUTH__MODE", "any-credentials"),
        ("CAMPANILE_HTTP__LISTEN", "0.0.0.0:80"),
        ("CAMPANILE_HTTP__PUBLIC_URL", "http://h"),
    ]));
    assert!(text.contains("loopback"), "{text}");
}

#[test]
fn secrets_may_stand_in_files() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "from a file\n").unwrap();
    let secret = secret.to_str().unwrap();
    let path = file(&dir, &format!("[auth]\naccess_key_id = \"a\"\nsecret_access_key_file = {secret:?}\n"));
    let config = load(Mode::Serve, Some(&path), [], Overrides::default()).unwrap();
    assert_eq!(config.auth.keys[0].secret.reveal(), "from a file");
    // A later source replaces either form.
    let later = environment(&[("CAMPANILE_AUTH__SECRET_ACCESS_KEY", "from the environment")]);
    let config = load(Mode::Serve, Some(&path), later, Overrides::default()).unwrap();
    assert_eq!(config.auth.keys[0].secret.reveal(), "from the environment");
    let both = format!(
        "[auth]\naccess_key_id = \"a\"\nsecret_access_key = \"b\"\nsecret_access_key_file = {secret:?}\n"
    );
    assert!(
        refusal(load(Mode::Serve, Some(&file(&dir, &both)), [], Overrides::default())).contains("not both")
    );
}

#[test]
fn every_address_needs_a_public_one() {
    assert!(refusal(serve(&[("CAMPANILE_HTTP__LISTEN", "0.0.0.0:80")])).contains("http.public_url"));
    assert!(refusal(serve(&[("CAMPANILE_MEDIA__LISTEN", "[::]:3478")])).contains("media.public_address"));
    let config = serve(&[
        ("CAMPANILE_HTTP__LISTEN", "0.0.0.0:80"),
        ("CAMPANILE_HTTP__PUBLIC_URL", "https://meet.example/"),
        ("CAMPANILE_MEDIA__LISTEN", "0.0.0.0:3478"),
        ("CAMPANILE_MEDIA__PUBLIC_ADDRESS", "192.0.2.5:4000"),
    ])
    .unwrap();
    assert_eq!(config.http.endpoint(config.http.listen), "https://meet.example");
    assert_eq!(config.media.candidate(config.media.listen).to_string(), "192.0.2.5:4000");
    let named = serve(&[("CAMPANILE_MEDIA__PUBLIC_ADDRESS", "localhost")]).unwrap();
    assert_eq!(named.media.audio_host(named.media.listen), "localhost:3478");
    assert_eq!(named.media.candidate(named.media.listen).to_string(), "127.0.0.1:3478");
}

#[test]
fn secrets_do_not_show() {
    assert!(!format!("{:?}", serve(&[]).unwrap()).contains("hush"));
}
