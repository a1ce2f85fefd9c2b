//! What an app signs with its certificate's key instead of telling a secret.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest;
use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::Value;

use crate::config::App;

/// Clocks may differ by so many seconds.
const SKEW: f64 = 300.0;

/// Whether the assertion is the app's, meant for here, and good now; the text says what is wrong.
pub(crate) fn check(
    assertion: &str,
    app: &App,
    client: &str,
    audience: &[String],
    now: u64,
) -> Result<(), &'static str> {
    let (signed, signature) = assertion.rsplit_once('.').ok_or("it has no signature")?;
    let (header, claims) = signed.split_once('.').ok_or("it has no claims")?;
    let header = json(header).ok_or("its header is no JSON")?;
    let claims = json(claims).ok_or("its claims are no JSON")?;
    if header.get("alg").and_then(Value::as_str) != Some("PS256") {
        return Err("its algorithm is not PS256");
    }
    let print = header.get("x5t#S256").and_then(Value::as_str);
    let print = print.ok_or("it names no certificate by x5t#S256")?;
    let mut all = app.certificates.iter();
    let certificate = all
        // Microsoft's own library pads it.
        .find(|der| thumbprint(der) == print.trim_end_matches('='))
        .ok_or("the certificate is not registered")?;
    let key = public_key(certificate).ok_or("the certificate has no RSA key")?;
    let signature = URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_| "its signature is no base64url")?;
    UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| "its signature is wrong")?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    // Times may have fractions (RFC 7519 section 2).
    let number = |name: &str| claims.get(name).and_then(Value::as_f64);
    let now = now as f64;
    if text("iss") != Some(client) || text("sub") != Some(client) {
        return Err("it is not of this client");
    }
    if !audience.iter().any(|url| text("aud") == Some(url)) {
        return Err("its audience is not this endpoint");
    }
    let (from, to) = (number("nbf").unwrap_or(now), number("exp"));
    let to = to.ok_or("it never ends")?;
    if from > now + SKEW || to + SKEW < now {
        return Err("it is not good now");
    }
    match text("jti") {
        Some(id) if !id.is_empty() => Ok(()),
        _ => Err("it has no id"),
    }
}

fn json(part: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// The digest by which a header names a certificate.
pub(crate) fn thumbprint(der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, der))
}

/// The next value with its tag, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x80..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
            let length = bytes
                .iter()
                .fold(0, |sum, byte| sum * 256 + usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

/// The RSA key of a certificate (RFC 5280 section 4.1), as PKCS#1 has it.
fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    if rest.first() == Some(&0xA0) {
        rest = element(rest)?.2;
    }
    // Serial number, algorithm, issuer, validity, subject.
    for _ in 0..5 {
        rest = element(rest)?.2;
    }
    let (_, info, _) = element(rest)?;
    let (_, _, key) = element(info)?;
    match element(key)? {
        (0x03, bits, _) => bits.strip_prefix(&[0]),
        _ => None,
    }
}

/// What stands in a PEM file, as DER.
pub(crate) fn der(pem: &str) -> Vec<u8> {
    let lines = pem.lines().filter(|line| !line.starts_with('-'));
    let text: String = lines.map(str::trim).collect();
    STANDARD.decode(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{RSA_PSS_SHA256, RsaKeyPair};

    const AUDIENCE: &str = "http://here/t/oauth2/v2.0/token";

    fn sign(header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let pair = RsaKeyPair::from_pkcs8(&der(crate::fixture::KEY_PEM)).unwrap();
        let mut signature = vec![0; pair.public().modulus_len()];
        let random = SystemRandom::new();
        let bytes = signed.as_bytes();
        pair.sign(&RSA_PSS_SHA256, &random, bytes, &mut signature)
            .unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    #[test]
    fn an_assertion_has_to_be_right_in_all() {
        let certificate = der(crate::fixture::CERTIFICATE_PEM);
        let app = App {
            certificates: vec![certificate.clone()],
            ..App::default()
        };
        let header =
            serde_json::json!({"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint(&certificate)});
        let claims = serde_json::json!({"iss": "c", "sub": "c", "aud": AUDIENCE, "nbf": 1000, "exp": 1600, "jti": "1"});
        let check = |text: &str, now| check(text, &app, "c", &[AUDIENCE.to_owned()], now);
        let good = sign(&header, &claims);
        assert_eq!(check(&good, 1000), Ok(()));
        assert_eq!(check(&good, 2000), Err("it is not good now"));
        let altered = |name: &str, value: Value| {
            let mut claims = claims.clone();
            claims[name] = value;
            sign(&header, &claims)
        };
        assert!(check(&altered("aud", "https://else".into()), 1000).is_err());
        assert!(check(&altered("iss", "d".into()), 1000).is_err());
        let mut other = header.clone();
        other["alg"] = "RS256".into();
        assert!(check(&sign(&other, &claims), 1000).is_err());
        let (_, signature) = good.rsplit_once('.').unwrap();
        let forged = altered("jti", "2".into());
        let (signed, _) = forged.rsplit_once('.').unwrap();
        assert_eq!(
            check(&format!("{signed}.{signature}"), 1000),
            Err("its signature is wrong")
        );
    }
}
