//! SPNEGO around NTLM, and the codes that protect its choice of mechanism.

use super::digests::{hmac_md5, md5, rc4};

/// 1.3.6.1.5.5.2
const SPNEGO: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x02];
/// 1.3.6.1.4.1.311.2.2.10
const NTLMSSP: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a];

/// What a client's token holds.
#[derive(Debug, Default)]
pub(super) struct Token {
    pub(super) ntlm: Vec<u8>,
    /// The list of mechanisms as it was encoded.
    pub(super) mechanisms: Option<Vec<u8>>,
    pub(super) mic: Option<Vec<u8>>,
}

/// Tag, content, and what follows.
fn tlv(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        length = digits
            .iter()
            .fold(0, |length, digit| length << 8 | usize::from(*digit));
        rest = after;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn encode(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        Ok(byte) => out.extend([0x81, byte]),
        Err(_) => {
            out.push(0x82);
            out.extend(u16::try_from(length).unwrap_or(0).to_be_bytes());
        }
    }
    out.extend(content);
    out
}

/// Reads a NegTokenInit within its frame, or a NegTokenResp.
pub(super) fn unwrap(input: &[u8]) -> Option<Token> {
    let (tag, content, _) = tlv(input)?;
    let body = match tag {
        0x60 => {
            let (_, mechanism, rest) = tlv(content)?;
            if mechanism != SPNEGO {
                return None;
            }
            let (tag, body, _) = tlv(rest)?;
            (tag == 0xa0).then_some(body)?
        }
        0xa1 => content,
        _ => return None,
    };
    let first = tag == 0x60;
    let (_, mut fields, _) = tlv(body)?;
    let mut token = Token::default();
    while let Some((tag, content, rest)) = tlv(fields) {
        let (_, value, _) = tlv(content)?;
        match tag {
            0xa0 if first => {
                let (_, preferred, _) = tlv(value)?;
                // Another one first would make us answer that we want NTLM: nobody needs that here.
                if preferred != NTLMSSP {
                    return None;
                }
                token.mechanisms = Some(content.to_vec());
            }
            0xa2 => token.ntlm = value.to_vec(),
            0xa3 => token.mic = Some(value.to_vec()),
            _ => {}
        }
        fields = rest;
    }
    Some(token)
}

/// NegTokenResp: go on, with NTLM, and this.
pub(super) fn challenge(ntlm: &[u8]) -> Vec<u8> {
    let fields = [
        encode(0xa0, &encode(0x0a, &[1])),
        encode(0xa1, &encode(0x06, NTLMSSP)),
        encode(0xa2, &encode(0x04, ntlm)),
    ];
    encode(0xa1, &encode(0x30, &fields.concat()))
}

/// NegTokenResp: done.
pub(super) fn accepted(mic: Option<Vec<u8>>) -> Vec<u8> {
    let mut fields = encode(0xa0, &encode(0x0a, &[0]));
    if let Some(mic) = mic {
        fields.extend(encode(0xa3, &encode(0x04, &mic)));
    }
    encode(0xa1, &encode(0x30, &fields))
}

/// What messages are signed with in a session ([MS-NLMP] 3.4.4.2, 3.4.5).
pub(super) struct Keys<'a> {
    session: &'a [u8; 16],
    flags: u32,
}

impl<'a> Keys<'a> {
    pub(super) fn new(session: &'a [u8; 16], flags: u32) -> Self {
        Self { session, flags }
    }

    fn derive(&self, sealing: bool, from: &str, to: &str) -> [u8; 16] {
        let what = if sealing { "sealing" } else { "signing" };
        let magic = format!("session key to {from}-to-{to} {what} key magic constant\0");
        // Sealing takes no more of the key than was agreed.
        let key = match (
            sealing,
            self.flags & 0x2000_0000 != 0,
            self.flags & 0x8000_0000 != 0,
        ) {
            (false, _, _) | (true, true, _) => self.session.as_slice(),
            (true, false, true) => self.session.get(..7).unwrap_or_default(),
            (true, false, false) => self.session.get(..5).unwrap_or_default(),
        };
        md5(&[key, magic.as_bytes()].concat())
    }

    fn sign(&self, message: &[u8], from: &str, to: &str) -> Vec<u8> {
        let key = self.derive(false, from, to);
        let digest = hmac_md5(&key, &[&[0; 4], message]);
        let digest = digest.get(..8).unwrap_or_default();
        let digest = match self.flags & super::messages::KEY_EXCHANGE != 0 {
            true => rc4(&self.derive(true, from, to), digest),
            false => digest.to_vec(),
        };
        [&[1, 0, 0, 0], digest.as_slice(), &[0; 4]].concat()
    }

    pub(super) fn client_mic(&self, mechanisms: &[u8]) -> Vec<u8> {
        self.sign(mechanisms, "client", "server")
    }

    pub(super) fn server_mic(&self, mechanisms: &[u8]) -> Vec<u8> {
        self.sign(mechanisms, "server", "client")
    }
}
