//! What was asked of a node before a connection was lost must not be done after the provisioner has looked what became
//! of it: a volume would be made that nobody knows, or a newer export be overwritten.
//!
//! So each request bears a number, which the provisioner raises when an answer fails to come, and when it starts. The
//! first request with a higher number waits until everything before it has ended; a lower one is refused from then on.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

/// The header with the number.
pub(crate) const FENCE: &str = "basalt-fence";

/// Cloneable; all clones are the same fence.
#[derive(Debug, Clone, Default)]
pub(super) struct Fence(Arc<RwLock<u64>>);

/// A request of an earlier number than was seen.
#[derive(Debug, PartialEq, Eq)]
struct Superseded;

impl Fence {
    /// The request is under way as long as it has the guard.
    async fn enter(&self, number: u64) -> Result<OwnedRwLockReadGuard<u64>, Superseded> {
        loop {
            let seen = Arc::clone(&self.0).read_owned().await;
            match number.cmp(&seen) {
                std::cmp::Ordering::Equal => return Ok(seen),
                std::cmp::Ordering::Less => return Err(Superseded),
                std::cmp::Ordering::Greater => drop(seen),
            }
            let mut seen = self.0.write().await;
            *seen = number.max(*seen);
        }
    }
}

/// Lets requests in by their numbers, and carries each through even if its connection ends.
pub(super) async fn fenced(State(fence): State<Fence>, request: Request, next: Next) -> Response {
    // They change nothing, and must answer while others are under way, or for an hour.
    let is_free =
        ["process", "drives", "check_drive"].iter().any(|name| request.uri().path().ends_with(name));
    if is_free {
        return next.run(request).await;
    }
    let number = request.headers().get(FENCE).and_then(|value| value.to_str().ok()?.parse().ok());
    let Some(number) = number else {
        return (StatusCode::BAD_REQUEST, "the request bears no number").into_response();
    };
    let Ok(guard) = fence.enter(number).await else {
        return (StatusCode::PRECONDITION_FAILED, "a later request was seen already").into_response();
    };
    let done = tokio::spawn(async move {
        let response = next.run(request).await;
        drop(guard);
        response
    });
    // A panic has been reported by the panic hook.
    done.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        pin::{Pin, pin},
        task::Poll,
    };

    use super::*;

    async fn waits(future: &mut Pin<&mut impl Future>) -> bool {
        poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
    }

    #[tokio::test]
    async fn a_higher_number_waits_for_what_is_under_way_and_then_shuts_the_lower_out() {
        let fence = Fence::default();
        let (first, second) = (fence.enter(7).await.unwrap(), fence.enter(7).await.unwrap());
        let mut later = pin!(fence.enter(8));
        assert!(waits(&mut later).await);
        drop(first);
        assert!(waits(&mut later).await, "one is still under way");
        drop(second);
        let later = later.await.unwrap();
        assert!(matches!(fence.enter(7).await, Err(Superseded)));
        assert!(fence.enter(8).await.is_ok(), "beside the other one");
        drop(later);
    }
}
