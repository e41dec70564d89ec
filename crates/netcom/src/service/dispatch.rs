//! A stream of a peer comes: who may, what serves it, and what becomes of a handler that fails.

use std::{
    future::poll_fn,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use futures_util::{
    FutureExt as _,
    future::{self, BoxFuture, Either},
};
use netcom_session::{Code, IncomingStream};
use tokio::{sync::OwnedSemaphorePermit, time};

use super::{
    BODY_TIMEOUT, DEFAULT_MAX_BODY, Handler, HandlerError, MAX_HANDLERS_PER_SESSION, Request,
    RequestHandler, Service, Services, StreamHandler, Visitor,
};
use crate::{
    session::{Kept, SharedSession, StreamHandle},
    stream::{
        ByteReceiver, ByteSender, ErrorSender, StreamError, StreamErrorMessage, XStream, protocol,
    },
};

impl Services {
    /// Gives a stream of a peer to what serves it, or turns it away.
    pub(crate) fn dispatch(&self, session: &Arc<SharedSession>, stream: &IncomingStream) {
        let visitor = session.visitor();
        let outcome = if self.admits(&self.access.read(), &visitor) {
            self.route(session, stream, visitor)
        } else {
            Err(Code::DENIED)
        };
        if let Err(code) = outcome {
            tracing::debug!(peer = %session.peer(), %code, "Stream refused");
            StreamHandle::new(session, stream.id).refuse(code);
        }
    }

    fn route(
        &self,
        session: &Arc<SharedSession>,
        stream: &IncomingStream,
        visitor: Arc<Visitor>,
    ) -> Result<(), Code> {
        let name = &stream.protocol;
        let service = self.protocols.read().get(name).cloned();
        if let Some(service) = service {
            return self.run_service(&service, session, stream, visitor);
        }
        let is_offered = [protocol::BYTES, protocol::MESSAGES, protocol::XSTREAM]
            .iter()
            .any(|known| known.as_bytes() == &name[..]);
        if is_offered {
            return if session.offer(stream.id) { Ok(()) } else { Err(Code::REFUSED) };
        }
        if &name[..] == protocol::REQUEST.as_bytes()
            && let Some(handler) = self.requests.read().clone()
        {
            return self.run_request(handler, DEFAULT_MAX_BODY, session, stream, visitor);
        }
        Err(Code::UNKNOWN_PROTOCOL)
    }

    fn run_service(
        &self,
        service: &Service,
        session: &Arc<SharedSession>,
        stream: &IncomingStream,
        visitor: Arc<Visitor>,
    ) -> Result<(), Code> {
        if !self.admits(&service.access, &visitor) {
            return Err(Code::DENIED);
        }
        match &service.handler {
            Handler::Requests(handler) => {
                self.run_request(Arc::clone(handler), service.max_body, session, stream, visitor)
            }
            Handler::Streams(handler) => {
                let turn = self.turn(session)?;
                let handle = StreamHandle::new(session, stream.id);
                session.node().runtime.spawn(stream_task(
                    Arc::clone(handler),
                    handle,
                    visitor,
                    turn,
                ));
                Ok(())
            }
        }
    }

    fn run_request(
        &self,
        handler: RequestHandler,
        max_body: usize,
        session: &Arc<SharedSession>,
        stream: &IncomingStream,
        visitor: Arc<Visitor>,
    ) -> Result<(), Code> {
        let turn = self.turn(session)?;
        let call = Call {
            handler,
            max_body,
            handle: StreamHandle::new(session, stream.id),
            visitor,
            protocol: stream.protocol.clone(),
        };
        // In a box, since a task's future is moved a few times.
        session.node().runtime.spawn(Box::pin(call.run(turn)));
        Ok(())
    }

    /// The right to run one more handler.
    fn turn(&self, session: &Arc<SharedSession>) -> Result<Turn, Code> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| Code::OVERLOADED)?;
        let turn = Turn { session: Arc::clone(session), _permit: permit };
        let running = session.handlers().fetch_add(1, Ordering::AcqRel);
        if running >= MAX_HANDLERS_PER_SESSION { Err(Code::OVERLOADED) } else { Ok(turn) }
    }
}

