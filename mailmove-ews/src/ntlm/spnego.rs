//! SPNEGO around NTLM (RFC 4178, MS-SPNG), as far as one mechanism needs it.

/// The list of mechanisms that is offered: NTLMSSP alone.
pub(crate) const MECHANISMS: [u8; 14] = [
    0x30, 0x0c, 0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a,
];
/// SPNEGO itself.
const SPNEGO: [u8; 8] = [0x06, 0x06, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02];

fn wrap(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    let bytes = len.to_be_bytes();
    let significant = bytes.iter().skip_while(|byte| **byte == 0).copied();
    if len < 0x80 {
        out.extend(u8::try_from(len));
    } else {
        let digits: Vec<u8> = significant.collect();
        out.push(0x80 | u8::try_from(digits.len()).unwrap_or_default());
        out.extend(digits);
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// NegTokenInit with a first token.
pub(crate) fn first(token: &[u8]) -> Vec<u8> {
    let mechanisms = wrap(0xa0, &[&MECHANISMS]);
    let token = wrap(0xa2, &[&wrap(0x04, &[token])]);
    let init = wrap(0xa0, &[&wrap(0x30, &[&mechanisms, &token])]);
    wrap(0x60, &[&SPNEGO, &init])
}

/// NegTokenResp with the last token and the list's signature.
pub(crate) fn last(token: &[u8], signature: &[u8]) -> Vec<u8> {
    let token = wrap(0xa2, &[&wrap(0x04, &[token])]);
    let signature = wrap(0xa3, &[&wrap(0x04, &[signature])]);
    wrap(0xa1, &[&wrap(0x30, &[&token, &signature])])
}

/// One DER value: (tag, content, what follows).
pub(super) fn value(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let len = digits
                .iter()
                .fold(0_usize, |len, digit| len << 8 | usize::from(*digit));
            (len, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((*tag, content, rest))
}

/// The values within one.
pub(super) fn values(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (tag, content, rest) = value(bytes)?;
        bytes = rest;
        Some((tag, content))
    })
}

/// The mechanism's token within a NegTokenResp. Some servers answer with the bare token.
pub(crate) fn token(response: &[u8]) -> Option<Vec<u8>> {
    if response.starts_with(b"NTLMSSP\0") {
        return Some(response.to_vec());
    }
    let (0xa1, response, _) = value(response)? else {
        return None;
    };
    let (0x30, fields, _) = value(response)? else {
        return None;
    };
    let (_, token) = values(fields).find(|(tag, _)| *tag == 0xa2)?;
    let (0x04, token, _) = value(token)? else {
        return None;
    };
    Some(token.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_any_length_come_back() {
        for len in [0, 5, 127, 128, 255, 256, 70_000] {
            let token_bytes = vec![7; len];
            let response = last(&token_bytes, &[1; 16]);
            assert_eq!(token(&response), Some(token_bytes.clone()));
            for cut in 0..response.len().min(300) {
                assert_eq!(token(&response[..cut]), None);
            }
            assert_eq!(first(&token_bytes)[0], 0x60);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_response_is_survived(bytes: Vec<u8>) {
            let _ = token(&bytes);
        }
    }
}
