//! Requests by rust-libp2p's own behaviour for them.

use std::{collections::HashMap, io};

use ::libp2p::{
    PeerId, StreamProtocol, Swarm,
    request_response::{self, Event, OutboundRequestId, ProtocolSupport},
    swarm::SwarmEvent,
};
use anyhow::{Context as _, Result};
use frame::{IN_FLIGHT, MESSAGE, Message};
use futures_util::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _};
use tokio::sync::{mpsc, oneshot};

use super::{Behaviour, BehaviourEvent};

/// Asks through the task that has the swarm.
#[derive(Clone, Debug)]
pub(super) struct Asker(mpsc::Sender<(Message, oneshot::Sender<Message>)>);

/// A message and nothing else.
#[derive(Clone, Debug, Default)]
pub struct Codec;

pub type Requests = request_response::Behaviour<Codec>;

/// The behaviour, with room for all requests at once.
pub(super) fn behaviour() -> Requests {
    let config = request_response::Config::default().with_max_concurrent_streams(4 * IN_FLIGHT);
    Requests::new([(PROTOCOL, ProtocolSupport::Full)], config)
}

impl Asker {
    /// Gives the swarm to a task that asks `server`.
    pub(super) fn start(swarm: Swarm<Behaviour>, server: PeerId) -> Self {
        let (sender, asked) = mpsc::channel(IN_FLIGHT);
        tokio::spawn(run(swarm, server, asked));
        Self(sender)
    }

    pub(super) async fn ask(&self, message: Message) -> Result<Message> {
        let (sender, answer) = oneshot::channel();
        self.0.send((message, sender)).await?;
        answer.await.context("the request failed")
    }
}

/// Lets the server's swarm work for as long as the process lives, and answers requests.
pub(super) async fn serve(mut swarm: Swarm<Behaviour>) {
    loop {
        let event = swarm.select_next_some().await;
        let SwarmEvent::Behaviour(BehaviourEvent::Requests(Event::Message { message, .. })) = event
        else {
            continue;
        };
        if let request_response::Message::Request { request, channel, .. } = message {
            // Who asked may be gone.
            let _ = swarm.behaviour_mut().requests.send_response(channel, request);
        }
    }
}

async fn run(
    mut swarm: Swarm<Behaviour>,
    server: PeerId,
    mut asked: mpsc::Receiver<(Message, oneshot::Sender<Message>)>,
) {
    let mut waiting: HashMap<OutboundRequestId, oneshot::Sender<Message>> = HashMap::new();
    let mut can_ask = true;
    loop {
        tokio::select! {
            asked = asked.recv(), if can_ask => match asked {
                Some((message, sender)) => {
                    let id = swarm.behaviour_mut().requests.send_request(&server, message);
                    waiting.insert(id, sender);
                }
                None => can_ask = false,
            },
            event = swarm.select_next_some() => match event {
                SwarmEvent::Behaviour(BehaviourEvent::Requests(Event::Message {
                    message: request_response::Message::Response { request_id, response },
                    ..
                })) => {
                    if let Some(sender) = waiting.remove(&request_id) {
                        // Who asked may be gone.
                        let _ = sender.send(response);
                    }
                }
                SwarmEvent::Behaviour(BehaviourEvent::Requests(Event::OutboundFailure {
                    request_id,
                    ..
                })) => drop(waiting.remove(&request_id)),
                _ => {}
            },
        }
    }
}

impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Message;
    type Response = Message;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Message>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Message>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io).await
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        message: Message,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&message).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        message: Message,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&message).await
    }
}

async fn read<T: AsyncRead + Unpin + Send>(io: &mut T) -> io::Result<Message> {
    let mut message = [0; MESSAGE];
    io.read_exact(&mut message).await?;
    Ok(message)
}

const PROTOCOL: StreamProtocol = StreamProtocol::new("/bench/request/1");
