//! The configuration of clients that the host itself runs for its guests: HTTP/1.1, with the operating system's roots.
//!
//! All of them share one, because none of them has anything of its own in it.

use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::client::Resumption;

use super::config::{Bad, bad, provider, system_roots};

static HTTP: OnceLock<Result<Arc<ClientConfig>, Bad>> = OnceLock::new();

/// Returns the configuration, if it has been [read](read_http).
pub fn http() -> Option<Result<Arc<ClientConfig>, Bad>> {
    HTTP.get().cloned()
}

/// Reads the configuration, on a thread that may block: some hundred certificates, which take 20 ms.
///
/// # Errors
///
/// [`Bad`] if the operating system trusts no certificate.
pub fn read_http() -> Result<Arc<ClientConfig>, Bad> {
    let read = || {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| bad("TLS", error))?;
        let mut config = builder.with_root_certificates(system_roots()?).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A server can make each session 128 KiB long.
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    };
    HTTP.get_or_init(read).clone()
}
