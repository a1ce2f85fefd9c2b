//! The fuzz targets without a fuzzer: over their seeds, and over changed ones that are the same in
//! every run. `MAILMOVE_FUZZ_ROUNDS` asks for more of them.

use mailmove_fuzz::TARGETS;

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

#[test]
fn seeds_and_changed_seeds_hold() {
    let rounds = std::env::var("MAILMOVE_FUZZ_ROUNDS").map_or(100, |text| text.parse().unwrap());
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(
            seeds.len() >= 4,
            "{} has {} seeds",
            target.name,
            seeds.len()
        );
        let mut numbers = Numbers(5);
        for seed in &seeds {
            (target.check)(seed);
            for _ in 0..rounds {
                let other = &seeds[numbers.below(seeds.len())];
                (target.check)(&change(seed, other, &mut numbers));
            }
        }
    }
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
