//! Bodies of API servers' answers, watched over while they come: one that stops is ended with an error, so that
//! nothing waits for ever, and so is every body of a server that is left.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body as HttpBody, Frame, SizeHint};
use kube::client::Body;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tower::BoxError;

use crate::watchdog::{BROKEN_OFF, Watchdog};

/// Time between two parts of an answer that is no watch: a server that began and does not go on is left.
pub(crate) const PART_TIMEOUT: Duration = Duration::from_secs(10);

type Action = Box<dyn Fn() + Send>;

/// What is expected of a body while it comes.
pub(crate) struct Care {
    patience: Duration,
    next: Pin<Box<Sleep>>,
    /// Something came, or the end in order.
    shown: Action,
    /// Nothing came in time.
    stopped: Action,
}

impl Care {
    fn new(patience: Duration, shown: Action, stopped: Action) -> Self {
        Self { patience, next: Box::pin(tokio::time::sleep(patience)), shown, stopped }
    }

    /// Of a watch: it shows an event, or its end, every now and then. One that does not is begun again.
    pub(crate) fn watch(watchdog: Arc<Watchdog>, path: String) -> Self {
        Self::new(BROKEN_OFF, Box::new(move || watchdog.alive(&path)), Box::new(|| ()))
    }

    /// Of an answer that is to come to its end; otherwise its server is left.
    pub(crate) fn answer(leave: impl Fn() + Send + 'static) -> Self {
        Self::new(PART_TIMEOUT, Box::new(|| ()), Box::new(leave))
    }

    fn went_on(&mut self) {
        (self.shown)();
        self.next.as_mut().reset(Instant::now() + self.patience);
    }
}

/// A body that ends with an error when its server is left, or when it stops before its end.
pub(crate) struct Watched<B = Body> {
    body: Pin<Box<B>>,
    left: Pin<Box<WaitForCancellationFutureOwned>>,
    care: Option<Care>,
}

impl<B> Watched<B> {
    pub(crate) fn new(body: B, era: CancellationToken, care: Option<Care>) -> Self {
        Self { body: Box::pin(body), left: Box::pin(era.cancelled_owned()), care }
    }

    /// Nothing has come: is there anything to wait for?
    fn given_up(&mut self, cx: &mut Context<'_>) -> Poll<BoxError> {
        if self.left.as_mut().poll(cx).is_ready() {
            // That it showed nothing more is not its own doing: its time begins anew at the next server.
            if let Some(care) = &self.care {
                (care.shown)();
            }
            return Poll::Ready("the API server was left for another".into());
        }
        let Some(care) = &mut self.care else { return Poll::Pending };
        std::task::ready!(care.next.as_mut().poll(cx));
        (care.stopped)();
        let why = format!("the API server's answer stopped for {:?}", care.patience);
        self.care = None;
        Poll::Ready(why.into())
    }
}

impl<B: HttpBody<Error: Into<BoxError>>> HttpBody for Watched<B> {
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.body.as_mut().poll_frame(cx) {
            Poll::Ready(frame) => {
                // A connection that broke has shown nothing.
                if let (Some(care), None | Some(Ok(_))) = (&mut self.care, &frame) {
                    care.went_on();
                }
                Poll::Ready(frame.map(|f| f.map_err(Into::into)))
            }
            Poll::Pending => self.given_up(cx).map(|why| Some(Err(why))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, StreamBody};
    use hyper::body::Bytes;
    use std::convert::Infallible;

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_shows_nothing_is_broken_off_and_one_that_ends_is_alive() {
        let dog = Watchdog::new("test");
        dog.asked("/p");
        let care = || Some(Care::watch(dog.clone(), "/p".into()));
        let silent = futures::stream::pending::<Result<Frame<Bytes>, Infallible>>();
        let mut body = Watched::new(StreamBody::new(silent), CancellationToken::new(), care());
        assert!(body.frame().await.unwrap().is_err());
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(dog.trouble().is_some());
        let ending = futures::stream::empty::<Result<Frame<Bytes>, Infallible>>();
        let mut body = Watched::new(StreamBody::new(ending), CancellationToken::new(), care());
        assert!(body.frame().await.is_none());
        assert_eq!(dog.trouble(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_whose_server_is_left_has_its_time_anew() {
        let dog = Watchdog::new("test");
        dog.asked("/p");
        let era = CancellationToken::new();
        let silent = futures::stream::pending::<Result<Frame<Bytes>, Infallible>>();
        let mut body =
            Watched::new(StreamBody::new(silent), era.clone(), Some(Care::watch(dog.clone(), "/p".into())));
        tokio::time::advance(Duration::from_secs(45)).await;
        era.cancel();
        assert!(body.frame().await.unwrap().is_err());
        tokio::time::advance(Duration::from_secs(45)).await;
        assert_eq!(dog.trouble(), None);
        tokio::time::advance(Duration::from_secs(15)).await;
        assert!(dog.trouble().is_some());
    }
}
