//! COMPRESS=DEFLATE: a stream is unpacked alike however it comes and however much room there is, or
//! refused; what we pack is unpacked to the same.

use std::sync::LazyLock;

use flate2::{Decompress, FlushDecompress, Status};
use mailmove_imap::probe;

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.build().expect("a runtime")
});

/// The first two bytes choose pieces and room; the rest is a packed stream, and a text to pack.
pub fn check(data: &[u8]) {
    let Some((&[piece, room], rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let (piece, room) = (usize::from(piece) + 1, (usize::from(room) + 1) * 16);
    let expected = slowly(rest);
    let found = RUNTIME.block_on(probe::unpack(rest, piece, room));
    match (&expected, &found) {
        (Some(expected), Ok(found)) => assert!(found == expected, "another text"),
        (None, Err(_)) => {}
        _ => panic!(
            "{} bytes, but {:?}",
            expected.map_or(0, |e| e.len()),
            found.map(|f| f.len())
        ),
    }
    let pieces: Vec<&[u8]> = rest.chunks(piece).collect();
    let packed = RUNTIME.block_on(probe::pack(&pieces)).expect("packed");
    assert_eq!(
        slowly(&packed).as_deref(),
        Some(rest),
        "packed as something else"
    );
}

/// Unpacked at once, by the library alone; `None` if it is none.
fn slowly(packed: &[u8]) -> Option<Vec<u8>> {
    let mut unpacker = Decompress::new(false);
    let mut out = Vec::new();
    let mut room = [0; 4096];
    loop {
        let (taken, made) = (unpacker.total_in(), unpacker.total_out());
        let rest = &packed[usize::try_from(taken).ok()?..];
        let status = unpacker
            .decompress(rest, &mut room, FlushDecompress::None)
            .ok()?;
        let new = usize::try_from(unpacker.total_out() - made).ok()?;
        out.extend_from_slice(&room[..new]);
        let still = unpacker.total_in() == taken && new == 0;
        if status == Status::StreamEnd || still {
            return Some(out);
        }
    }
}

/// Streams with stored, fixed and dynamic blocks.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let long = "* 1 FETCH (UID 7 FLAGS (\\Seen))\r\n".repeat(40);
    for (level, text) in [
        (0, "* OK hi\r\n"),
        (1, "* OK hi\r\n"),
        (6, &long),
        (9, &long),
    ] {
        let mut packer = flate2::Compress::new(flate2::Compression::new(level), false);
        let mut packed = Vec::with_capacity(4096);
        let done = packer.compress_vec(text.as_bytes(), &mut packed, flate2::FlushCompress::Sync);
        done.expect("packed");
        let level = u8::try_from(level).expect("small");
        seeds.push([&[level * 20, level], &packed[..]].concat());
    }
    seeds
}
