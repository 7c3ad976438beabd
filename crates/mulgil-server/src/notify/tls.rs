//! https for webhooks: by rustls, with the provider that the program has chosen for all of itself.

use std::{path::PathBuf, sync::Arc};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place, Retry},
    port::Fault,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// Whom the other side has to be vouched for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// Those whom this machine trusts.
    System,
    /// Those in a PEM file, and no others.
    File(PathBuf),
}

/// Reads the roots; reads files, so that it is to be done where waiting is no matter.
pub(super) fn client(roots: &Roots) -> Result<Arc<ClientConfig>, Fault> {
    let found = match roots {
        Roots::System => rustls_native_certs::load_native_certs().certs,
        Roots::File(path) => CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| {
                let fault = Diagnostic::error(
                    codes::WEBHOOK_FAILED,
                    format!("the certificates cannot be read: {error}"),
                );
                Box::new(fault.at(Place::file(path)).with_retry(Retry::AfterHumanFix))
            })?,
    };
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found);
    if store.is_empty() {
        let fault = Diagnostic::error(
            codes::WEBHOOK_FAILED,
            "this machine has no certificates to check https with",
        );
        let fault = fault.with_remedy("install the package `ca-certificates`");
        return Err(Box::new(fault.with_retry(Retry::AfterHumanFix)));
    }
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| {
            let fault = Diagnostic::error(codes::BUG, format!("https cannot be set up: {error}"));
            Box::new(fault)
        })?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
