//! Request bodies, never larger and never slower than they may be.

use std::time::Duration;

use axum::body::{Body, Bytes};
use campanile_aws::error::{Cause, Fault};
use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;

/// A body must be whole this long after its head.
const PATIENCE: Duration = Duration::from_secs(10);
/// A client that is still sending does not hear an answer, it sees a broken pipe. So this much beyond the limit is
/// read and thrown away before the refusal.
const READ_OUT: usize = 16 << 20;

/// Bodies longer than this need one of the places for large ones. Almost every call is shorter.
const SMALL: usize = 16 << 10;
/// Bodies at once that are longer. They are held before anybody has proven who he is, so that strangers on every
/// connection there may be must not fill the memory; when all places are taken, a body waits without being read.
const LARGE_AT_ONCE: usize = 64;

static LARGE: Semaphore = Semaphore::const_new(LARGE_AT_ONCE);

/// Reads a body of at most `limit` bytes.
pub async fn read(body: Body, limit: usize) -> Result<Bytes, Fault> {
    patiently(collect(body, limit, &LARGE)).await
}

/// Reads a body of at most `limit` bytes for nothing but its end.
pub async fn discard(mut body: Body, limit: usize) -> Result<(), Fault> {
    patiently(async {
        let mut seen = 0_usize;
        while let Some(data) = next(&mut body).await? {
            seen = seen.saturating_add(data.len());
            if seen > READ_OUT {
                break;
            }
        }
        if seen > limit { Err(Fault::too_large(limit)) } else { Ok(()) }
    })
    .await
}

async fn patiently<T>(reading: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    match tokio::time::timeout(PATIENCE, reading).await {
        Ok(read) => read,
        Err(_) => {
            let message = format!("The body did not arrive within {} seconds.", PATIENCE.as_secs());
            Err(Fault::new(Cause::BadRequest, message))
        }
    }
}

async fn collect(mut body: Body, limit: usize, large: &Semaphore) -> Result<Bytes, Fault> {
    let mut whole = Vec::new();
    let mut place = None;
    let mut seen = 0_usize;
    while let Some(data) = next(&mut body).await? {
        seen = seen.saturating_add(data.len());
        if seen > READ_OUT {
            break;
        } else if seen > limit {
            whole = Vec::new();
            place = None;
            continue;
        }
        if seen > SMALL && place.is_none() {
            // Never closed. Waiting counts against the patience.
            place = large.acquire().await.ok();
        }
        whole.extend_from_slice(&data);
    }
    if seen > limit { Err(Fault::too_large(limit)) } else { Ok(whole.into()) }
}

/// The next piece of a body.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Fault> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Fault::new(Cause::BadRequest, "The body ended before its end."))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
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
    async fn a_large_body_waits_for_a_place_and_a_small_one_does_not() {
        let large = Semaphore::new(1);
        let taken = large.acquire().await.unwrap();
        let whole = |length| collect(Body::from(vec![1; length]), 1 << 20, &large);
        assert_eq!(whole(SMALL).await.unwrap().len(), SMALL);
        assert!(tokio::time::timeout(PATIENCE, whole(SMALL + 1)).await.is_err());
        drop(taken);
        assert_eq!(whole(SMALL + 1).await.unwrap().len(), SMALL + 1);
        assert_eq!(large.available_permits(), 1);
    }

    #[tokio::test]
    async fn what_is_discarded_has_a_limit_too() {
        assert!(discard(Body::from(vec![1; 100]), 100).await.is_ok());
        assert_eq!(discard(Body::from(vec![1; 101]), 100).await.unwrap_err().cause, Cause::TooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_comes_is_not_waited_for() {
        let silent = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        assert_eq!(read(Body::from_stream(silent), 1024).await.unwrap_err().cause, Cause::BadRequest);
    }
}
