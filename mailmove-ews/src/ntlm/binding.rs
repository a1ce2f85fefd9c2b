//! Channel binding by the server's certificate (`tls-server-end-point`, RFC 5929 §4).

use ring::digest::{self, Algorithm, SHA256, SHA384, SHA512};

use super::{
    crypto::md5,
    spnego::{value, values},
};

/// The binding's hash for a connection on which this certificate (DER) was shown, as NTLM wants it.
/// `None` where the certificate's signature has no hash of its own: then there is no such binding.
#[must_use]
pub fn channel_binding(certificate: &[u8]) -> Option<[u8; 16]> {
    let hash = digest::digest(algorithm(certificate)?, certificate);
    let data = [b"tls-server-end-point:", hash.as_ref()].concat();
    let len = u32::try_from(data.len()).unwrap_or_default();
    // gss_channel_bindings_struct: no addresses, then the data with its length.
    Some(md5(&[&[0; 16], &len.to_le_bytes(), &data]))
}

/// The hash of the certificate's own signature; SHA-256 in place of MD5 and SHA-1.
fn algorithm(certificate: &[u8]) -> Option<&'static Algorithm> {
    let name = signature(certificate);
    let name = name.and_then(|(name, parameters)| match name {
        // RSASSA-PSS: the hash stands in the parameters.
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10] => pss_hash(parameters),
        _ => Some(name),
    });
    Some(match name {
        // Ed25519, Ed448.
        Some([0x2b, 0x65, 0x70 | 0x71]) => return None,
        // sha384WithRSAEncryption, ecdsa-with-SHA384, SHA-384.
        Some(
            [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12]
            | [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3]
            | [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2],
        ) => &SHA384,
        // The same with SHA-512.
        Some(
            [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13]
            | [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4]
            | [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3],
        ) => &SHA512,
        _ => &SHA256,
    })
}

/// Name and parameters of the signature's algorithm.
fn signature(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let (0x30, certificate, _) = value(certificate)? else {
        return None;
    };
    let mut parts = values(certificate);
    let _content = parts.next()?;
    let (0x30, algorithm) = parts.next()? else {
        return None;
    };
    let (0x06, name, parameters) = value(algorithm)? else {
        return None;
    };
    Some((name, parameters))
}

fn pss_hash(parameters: &[u8]) -> Option<&[u8]> {
    let (0x30, parameters, _) = value(parameters)? else {
        return None;
    };
    let (_, hash) = values(parameters).find(|(tag, _)| *tag == 0xa0)?;
    let (0x30, hash, _) = value(hash)? else {
        return None;
    };
    let (0x06, name, _) = value(hash)? else {
        return None;
    };
    Some(name)
}

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
    };

    use super::*;

    #[test]
    fn the_hash_follows_the_certificate() {
        for (key, expected) in [
            (&PKCS_ECDSA_P256_SHA256, Some(&SHA256)),
            (&PKCS_ECDSA_P384_SHA384, Some(&SHA384)),
            (&PKCS_ED25519, None),
        ] {
            let key = KeyPair::generate_for(key).unwrap();
            let params = CertificateParams::new(vec!["mail.example.com".to_owned()]).unwrap();
            let certificate = params.self_signed(&key).unwrap();
            assert_eq!(algorithm(certificate.der()), expected);
        }
        // sha1WithRSAEncryption, sha512WithRSAEncryption, RSASSA-PSS with SHA-384.
        let rsa = |last: u8, parameters: &[u8]| {
            let mut name = vec![0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, last];
            name.extend(parameters);
            let algorithm = [&[0x30, u8::try_from(name.len()).unwrap()][..], &name].concat();
            let inner = [&[0x30, 0][..], &algorithm].concat();
            [&[0x30, u8::try_from(inner.len()).unwrap()][..], &inner].concat()
        };
        assert_eq!(algorithm(&rsa(5, &[5, 0])), Some(&SHA256));
        assert_eq!(algorithm(&rsa(13, &[5, 0])), Some(&SHA512));
        let hash = [
            0x30, 15, 0xa0, 13, 0x30, 11, 0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2,
        ];
        assert_eq!(algorithm(&rsa(10, &hash)), Some(&SHA384));
        assert_eq!(algorithm(b"nonsense"), Some(&SHA256));
    }

    proptest::proptest! {
        #[test]
        fn any_certificate_is_survived(bytes: Vec<u8>) {
            let _ = channel_binding(&bytes);
        }
    }
}
