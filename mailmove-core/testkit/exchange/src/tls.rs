//! A certificate authority for one server's life, and the channel binding of its certificates.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
};
use ring::digest;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// How the server's certificate is signed, which decides the hash of the channel binding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Certificate {
    /// ECDSA on P-256 with SHA-256.
    #[default]
    EcdsaSha256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaSha384,
    /// Ed25519, whose signature names no hash.
    Ed25519,
}

/// Why TLS can't be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// No certificate could be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// The made key isn't understood.
    #[error("cannot use the certificate's key: {0}")]
    Key(&'static str),
    /// TLS can't be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
}

/// What a server that speaks TLS has.
pub struct Tls {
    /// The authority's certificate.
    pub ca_pem: String,
    /// The server's.
    pub certificate: CertificateDer<'static>,
    /// What follows `tls-server-end-point:` in the binding; none where the signature names no hash.
    pub binding: Option<Vec<u8>>,
    /// Takes connections.
    pub acceptor: TlsAcceptor,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Makes a CA and a certificate for these hosts, signed in this way.
    ///
    /// # Errors
    /// If no certificate can be made.
    pub fn new(names: &[String], kind: Certificate, other: bool) -> Result<Self, TlsError> {
        let key = || match kind {
            Certificate::EcdsaSha256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Certificate::EcdsaSha384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            Certificate::Ed25519 => KeyPair::generate_for(&PKCS_ED25519),
        };
        let mut params = CertificateParams::new(Vec::new())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "mailmove test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = CertifiedIssuer::self_signed(params, key()?)?;
        let mut params = CertificateParams::new(names.to_vec())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "mailmove test server");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server_key = key()?;
        let certificate = params.signed_by(&server_key, &ca)?.der().clone();
        let compared = match other {
            true => params.signed_by(&key()?, &ca)?.der().clone(),
            false => certificate.clone(),
        };
        // RFC 5929 section 4.1: the hash of the certificate's signature; SHA-256 where that is MD5 or
        // SHA-1; undefined where there is none.
        let binding = match kind {
            Certificate::EcdsaSha256 => Some(&digest::SHA256),
            Certificate::EcdsaSha384 => Some(&digest::SHA384),
            Certificate::Ed25519 => None,
        };
        let binding = binding.map(|hash| digest::digest(hash, &compared).as_ref().to_vec());
        let key = PrivateKeyDer::try_from(server_key.serialize_der()).map_err(TlsError::Key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)?;
        Ok(Self {
            ca_pem: ca.pem(),
            certificate,
            binding,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }
}
