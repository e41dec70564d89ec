//! Pages of web servers, as R-NET-10 wants them.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    answer::MAX_ANSWER_BYTES,
    public::is_public,
    source::{Web, WebError},
};
use crate::Task;

/// Gets pages by HTTPS from public addresses.
#[derive(Clone)]
pub struct Https {
    tls: TlsConnector,
    reach: Reach,
}

/// Which servers are asked.
#[derive(Clone, Debug)]
enum Reach {
    /// What the system's resolver gives for the host, as far as it is public.
    Public,
    /// One server, for every host.
    #[cfg(test)]
    Fixed(SocketAddr),
}

impl Https {
    /// Believes the authorities that browsers believe.
    ///
    /// # Panics
    /// Never: the provider speaks both versions of TLS.
    #[must_use]
    pub fn new() -> Self {
        Self::with(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(), Reach::Public)
    }

    /// Believes `roots` alone and asks the server at `address` for every host, so that nothing
    /// leaves this machine.
    #[cfg(test)]
    pub(crate) fn fixed(roots: RootCertStore, address: SocketAddr) -> Self {
        Self::with(roots, Reach::Fixed(address))
    }

    fn with(roots: RootCertStore, reach: Reach) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .expect("the provider speaks both")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { tls: TlsConnector::from(Arc::new(config)), reach }
    }

    async fn page(&self, host: &str, path: &str) -> Result<Vec<u8>, WebError> {
        let stream = self.connect(host).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| absent(&error))?;
        let request = Request::get(path)
            .header(header::HOST, host)
            .header(header::ACCEPT, "application/json")
            .body(Empty::<Bytes>::new())
            .map_err(|error| bad(error.to_string()))?;
        // The connection is driven here and ends with this call, whatever the server does.
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| absent(&error))?;
            body(response).await
        };
        let mut exchange = pin!(exchange);
        tokio::select! {
            biased;
            page = &mut exchange => page,
            // What came before the end is there yet, and nothing else will come.
            _ = connection => exchange.await,
        }
    }

    async fn connect(&self, host: &str) -> Result<TlsStream<TcpStream>, WebError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| bad(error.to_string()))?;
        let mut last = None;
        for address in self.addresses(host).await?.into_iter().take(MAX_TRIED) {
            let stream = match timeout(CONNECTING, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    last = Some(error.to_string());
                    continue;
                }
                Err(_) => {
                    last = Some(format!("{address} does not answer"));
                    continue;
                }
            };
            return self.tls.connect(name, stream).await.map_err(|error| refused(&error));
        }
        Err(WebError::Absent { reason: last.unwrap_or_else(|| "it has no address".to_owned()) })
    }

    async fn addresses(&self, host: &str) -> Result<Vec<SocketAddr>, WebError> {
        match self.reach {
            Reach::Public => {
                // With its dot, so that no search domain is tried.
                let found = lookup_host((format!("{host}."), PORT)).await;
                public(found.map_err(|error| absent(&error))?.collect())
            }
            #[cfg(test)]
            Reach::Fixed(address) => Ok(vec![address]),
        }
    }
}

/// Those of a host's addresses that may be asked.
pub(crate) fn public(found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, WebError> {
    let was_there = !found.is_empty();
    let public: Vec<_> = found.into_iter().filter(|address| is_public(address.ip())).collect();
    if public.is_empty() && was_there {
        return Err(bad("its addresses are not public".to_owned()));
    }
    Ok(public)
}

impl Default for Https {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Https {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Https").field("reach", &self.reach).finish_non_exhaustive()
    }
}

impl Web for Https {
    fn get<'a>(&'a self, host: &'a str, path: &'a str) -> Task<'a, Result<Vec<u8>, WebError>> {
        Box::pin(self.page(host, path))
    }
}

/// The body of an answer that is one.
async fn body(response: Response<Incoming>) -> Result<Vec<u8>, WebError> {
    let status = response.status();
    if status.is_redirection() {
        return Err(bad("a redirect, which is not followed".to_owned()));
    }
    if status != StatusCode::OK {
        return Err(WebError::Absent { reason: format!("the server says {status}") });
    }
    if response.headers().contains_key(header::CONTENT_ENCODING) {
        return Err(bad("a compressed answer, which was not asked for".to_owned()));
    }
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(|error| bad(format!("the answer breaks off: {error}")))?;
    Ok(body.to_bytes().into())
}

/// What a failed handshake says: a certificate that is none is evidence of its own.
fn refused(error: &io::Error) -> WebError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error @ rustls::Error::InvalidCertificate(_)) => bad(error.to_string()),
        _ => absent(error),
    }
}

fn absent(error: &dyn std::error::Error) -> WebError {
    WebError::Absent { reason: error.to_string() }
}

fn bad(reason: String) -> WebError {
    WebError::Bad { reason }
}

const PORT: u16 = 443;
/// Addresses of a host that are tried.
const MAX_TRIED: usize = 4;
/// How long an address may take to take the connection.
const CONNECTING: Duration = Duration::from_secs(1);
