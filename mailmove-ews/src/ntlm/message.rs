//! The three messages (MS-NLMP §2.2.1).

use std::fmt;

use zeroize::Zeroizing;

use super::{
    NtlmError,
    crypto::{hmac_md5, md4, md5, rc4, utf16},
};

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";
/// Unicode, target, sign, NTLM, always sign, extended session security, target info, version, 128 bit,
/// key exchange, 56 bit.
const FLAGS: u32 = 0xe288_8215;
/// Unicode, extended session security, and 128 bit must be there, or the answer would be weak.
const REQUIRED: u32 = 0x0008_0001;
const KEY_EXCHANGE: u32 = 0x4000_0000;
/// Windows 10's, revision 15: some servers look at the revision.
const VERSION: [u8; 8] = [10, 0, 0x61, 0x4a, 0, 0, 0, 15];

/// The first message: what is spoken, and no names.
pub(crate) const NEGOTIATE: [u8; 40] = {
    let mut out = [0; 40];
    let mut at = 0;
    while at < 8 {
        out[at] = SIGNATURE[at];
        out[at + 32] = VERSION[at];
        at += 1;
    }
    out[8] = 1;
    let flags = FLAGS.to_le_bytes();
    let mut at = 0;
    while at < 4 {
        out[12 + at] = flags[at];
        at += 1;
    }
    out
};

/// Identifiers of the challenge's values.
const END: u16 = 0;
const AV_FLAGS: u16 = 6;
const AV_TIME: u16 = 7;
const AV_TARGET: u16 = 9;
const AV_BINDING: u16 = 10;

/// The server's challenge.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Challenge {
    flags: u32,
    nonce: [u8; 8],
    /// What the server says of itself, without the end.
    values: Vec<(u16, Vec<u8>)>,
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Challenge({:x}, {} values)",
            self.flags,
            self.values.len()
        )
    }
}

fn bytes<const N: usize>(message: &[u8], at: usize) -> Option<[u8; N]> {
    message.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn field(message: &[u8], at: usize) -> Option<&[u8]> {
    let len = usize::from(u16::from_le_bytes(bytes(message, at)?));
    let offset = usize::try_from(u32::from_le_bytes(bytes(message, at + 4)?)).ok()?;
    message.get(offset..offset.checked_add(len)?)
}

impl Challenge {
    /// Reads a challenge.
    ///
    /// # Errors
    /// If it is none, or one of NTLM version 1.
    pub fn parse(message: &[u8]) -> Result<Self, NtlmError> {
        let read = || {
            let is_challenge =
                message.starts_with(SIGNATURE) && bytes(message, 8) == Some([2, 0, 0, 0]);
            let flags = u32::from_le_bytes(bytes(message, 20)?);
            let nonce = bytes(message, 24)?;
            let values = values(field(message, 40)?)?;
            is_challenge.then_some(Self {
                flags,
                nonce,
                values,
            })
        };
        let parsed = read().ok_or(NtlmError::Malformed)?;
        if parsed.flags & REQUIRED != REQUIRED || parsed.values.is_empty() {
            return Err(NtlmError::Old);
        }
        Ok(parsed)
    }

    fn value(&self, id: u16) -> Option<&[u8]> {
        let found = self.values.iter().find(|(found, _)| *found == id);
        found.map(|(_, value)| value.as_slice())
    }
}

fn values(mut info: &[u8]) -> Option<Vec<(u16, Vec<u8>)>> {
    let mut out = Vec::new();
    while !info.is_empty() {
        let id = u16::from_le_bytes(bytes(info, 0)?);
        let len = usize::from(u16::from_le_bytes(bytes(info, 2)?));
        let value = info.get(4..4 + len)?;
        if id == END {
            break;
        }
        if out.len() >= 32 {
            return None;
        }
        out.push((id, value.to_vec()));
        info = info.get(4 + len..)?;
    }
    Some(out)
}

/// Who logs in where.
#[derive(Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "made here and in tests alone")]
pub struct Identity<'a> {
    /// The user's name, or `user@domain` with an empty domain.
    pub user: &'a str,
    /// The domain.
    pub domain: &'a str,
    /// The password.
    pub password: &'a str,
    /// The host that is logged in to.
    pub service: &'a str,
}

impl fmt::Debug for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Identity({}\\{}, {})",
            self.domain, self.user, self.service
        )
    }
}

