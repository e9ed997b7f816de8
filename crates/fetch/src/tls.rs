//! TLS: whom we trust, and the certificate by which a broker may know us.

use crate::Error;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// PEM text, and the property that it comes from.
pub(crate) struct Pem {
    pub(crate) property: String,
    pub(crate) text: Vec<u8>,
}

impl Pem {
    /// Reads a file that a property names.
    pub(crate) fn of_file(property: &str, path: &str) -> Result<Pem, Error> {
        let text = std::fs::read(Path::new(path)).map_err(|e| refused(property, format!("cannot read {path}: {e}")))?;
        Ok(Pem { property: property.to_owned(), text })
    }
}

/// What connections need. Without authorities those of the system are trusted.
pub(crate) fn config(
    authorities: Option<&Pem>,
    certificate: Option<&Pem>,
    key: Option<&Pem>,
) -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(pem) => {
            for authority in certificates(pem)? {
                roots.add(authority).map_err(|e| refused(&pem.property, e.to_string()))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            let (added, _) = roots.add_parsable_certificates(found.certs);
            if added == 0 {
                let reason = "the system has no certificate authorities; name them here".to_owned();
                return Err(refused("ssl.ca.location", reason));
            }
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Client(e.to_string()))?
        .with_root_certificates(roots);
    let config = match (certificate, key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certificate), Some(key)) => {
            let private = PrivateKeyDer::from_pem_slice(&key.text)
                .map_err(|e| refused(&key.property, format!("no private key without a password in PEM: {e}")))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, private)
                .map_err(|e| refused(&certificate.property, e.to_string()))?
        }
        (Some(_), None) => return Err(refused("ssl.key.location", "the certificate needs its key".to_owned())),
        (None, Some(_)) => return Err(refused("ssl.certificate.location", "the key needs its certificate".to_owned())),
    };
    Ok(Arc::new(config))
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.text).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(refused(&pem.property, "there is no certificate in PEM".to_owned())),
        Err(e) => Err(refused(&pem.property, e.to_string())),
    }
}

fn refused(property: &str, reason: String) -> Error {
    Error::Property { property: property.to_owned(), reason }
}
