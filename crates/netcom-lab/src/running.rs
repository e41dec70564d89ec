//! Work that goes on inside a namespace while the test does something else.

use std::{
    future::{self, Future},
    pin::pin,
    task::Poll,
    thread::{self, JoinHandle},
};

use tokio::{runtime::Runtime, sync::oneshot};

use crate::namespace::joined;

/// Work on a thread of its own; cancelled, and waited for, when this is dropped.
#[derive(Debug)]
#[must_use = "dropped, the work is cancelled"]
pub struct Running<T> {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Option<T>>>,
}

impl<T: Send + 'static> Running<T> {
    pub(crate) fn spawn(
        work: impl AsyncFnOnce() -> T + Send + 'static,
        prepare: impl FnOnce() -> Runtime + Send + 'static,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || prepare().block_on(until(work(), stopped)));
        Self { stop: Some(stop), thread: Some(thread) }
    }

    /// Waits until the work is done, and returns what came of it.
    ///
    /// # Panics
    /// If the work does, with its words.
    #[must_use = "else drop it"]
    pub fn join(mut self) -> T {
        let thread = self.thread.take().expect("only this and the drop take it");
        joined(thread.join()).expect("nobody stops it before the drop")
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) else { return };
        // A second panic would abort the process and hide the first one.
        if !thread::panicking() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Drives `work` until it is done or told to stop.
async fn until<T>(work: impl Future<Output = T>, stopped: oneshot::Receiver<()>) -> Option<T> {
    let (mut work, mut stopped) = (pin!(work), pin!(stopped));
    future::poll_fn(|context| {
        if stopped.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        work.as_mut().poll(context).map(Some)
    })
    .await
}