/// Random numbers of one login.
#[allow(clippy::exhaustive_structs, reason = "made here and in tests alone")]
#[derive(Clone)]
pub struct Nonces {
    /// The client's challenge.
    pub challenge: [u8; 8],
    /// The session's key.
    pub key: [u8; 16],
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonces(…)")
    }
}

/// The answer to a challenge.
pub struct Logon {
    message: Vec<u8>,
    key: Zeroizing<[u8; 16]>,
    exchanged: bool,
}

impl fmt::Debug for Logon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logon(…)")
    }
}

/// Seconds between 1601 and 1970, and the ticks in one.
const EPOCH: u64 = 11_644_473_600;
const TICKS: u64 = 10_000_000;

impl Logon {
    /// Answers `raw`, which is `challenge`.
    ///
    /// # Errors
    /// If a name is longer than the message can hold.
    pub fn new(
        identity: &Identity<'_>,
        raw: &[u8],
        challenge: &Challenge,
        binding: Option<[u8; 16]>,
        nonces: &Nonces,
    ) -> Result<Self, NtlmError> {
        let key = response_key(identity);
        let info = target_info(challenge, identity.service, binding);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = (now.map_or(0, |since| since.as_secs()) + EPOCH) * TICKS;
        let time = challenge.value(AV_TIME).and_then(|time| bytes(time, 0));
        let time = time.unwrap_or(now.to_le_bytes());
        let (response, base) = ntlmv2(&key, challenge.nonce, nonces.challenge, time, &info);
        let exchanged = challenge.flags & KEY_EXCHANGE != 0;
        let (session, sealed) = if exchanged {
            let mut sealed = nonces.key;
            rc4(&base, &mut sealed);
            (nonces.key, sealed.to_vec())
        } else {
            (base, Vec::new())
        };
        // The version 1 style answer must be empty where the server tells the time.
        let lm = vec![0; 24];
        let flags = FLAGS & (challenge.flags | 0x0200_0000);
        let parts = [
            lm,
            response,
            utf16(identity.domain),
            utf16(identity.user),
            Vec::new(),
            sealed,
        ];
        let mut message = assemble(&parts, flags)?;
        let mic = hmac_md5(&session, &[&NEGOTIATE, raw, &message]);
        if let Some(place) = message.get_mut(72..88) {
            place.copy_from_slice(&mic);
        }
        Ok(Self {
            message,
            key: Zeroizing::new(session),
            exchanged,
        })
    }

    /// As it is sent.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Signs a first message of the session (MS-NLMP §3.4.4.2).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 16] {
        let derive = |what: &str| {
            let text = format!("session key to client-to-server {what} key magic constant\0");
            md5(&[&*self.key, text.as_bytes()])
        };
        let mac = hmac_md5(&derive("signing"), &[&[0; 4], message]);
        let mut out = [0; 16];
        out[0] = 1;
        let mut sum: [u8; 8] = bytes(&mac, 0).unwrap_or_default();
        if self.exchanged {
            rc4(&derive("sealing"), &mut sum);
        }
        out[4..12].copy_from_slice(&sum);
        out
    }
}

fn response_key(identity: &Identity<'_>) -> Zeroizing<[u8; 16]> {
    let password = Zeroizing::new(utf16(identity.password));
    let hash = Zeroizing::new(md4(&password));
    let user = utf16(&identity.user.to_uppercase());
    Zeroizing::new(hmac_md5(&hash, &[&user, &utf16(identity.domain)]))
}

/// What the server said of itself, and what we say to it: that there is an integrity code, on which
/// channel we are, and whom we mean.
fn target_info(challenge: &Challenge, service: &str, binding: Option<[u8; 16]>) -> Vec<u8> {
    let flags = challenge.value(AV_FLAGS).and_then(|value| bytes(value, 0));
    let flags = u32::from_le_bytes(flags.unwrap_or_default()) | 2;
    let ours = [
        (AV_FLAGS, flags.to_le_bytes().to_vec()),
        (AV_BINDING, binding.unwrap_or_default().to_vec()),
        (AV_TARGET, utf16(&format!("HTTP/{service}"))),
    ];
    let theirs = challenge.values.iter();
    let theirs = theirs.filter(|(id, _)| ours.iter().all(|(our, _)| our != id));
    let mut out = Vec::new();
    for (id, value) in theirs.chain(&ours) {
        out.extend(id.to_le_bytes());
        out.extend(u16::try_from(value.len()).unwrap_or_default().to_le_bytes());
        out.extend(value);
    }
    out.extend([0; 4]);
    out
}

