//! Who the other end is: both show certificates of the machines' authority, and the URI in a certificate says which node of
//! which site it is. Names and addresses say nothing.
//!
//! Files are read for every connection, so one that is renewed is used without a restart.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};

/// Files of a machine's identity.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Certificates (PEM), its own first.
    pub certificate: PathBuf,
    /// Key (PEM).
    pub key: PathBuf,
    /// Certificates of the machines' authority (PEM).
    pub authority: PathBuf,
}

/// What is wrong with a machine's files or another one's certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there, or is none.
    #[error("{path} cannot be used: {why}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// They do not fit each other.
    #[error("the certificate, key and authority of this machine cannot be used together")]
    Together(#[from] rustls::Error),
    /// Nobody could be verified with it.
    #[error("the machines' authority cannot be used: {0}")]
    Authority(String),
}

impl Machine {
    fn own(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key);
        let key = key.map_err(|e| TlsError::File { path: self.key.clone(), why: e.to_string() })?;
        Ok((chain, key))
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, TlsError> {
        roots(certificates(&self.authority)?)
    }

    /// For who listens: nobody without a machine's certificate is let in.
    pub fn server(&self) -> Result<ServerConfig, TlsError> {
        let ((chain, key), roots) = (self.own()?, self.roots()?);
        let machines = WebPkiClientVerifier::builder(roots).build();
        let machines = machines.map_err(|e| TlsError::Authority(e.to_string()))?;
        let config =
            ServerConfig::builder_with_protocol_versions(&[&TLS13]).with_client_cert_verifier(machines);
        let mut config = config.with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    /// For who connects to the machine of this URI and no other.
    pub fn client(&self, uri: &str) -> Result<ClientConfig, TlsError> {
        let ((chain, key), roots) = (self.own()?, self.roots()?);
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        let verifier = Arc::new(Named { uri: uri.to_owned(), roots, algorithms });
        let config = ClientConfig::builder_with_protocol_versions(&[&TLS13]).dangerous();
        let mut config =
            config.with_custom_certificate_verifier(verifier).with_client_auth_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

/// Certificates of a file.
pub(in crate::node) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fail = |why: String| TlsError::File { path: file.to_owned(), why };
    let all = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(|e| fail(e.to_string()))?;
    if all.is_empty() { Err(fail("it has no certificate".to_owned())) } else { Ok(all) }
}

fn roots(all: Vec<CertificateDer<'static>>) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in all {
        roots.add(certificate)?;
    }
    Ok(Arc::new(roots))
}

/// The one URI of a certificate; nothing where it has none or more.
pub fn uri(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    let mut all = certificate.valid_uri_names();
    let first = all.next()?.to_owned();
    all.next().is_none().then_some(first)
}

/// Verifies that the other end is the machine of one URI.
struct Named {
    uri: String,
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Named").field("uri", &self.uri).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let parsed = ParsedCertificate::try_from(end)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, between, now, self.algorithms.all)?;
        let shown = uri(end);
        if shown.as_deref() == Some(self.uri.as_str()) {
            return Ok(ServerCertVerified::assertion());
        }
        let shown = shown.unwrap_or_else(|| "no machine's URI".to_owned());
        Err(rustls::Error::General(format!("the other end is {shown}, and {} is wanted", self.uri)))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
