//! The accept loop: who gets a connection, and how long each may take to say what it wants.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};
use tower::ServiceExt as _;

use crate::observe;
use crate::shutdown::{REQUESTS_PATIENCE, Shutdown};

/// From the first moment of a connection, or the end of its last answer, to a whole request head. Idle keep-alive
/// connections end by it too; SDKs open a new one without being seen to.
const HEAD_PATIENCE: Duration = Duration::from_secs(20);
/// An answer of which the client takes nothing for this long is not read at all. Nothing else would ever end such a
/// connection, and it holds a place.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);
/// A head is at most a few KiB (a signed request with a session token). A larger one is answered 431, as are
/// more than 100 header lines, which is hyper's own bound.
const LARGEST_HEAD: usize = 32 << 10;
/// What one connection may make us hold of its input, and of an answer it does not read.
const LARGEST_BUFFER: usize = 64 << 10;
/// Without file descriptors accepting would fail in a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that the kernel keeps for us while we are busy.
const BACKLOG: u32 = 1024;
/// A connection that finds no place gets this answer and the end. SDKs try again after a 503.
const FULL: &str = r#"{"Code":"ServiceUnavailable","Message":"Too many connections to the server"}"#;

/// Binds the listener. `SO_REUSEADDR` lets a restart follow at once.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket =
        if address.is_ipv4() { tokio::net::TcpSocket::new_v4()? } else { tokio::net::TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts until the shutdown begins, then lets requests in flight finish for a while.
pub async fn serve(listener: TcpListener, router: Router, max_connections: usize, shutdown: Shutdown) {
    let places = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    let mut ending = pin!(shutdown.begun());
    loop {
        tokio::select! {
            biased;
            () = &mut ending => break,
            // Forgets those that are done, so that the set holds open connections only.
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => match Arc::clone(&places).try_acquire_owned() {
                    Ok(place) => drop(connections.spawn(converse(stream, from, place, router.clone(), shutdown.clone()))),
                    Err(_) => turn_away(&stream, from),
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(REQUESTS_PATIENCE, finished).await.is_err() {
        tracing::warn!("requests were cut off by the end of the service");
    }
}

fn turn_away(stream: &TcpStream, from: SocketAddr) {
    observe::connection_refused();
    tracing::debug!(%from, "no place for a connection (http.max_connections)");
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\nRetry-After: 1\r\nx-amzn-ErrorType: ServiceUnavailableException\r\n\r\n{FULL}",
        FULL.len()
    );
    // A fresh socket takes so little at once; one that does not is simply closed.
    let _ = stream.try_write(answer.as_bytes());
}

async fn converse(
    stream: TcpStream,
    from: SocketAddr,
    place: OwnedSemaphorePermit,
    router: Router,
    shutdown: Shutdown,
) {
    // Answers and frames are small and someone waits for each.
    let _ = stream.set_nodelay(true);
    let service = router.map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(from));
        request.map(axum::body::Body::new)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_header_size(LARGEST_HEAD)
        .max_buf_size(LARGEST_BUFFER)
        .serve_connection(TokioIo::new(Placed::new(stream, place)), TowerToHyperService::new(service))
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.begun() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%from, %error, "a connection ended in an error");
    }
}

/// A connection with its place. It keeps the place when it becomes a WebSocket.
struct Placed {
    stream: TcpStream,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

impl Placed {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit) -> Placed {
        observe::connections(1.0);
        Placed { stream, stalled: None, _place: place }
    }

    /// Passes on what became of a write, until none has got anywhere for too long.
    fn patiently(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(WRITE_PATIENCE)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        observe::connections(-1.0);
    }
}

impl AsyncRead for Placed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Placed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.patiently(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.patiently(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn pair() -> (Placed, TcpStream) {
        let listener = bind(([127, 0, 0, 1], 0).into()).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        (Placed::new(listener.accept().await.unwrap().0, place), client)
    }

    /// More than the kernel holds for one connection.
    const LONG: usize = 64 << 20;

    #[tokio::test(start_paused = true)]
    async fn who_reads_nothing_is_not_waited_for() {
        let (mut placed, _client) = pair().await;
        let error = placed.write_all(&vec![0; LONG]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_reads_slowly_gets_it_all() {
        let (mut placed, mut client) = pair().await;
        let reader = tokio::spawn(async move { client.read_to_end(&mut Vec::new()).await.unwrap() });
        placed.write_all(&vec![0; LONG]).await.unwrap();
        drop(placed);
        assert_eq!(reader.await.unwrap(), LONG);
    }
}