/// The response and the session's base key (MS-NLMP §3.3.2).
fn ntlmv2(
    key: &[u8; 16],
    server: [u8; 8],
    client: [u8; 8],
    time: [u8; 8],
    info: &[u8],
) -> (Vec<u8>, [u8; 16]) {
    let mut temp = vec![1, 1, 0, 0, 0, 0, 0, 0];
    temp.extend(time);
    temp.extend(client);
    temp.extend([0; 4]);
    temp.extend(info);
    temp.extend([0; 4]);
    let proof = hmac_md5(key, &[&server, &temp]);
    let base = hmac_md5(key, &[&proof]);
    let mut response = proof.to_vec();
    response.extend(temp);
    (response, base)
}

/// Places of the six parts in the message's head.
const PLACES: [usize; 6] = [12, 20, 28, 36, 44, 52];

fn assemble(parts: &[Vec<u8>; 6], flags: u32) -> Result<Vec<u8>, NtlmError> {
    let mut head = vec![0; 88];
    let mut payload = Vec::new();
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = head.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    put(0, SIGNATURE);
    put(8, &3_u32.to_le_bytes());
    for (part, at) in parts.iter().zip(PLACES) {
        let len = u16::try_from(part.len()).map_err(|_| NtlmError::Malformed)?;
        let offset = u32::try_from(88 + payload.len()).map_err(|_| NtlmError::Malformed)?;
        put(at, &len.to_le_bytes());
        put(at + 2, &len.to_le_bytes());
        put(at + 4, &offset.to_le_bytes());
        payload.extend_from_slice(part);
    }
    put(60, &flags.to_le_bytes());
    put(64, &VERSION);
    head.extend(payload);
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text
            .chars()
            .filter_map(|c| c.to_digit(16))
            .map(|d| u8::try_from(d).unwrap())
            .collect();
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    }

    /// MS-NLMP §4.2.4: user `User`, domain `Domain`, password `Password`.
    #[test]
    fn the_specifications_own_example() {
        let identity = Identity {
            user: "User",
            domain: "Domain",
            password: "Password",
            service: "x",
        };
        let key = response_key(&identity);
        assert_eq!(key.to_vec(), hex("0c868a403bfd7a93a3001ef22ef02e3f"));
        let info = [
            &[2, 0, 12, 0][..],
            &utf16("Domain"),
            &[1, 0, 12, 0],
            &utf16("Server"),
            &[0; 4],
        ]
        .concat();
        let server = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
        let (response, base) = ntlmv2(&key, server, [0xaa; 8], [0; 8], &info);
        assert_eq!(response[..16], hex("68cd0ab851e51c96aabc927bebef6a1c"));
        assert_eq!(base.to_vec(), hex("8de40ccadbc14a82f15cb0ad0de95ca3"));
        let mut sealed = [0x55; 16];
        rc4(&base, &mut sealed);
        assert_eq!(sealed.to_vec(), hex("c5dad2544fc9799094ce1ce90bc9d03e"));
    }

    #[test]
    fn cut_and_old_challenges_are_refused() {
        let mut challenge = b"NTLMSSP\0\x02\0\0\0".to_vec();
        challenge.extend([0; 8]);
        challenge.extend(FLAGS.to_le_bytes());
        challenge.extend([7; 8]);
        challenge.extend([0; 8]);
        challenge.extend([8, 0, 8, 0, 48, 0, 0, 0]);
        let info = [7, 0, 0, 0, 0, 0, 0, 0];
        challenge.extend(info);
        assert!(Challenge::parse(&challenge).is_ok());
        for cut in 0..challenge.len() {
            assert!(Challenge::parse(&challenge[..cut]).is_err(), "{cut}");
        }
        challenge[22] = 0;
        assert_eq!(Challenge::parse(&challenge), Err(NtlmError::Old));
    }

    proptest::proptest! {
        #[test]
        fn any_challenge_is_survived(rest: Vec<u8>) {
            let mut message = b"NTLMSSP\0\x02\0\0\0".to_vec();
            message.extend(rest);
            let _ = Challenge::parse(&message);
        }
    }
}
