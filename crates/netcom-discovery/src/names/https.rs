//! Pages of web servers, as R-NET-10 wants them.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
    http::uri::Authority,
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

/// Gets pages by HTTPS, for domains from public addresses alone.
#[derive(Clone)]
pub struct Https {
    tls: TlsConnector,
    reach: Reach,
}

/// Which servers are asked.
#[derive(Clone, Debug)]
enum Reach {
    /// What a lookup gives for the host, as far as it is public.
    Public(Lookup),
    /// Whatever the user chose, at any port.
    Chosen,
    /// One server, for every host.
    #[cfg(test)]
    Fixed(SocketAddr),
}

/// Finds the addresses of a host.
type Lookup = fn(String, u16) -> Task<'static, io::Result<Vec<SocketAddr>>>;

impl Https {
    /// Believes the authorities that browsers believe.
    ///
    /// # Panics
    /// Never: the provider speaks both versions of TLS.
    #[must_use]
    pub fn new() -> Self {
        Self::with(public_roots(), Reach::Public(look_up))
    }

    /// Asks servers that the user chose, which may be on this host or in its networks. Believes
    /// `roots` alone, if there are any.
    pub(crate) fn chosen(roots: Option<RootCertStore>) -> Self {
        Self::with(roots.unwrap_or_else(public_roots), Reach::Chosen)
    }

    /// Believes `roots` alone and asks the server at `address` for every host, so that nothing
    /// leaves this machine.
    #[cfg(test)]
    pub(crate) fn fixed(roots: RootCertStore, address: SocketAddr) -> Self {
        Self::with(roots, Reach::Fixed(address))
    }

    /// Believes `roots` alone and finds hosts by `lookup`, at public addresses.
    #[cfg(test)]
    pub(crate) fn finding(roots: RootCertStore, lookup: Lookup) -> Self {
        Self::with(roots, Reach::Public(lookup))
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
        let (host, port) = self.split(host)?;
        let name = ServerName::try_from(host.clone()).map_err(|error| bad(error.to_string()))?;
        let mut last = None;
        for address in self.addresses(&host, port).await?.into_iter().take(MAX_TRIED) {
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

    /// The host without what stands around it, and the port, which is a chosen server's alone.
    fn split(&self, host: &str) -> Result<(String, u16), WebError> {
        if !matches!(self.reach, Reach::Chosen) {
            return Ok((host.to_owned(), PORT));
        }
        let authority: Authority = host.parse().map_err(|_| bad("no host".to_owned()))?;
        let port = authority.port_u16().unwrap_or(PORT);
        Ok((bare(authority.host()).to_owned(), port))
    }

    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, WebError> {
        match self.reach {
            Reach::Public(lookup) => {
                // With its dot, so that no search domain is tried.
                let found = lookup(format!("{host}."), port).await;
                public(found.map_err(|error| absent(&error))?)
            }
            Reach::Chosen => {
                if let Ok(address) = host.parse::<IpAddr>() {
                    return Ok(vec![(address, port).into()]);
                }
                if host.eq_ignore_ascii_case(LOCALHOST) {
                    // Known without asking (RFC 6761, section 6.3), so that nothing leaves here.
                    let own = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
                    return Ok(own.map(|address: IpAddr| (address, port).into()).to_vec());
                }
                let found = lookup_host((host, port)).await;
                Ok(found.map_err(|error| absent(&error))?.collect())
            }
            #[cfg(test)]
            Reach::Fixed(address) => Ok(vec![address]),
        }
    }
}

/// Asks the system's resolver.
fn look_up(host: String, port: u16) -> Task<'static, io::Result<Vec<SocketAddr>>> {
    Box::pin(async move {
        let found = lookup_host((host, port)).await?;
        Ok(found.collect())
    })
}

/// A host without the brackets around an IPv6 address.
pub(crate) fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn public_roots() -> RootCertStore {
    webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
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
    if status == StatusCode::NOT_FOUND {
        return Err(WebError::Missing);
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
        Some(error @ rustls::Error::InvalidCertificate(_)) => {
            WebError::Certificate { reason: error.to_string() }
        }
        _ => absent(error),
    }
}

fn absent(error: &dyn std::error::Error) -> WebError {
    WebError::Absent { reason: error.to_string() }
}

fn bad(reason: String) -> WebError {
    WebError::Bad { reason }
}

/// This host, by a name that nobody is asked for.
pub(crate) const LOCALHOST: &str = "localhost";
const PORT: u16 = 443;
/// Addresses of a host that are tried.
const MAX_TRIED: usize = 4;
/// How long an address may take to take the connection.
const CONNECTING: Duration = Duration::from_secs(1);
