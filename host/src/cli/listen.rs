//! The server that a host may have.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::cli::out::say;
use crate::pipeline::host::Roster;
use crate::plugin::Sandbox;
use crate::serve::{Listener, Listening, TlsFiles, serve};

/// Where a host answers over HTTP.
#[derive(clap::Args, Clone)]
pub struct ListenArgs {
    /// Answer over HTTP here, as on 127.0.0.1:8470: a page, /healthz, /readyz, /metrics, and rules
    /// and tenants for those who hold a token (`assay token create`). Off without it, so that hosts
    /// on one machine don't fight for a port. With port 0 a free one is taken, and said
    #[arg(long, env = "ASSAY_LISTEN", value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// The certificate chain for TLS, in PEM
    #[arg(
        long,
        env = "ASSAY_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    tls_cert: Option<PathBuf>,
    /// The certificate's key, in PEM (PKCS #8)
    #[arg(
        long,
        env = "ASSAY_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,
    /// Let other machines speak to it without TLS: tokens can then be read on the way
    #[arg(long)]
    insecure: bool,
}

impl ListenArgs {
    /// Answers from a roster until what is returned is dropped.
    ///
    /// # Errors
    /// An address that can't be had, or a certificate that is none.
    pub async fn serve(
        &self,
        roster: Roster,
        sandbox: Arc<Sandbox>,
    ) -> anyhow::Result<JoinSet<()>> {
        let mut server = JoinSet::new();
        let Some(address) = self.listen else {
            return Ok(server);
        };
        let tls = self.tls_cert.clone().zip(self.tls_key.clone());
        let listener = Listener::bind(&Listening {
            address,
            tls: tls.map(|(cert, key)| TlsFiles { cert, key }),
            insecure: self.insecure,
        })
        .await?;
        say!("listening on {}", listener.url());
        server.spawn(serve(listener, roster, sandbox));
        Ok(server)
    }

    /// The same, on a free port of this machine where nothing else was said.
    #[must_use]
    pub fn or_local(mut self) -> Self {
        self.listen = self.listen.or(Some(SocketAddr::from(([127, 0, 0, 1], 0))));
        self
    }
}
