//! The five operations of the AWS API that a load test needs.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use campanile_aws::sigv4::{Request as Unsigned, Signer};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::body::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::exchange::exchange;

/// A service that does not answer within this is not there.
const PATIENCE: Duration = Duration::from_secs(20);

/// Most that BatchCreateAttendee takes (its API reference).
const BATCH: usize = 100;

/// Tries of one request that the service throttles or cannot answer now; between them the wait doubles.
const TRIES: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// Where a meeting is.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) meeting_id: String,
    pub(super) signaling_url: String,
    pub(super) audio_host: String,
}

/// An attendee that was made.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) attendee_id: String,
    pub(super) join_token: String,
}

/// The API at an endpoint.
#[derive(Debug)]
pub(super) struct Api {
    endpoint: String,
    host: HeaderValue,
    signer: Signer,
}

impl Api {
    pub(super) fn new(endpoint: &str, signer: Signer) -> anyhow::Result<Self> {
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let uri: Option<Uri> = endpoint.parse().ok();
        let uri = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
        let host = uri.as_ref().and_then(Uri::authority).map(|authority| authority.as_str());
        let host = host.and_then(|host| HeaderValue::from_str(host).ok());
        let host =
            host.ok_or_else(|| anyhow!("`{endpoint}` is no URL; write --endpoint http://HOST:PORT"))?;
        Ok(Self { endpoint, host, signer })
    }

    pub(super) async fn create_meeting(&self, name: &str, region: &str) -> anyhow::Result<Placed> {
        // The same token at every try: the second answer is the first one's meeting.
        let body = json!({"ClientRequestToken": name, "ExternalMeetingId": name, "MediaRegion": region});
        placed(&self.ask(Method::POST, "/meetings", "", &body).await?)
    }

    pub(super) async fn meeting(&self, meeting_id: &str) -> anyhow::Result<Placed> {
        placed(&self.ask(Method::GET, &format!("/meetings/{}", segment(meeting_id)), "", &Value::Null).await?)
    }

    /// Makes an attendee of each name; those that were made are pushed, even if the rest fails.
    pub(super) async fn create_attendees(
        &self,
        meeting_id: &str,
        names: &[String],
        made: &mut Vec<Member>,
    ) -> anyhow::Result<()> {
        let path = format!("/meetings/{}/attendees", segment(meeting_id));
        for names in names.chunks(BATCH) {
            let wanted: Vec<Value> = names.iter().map(|name| json!({"ExternalUserId": name})).collect();
            let body = json!({"Attendees": wanted});
            let answer = self.ask(Method::POST, &path, "operation=batch-create", &body).await?;
            for attendee in answer["Attendees"].as_array().into_iter().flatten() {
                let text = |member: &str| text(attendee, &format!("/{member}"));
                made.push(Member { attendee_id: text("AttendeeId")?, join_token: text("JoinToken")? });
            }
            if let Some(error) = answer["Errors"].get(0) {
                bail!("an attendee was not made: {error}");
            }
        }
        Ok(())
    }

    pub(super) async fn delete_meeting(&self, meeting_id: &str) -> anyhow::Result<()> {
        let path = format!("/meetings/{}", segment(meeting_id));
        self.ask(Method::DELETE, &path, "", &Value::Null).await.map(drop)
    }

    pub(super) async fn delete_attendees(&self, meeting_id: &str, members: &[Member]) -> anyhow::Result<()> {
        for member in members {
            let path =
                format!("/meetings/{}/attendees/{}", segment(meeting_id), segment(&member.attendee_id));
            self.ask(Method::DELETE, &path, "", &Value::Null).await?;
        }
        Ok(())
    }

    async fn ask(&self, method: Method, path: &str, query: &str, body: &Value) -> anyhow::Result<Value> {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let mut wait = FIRST_WAIT;
        let mut tries = 0;
        loop {
            tries += 1;
            let request = self.signed(&method, path, query, &body)?;
            let answered = tokio::time::timeout(PATIENCE, exchange(request)).await;
            let (status, answer) =
                answered.map_err(|_| anyhow!("{} does not answer", self.endpoint))?.with_context(|| {
                    format!(
                        "cannot reach {}; is the service running there? --endpoint URL names another",
                        self.endpoint
                    )
                })?;
            let again = status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE;
            if again && tries < TRIES {
                tokio::time::sleep(wait).await;
                wait *= 2;
                continue;
            }
            let value: Value = serde_json::from_slice(&answer).unwrap_or_default();
            if status.is_success() {
                return Ok(value);
            }
            let said = ["Message", "message"].iter().find_map(|member| value[member].as_str());
            bail!(
                "{method} {path}: {} ({} answered {status})",
                said.unwrap_or("no reason was given"),
                self.endpoint
            );
        }
    }

    fn signed(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        body: &Bytes,
    ) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, self.host.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let base: Uri = self.endpoint.parse()?;
        let prefix = base.path().trim_end_matches('/');
        let raw_path = format!("{prefix}{path}");
        let unsigned = Unsigned { method, raw_path: &raw_path, raw_query: query, headers: &headers, body };
        let signed = self.signer.sign(&unsigned, Timestamp::now());
        let signed =
            signed.context("the credentials cannot be sent: they have characters that no header can hold")?;
        let mark = if query.is_empty() { "" } else { "?" };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}{mark}{query}", self.endpoint))
            .body(Full::new(body.clone()))?;
        *request.headers_mut() = signed;
        Ok(request)
    }
}

fn placed(answer: &Value) -> anyhow::Result<Placed> {
    Ok(Placed {
        meeting_id: text(answer, "/Meeting/MeetingId")?,
        signaling_url: text(answer, "/Meeting/MediaPlacement/SignalingUrl")?,
        audio_host: text(answer, "/Meeting/MediaPlacement/AudioHostUrl")?,
    })
}

fn text(answer: &Value, pointer: &str) -> anyhow::Result<String> {
    let text = answer.pointer(pointer).and_then(Value::as_str);
    text.map(str::to_owned).with_context(|| format!("the service answered without {pointer}"))
}

/// A segment of a path: an id as it is; anything else so that it stays one segment.
fn segment(text: &str) -> String {
    const SEGMENT: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    percent_encoding::utf8_percent_encode(text, SEGMENT).to_string()
}
