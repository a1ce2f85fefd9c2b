//! MD4, MD5, HMAC-MD5 and RC4, written from their RFCs: the client under test takes them from elsewhere.

/// The blocks of a message with its padding (RFC 1320 section 3.1).
fn blocks(message: &[u8]) -> Vec<[u32; 16]> {
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend((message.len() as u64 * 8).to_le_bytes());
    padded
        .chunks_exact(64)
        .map(|chunk| {
            let mut block = [0; 16];
            for (word, bytes) in block.iter_mut().zip(chunk.chunks_exact(4)) {
                *word = bytes
                    .iter()
                    .rev()
                    .fold(0, |word, byte| word << 8 | u32::from(*byte));
            }
            block
        })
        .collect()
}

const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

fn bytes(state: [u32; 4]) -> [u8; 16] {
    let mut out = [0; 16];
    for (four, word) in out.chunks_exact_mut(4).zip(state) {
        four.copy_from_slice(&word.to_le_bytes());
    }
    out
}

fn add(state: [u32; 4], more: [u32; 4]) -> [u32; 4] {
    let mut sum = state;
    for (word, more) in sum.iter_mut().zip(more) {
        *word = word.wrapping_add(more);
    }
    sum
}

fn word(block: &[u32; 16], at: usize) -> u32 {
    block.get(at).copied().unwrap_or(0)
}

/// RFC 1320.
pub(super) fn md4(message: &[u8]) -> [u8; 16] {
    let mut state = START;
    for block in blocks(message) {
        let [mut a, mut b, mut c, mut d] = state;
        for step in 0..48_usize {
            let (mixed, constant, at, shifts) = match step / 16 {
                0 => (b & c | !b & d, 0, step, [3, 7, 11, 19]),
                1 => (
                    b & c | b & d | c & d,
                    0x5a82_7999,
                    step % 4 * 4 + step % 16 / 4,
                    [3, 5, 9, 13],
                ),
                _ => (
                    b ^ c ^ d,
                    0x6ed9_eba1,
                    // The number of the step with its four bits the other way round.
                    (step % 16).reverse_bits() >> (usize::BITS - 4),
                    [3, 9, 11, 15],
                ),
            };
            let shift: u32 = shifts.into_iter().nth(step % 4).unwrap_or(0);
            let new = a
                .wrapping_add(mixed)
                .wrapping_add(word(&block, at))
                .wrapping_add(constant)
                .rotate_left(shift);
            (a, b, c, d) = (d, new, b, c);
        }
        state = add(state, [a, b, c, d]);
    }
    bytes(state)
}

/// RFC 1321.
pub(super) fn md5(message: &[u8]) -> [u8; 16] {
    let mut state = START;
    for block in blocks(message) {
        let [mut a, mut b, mut c, mut d] = state;
        for step in 0..64_u32 {
            let (mixed, at, shifts) = match step / 16 {
                0 => (b & c | !b & d, step, [7, 12, 17, 22]),
                1 => (b & d | c & !d, 5 * step + 1, [5, 9, 14, 20]),
                2 => (b ^ c ^ d, 3 * step + 5, [4, 11, 16, 23]),
                _ => (c ^ (b | !d), 7 * step, [6, 10, 15, 21]),
            };
            let shift: u32 = shifts.into_iter().nth(step as usize % 4).unwrap_or(0);
            // By definition the integer part of this.
            let sine = (f64::from(step) + 1.0).sin().abs() * 4_294_967_296.0;
            let new = a
                .wrapping_add(mixed)
                .wrapping_add(sine as u32)
                .wrapping_add(word(&block, at as usize % 16))
                .rotate_left(shift)
                .wrapping_add(b);
            (a, b, c, d) = (d, new, b, c);
        }
        state = add(state, [a, b, c, d]);
    }
    bytes(state)
}

/// RFC 2104 with MD5, over these pieces.
pub(super) fn hmac_md5(key: &[u8], pieces: &[&[u8]]) -> [u8; 16] {
    let mut block = match key.len() > 64 {
        true => md5(key).to_vec(),
        false => key.to_vec(),
    };
    block.resize(64, 0);
    let pad = |byte: u8| block.iter().map(|b| b ^ byte).collect::<Vec<u8>>();
    let inner = md5(&[pad(0x36), pieces.concat()].concat());
    md5(&[pad(0x5c), inner.to_vec()].concat())
}

/// RC4 from the start of its stream.
pub(super) fn rc4(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut state: Vec<u8> = (0..=255).collect();
    let at = |state: &[u8], index: u8| state.get(usize::from(index)).copied().unwrap_or(0);
    let mut j = 0_u8;
    for (i, key) in (0..=255_u8).zip(key.iter().cycle()) {
        j = j.wrapping_add(at(&state, i)).wrapping_add(*key);
        state.swap(usize::from(i), usize::from(j));
    }
    let (mut i, mut j) = (0_u8, 0_u8);
    data.iter()
        .map(|byte| {
            i = i.wrapping_add(1);
            j = j.wrapping_add(at(&state, i));
            state.swap(usize::from(i), usize::from(j));
            let sum = at(&state, i).wrapping_add(at(&state, j));
            byte ^ at(&state, sum)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn digests_are_those_of_the_rfcs() {
        assert_eq!(hex(&md4(b"")), "31d6cfe0d16ae931b73c59d7e0c089c0");
        assert_eq!(
            hex(&md4(b"message digest")),
            "d9130a8164549fe818874806e1c7014b"
        );
        let long =
            b"12345678901234567890123456789012345678901234567890123456789012345678901234567890";
        assert_eq!(hex(&md4(long)), "e33b4ddc9c38f2199c3e7b164fcc0536");
        assert_eq!(hex(&md5(b"abc")), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(hex(&md5(long)), "57edf4a22be3c955ac49da2e2107b67a");
        let mac = hmac_md5(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(hex(&mac), "750c783e6ab0b503eaa86e310a5db738");
        assert_eq!(hex(&rc4(b"Key", b"Plaintext")), "bbf316e8d940af0ad3");
    }
}
