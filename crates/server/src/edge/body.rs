//! Request bodies, never larger and never slower than they may be.

use std::time::Duration;

use axum::body::{Body, Bytes};
use campanile_aws::error::{Cause, Fault};
use http_body_util::BodyExt as _;

/// A body must be whole this long after its head.
const PATIENCE: Duration = Duration::from_secs(10);
/// A client that is still sending does not hear an answer, it sees a broken pipe. So this much beyond the limit is
/// read and thrown away before the refusal.
const READ_OUT: usize = 16 << 20;

/// Reads a body of at most `limit` bytes.
pub async fn read(body: Body, limit: usize) -> Result<Bytes, Fault> {
    match tokio::time::timeout(PATIENCE, collect(body, limit)).await {
        Ok(read) => read,
        Err(_) => {
            let message = format!("The body did not arrive within {} seconds.", PATIENCE.as_secs());
            Err(Fault::new(Cause::BadRequest, message))
        }
    }
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, Fault> {
    let mut whole = Vec::new();
    let mut seen = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Fault::new(Cause::BadRequest, "The body ended before its end."))?;
        let Ok(data) = frame.into_data() else { continue };
        seen = seen.saturating_add(data.len());
        if seen <= limit {
            whole.extend_from_slice(&data);
        } else if seen > READ_OUT {
            break;
        } else {
            whole = Vec::new();
        }
    }
    if seen > limit { Err(Fault::too_large(limit)) } else { Ok(whole.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_may_be_as_large_as_the_limit() {
        assert_eq!(read(Body::from(vec![1; 100]), 100).await.unwrap().len(), 100);
        assert_eq!(read(Body::from(vec![1; 101]), 100).await.unwrap_err().cause, Cause::TooLarge);
        assert_eq!(read(Body::empty(), 100).await.unwrap().len(), 0);
    }

    #[tokio::test]
    async fn what_has_no_end_is_cut_off() {
        let endless =
            futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[0; 65536])));
        assert_eq!(read(Body::from_stream(endless), 1024).await.unwrap_err().cause, Cause::TooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_comes_is_not_waited_for() {
        let silent = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        assert_eq!(read(Body::from_stream(silent), 1024).await.unwrap_err().cause, Cause::BadRequest);
    }
}
