//! `netcom forward` and `netcom expose`.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use netcom::{Connection, Node, Target};
use serde_json::json;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::{Mutex, Semaphore},
    time::sleep,
};

use super::listen::{Foreground, ended};
use crate::{
    args::{Expose, Forward},
    context::{Context, target},
    errors,
    failure::{Exit, Failure, Outcome},
    nodes::{self, Kind, tcp_protocol},
    output::Output,
};

/// So many TCP connections are carried at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 1024;
/// A pause after an error that may be a lack of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Leads connections to a local port to a port that a node exposes.
pub(crate) async fn forward(command: &Forward, context: &Context) -> Outcome {
    let local = local(&command.local)?;
    let (name, port) = command.target.rsplit_once(':').ok_or_else(|| no_port(command))?;
    let port: u16 = port.parse().map_err(|_| no_port(command))?;
    let target = target(context, name)?;
    let node = nodes::client(context).await?;
    let tunnel = Arc::new(Tunnel {
        node: node.clone(),
        target,
        protocol: tcp_protocol(port),
        within: Duration::from_secs_f64(command.timeout),
        connection: Mutex::new(None),
    });
    // Whoever is not there or says no is told of now, not with the first connection.
    let connection = match tunnel.connection().await {
        Ok(connection) => connection,
        Err(failure) => {
            node.close().await;
            return Err(failure);
        }
    };
    let listener = TcpListener::bind(local).await.map_err(|error| {
        Failure::io(format_args!("{local} cannot be listened at"), &error)
            .hint("another port, or 0 for any")
    })?;
    let bound = listener.local_addr().map_err(|error| Failure::io("no local address", &error))?;
    context.output.answer(
        bound,
        json!({
            "event": "forwarding", "local": bound.to_string(), "port": port,
            "peer_id": connection.peer_id().to_string(),
        }),
    )?;
    let output = context.output;
    tokio::select! {
        () = accept(listener, tunnel, output) => {}
        result = ended() => result?,
    }
    node.close().await;
    Ok(())
}

/// Lets others reach a port.
pub(crate) async fn expose(command: &Expose, context: &Context) -> Outcome {
    let foreground = Foreground::start(context, Kind::Guest).await?;
    nodes::serve_tcp(&foreground.node, &foreground.serving.access, command.port)?;
    foreground.announce(context, command.access.ticket_file.as_deref())?;
    ended().await?;
    foreground.close().await;
    Ok(())
}

/// The way to the other side, made anew when it is lost.
struct Tunnel {
    node: Node,
    target: Target,
    protocol: String,
    within: Duration,
    connection: Mutex<Option<Connection>>,
}

impl Tunnel {
    async fn connection(&self) -> Outcome<Connection> {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = &*connection {
            return Ok(connection.clone());
        }
        let connecting = self.node.connect_with(self.target.clone()).timeout(self.within);
        let made = connecting.connect().await.map_err(|error| errors::connect(&error))?;
        *connection = Some(made.clone());
        Ok(made)
    }

    async fn carry(&self, mut socket: TcpStream) -> Outcome {
        let _ = socket.set_nodelay(true);
        let mut stream = match self.connection().await?.open(&self.protocol).await {
            Ok(stream) => stream,
            // The session is over: once more with a new one.
            Err(_) => {
                *self.connection.lock().await = None;
                let stream = self.connection().await?.open(&self.protocol).await;
                stream.map_err(|error| errors::open(&error))?
            }
        };
        match copy_bidirectional(&mut stream, &mut socket).await {
            Ok(_) => Ok(()),
            Err(error) => Err(errors::io("the connection broke", &error)),
        }
    }
}

async fn accept(listener: TcpListener, tunnel: Arc<Tunnel>, output: Output) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(place) = room.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((socket, _)) => {
                let tunnel = tunnel.clone();
                tokio::spawn(async move {
                    if let Err(failure) = tunnel.carry(socket).await {
                        output.talk(failure.to_string().trim_end());
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "The local port does not accept");
                sleep(PAUSE).await;
            }
        }
    }
}

fn local(text: &str) -> Outcome<SocketAddr> {
    let parsed = match text.parse::<u16>() {
        Ok(port) => Ok(SocketAddr::from(([127, 0, 0, 1], port))),
        Err(_) => text.parse(),
    };
    parsed.map_err(|_| {
        Failure::usage(format!("{text} is neither a port nor an address with one"))
            .hint("8080 or 127.0.0.1:8080")
    })
}

fn no_port(command: &Forward) -> Failure {
    let message = format!("{} does not end in a port", command.target);
    Failure::new(Exit::Usage, "usage", message).hint("netcom forward 8080 alice:80")
}
