//! A stand-in of Amazon Transcribe streaming, for tests: HTTP/2 without TLS, and its event stream.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder, read_message_from, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

type Piece = Result<Frame<Bytes>, std::io::Error>;

/// What a request gets.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    /// A stream that is open until the other side ends it.
    Stream,
    /// A status and the name of an error.
    Refuse(u16, &'static str),
}

/// One server; its answers are used up one after the other.
pub(super) struct StandIn {
    pub(super) endpoint: String,
    asked: mpsc::UnboundedReceiver<Parts>,
    heard: mpsc::UnboundedReceiver<Vec<u8>>,
    /// The way back on the stream that was opened last.
    back: Arc<Mutex<Option<mpsc::UnboundedSender<Piece>>>>,
}

#[derive(Clone)]
struct Shared {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: mpsc::UnboundedSender<Parts>,
    heard: mpsc::UnboundedSender<Vec<u8>>,
    back: Arc<Mutex<Option<mpsc::UnboundedSender<Piece>>>>,
}

impl StandIn {
    pub(super) async fn start(answers: Vec<Answer>) -> StandIn {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let ((to_asked, asked), (to_heard, heard)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let back = Arc::default();
        let answers = Arc::new(Mutex::new(answers.into()));
        let shared = Shared { answers, asked: to_asked, heard: to_heard, back: Arc::clone(&back) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                let service = service_fn(move |request| answer(shared.clone(), request));
                let builder = http2::Builder::new(TokioExecutor::new());
                tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
            }
        });
        StandIn { endpoint, asked, heard, back }
    }

    /// The head of the next request.
    pub(super) async fn asked(&mut self) -> Parts {
        self.asked.recv().await.unwrap()
    }

    /// The next piece of sound.
    pub(super) async fn heard(&mut self) -> Vec<u8> {
        self.heard.recv().await.unwrap()
    }

    /// Says something on the stream that was opened last.
    pub(super) fn say(&self, kind: &str, name: &str, body: &Value) {
        let header =
            |name: String, value: &str| Header::new(name, HeaderValue::String(value.to_owned().into()));
        let message = Message::new(body.to_string())
            .add_header(header(":message-type".to_owned(), kind))
            .add_header(header(format!(":{kind}-type"), name))
            .add_header(header(":content-type".to_owned(), "application/json"));
        let mut bytes = Vec::new();
        write_message_to(&message, &mut bytes).unwrap();
        self.back.lock().unwrap().as_ref().unwrap().send(Ok(Frame::data(bytes.into()))).unwrap();
    }

    /// Breaks that stream.
    pub(super) fn cut(&self) {
        let broken = std::io::Error::other("cut");
        self.back.lock().unwrap().take().unwrap().send(Err(broken)).unwrap();
    }
}

async fn answer(
    shared: Shared,
    request: Request<Incoming>,
) -> Result<Response<UnsyncBoxBody<Bytes, std::io::Error>>, Infallible> {
    let (head, body) = request.into_parts();
    let _ = shared.asked.send(head);
    let answer = shared.answers.lock().unwrap().pop_front().unwrap();
    Ok(match answer {
        Answer::Refuse(status, name) => {
            let body = json!({ "Message": "said the stand-in" }).to_string();
            let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync();
            Response::builder().status(status).header("x-amzn-errortype", name).body(body).unwrap()
        }
        Answer::Stream => {
            let (back, forth) = mpsc::unbounded_channel();
            *shared.back.lock().unwrap() = Some(back.clone());
            tokio::spawn(listen(body, shared, back));
            let stream = futures_util::stream::unfold(forth, |mut forth| async move {
                forth.recv().await.map(|piece| (piece, forth))
            });
            Response::new(StreamBody::new(stream).boxed_unsync())
        }
    })
}

/// Takes each event out of the message that signs it. Once the other side has said that there is no more, the way back
/// ends too.
async fn listen(mut body: Incoming, shared: Shared, back: mpsc::UnboundedSender<Piece>) {
    let (mut decoder, mut buffer) = (MessageFrameDecoder::new(), BytesMut::new());
    while let Some(Ok(frame)) = body.frame().await {
        buffer.extend_from_slice(&frame.into_data().unwrap_or_default());
        while let DecodedFrame::Complete(signed) = decoder.decode_frame(&mut buffer).unwrap() {
            if !signed.payload().is_empty() {
                let event = read_message_from(&mut signed.payload().clone()).unwrap();
                let _ = shared.heard.send(event.payload().to_vec());
            }
        }
    }
    drop(back);
    shared.back.lock().unwrap().take();
}
