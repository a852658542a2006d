//! Whose request is this? Host against DNS rebinding, Origin against foreign pages.
//!
//! A page on the internet can make a browser send requests to 127.0.0.1, and by DNS rebinding even read the
//! answers. `dev` has public keys, so there the Host must be a name that only this machine answers to, and a
//! page that speaks to us must come from this machine. In `serve` every request proves itself (SigV4, join
//! token) and the names are the operator's, so nothing is checked.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, Uri, header};

use crate::config::{AuthMode, Config, Mode, bracketed};

/// Header values are echoed in the refusal; this much of them is enough to recognise.
const LONGEST_ECHO: usize = 100;
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    #[error(
        "the Host `{0}` is not a name of this service: use {1}, or set http.public_url to the address you use"
    )]
    Host(String, String),
    #[error("pages from `{0}` may not use this")]
    Page(String),
}

impl Foreign {
    /// The header at fault, for the metric.
    pub fn header(&self) -> &'static str {
        match self {
            Foreign::Host(..) => "host",
            Foreign::Page(_) => "origin",
        }
    }
}

/// The names of this service, and who may speak to it.
#[derive(Debug, Clone)]
pub struct OriginRules {
    enforced: bool,
    endpoint: String,
    /// The port that belongs to the names below.
    port: u16,
    /// Names and addresses beyond loopback's.
    hosts: Vec<String>,
    /// `http.public_url` and those of regions, where the port is the operator's.
    public: Vec<Authority>,
}

/// `host:port` in lower case; the port may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Authority {
    host: String,
    port: Option<u16>,
}

impl Authority {
    fn parse(text: &str) -> Option<Authority> {
        let authority: http::uri::Authority = text.parse().ok()?;
        let plain = !text.contains('@') && !authority.host().is_empty();
        let port = authority.port().map(|port| port.as_u16());
        // `host:` and `host:99999` parse, but not as a port.
        let whole = port.is_some() || !text.trim_end_matches(']').contains(':') || text.ends_with(']');
        (plain && whole).then(|| Authority { host: authority.host().to_ascii_lowercase(), port })
    }

    /// An Origin: `scheme://host[:port]`, no more.
    /// Of a URL, with the port that its scheme implies.
    fn with_port(url: &str) -> Option<Authority> {
        let (scheme, authority) = Authority::of_origin(url)?;
        Some(Authority { port: authority.port.or(default_port(scheme)), ..authority })
    }

    fn of_origin(text: &str) -> Option<(&str, Authority)> {
        let (scheme, rest) = text.split_once("://")?;
        Some((scheme, Authority::parse(rest)?))
    }
}

/// Whether a request to this Host, as a header has it, goes to that URL: a port that the scheme implies may be left out.
pub fn leads_to(host: &str, url: &str) -> bool {
    let (Some(asked), Some(known)) = (Authority::parse(host), Authority::with_port(url)) else {
        return false;
    };
    asked.host == known.host && (asked.port.is_none() || asked.port == known.port)
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

/// Names that no resolver may send elsewhere (RFC 6761 §6.3), and the loopback addresses.
pub fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}

impl OriginRules {
    /// The rules of a service whose listener is bound to `bound`.
    pub fn new(config: &Config, bound: SocketAddr) -> OriginRules {
        let mut hosts = Vec::new();
        if !bound.ip().is_unspecified() {
            hosts.push(bracketed(&bound.ip().to_string()));
        }
        hosts.extend(config.http.public_host.as_deref().map(|host| bracketed(host).to_ascii_lowercase()));
        let urls = config.regions.iter().map(|region| &region.public_url);
        let urls = std::iter::once(&config.http.public_url).chain(urls).flatten();
        let public = urls.filter_map(|url| Authority::with_port(url)).collect();
        OriginRules {
            // With any credentials let in, nothing else stands between a foreign page and the API.
            enforced: config.mode == Mode::Dev || config.auth.mode == AuthMode::AnyCredentials,
            endpoint: config.http.endpoint(bound),
            port: bound.port(),
            hosts,
            public,
        }
    }

    /// The Host must be a name of ours, with our port.
    pub fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Foreign> {
        if !self.enforced {
            return Ok(());
        }
        let host = host_of(uri, headers);
        match host.and_then(Authority::parse) {
            Some(authority) if self.is_ours(&authority, "http") => Ok(()),
            _ => Err(Foreign::Host(echo(host.unwrap_or("")), self.endpoint.clone())),
        }
    }

