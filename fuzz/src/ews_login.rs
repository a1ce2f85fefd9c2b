//! Challenges of NTLM, bare and within SPNEGO, and certificates are answered or refused.

use mailmove_ews::ntlm::{Challenge, Identity, Logon, Nonces, channel_binding};

/// The whole is a challenge, and a certificate.
pub fn check(data: &[u8]) {
    let binding = channel_binding(data);
    let Ok(challenge) = Challenge::parse(data) else {
        return;
    };
    let identity = Identity {
        user: "ann",
        domain: "EXAMPLE",
        password: "secret",
        service: "mail.example.com",
    };
    let nonces = Nonces {
        challenge: [7; 8],
        key: [9; 16],
    };
    let Ok(logon) = Logon::new(&identity, data, &challenge, binding, &nonces) else {
        return;
    };
    let message = logon.message();
    assert!(message.starts_with(b"NTLMSSP\0\x03\0\0\0"));
    let secret: Vec<u8> = "secret".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(!message.windows(secret.len()).any(|window| window == secret));
    assert_eq!(logon.sign(data)[..4], [1, 0, 0, 0]);
}

/// Challenges with different values, one of version 1, and a certificate's beginning.
pub fn seeds() -> Vec<Vec<u8>> {
    let challenge = |flags: u32, values: &[u8]| {
        let len = u16::try_from(values.len())
            .unwrap_or_default()
            .to_le_bytes();
        let mut out = b"NTLMSSP\0\x02\0\0\0\0\0\0\0\x38\0\0\0".to_vec();
        out.extend(flags.to_le_bytes());
        out.extend([1, 2, 3, 4, 5, 6, 7, 8]);
        out.extend([0; 8]);
        out.extend(len);
        out.extend(len);
        out.extend(56_u32.to_le_bytes());
        out.extend([10, 0, 0x61, 0x4a, 0, 0, 0, 15]);
        out.extend(values);
        out
    };
    let domain = [2, 0, 2, 0, b'D', 0];
    let time = [7, 0, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let end = [0, 0, 0, 0];
    vec![
        challenge(0xe28a_8215, &[&domain[..], &time, &end].concat()),
        challenge(0xa28a_8215, &[&domain[..], &end].concat()),
        challenge(
            0xe28a_8215,
            &[&[6, 0, 4, 0, 1, 0, 0, 0][..], &time, &end].concat(),
        ),
        challenge(0x0000_8215, &[&time[..], &end].concat()),
        vec![
            0x30, 13, 0x30, 0, 0x30, 9, 0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3,
        ],
    ]
}
