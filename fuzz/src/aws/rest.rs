//! From method, path, query, headers and body to a command, whatever they hold.
//!
//! Nothing here knows the calls there are: what is claimed holds of every call, those that are yet to come included.

use campanile_aws::error::Fault;
use campanile_aws::namespace::{Signs, caller, told};
use campanile_aws::parse::{command, document, resource_arn};
use campanile_aws::route::{Route, route, route_under};
use campanile_control::{AccountId, Command, Namespace};
use percent_encoding::percent_decode_str;

use super::wire::{LONGEST_ARN, NAMESPACES, SHORT_MESSAGE, Wire, check_refusal, coded};

/// A message may name each item of a list: 250 excluded attendees make the longest, with 128 characters of each.
const LONG_MESSAGE: usize = 192 << 10;

/// Takes the input as the text of a request.
pub fn run(data: &[u8]) {
    let Some(asked) = Wire::parse(data) else { return };
    let read = read(&asked);
    assert_eq!(read, self::read(&asked), "the same request reads differently the second time");
    check(&read);
    check_same_request(&asked, &read);
    check_endpoints(&asked, &read);
}

/// How far a request gets.
#[derive(Debug, Clone, PartialEq)]
enum Outcome {
    NoRoute(Fault),
    NoDocument(Route, Fault),
    Read(Route, Option<Namespace>, [Result<Command, Fault>; 2]),
}

fn account() -> AccountId {
    AccountId("000000000000".into())
}

fn read(asked: &Wire) -> Outcome {
    let route = match route(&asked.method, &asked.path, &asked.query) {
        Ok(route) => route,
        Err(error) => return Outcome::NoRoute(error.into()),
    };
    let document = match document(route.call, &asked.body) {
        Ok(document) => document,
        Err(error) => return Outcome::NoDocument(route, error.into()),
    };
    let signs =
        Signs { explicit: None, headers: &asked.headers, route: Some(&route), document: Some(&document) };
    let told = told(&signs);
    for namespace in NAMESPACES {
        assert_eq!(caller(&signs, Some(namespace)), told.unwrap_or(namespace));
        assert_eq!(caller(&Signs { explicit: Some(namespace), ..signs }, None), namespace);
    }
    let commands =
        NAMESPACES.map(|namespace| command(&route, &document, account(), namespace).map_err(Fault::from));
    if commands.iter().any(Result::is_ok) {
        // It goes into the answer if the command is refused later.
        let arn = resource_arn(&route, &document).unwrap_or_default();
        assert!(arn.len() <= LONGEST_ARN, "{arn}");
    }
    Outcome::Read(route, told, commands)
}

fn check(read: &Outcome) {
    match read {
        // A method is repeated in whole: the bound of a request's head is its bound.
        Outcome::NoRoute(fault) => check_refusal(fault, SHORT_MESSAGE),
        Outcome::NoDocument(_, fault) => check_refusal(fault, SHORT_MESSAGE),
        Outcome::Read(_, _, commands) => {
            for (command, namespace) in commands.iter().zip(NAMESPACES) {
                match command {
                    Ok(command) => {
                        assert_eq!((&command.account, command.namespace), (&account(), namespace));
                    }
                    Err(fault) => check_refusal(fault, LONG_MESSAGE),
                }
            }
        }
    }
}

/// A request that another client would write in another way is the same request.
fn check_same_request(asked: &Wire, read: &Outcome) {
    let rewritten = rewritten(asked);
    match (read, self::read(&rewritten)) {
        // The message shows the path as it was sent.
        (Outcome::NoRoute(fault), Outcome::NoRoute(again)) => assert_eq!(fault.cause, again.cause),
        (read, again) => assert_eq!(*read, again, "rewritten: {rewritten:?}"),
    }
}

/// Escapes where none are needed and slashes where one is enough; JSON with other blanks and its members in order.
fn rewritten(asked: &Wire) -> Wire {
    let again = |text: &str| coded(percent_decode_str(text).decode_utf8_lossy().as_bytes());
    let segments: Vec<_> = asked.path.split('/').filter(|segment| !segment.is_empty()).map(again).collect();
    let end = if asked.path.ends_with('/') && !segments.is_empty() { "//" } else { "" };
    let pairs = asked.query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        format!("&{}={}&", again(name), again(value))
    });
    let body = match serde_json::from_slice::<serde_json::Value>(&asked.body) {
        Ok(value) => serde_json::to_vec_pretty(&value).unwrap(),
        Err(_) => asked.body.clone(),
    };
    let path = format!("//{}{end}", segments.join("//"));
    Wire { path, query: pairs.collect(), body, ..asked.clone() }
}

/// Endpoints with a path lead to the same calls.
fn check_endpoints(asked: &Wire, read: &Outcome) {
    let Wire { method, path, query, .. } = asked;
    let route = match read {
        Outcome::NoRoute(_) => None,
        Outcome::NoDocument(route, _) | Outcome::Read(route, ..) => Some(route.clone()),
    };
    let under = route_under("/pre", method, &format!("/pre/{path}"), query);
    match (route, under) {
        (Some(route), under) => {
            assert_eq!(under.as_ref(), Ok(&route));
            if !route.console {
                let console = self::route(method, &format!("/console/{path}"), query);
                assert_eq!(console, Ok(Route { console: true, ..route }));
            }
        }
        (None, Ok(under)) => panic!("only under a path there is {under:?}"),
        (None, Err(error)) => {
            assert!(Fault::from(error).cause.status().is_client_error());
        }
    }
}