    /// The AWS API: SDKs send no Origin, our own page may.
    pub fn check_api(&self, headers: &HeaderMap) -> Result<(), Foreign> {
        self.check_page(headers, |scheme, authority| self.is_ours(authority, scheme))
    }

    /// Signaling and the client's other URLs: the pages of an application that is developed on this machine, on
    /// whatever port its own server has, or on the host that we are advertised as.
    pub fn check_client(&self, headers: &HeaderMap) -> Result<(), Foreign> {
        self.check_page(headers, |_, authority| {
            let public = self.public.iter().any(|public| public.host == authority.host);
            public || is_loopback(&authority.host) || self.hosts.contains(&authority.host)
        })
    }

    /// The console's own endpoints: the page must come from the very origin it calls. Holds in every mode.
    pub fn check_same_origin(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Foreign> {
        let site = headers.get(SEC_FETCH_SITE).map(|value| value.to_str().unwrap_or("?"));
        if let Some(site) = site.filter(|site| !["same-origin", "none"].contains(site)) {
            let page = format!("{} ({})", origin(headers).unwrap_or_default(), echo(site));
            return Err(Foreign::Page(page.trim_start().to_owned()));
        }
        let Some(origin) = origin(headers) else {
            // Browsers send an Origin with every POST; this is a tool of the machine's owner.
            return Ok(());
        };
        let ours = host_of(uri, headers).and_then(Authority::parse);
        match Authority::of_origin(&origin) {
            Some((_, authority)) if ours == Some(authority.clone()) => Ok(()),
            _ => Err(Foreign::Page(origin)),
        }
    }

    fn check_page(
        &self,
        headers: &HeaderMap,
        allowed: impl Fn(&str, &Authority) -> bool,
    ) -> Result<(), Foreign> {
        match origin(headers) {
            Some(origin) if self.enforced => match Authority::of_origin(&origin) {
                Some((scheme, authority)) if allowed(scheme, &authority) => Ok(()),
                _ => Err(Foreign::Page(origin)),
            },
            _ => Ok(()),
        }
    }

    fn is_ours(&self, authority: &Authority, scheme: &str) -> bool {
        let port = authority.port.or(default_port(scheme));
        let known = is_loopback(&authority.host) || self.hosts.contains(&authority.host);
        let public = self.public.iter().any(|public| {
            // Behind TLS the Host has no port where the URL has none, and we cannot see the scheme.
            public.host == authority.host && (authority.port.is_none() || authority.port == public.port)
        });
        public || (known && port == Some(self.port))
    }
}

/// The one Host header; an absolute request target (RFC 9112 §3.2.2) wins over it.
pub fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    if let Some(authority) = uri.authority() {
        return Some(authority.as_str());
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    hosts.next().is_none().then_some(host)
}

/// The Origin header, for comparing and for echoing. Several, or bytes that are no text, are nobody's origin.
fn origin(headers: &HeaderMap) -> Option<String> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let first = origins.next()?;
    if origins.next().is_some() {
        return Some("several origins".to_owned());
    }
    Some(first.to_str().map_or_else(|_| "an unreadable origin".to_owned(), echo))
}

