//! Taking connections in: with TLS or without, so many at once, each with time limits.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use native_tls::{Identity, Protocol};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_native_tls::TlsAcceptor;

use super::auth::Client;

/// Connections at once; further ones wait.
const MOST_CONNECTIONS: usize = 256;
/// How long a handshake, and a request's headers, may take; and how long a connection may idle.
const HEADERS: Duration = Duration::from_secs(10);
/// Bytes of a request's headers.
const MOST_HEADER_BYTES: usize = 32 << 10;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    #[error(
        "{address} can be reached from other machines, and tokens would cross the network in the clear: give --tls-cert and --tls-key, or listen on 127.0.0.1 behind a proxy that does TLS, or say --insecure"
    )]
    InTheClear { address: SocketAddr },
    #[error("{address}: can't listen: {source}; free the port or take another")]
    Bind {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("{}: can't be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(
        "{} and {}: no certificate with its key: {source}; both must be PEM, and the key PKCS #8 (`openssl pkcs8 -topk8 -nocrypt`)", files.cert.display(), files.key.display()
    )]
    Certificate {
        files: TlsFiles,
        source: native_tls::Error,
    },
}

/// A certificate chain and its key.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// Where to listen, and how.
#[derive(Clone, Debug)]
pub struct Listening {
    pub address: SocketAddr,
    pub tls: Option<TlsFiles>,
    /// Other machines may be spoken to without TLS.
    pub insecure: bool,
}

/// A port that is listened on.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    /// # Errors
    /// An address that is taken or not to be had, or a certificate that is none.
    pub async fn bind(listening: &Listening) -> Result<Self, ListenError> {
        let address = listening.address;
        if !address.ip().is_loopback() && listening.tls.is_none() && !listening.insecure {
            return Err(ListenError::InTheClear { address });
        }
        let tls = listening.tls.as_ref().map(acceptor).transpose()?;
        let bind = |source| ListenError::Bind { address, source };
        let socket = TcpListener::bind(address).await.map_err(bind)?;
        let address = socket.local_addr().map_err(bind)?;
        Ok(Self {
            socket,
            address,
            tls,
        })
    }

    /// Where it can be reached.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        self.address.ip().is_loopback()
    }

    pub(super) async fn serve(self, router: Router) {
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            let (stream, client) = match self.socket.accept().await {
                Ok(taken) => taken,
                Err(error) => {
                    // As a rule there are too many open files, which passes.
                    tracing::warn!(%error, "a connection could not be taken in");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            };
            let (router, tls) = (router.clone(), self.tls.clone());
            tokio::spawn(async move {
                if let Err(error) = connection(stream, client, tls, router).await {
                    tracing::debug!(%client, error, "connection ended");
                }
                drop(place);
            });
        }
    }
}

fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, ListenError> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|source| ListenError::Unreadable {
            path: path.clone(),
            source,
        })
    };
    let (cert, key) = (read(&files.cert)?, read(&files.key)?);
    let bad = |source| ListenError::Certificate {
        files: files.clone(),
        source,
    };
    let identity = Identity::from_pkcs8(&cert, &key).map_err(bad)?;
    let acceptor = native_tls::TlsAcceptor::builder(identity)
        .min_protocol_version(Some(Protocol::Tlsv12))
        .build()
        .map_err(bad)?;
    Ok(acceptor.into())
}

async fn connection(
    stream: TcpStream,
    client: SocketAddr,
    tls: Option<TlsAcceptor>,
    router: Router,
) -> Result<(), String> {
    let Some(tls) = tls else {
        return requests(stream, client, router).await;
    };
    let shaken = tokio::time::timeout(HEADERS, tls.accept(stream)).await;
    let stream = shaken
        .map_err(|_| "the TLS handshake took too long".to_owned())?
        .map_err(|error| error.to_string())?;
    requests(stream, client, router).await
}

async fn requests<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    client: SocketAddr,
    router: Router,
) -> Result<(), String> {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Client(client));
        router.call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(MOST_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    served.map_err(|error| error.to_string())
}
