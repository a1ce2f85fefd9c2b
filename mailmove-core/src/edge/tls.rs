//! TLS client settings, the same for every adapter.
//!
//! Certificates are verified by the platform's own verifier, so that a company's root that the
//! system trusts is trusted here. A caller may add a CA file, or pin one certificate.

mod handshake;

use std::{fmt, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _};
use rustls_platform_verifier::Verifier;

pub use handshake::handshake_failed;

use crate::error::{Error, ErrorKind, Result};

/// How a server's certificate is judged.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TlsSettings {
    /// Certificates (PEM) trusted beside the platform's.
    pub extra_ca_pem: Option<Vec<u8>>,
    /// Accept exactly the certificate with this SHA-256 fingerprint, whatever its name, issuer and
    /// dates say. Nothing else is accepted then.
    pub pin: Option<Fingerprint>,
}

impl TlsSettings {
    /// The platform's trust alone.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Also trusts these certificates (PEM).
    #[must_use]
    pub fn with_extra_ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.extra_ca_pem = Some(pem.into());
        self
    }

    /// Accepts just the one certificate.
    #[must_use]
    pub fn with_pin(mut self, pin: Fingerprint) -> Self {
        self.pin = Some(pin);
        self
    }

    /// Builds a client configuration: TLS 1.2 and 1.3, *ring* as its provider.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the extra certificates cannot be read, [`ErrorKind::Tls`] if the
    /// platform's cannot.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>> {
        // Named here and not taken from the process: an embedding program may have another.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable("TLS cannot be set up").with_source(error))?;
        let verifier: Arc<dyn ServerCertVerifier> = match &self.pin {
            Some(pin) => Arc::new(Pinned {
                pin: pin.clone(),
                provider,
            }),
            None => Arc::new(self.platform_verifier(provider)?),
        };
        let config = builder
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }

    fn platform_verifier(&self, provider: Arc<CryptoProvider>) -> Result<Verifier> {
        let mut extra = Vec::new();
        if let Some(pem) = &self.extra_ca_pem {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                extra.push(certificate.map_err(|error| {
                    Error::new(ErrorKind::Config, "the CA file is not in PEM form")
                        .with_code("tls/ca-file")
                        .with_remedy("Give a file with one or more BEGIN CERTIFICATE blocks.")
                        .with_source(error)
                })?);
            }
            if extra.is_empty() {
                return Err(
                    Error::new(ErrorKind::Config, "the CA file holds no certificate")
                        .with_code("tls/ca-file")
                        .with_remedy("Give a file with one or more BEGIN CERTIFICATE blocks."),
                );
            }
        }
        Verifier::new_with_extra_roots(extra, provider).map_err(|error| {
            unusable("the system's trusted certificates cannot be read").with_source(error)
        })
    }
}

fn unusable(message: &'static str) -> Error {
    Error::new(ErrorKind::Tls, message).with_code("tls/setup").with_remedy(
        "Install the system's CA certificates (Debian: package ca-certificates), or give --ca-file.",
    )
}

/// SHA-256 of a certificate's DER form.
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of this certificate (DER).
    #[must_use]
    pub fn of(certificate: &[u8]) -> Self {
        let digest = ring_sha256(certificate);
        Self(digest)
    }

    /// Reads 64 hexadecimal digits, with or without colons, `sha256:` or `SHA256=` before them.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it is anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = || {
            Error::new(ErrorKind::Config, "not a SHA-256 fingerprint")
                .with_code("tls/pin")
                .with_remedy(
                    "Give 64 hexadecimal digits, as `openssl x509 -fingerprint -sha256` prints.",
                )
        };
        let lower = text.trim().to_ascii_lowercase();
        let rest = lower.strip_prefix("sha256").map_or(lower.as_str(), |rest| {
            rest.strip_prefix(" fingerprint")
                .unwrap_or(rest)
                .trim_start_matches([':', '=', ' '])
        });
        let digits: Vec<u8> = rest
            .chars()
            .filter(|c| *c != ':')
            .map(|c| {
                c.to_digit(16)
                    .and_then(|d| u8::try_from(d).ok())
                    .ok_or_else(bad)
            })
            .collect::<Result<_>>()?;
        let pairs: Vec<u8> = digits
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |n, d| (n << 4) | d))
            .collect();
        if digits.len() == 64 {
            pairs.try_into().map(Self).map_err(|_| bad())
        } else {
            Err(bad())
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let lead = if index == 0 { "" } else { ":" };
            write!(f, "{lead}{byte:02X}")?;
        }
        Ok(())
    }
}
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// SHA-256 through the hash that every TLS 1.3 provider has: no further dependency for one digest.
fn ring_sha256(bytes: &[u8]) -> [u8; 32] {
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let mut out = [0; 32];
    if let rustls::SupportedCipherSuite::Tls13(suite) = suite {
        let hash = suite.common.hash_provider.hash(bytes);
        if let Some(bytes) = hash.as_ref().get(..32) {
            out.copy_from_slice(bytes);
        }
    }
    out
}

/// Accepts one certificate. Signatures of the handshake are still checked: whoever answers must
/// hold that certificate's key.
#[derive(Debug)]
struct Pinned {
    pin: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found = Fingerprint::of(end_entity);
        if found == self.pin {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General(format!(
                "the certificate's SHA-256 fingerprint is {found}"
            )))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_read_what_people_paste() {
        let print = Fingerprint::of(b"abc");
        // FIPS 180-2's vector for "abc".
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for text in [
            hex.to_owned(),
            print.to_string(),
            format!("sha256:{hex}"),
            format!("SHA256 Fingerprint={print}"),
        ] {
            assert_eq!(Fingerprint::parse(&text).unwrap(), print, "{text}");
        }
        assert!(Fingerprint::parse("abc").is_err());
        assert!(Fingerprint::parse(&hex[1..]).is_err());
    }

    #[test]
    fn a_ca_file_without_certificates_is_said() {
        for pem in [
            "",
            "hello",
            "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
        ] {
            let error = TlsSettings::new()
                .with_extra_ca_pem(pem)
                .client_config()
                .unwrap_err();
            assert_eq!(error.code(), "tls/ca-file");
        }
    }
}