/// A handler that runs counts for its node and its session.
struct Turn {
    session: Arc<SharedSession>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.session.handlers().fetch_sub(1, Ordering::AcqRel);
    }
}

/// One request on its way through its handler.
struct Call {
    handler: RequestHandler,
    max_body: usize,
    handle: StreamHandle,
    visitor: Arc<Visitor>,
    protocol: Bytes,
}

impl Call {
    async fn run(self, turn: Turn) {
        let handle = self.handle.clone();
        // A caller that gave up needs no answer, and its handler no end.
        let abandoned = poll_fn(|cx| handle.poll_stopped(cx));
        if let Either::Right(_) = future::select(pin!(self.answer()), abandoned).await {
            tracing::debug!("Request was given up by its caller");
        }
        drop(turn);
    }

    async fn answer(self) {
        let Self { handler, max_body, handle, visitor, protocol } = self;
        let mut receiver = ByteReceiver::new(handle.clone());
        // Until the handler is done: how long it keeps the body, nobody knows.
        let mut kept = Kept::of(&handle);
        let read = receiver.read_kept(max_body, &mut kept);
        let body = match time::timeout(BODY_TIMEOUT, read).await {
            Ok(Ok(body)) => body,
            Ok(Err(StreamError::TooLarge { limit, .. })) => {
                let text = format!("a request has at most {limit} bytes here");
                return fail(handle, StreamErrorMessage::new("body_too_large", text)).await;
            }
            Ok(Err(StreamError::NoRoom { .. })) => return handle.refuse(Code::OVERLOADED),
            // Nobody waits for an answer.
            Ok(Err(_)) => return handle.refuse(Code::CANCELLED),
            Err(_) => return handle.refuse(Code::DEADLINE),
        };
        let request = Request { body, visitor, protocol };
        let handled = AssertUnwindSafe(async move { handler(request).await }).catch_unwind().await;
        match flatten(handled, &handle) {
            Ok(answer) => send(&handle, answer).await,
            Err(error) => fail(handle, error.message().clone()).await,
        }
    }
}

/// Runs the handler of a stream.
async fn stream_task(
    handler: StreamHandler,
    handle: StreamHandle,
    visitor: Arc<Visitor>,
    turn: Turn,
) {
    let stream = XStream::new(handle.clone());
    let handled =
        AssertUnwindSafe(async move { handler(stream, visitor).await }).catch_unwind().await;
    if let Err(error) = flatten(handled, &handle) {
        report(&handle, error.message()).await;
    }
    drop(turn);
}

fn flatten<T>(
    handled: Result<Result<T, HandlerError>, Box<dyn std::any::Any + Send>>,
    handle: &StreamHandle,
) -> Result<T, HandlerError> {
    handled.unwrap_or_else(|_| {
        handle.session().node().count_panic();
        tracing::error!("A handler panicked");
        Err(HandlerError::new("panicked", "the handler panicked"))
    })
}

/// Sends an answer: in one frame where it is short.
async fn send(handle: &StreamHandle, mut answer: Bytes) {
    if handle.answer(&mut answer).is_err() || answer.is_empty() {
        return;
    }
    let mut sender = ByteSender::begun(handle.clone(), answer, true);
    // The caller alone would want to know that it did not get all of it, and it does.
    let _ = poll_fn(|cx| sender.poll_end(true, cx)).await;
}

/// Tells the caller what went wrong and that there will be no answer.
fn fail(handle: StreamHandle, message: StreamErrorMessage) -> BoxFuture<'static, ()> {
    // In a box, so that requests that succeed need not have room for it.
    Box::pin(async move {
        report(&handle, &message).await;
        handle.refuse(Code::INTERNAL);
    })
}

/// Tells the caller what went wrong, beside the data.
async fn report(handle: &StreamHandle, message: &StreamErrorMessage) {
    let mut errors = ErrorSender::new(handle.clone());
    let told = time::timeout(BODY_TIMEOUT, errors.send(message)).await;
    if matches!(told, Ok(Ok(()))) {
        // An end that cannot be queued is as good as one.
        let _ = errors.finish().await;
    }
}
