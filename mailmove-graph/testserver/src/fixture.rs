//! A certificate for apps that log in with one: made for tests, and worth nothing else.

/// The certificate, as PEM; RSA with 2,048 bits.
pub const CERTIFICATE_PEM: &str = include_str!("../fixture/certificate.pem");

/// Its key, as PEM (PKCS#8).
pub const KEY_PEM: &str = include_str!("../fixture/key.pem");

/// The certificate, as DER.
#[must_use]
pub fn certificate_der() -> Vec<u8> {
    crate::auth::der(CERTIFICATE_PEM)
}
