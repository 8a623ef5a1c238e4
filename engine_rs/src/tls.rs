//! One TLS configuration for both clients: the bundled roots, and the machine's own where it has any.

use std::sync::{Arc, OnceLock};

use rustls::{ClientConfig, RootCertStore};

static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();

/// TLS 1.2 and 1.3 with certificates checked; HTTP/1.1 alone is offered.
pub fn config() -> Arc<ClientConfig> {
    CONFIG.get_or_init(build).clone()
}

fn build() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = versions.expect("ring speaks TLS 1.2 and 1.3").with_root_certificates(roots).with_no_client_auth();
    Arc::new(config)
}
