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
    let samples = [
        "public_url",
        "public_address",
        "access_key_id",
        "secret_access_key",
        "operator_key",
        "sqs_",
        "sns_",
        "lambda_",
        "eventbridge_endpoint",
        "webhook_",
        "file =",
        "endpoint",
        // The one of [transcription].
        "region = \"eu-central-1\"",
    ];
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
fn an_engine_is_there_once_it_has_a_key() {
    let none = serve(&[]).unwrap();
    assert!(none.transcription.is_none() && !none.limits.rules.transcription);
    let key = ("CAMPANILE_TRANSCRIPTION__ACCESS_KEY_ID", "AKIDENGINE");
    let secret = ("CAMPANILE_TRANSCRIPTION__SECRET_ACCESS_KEY", "hush");
    let endpoint = ("CAMPANILE_TRANSCRIPTION__ENDPOINT", "http://127.0.0.1:1");
    let config = serve(&[key, secret, endpoint]).unwrap();
    assert!(config.limits.rules.transcription);
    let engine = config.transcription.unwrap();
    assert_eq!((engine.access_key_id.as_str(), engine.secret_access_key.reveal()), ("AKIDENGINE", "hush"));
    assert_eq!((engine.endpoint.as_deref(), engine.region), (Some("http://127.0.0.1:1"), None));
    for (given, named) in [
        (&[key][..], "secret_access_key"),
        (&[secret], "access_key_id"),
        (&[endpoint], "access_key_id"),
        (
            &[key, secret, ("CAMPANILE_TRANSCRIPTION__ENDPOINT", "transcribe")],
            "CAMPANILE_TRANSCRIPTION__ENDPOINT",
        ),
    ] {
        let error = serve(given).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
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
    let path = file(&dir, "[notices]\nx = 1\n");
    assert!(refusal(load(Mode::Serve, Some(&path), [], Overrides::default())).contains("notices"));
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
    assert_eq!(dev(Overrides::default()).unwrap().limits.rules.limits.meetings, u32::MAX);
    assert_eq!(serve(&[]).unwrap().limits.rules.limits.meetings, 250);
    let variable = environment(&[("CAMPANILE_LIMITS__MEETINGS", "3")]);
    let told = load(Mode::Dev, None, variable, Overrides::default()).unwrap();
    assert_eq!(told.limits.rules.limits.meetings, 3);
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
    assert_eq!(config.media.candidate(config.media.listen, 0).to_string(), "192.0.2.7:3478");
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
    assert_eq!(config.media.candidate(config.media.listen, 0).to_string(), "192.0.2.5:4000");
    assert_eq!(config.media.candidate(config.media.listen, 2).to_string(), "192.0.2.5:4002");
    let named = serve(&[("CAMPANILE_MEDIA__PUBLIC_ADDRESS", "localhost")]).unwrap();
    assert_eq!(named.media.audio_host(named.media.listen), "localhost:3478");
    assert_eq!(named.media.candidate(named.media.listen, 0).to_string(), "127.0.0.1:3478");
}

#[test]
fn secrets_do_not_show() {
    assert!(!format!("{:?}", serve(&[]).unwrap()).contains("hush"));
}

#[test]
fn meetings_end_by_the_rules_that_are_set() {
    use jiff::SignedDuration;
    let ends = |pairs: &[(&str, &str)]| serve(pairs).unwrap().limits.ends;
    assert_eq!(ends(&[]), EndRules::TODAY);
    assert_eq!(ends(&[("CAMPANILE_LIMITS__END_RULES", "2019")]), EndRules::OF_2019);
    let own = ends(&[
        ("CAMPANILE_LIMITS__IDLE", "2s"),
        ("CAMPANILE_LIMITS__ALONE", "1h30m"),
        ("CAMPANILE_LIMITS__AGE", "never"),
    ]);
    assert_eq!(own.idle, Some(SignedDuration::from_secs(2)));
    assert_eq!(own.alone, Some(SignedDuration::from_mins(90)));
    assert_eq!(own.age, None);
    let mixed = ends(&[("CAMPANILE_LIMITS__END_RULES", "2019"), ("CAMPANILE_LIMITS__ALONE", "never")]);
    assert_eq!((mixed.alone, mixed.unwatched), (None, EndRules::OF_2019.unwatched));
    for text in ["0s", "-5m", "soon", "5"] {
        let said = refusal(serve(&[("CAMPANILE_LIMITS__IDLE", text)]));
        assert!(said.starts_with(&format!("CAMPANILE_LIMITS__IDLE: `{text}` must be a duration")), "{said}");
    }
    assert!(refusal(serve(&[("CAMPANILE_LIMITS__END_RULES", "2020")])).contains("\"today\" or \"2019\""));
    assert!(refusal(serve(&[("CAMPANILE_LIMITS__REPLICAS", "41")])).contains("from 0 to 40"));
    assert_eq!(serve(&[("CAMPANILE_LIMITS__REPLICAS", "0")]).unwrap().limits.rules.limits.replicas, 0);
}

#[test]
fn tiles_and_the_directory_of_recordings_can_be_set() {
    let config = serve(&[]).unwrap();
    assert_eq!(config.limits.tiles, 25);
    assert_eq!(config.recording.directory, config.store.data_dir.join("recordings"));
    let config =
        serve(&[("CAMPANILE_LIMITS__TILES", "4"), ("CAMPANILE_RECORDING__DIRECTORY", "/srv/r")]).unwrap();
    assert_eq!((config.limits.tiles, config.recording.directory.as_path()), (4, Path::new("/srv/r")));
    for text in ["0", "26"] {
        assert!(refusal(serve(&[("CAMPANILE_LIMITS__TILES", text)])).contains("from 1 to 25"));
    }
}

fn region_names(config: &Config) -> Vec<&str> {
    config.regions.iter().map(|region| region.name.as_str()).collect()
}

#[test]
fn regions_are_names_or_tables() {
    assert_eq!(region_names(&dev(Overrides::default()).unwrap()), ["us-east-1", "us-west-2"]);
    assert_eq!(region_names(&serve(&[]).unwrap()), ["us-east-1"]);
    let named = serve(&[("CAMPANILE_MEDIA__REGIONS", "eu-west-1, us-east-1")]).unwrap();
    assert_eq!(region_names(&named), ["eu-west-1", "us-east-1"]);
    assert_eq!(named.limits.rules.regions.len(), 2);

    let listed = serve(&[("CAMPANILE_MEDIA__REGIONS", "[\"a-1\", \"b-2\"]")]).unwrap();
    assert_eq!(region_names(&listed), ["a-1", "b-2"]);
    let tables = "{ eu-west-1 = { public_url = \"https://dub.example.org\" }, us-east-1 = {} }";
    let tables = serve(&[("CAMPANILE_MEDIA__REGIONS", tables)]).unwrap();
    assert_eq!(region_names(&tables), ["eu-west-1", "us-east-1"]);
    assert_eq!(tables.regions[0].public_url.as_deref(), Some("https://dub.example.org"));

    let dir = tempfile::tempdir().unwrap();
    let from = |text: &str| {
        let path = file(&dir, text);
        let keys = [("CAMPANILE_AUTH__ACCESS_KEY_ID", "AKID"), ("CAMPANILE_AUTH__SECRET_ACCESS_KEY", "hush")];
        load(Mode::Serve, Some(&path), environment(&keys), Overrides::default())
    };
    let listed = from("[media]\nregions = [\"a-1\", \"b-2\"]").unwrap();
    assert_eq!(region_names(&listed), ["a-1", "b-2"]);
    let tables = from(
        "[media.regions.eu-central-1]\npublic_url = \"https://fra.example.org\"\npublic_address = \"fra.example.org:3999\"\n\
         [media.regions.eu-west-1]",
    )
    .unwrap();
    assert_eq!(region_names(&tables), ["eu-central-1", "eu-west-1"]);
    assert_eq!(tables.regions[0].public_url.as_deref(), Some("https://fra.example.org"));
    assert_eq!(tables.regions[0].public_address, Some(("fra.example.org".into(), Some(3999))));
    assert_eq!(tables.regions[1].public_url, None);

    for (text, part) in [
        ("[media]\nregions = []", "is empty"),
        ("[media]\nregions = \"a-1,a-1\"", "names `a-1` twice"),
        ("[media]\nregions = \"x\"", "`x` is no name of a region"),
        ("[media]\nregions = \"us east\"", "`us east` is no name of a region"),
        ("[media]\nregions = \"[us-east-1\"", "`[us-east-1` is no TOML"),
        (
            "[media.regions.eu-west-1]\npublic_address = \"h:80\"",
            "eu-west-1.public_address: the public media port 80",
        ),
        ("[media]\nregions = 5", "`5` is no list of regions"),
        ("[media]\nregions = [5]", "`5` is no region's name"),
        ("[media.regions.eu-west-1]\nhost = \"x\"", "region eu-west-1: unknown field `host`"),
        ("[media.regions.eu-west-1]\npublic_url = \"x\"", "eu-west-1.public_url: `x` must look like"),
        ("[media.regions.eu-west-1]\nnode_group = \"paris\"", "node group `paris`"),
    ] {
        let said = refusal(from(text));
        assert!(said.contains(part), "{text}: {said}");
    }
    assert!(
        from("[media]\nnode_group = \"paris\"\n[media.regions.eu-west-1]\nnode_group = \"paris\"").is_ok()
    );
}

#[test]
fn the_api_leaves_some_choices() {
    let api = |pairs: &[(&str, &str)]| serve(pairs).unwrap().api;
    let plain = ApiConfig { prefix: String::new(), namespace: None, validation_exception: false };
    assert_eq!(api(&[]), plain);
    assert_eq!(api(&[("CAMPANILE_API__NAMESPACE", "auto")]), plain);
    let told = api(&[
        ("CAMPANILE_API__NAMESPACE", "chime"),
        ("CAMPANILE_API__PREFIX", "/pre/fix/"),
        ("CAMPANILE_API__CONSTRAINT_ERROR", "ValidationException"),
    ]);
    let expected = ApiConfig {
        prefix: "/pre/fix".into(),
        namespace: Some(Namespace::Chime),
        validation_exception: true,
    };
    assert_eq!(told, expected);
    let rules = serve(&[("CAMPANILE_API__TOKEN_REUSE", "conflict")]).unwrap().limits.rules;
    assert_eq!(rules.token_reuse, campanile_control::TokenReuse::Conflict);
    for (name, value, part) in [
        ("CAMPANILE_API__NAMESPACE", "old", "must be \"auto\""),
        ("CAMPANILE_API__CONSTRAINT_ERROR", "x", "must be \"BadRequestException\""),
        ("CAMPANILE_API__TOKEN_REUSE", "x", "must be \"return\""),
        ("CAMPANILE_API__PREFIX", "pre", "must be a path"),
        ("CAMPANILE_API__PREFIX", "/a b", "must be a path"),
        ("CAMPANILE_API__PREFIX", "/control", "is a path of the service's own"),
        ("CAMPANILE_API__PREFIX", "/pre/../x", "is a path of the service's own"),
    ] {
        let said = refusal(serve(&[(name, value)]));
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn the_operators_key_is_known_in_dev_and_made_in_serve() {
    let key = |config: Config| match config.security.operator_key {
        OperatorKey::Given(secret) => secret.reveal().to_owned(),
        OperatorKey::File(path) => path.display().to_string(),
    };
    assert_eq!(key(dev(Overrides::default()).unwrap()), DEV_OPERATOR_KEY);
    assert_eq!(key(serve(&[]).unwrap()), "/var/lib/campanile/operator.key");
    assert_eq!(key(serve(&[("CAMPANILE_SECURITY__OPERATOR_KEY", "hush")]).unwrap()), "hush");
    let beyond = Overrides { bind: Some([192, 0, 2, 1].into()), ..Overrides::default() };
    assert_ne!(key(dev(beyond).unwrap()), DEV_OPERATOR_KEY);
    assert!(refusal(serve(&[("CAMPANILE_SECURITY__OPERATOR_KEY", DEV_OPERATOR_KEY)])).contains("public"));
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, " from-a-file \n");
    let path = path.display().to_string();
    assert_eq!(key(serve(&[("CAMPANILE_SECURITY__OPERATOR_KEY_FILE", &path)]).unwrap()), "from-a-file");
}

#[test]
fn faults_that_make_no_sense_are_refused() {
    let with = |text: &str| dev(Overrides { faults: vec![text.to_owned()], ..Overrides::default() });
    assert_eq!(with("CreateMeeting:1:lost").unwrap().faults.len(), 1);
    assert!(refusal(with("CreateMeeting:1:Boom")).starts_with("--fault: `CreateMeeting:1:Boom`: `Boom`"));
}

#[test]
fn workers_have_bounds_and_ports() {
    let config = serve(&[("CAMPANILE_MEDIA__WORKERS", "4"), ("CAMPANILE_MEDIA__ATTENDEES_PER_WORKER", "50")]);
    let media = config.unwrap().media;
    assert_eq!((media.workers, media.attendees_per_worker), (4, 50));
    for (variable, value) in [
        ("CAMPANILE_MEDIA__WORKERS", "0"),
        ("CAMPANILE_MEDIA__WORKERS", "65"),
        ("CAMPANILE_MEDIA__ATTENDEES_PER_WORKER", "0"),
    ] {
        assert!(refusal(serve(&[(variable, value)])).contains(value), "{variable}={value}");
    }
    let last = [("CAMPANILE_MEDIA__LISTEN", "127.0.0.1:65535"), ("CAMPANILE_MEDIA__WORKERS", "2")];
    assert!(refusal(serve(&last)).contains("65535"));
}
