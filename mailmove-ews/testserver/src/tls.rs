//! A certificate authority for one server's life, and the channel binding of its certificates.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
};
use ring::digest;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::StartError;
use crate::config::Certificate;

pub(crate) struct Tls {
    pub(crate) ca_pem: String,
    pub(crate) certificate: CertificateDer<'static>,
    /// What follows `tls-server-end-point:` in the binding; none where the signature names no hash.
    pub(crate) binding: Option<Vec<u8>>,
    pub(crate) acceptor: TlsAcceptor,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Makes a CA and a certificate for these hosts, signed in this way.
    pub(crate) fn new(
        names: &[String],
        kind: Certificate,
        other: bool,
    ) -> Result<Self, StartError> {
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
        let key = PrivateKeyDer::try_from(server_key.serialize_der()).map_err(StartError::Key)?;
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
