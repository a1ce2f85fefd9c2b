//! NTLM's messages.

pub(super) const KEY_EXCHANGE: u32 = 0x4000_0000;
const UNICODE: u32 = 0x0000_0001;
const TARGET: u32 = 0x0000_0004;
const NTLM: u32 = 0x0000_0200;
const TARGET_IS_DOMAIN: u32 = 0x0001_0000;
const TARGET_INFO: u32 = 0x0080_0000;
const VERSION: u32 = 0x0200_0000;
/// What we take over from the client's wishes: signing, sealing, session security, key lengths.
const NEGOTIABLE: u32 = 0x0000_0010
    | 0x0000_0020
    | 0x0000_8000
    | 0x0008_0000
    | 0x2000_0000
    | KEY_EXCHANGE
    | 0x8000_0000;

pub(super) const AV_FLAGS: u16 = 6;
const AV_TIME: u16 = 7;
pub(super) const AV_BINDINGS: u16 = 10;

/// Bytes before the payload of a challenge, and of an authenticate message with a code.
const CHALLENGE_HEAD: usize = 56;
const MIC_AT: usize = 72;

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(two.try_into().ok()?))
}

/// The field whose length and place stand here.
fn field(message: &[u8], at: usize) -> Option<&[u8]> {
    let length = usize::from(short(message, at)?);
    let start = usize::try_from(number(message, at + 4)?).ok()?;
    message.get(start..start.checked_add(length)?)
}

fn text(bytes: &[u8]) -> Option<String> {
    let units: Vec<u16> = bytes
        .chunks(2)
        .filter_map(|two| Some(u16::from_le_bytes(two.try_into().ok()?)))
        .collect();
    String::from_utf16(&units).ok()
}

/// Answers a NEGOTIATE_MESSAGE.
pub(super) fn challenge_message(negotiate: &[u8], nonce: [u8; 8], time: u64) -> Vec<u8> {
    let wishes = number(negotiate, 12).unwrap_or(0);
    let flags =
        wishes & NEGOTIABLE | UNICODE | TARGET | NTLM | TARGET_IS_DOMAIN | TARGET_INFO | VERSION;
    let target = super::utf16("EXAMPLE");
    let mut info = Vec::new();
    for (id, value) in [
        (2_u16, super::utf16("EXAMPLE")),
        (1, super::utf16("MAIL")),
        (4, super::utf16("example.com")),
        (3, super::utf16("mail.example.com")),
        (AV_TIME, time.to_le_bytes().to_vec()),
        (0, Vec::new()),
    ] {
        info.extend(id.to_le_bytes());
        info.extend(u16::try_from(value.len()).unwrap_or(0).to_le_bytes());
        info.extend(value);
    }
    let mut out = b"NTLMSSP\0\x02\0\0\0".to_vec();
    let mut at = CHALLENGE_HEAD;
    let mut place = |out: &mut Vec<u8>, value: &[u8]| {
        let length = u16::try_from(value.len()).unwrap_or(0).to_le_bytes();
        out.extend(length);
        out.extend(length);
        out.extend(u32::try_from(at).unwrap_or(0).to_le_bytes());
        at += value.len();
    };
    place(&mut out, &target);
    out.extend(flags.to_le_bytes());
    out.extend(nonce);
    out.extend([0; 8]);
    place(&mut out, &info);
    // The version of Windows Server 2019.
    out.extend([10, 0, 0x63, 0x45, 0, 0, 0, 15]);
    out.extend(target);
    out.extend(info);
    out
}

/// An AUTHENTICATE_MESSAGE.
pub(super) struct Authenticate {
    pub(super) domain: String,
    pub(super) user: String,
    pub(super) nt_response: Vec<u8>,
    pub(super) session_key: Vec<u8>,
    pub(super) flags: u32,
    /// Where the first field begins.
    payload: usize,
}

impl Authenticate {
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        if !message.starts_with(b"NTLMSSP\0\x03\0\0\0") {
            return None;
        }
        let places = [12, 20, 28, 36, 44, 52];
        let starts = places.iter().filter_map(|at| {
            let length = short(message, *at)?;
            let start = usize::try_from(number(message, at + 4)?).ok()?;
            (length > 0).then_some(start)
        });
        Some(Self {
            payload: starts.min().unwrap_or(0),
            nt_response: field(message, 20)?.to_vec(),
            domain: text(field(message, 28)?)?,
            user: text(field(message, 36)?)?,
            session_key: field(message, 52)?.to_vec(),
            flags: number(message, 60)?,
        })
    }

    /// The code over all messages, and this message with zeros in its place.
    pub(super) fn mic<'a>(&self, message: &'a [u8]) -> Option<(&'a [u8], Vec<u8>)> {
        if self.payload < MIC_AT + 16 {
            return None;
        }
        let mic = message.get(MIC_AT..MIC_AT + 16)?;
        let mut cleared = message.to_vec();
        cleared.get_mut(MIC_AT..MIC_AT + 16)?.fill(0);
        Some((mic, cleared))
    }
}

/// The AV_PAIRs of a list, to its end.
pub(super) fn pairs(list: &[u8]) -> Option<Vec<(u16, Vec<u8>)>> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        let id = short(list, at)?;
        let length = usize::from(short(list, at + 2)?);
        let value = list.get(at + 4..at + 4 + length)?;
        if id == 0 {
            return Some(found);
        }
        found.push((id, value.to_vec()));
        at += 4 + length;
    }
}