fn echo(text: &str) -> String {
    text.chars().take(LONGEST_ECHO).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, load};

    fn rules(mode: Mode, flags: Overrides, bound: &str) -> OriginRules {
        let environment =
            [("CAMPANILE_AUTH__ACCESS_KEY_ID", "a"), ("CAMPANILE_AUTH__SECRET_ACCESS_KEY", "b")];
        let environment = environment.map(|(key, value)| (key.to_owned(), value.to_owned()));
        OriginRules::new(&load(mode, None, environment, flags).unwrap(), bound.parse().unwrap())
    }

    fn dev() -> OriginRules {
        rules(Mode::Dev, Overrides::default(), "127.0.0.1:8080")
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn host_ok(rules: &OriginRules, host: &str) -> bool {
        rules.check_host(&Uri::from_static("/meetings"), &headers(&[("host", host)])).is_ok()
    }

    #[test]
    fn a_host_leads_to_its_url_with_or_without_the_port_of_the_scheme() {
        for (host, url, leads) in [
            ("fra.example.org", "https://fra.example.org", true),
            ("FRA.example.org:443", "https://fra.example.org", true),
            ("fra.example.org:8080", "http://fra.example.org:8080", true),
            ("fra.example.org:80", "https://fra.example.org", false),
            ("par.example.org", "https://fra.example.org", false),
            ("", "https://fra.example.org", false),
        ] {
            assert_eq!(leads_to(host, url), leads, "{host} {url}");
        }
    }

    #[test]
    fn dev_answers_to_loopback_names_with_its_port() {
        let ours = ["127.0.0.1:8080", "localhost:8080", "LocalHost:8080", "[::1]:8080", "app.localhost:8080"];
        for host in ours {
            assert!(host_ok(&dev(), host), "{host}");
        }
        let foreign = [
            "evil.example:8080",
            "evil.example",
            "localhost",
            "localhost:80",
            "127.0.0.1:8081",
            "10.0.0.1:8080",
            "127.0.0.1.evil.example:8080",
            "localhost.evil.example:8080",
            "user@localhost:8080",
            "",
            ":8080",
            "localhost:8080:8080",
            "localhost:",
            "localhost:99999",
        ];
        for host in foreign {
            assert!(!host_ok(&dev(), host), "{host}");
        }
        let two = headers(&[("host", "127.0.0.1:8080")]);
        let mut two_hosts = two.clone();
        two_hosts.append("host", "evil.example".parse().unwrap());
        assert!(dev().check_host(&Uri::from_static("/"), &two_hosts).is_err());
        assert!(dev().check_host(&Uri::from_static("/"), &HeaderMap::new()).is_err());
        assert!(dev().check_host(&Uri::from_static("http://evil.example:8080/"), &two).is_err());
    }

    #[test]
    fn dev_answers_to_what_it_is_advertised_as() {
        let flags = Overrides {
            bind: Some("0.0.0.0".parse().unwrap()),
            advertise: Some("192.0.2.7".to_owned()),
            ..Overrides::default()
        };
        let rules = rules(Mode::Dev, flags, "0.0.0.0:8080");
        assert!(host_ok(&rules, "192.0.2.7:8080"));
        assert!(host_ok(&rules, "localhost:8080"));
        assert!(!host_ok(&rules, "192.0.2.8:8080"));
        assert!(rules.check_client(&headers(&[("origin", "http://192.0.2.7:3000")])).is_ok());
    }

    #[test]
    fn dev_answers_to_its_public_url() {
        let flags = Overrides { public_url: Some("https://meet.example".to_owned()), ..Overrides::default() };
        let rules = rules(Mode::Dev, flags, "127.0.0.1:8080");
        assert!(host_ok(&rules, "meet.example"));
        assert!(host_ok(&rules, "meet.example:443"));
        assert!(!host_ok(&rules, "meet.example:8080"));
    }

    #[test]
    fn pages_that_may_speak_to_the_api_and_to_signaling() {
        // origin, may call the API, may use signaling
        let table = [
            ("http://127.0.0.1:8080", true, true),
            ("http://localhost:8080", true, true),
            ("http://localhost:3000", false, true),
            ("https://localhost", false, true),
            ("http://[::1]:5173", false, true),
            ("capacitor://localhost", false, true),
            ("https://evil.example", false, false),
            ("http://localhost.evil.example:3000", false, false),
            ("http://evil.example:8080", false, false),
            ("null", false, false),
            ("file://", false, false),
            ("", false, false),
        ];
        for (origin, api, client) in table {
            let headers = headers(&[("origin", origin)]);
            assert_eq!(dev().check_api(&headers).is_ok(), api, "api {origin}");
            assert_eq!(dev().check_client(&headers).is_ok(), client, "client {origin}");
        }
        assert!(dev().check_api(&HeaderMap::new()).is_ok());
        assert!(dev().check_client(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn the_console_serves_only_itself() {
        let uri = Uri::from_static("/ui/api/test-call");
        let check = |pairs: &[(&'static str, &str)]| dev().check_same_origin(&uri, &headers(pairs)).is_ok();
        let host = ("host", "localhost:8080");
        assert!(check(&[host]));
        assert!(check(&[host, ("origin", "http://localhost:8080"), ("sec-fetch-site", "same-origin")]));
        assert!(!check(&[host, ("origin", "http://localhost:3000")]));
        assert!(!check(&[host, ("origin", "http://127.0.0.1:8080")]));
        assert!(!check(&[host, ("origin", "http://localhost:8080"), ("sec-fetch-site", "same-site")]));
        assert!(!check(&[host, ("sec-fetch-site", "cross-site")]));
        assert!(!check(&[host, ("origin", "null")]));
    }

    #[test]
    fn serve_asks_for_proof_not_for_names() {
        let rules = rules(Mode::Serve, Overrides::default(), "127.0.0.1:8080");
        assert!(host_ok(&rules, "anything.example"));
        assert!(rules.check_client(&headers(&[("origin", "https://app.example")])).is_ok());
        assert!(rules.check_api(&headers(&[("origin", "https://app.example")])).is_ok());
    }
}
