//! The fuzz targets without a fuzzer: over their seeds, and over changed ones that are the same in
//! every run. `MAILMOVE_FUZZ_ROUNDS` asks for more of them, `MAILMOVE_FUZZ_SECONDS` for as many as fit.

use std::time::{Duration, Instant};

use mailmove_fuzz::{TARGETS, Target};

/// SplitMix64, so that nothing depends on chance.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound.max(1) as u64).unwrap_or(0)
    }
}

/// Some bytes changed, taken out, or taken from another seed.
fn change(seed: &[u8], other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut out = seed.to_vec();
    for _ in 0..=numbers.below(6) {
        let at = numbers.below(out.len() + 1);
        let end = (at + numbers.below(9)).min(out.len());
        match numbers.below(4) {
            0 => out.insert(at, u8::try_from(numbers.below(256)).unwrap_or(0)),
            1 => drop(out.drain(at..end)),
            2 => {
                let from = numbers.below(other.len() + 1);
                let to = (from + numbers.below(30)).min(other.len());
                drop(out.splice(at..end, other[from..to].iter().copied()));
            }
            _ => out.get_mut(at..end).unwrap_or_default().reverse(),
        }
    }
    out
}

/// A target over its seeds, and over changed ones: this many for each seed, or for this long.
fn smoke(target: &Target) {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    let seconds = number("MAILMOVE_FUZZ_SECONDS");
    let rounds = number("MAILMOVE_FUZZ_ROUNDS").unwrap_or(100);
    let start = Instant::now();
    let seeds = (target.seeds)();
    assert!(
        seeds.len() >= 4,
        "{} has {} seeds",
        target.name,
        seeds.len()
    );
    seeds.iter().for_each(|seed| (target.check)(seed));
    let mut numbers = Numbers(5);
    let mut done = 0_u64;
    loop {
        for seed in &seeds {
            let other = &seeds[numbers.below(seeds.len())];
            (target.check)(&change(seed, other, &mut numbers));
            done += 1;
        }
        let enough = match seconds {
            Some(seconds) => start.elapsed() >= Duration::from_secs(seconds),
            None => done >= rounds * seeds.len() as u64,
        };
        if enough {
            println!("{}: {done} changed inputs", target.name);
            return;
        }
    }
}

/// A test for each, so that they run beside each other and each has its time.
macro_rules! smoke {
    ($($name:ident)*) => {
        mod seeds_and_changed_seeds_hold {
            $(#[test]
            fn $name() {
                let target = super::TARGETS.iter().find(|target| target.name == stringify!($name));
                super::smoke(target.unwrap());
            })*
        }

        #[test]
        fn each_target_is_tried() {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

smoke! {
    checkpoint_records core_texts ews_login ews_reply folder_map graph_draft graph_session header_digest imap_command
    imap_compressed imap_fetch imap_frames imap_response imap_session imap_texts meaning mime_round_trip
    modified_utf7 repair state_file
}

/// Seeds that are refused at once would try nothing.
#[test]
fn sessions_come_as_far_as_every_command() {
    let mut sent: Vec<String> = Vec::new();
    for seed in mailmove_fuzz::imap_session::seeds() {
        sent.extend(mailmove_fuzz::imap_session::commands(&seed));
    }
    let all = [
        "LOGIN",
        "AUTHENTICATE",
        "ID",
        "NAMESPACE",
        "ENABLE",
        "LIST",
        "LSUB",
        "STATUS",
        "EXAMINE",
        "SELECT",
        "UID FETCH",
        "UID STORE",
        "UID COPY",
        "UID MOVE",
        "UID EXPUNGE",
        "APPEND",
        "CREATE",
        "GETQUOTAROOT",
        "GETMETADATA",
        "SETMETADATA",
        "MYRIGHTS",
        "UNSELECT",
        "UID SEARCH",
    ];
    let missing: Vec<&str> = all
        .into_iter()
        .filter(|verb| !sent.iter().any(|one| one == verb))
        .collect();
    assert!(missing.is_empty(), "{missing:?} never sent, but {sent:?}");
}

#[test]
fn nothing_at_all_is_an_input_too() {
    for target in TARGETS {
        for short in [&b""[..], b"\0", b"\xff\xff"] {
            (target.check)(short);
        }
    }
}

#[test]
fn each_target_has_its_program() {
    let place = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    let mut programs: Vec<String> = std::fs::read_dir(place)
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    programs.sort();
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(programs, names);
}
