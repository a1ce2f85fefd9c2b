//! What a program proves itself by that has a certificate: a statement, signed with its key.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use mailmove_core::{
    edge::Secret,
    error::{Error, ErrorKind, Result},
};
use ring::{
    digest,
    rand::{SecureRandom as _, SystemRandom},
    signature::{RSA_PSS_SHA256, RsaKeyPair},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::json;
use zeroize::Zeroizing;

/// How long a statement holds.
const HOLDS: Duration = Duration::from_secs(600);

/// A certificate with its key. The key is read anew for each statement, some an hour, and kept as it came.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pem: Secret,
    /// SHA-256 of it, by which the login finds it among the program's.
    thumbprint: String,
}

impl Certificate {
    /// Reads certificate and key from one text.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) if one of them is missing, or the key is not of RSA.
    pub(super) fn read(pem: Secret) -> Result<Self> {
        let mut all = CertificateDer::pem_slice_iter(pem.expose().as_bytes());
        let certificate = all.next().and_then(std::result::Result::ok);
        let certificate = certificate.ok_or_else(|| bad("there is no certificate in it"))?;
        let digest = digest::digest(&digest::SHA256, &certificate);
        let made = Self {
            thumbprint: URL_SAFE_NO_PAD.encode(digest),
            pem,
        };
        made.key()?;
        Ok(made)
    }

    fn key(&self) -> Result<RsaKeyPair> {
        let key = PrivateKeyDer::from_pem_slice(self.pem.expose().as_bytes());
        // What is wrong with a key is not told: the cause might show of it.
        let key = key.map_err(|_| bad("there is no private key in it, or an encrypted one"))?;
        let pair = match &key {
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            _ => return Err(bad("its key is none of RSA")),
        };
        pair.map_err(|_| bad("its key is none of RSA, of 2048 to 4096 bits"))
    }

    /// The statement that this is the program `client`, for who gives tokens at `address`.
    pub(super) fn assertion(
        &self,
        client: &str,
        address: &str,
        now: Duration,
    ) -> Result<Zeroizing<String>> {
        let failed =
            |_| Error::new(ErrorKind::Bug, "nothing can be signed").with_code("login/signature");
        let random = SystemRandom::new();
        let mut number = [0; 16];
        random.fill(&mut number).map_err(failed)?;
        let header = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint});
        let claims = json!({
            "aud": address,
            "iss": client,
            "sub": client,
            "jti": URL_SAFE_NO_PAD.encode(number),
            // Clocks differ a little.
            "nbf": now.as_secs().saturating_sub(60),
            "iat": now.as_secs(),
            "exp": (now + HOLDS).as_secs(),
        });
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut text = Zeroizing::new(format!("{}.{}", part(header), part(claims)));
        let key = self.key()?;
        let mut signature = vec![0; key.public().modulus_len()];
        let signed = key.sign(&RSA_PSS_SHA256, &random, text.as_bytes(), &mut signature);
        signed.map_err(failed)?;
        text.push('.');
        text.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Ok(text)
    }
}

fn bad(what: &'static str) -> Error {
    Error::new(
        ErrorKind::Config,
        format!("the program's certificate can't be used: {what}"),
    )
    .with_code("login/certificate-file")
    .with_remedy(
        "Give certificate and private key in PEM form, one after the other, the key without a password.",
    )
}
