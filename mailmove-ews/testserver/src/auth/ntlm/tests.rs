use std::collections::{BTreeMap, BTreeSet};

use mailmove_testkit::mailbox::Store;

use super::*;
use crate::config::{Builder, User};

/// What a client makes of our challenge.
struct Client {
    password: &'static str,
    binding: Option<Vec<u8>>,
    mic: bool,
    spoilt: bool,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            password: "p",
            binding: None,
            mic: true,
            spoilt: false,
        }
    }
}

impl Client {
    fn answer(&self, login: &Login) -> Vec<u8> {
        let key = hmac_md5(&md4(&utf16(self.password)), &[&utf16("UD")]);
        let mut blob = [&[1, 1, 0, 0, 0, 0, 0, 0][..], &[0; 8], &[0xaa; 8], &[0; 4]].concat();
        let mut pair = |id: u16, value: &[u8]| {
            blob.extend(id.to_le_bytes());
            blob.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
            blob.extend(value);
        };
        if self.mic {
            pair(messages::AV_FLAGS, &[2, 0, 0, 0]);
        }
        if let Some(binding) = &self.binding {
            pair(messages::AV_BINDINGS, binding);
        }
        pair(0, &[]);
        let proof = hmac_md5(&key, &[&login.nonce, &blob]);
        let base = hmac_md5(&key, &[&proof]);
        let response = [proof.as_slice(), &blob].concat();
        let mut message = b"NTLMSSP\0\x03\0\0\0".to_vec();
        let mut payload: Vec<u8> = Vec::new();
        for value in [&[][..], &response, &utf16("D"), &utf16("u"), &[], &[]] {
            let length = u16::try_from(value.len()).unwrap().to_le_bytes();
            message.extend(length);
            message.extend(length);
            message.extend(u32::try_from(88 + payload.len()).unwrap().to_le_bytes());
            payload.extend(value);
        }
        message.extend(0xa088_8205_u32.to_le_bytes());
        message.extend([0; 8 + 16]);
        message.extend(payload);
        let mut mic = hmac_md5(&base, &[&login.negotiate, &login.challenge, &message]);
        mic[0] ^= u8::from(self.spoilt);
        message[72..88].copy_from_slice(&mic);
        message
    }
}

const NEGOTIATE: &[u8] = b"NTLMSSP\0\x01\0\0\0\x05\x82\x88\xa0";

fn accepted(binding: Binding, secure: bool, client: &Client) -> bool {
    let mut config = Builder::new(Store::new()).config().clone();
    config.binding = binding;
    config.users = BTreeMap::from([(
        "u".to_owned(),
        User {
            password: "p".to_owned(),
            address: "u@example.com".to_owned(),
            impersonates: false,
            delegate_of: BTreeSet::new(),
        },
    )]);
    let expected = Expected {
        config: &config,
        secure,
        end_point: Some(b"certificate"),
    };
    let mut login = Login::default();
    let Step::Challenge(_) = login.step(&expected, NEGOTIATE, false) else {
        return false;
    };
    let answer = client.answer(&login);
    match login.step(&expected, &answer, false) {
        Step::Accepted(user, None) => user == "u" && login.user() == Some("u"),
        _ => false,
    }
}

#[test]
fn the_specifications_example_is_reproduced() {
    // [MS-NLMP] 4.2.4.
    let key = hmac_md5(&md4(&utf16("Password")), &[&utf16("USERDomain")]);
    assert_eq!(key[..4], [0x0c, 0x86, 0x8a, 0x40]);
    let names = [
        &[2, 0, 12, 0][..],
        &utf16("Domain"),
        &[1, 0, 12, 0],
        &utf16("Server"),
        &[0; 4],
    ]
    .concat();
    let blob = [
        &[1, 1, 0, 0, 0, 0, 0, 0][..],
        &[0; 8],
        &[0xaa; 8],
        &[0; 4],
        &names,
        &[0; 4],
    ]
    .concat();
    let nonce = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
    let proof = hmac_md5(&key, &[&nonce, &blob]);
    assert_eq!(proof[..4], [0x68, 0xcd, 0x0a, 0xb8]);
    assert_eq!(hmac_md5(&key, &[&proof])[..4], [0x8d, 0xe4, 0x0c, 0xca]);
}

#[test]
fn a_code_over_all_messages_is_needed_and_checked() {
    assert!(accepted(Binding::Off, false, &Client::default()));
    for bad in [
        Client {
            password: "q",
            ..Client::default()
        },
        Client {
            mic: false,
            ..Client::default()
        },
        Client {
            spoilt: true,
            ..Client::default()
        },
    ] {
        assert!(!accepted(Binding::Off, false, &bad));
    }
}

#[test]
fn bindings_are_compared_as_the_policy_says() {
    let with = |binding: Option<Vec<u8>>| Client {
        binding,
        ..Client::default()
    };
    let right = || with(Some(md5(&channel(b"certificate")).to_vec()));
    let wrong = || with(Some(md5(&channel(b"another")).to_vec()));
    let none = || with(Some(vec![0; 16]));
    assert!(accepted(Binding::Require, true, &right()));
    assert!(!accepted(Binding::Require, true, &wrong()));
    assert!(!accepted(Binding::Require, true, &none()));
    assert!(!accepted(Binding::Require, true, &with(None)));
    assert!(!accepted(Binding::Require, false, &none()));
    assert!(accepted(Binding::Allow, true, &right()));
    assert!(!accepted(Binding::Allow, true, &wrong()));
    assert!(accepted(Binding::Allow, true, &none()));
    assert!(accepted(Binding::Off, true, &wrong()));
}
