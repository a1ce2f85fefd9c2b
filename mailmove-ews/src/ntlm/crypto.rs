//! The old hashes that NTLM is made of.

use hmac::{Hmac, KeyInit as _, Mac as _};
use md4::Md4;
use md5::{Digest as _, Md5};

pub(crate) fn md4(bytes: &[u8]) -> [u8; 16] {
    Md4::digest(bytes).into()
}

pub(crate) fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Md5::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

pub(crate) fn hmac_md5(key: &[u8; 16], parts: &[&[u8]]) -> [u8; 16] {
    // A key that is shorter than a block is filled up with zeros (RFC 2104 §2).
    let mut block = zeroize::Zeroizing::new([0; 64]);
    for (place, byte) in block.iter_mut().zip(key) {
        *place = *byte;
    }
    let mut mac = Hmac::<Md5>::new((&*block).into());
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// RC4: its only use here is to hand the session's key over and to sign one message.
#[allow(clippy::indexing_slicing, reason = "a byte always indexes 256 places")]
pub(crate) fn rc4(key: &[u8], data: &mut [u8]) {
    let mut state: [u8; 256] = std::array::from_fn(|n| u8::try_from(n).unwrap_or_default());
    let mut j = 0_u8;
    let Some(len) = std::num::NonZeroUsize::new(key.len()) else {
        return;
    };
    for i in 0..256 {
        j = j.wrapping_add(state[i]).wrapping_add(key[i % len]);
        state.swap(i, usize::from(j));
    }
    let (mut i, mut j) = (0_u8, 0_u8);
    for byte in data {
        i = i.wrapping_add(1);
        j = j.wrapping_add(state[usize::from(i)]);
        state.swap(usize::from(i), usize::from(j));
        let at = state[usize::from(i)].wrapping_add(state[usize::from(j)]);
        *byte ^= state[usize::from(at)];
    }
}

pub(crate) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rc4_of_rfc_6229() {
        let mut data = [0; 8];
        rc4(&[1, 2, 3, 4, 5], &mut data);
        assert_eq!(data, [0xb2, 0x39, 0x63, 0x05, 0xf0, 0x3d, 0xc0, 0x27]);
    }

    #[test]
    fn md4_of_rfc_1320_and_hmac_of_rfc_2202() {
        assert_eq!(md4(b"abc")[..4], [0xa4, 0x48, 0x01, 0x7a]);
        let mac = hmac_md5(&[0x0b; 16], &[b"Hi ", b"There"]);
        assert_eq!(mac[..4], [0x92, 0x94, 0x72, 0x7a]);
    }
}
