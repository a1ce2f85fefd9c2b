//! Mail that looks like a mailbox that grew for years: sizes, folders, headers, flags and dates vary as
//! in life, and are the same in every run.

/// What is made.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Mailbox {
    /// How many messages.
    pub messages: usize,
    /// How many folders, the inbox included (at least 1).
    pub folders: usize,
    /// All of this size; where `None`, most are small and a few very large, 20 KB on average.
    pub size: Option<usize>,
}

impl Mailbox {
    /// Of all sizes.
    #[must_use]
    pub fn new(messages: usize, folders: usize) -> Self {
        Self {
            messages,
            folders: folders.max(1),
            size: None,
        }
    }

    /// All of one size.
    #[must_use]
    pub fn of_size(mut self, size: usize) -> Self {
        self.size = Some(size);
        self
    }

    /// The messages of each folder, with its name as IMAP writes it. Folders come one after the other,
    /// and are made as they are asked for.
    pub fn by_folder(self) -> impl Iterator<Item = (String, Letters)> {
        let counts = self.counts();
        let mut first = 0;
        counts.into_iter().enumerate().map(move |(at, count)| {
            let letters = Letters {
                mailbox: self,
                rng: Rng::new(1 + at as u64),
                next: first,
                end: first + count,
            };
            first += count;
            (folder_name(at), letters)
        })
    }

    /// In life a few folders have most of the mail; folders of equal messages are equally full.
    fn counts(self) -> Vec<usize> {
        let weights: Vec<f64> = (0..self.folders)
            .map(|at| match self.size {
                Some(_) => 1.0,
                None => (-3.0 * at as f64 / self.folders as f64).exp(),
            })
            .collect();
        let all: f64 = weights.iter().sum();
        let mut sum = 0.0;
        let mut before = 0;
        let bounds = weights.iter().map(|weight| {
            sum += weight;
            let until = (self.messages as f64 * sum / all).round() as usize;
            let count = until - before;
            before = until;
            count
        });
        bounds.collect()
    }
}

/// Names with what is difficult in names: levels, blanks, quotes, other scripts.
const NAMES: [&str; 21] = [
    "INBOX",
    "Projects",
    "Projects/2019",
    "Projects/2020",
    "Archive",
    "Archive/Old",
    "Lists/rust-users",
    "Entw&APw-rfe",
    "R&AOk-sum&AOk-",
    "Clients/A &- B",
    "&ZeVnLIqe-",
    "Spam kept",
    "Bob's stuff",
    "Travel",
    "Receipts",
    "Deep/a/b/c/d/e/f",
    "Family",
    "Bank",
    "Invoices/2021",
    "Invoices/2022",
    "News",
];

fn folder_name(at: usize) -> String {
    match NAMES.get(at) {
        Some(name) => (*name).to_owned(),
        None => format!("Folder {at:04}"),
    }
}

/// One message.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Letter {
    /// All of it.
    pub body: Vec<u8>,
    /// As in a FETCH response, without parentheses.
    pub flags: &'static str,
    /// INTERNALDATE, with its quotes.
    pub date: String,
}

/// Makes messages.
#[derive(Clone, Debug)]
pub struct Letters {
    mailbox: Mailbox,
    rng: Rng,
    next: usize,
    end: usize,
}

impl Iterator for Letters {
    type Item = Letter;

    fn next(&mut self) -> Option<Letter> {
        let number = self.next;
        if number >= self.end {
            return None;
        }
        self.next += 1;
        let size = self.mailbox.size.unwrap_or_else(|| self.rng.size());
        Some(letter(number, size, &mut self.rng))
    }
}

fn letter(number: usize, size: usize, rng: &mut Rng) -> Letter {
    // Some minutes to an hour apart, in a calendar of months with 28 days.
    let minutes = number as u64 * 37 + rng.below(30);
    let (day, minute) = (minutes / 1440, minutes % 1440);
    let month = ["Jan", "Mar", "May", "Jul", "Aug", "Oct", "Dec"];
    let month = month.get((day / 28 % 7) as usize).unwrap_or(&"Jan");
    let date = format!(
        "\"{:2}-{month}-{} {:02}:{:02}:{:02} +0{}00\"",
        1 + day % 28,
        2004 + day / 196 % 20,
        minute / 60,
        minute % 60,
        rng.below(60),
        rng.below(3),
    );
    let flags = match rng.below(100) {
        0..15 => "",
        15..72 => "\\Seen",
        72..90 => "\\Answered \\Seen",
        90..95 => "\\Flagged \\Seen",
        95..97 => "\\Seen $Forwarded",
        97..99 => "\\Seen Work",
        _ => "\\Draft",
    };
    let mut body = header(number, rng);
    let attached = size > 12_000;
    if attached {
        body.push_str("Content-Type: multipart/mixed; boundary=\"the-boundary\"\r\n\r\n");
        body.push_str("--the-boundary\r\n");
    }
    body.push_str("Content-Type: text/plain; charset=utf-8\r\n\r\n");
    let text = if attached { 6000 } else { size };
    while body.len() < text {
        for _ in 0..10 {
            body.push_str(rng.word());
            body.push(' ');
        }
        body.push_str("\r\n");
    }
    if attached {
        body.push_str(
            "--the-boundary\r\nContent-Type: application/octet-stream; name=\"a.bin\"\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n",
        );
        while body.len() < size {
            body.push_str(&rng.base64_line());
        }
        body.push_str("--the-boundary--\r\n");
    }
    let mut body = body.into_bytes();
    if !attached {
        exactly(&mut body, size);
    }
    Letter { body, flags, date }
}

/// Cuts plain text to the size asked for; a header stays whole.
fn exactly(body: &mut Vec<u8>, size: usize) {
    let least = body
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map_or(body.len(), |at| at + 4);
    body.truncate(size.max(least).saturating_sub(2).max(least));
    body.extend_from_slice(b"\r\n");
}

fn header(number: usize, rng: &mut Rng) -> String {
    let mut header = format!("Return-Path: <s{}@example.org>\r\n", rng.below(500));
    for hop in 0..=rng.below(4) {
        header.push_str(&format!(
            "Received: from mx{hop}.example.net (mx{hop}.example.net [192.0.2.{}])\r\n\
             \tby mail.example.com with ESMTPS id {:x};\r\n\tTue, 1 Jul 2025 10:{:02}:{:02} +0000\r\n",
            rng.below(255),
            rng.next(),
            rng.below(60),
            rng.below(60),
        ));
    }
    header.push_str(&format!(
        "From: \"{} {}\" <s{}@example.org>\r\nTo: user@example.com\r\n",
        rng.word(),
        rng.word(),
        rng.below(500)
    ));
    let encoded = if rng.below(5) == 0 {
        "=?utf-8?B?w4RyZ2Vy?= "
    } else {
        ""
    };
    header.push_str(&format!(
        "Subject: {encoded}{} {} {}\r\nDate: Tue, 1 Jul 2025 10:00:{:02} +0000\r\n",
        rng.word(),
        rng.word(),
        rng.word(),
        rng.below(60)
    ));
    // One in 200 has none.
    if rng.below(200) > 0 {
        header.push_str(&format!(
            "Message-ID: <{number}.{:x}@example.org>\r\n",
            rng.next()
        ));
    }
    header.push_str("MIME-Version: 1.0\r\n");
    header
}

/// Numbers that look random (SplitMix64).
#[derive(Clone, Debug)]
struct Rng(u64);

const WORDS: [&str; 32] = [
    "about", "again", "bridge", "carry", "cloud", "common", "door", "early", "figure", "garden",
    "house", "island", "join", "kitchen", "letter", "market", "never", "order", "paper", "quiet",
    "river", "second", "table", "under", "voice", "water", "yellow", "a", "of", "the", "zero",
    "is",
];

impl Rng {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Above 0, up to 1.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    fn word(&mut self) -> &'static str {
        let at = self.below(WORDS.len() as u64) as usize;
        WORDS.get(at).copied().unwrap_or_default()
    }

    fn base64_line(&mut self) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut line = String::with_capacity(78);
        let mut bits = 0;
        for at in 0..76 {
            if at % 10 == 0 {
                bits = self.next();
            }
            let digit = DIGITS.get((bits & 63) as usize).copied().unwrap_or(b'A');
            line.push(char::from(digit));
            bits >>= 6;
        }
        line.push_str("\r\n");
        line
    }

    /// Log-normal, as sizes of mail are: half of them below 7 KB, 20 KB on average, 8 MB at most.
    fn size(&mut self) -> usize {
        let normal = (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos();
        let size = ((20.0_f64 * 1024.0 / 3.0).ln() + 1.45 * normal).exp();
        size.min(8e6) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_in_every_run_and_of_about_20_kb() {
        let all = |mailbox: Mailbox| -> Vec<(String, Letter)> {
            let folders = mailbox.by_folder();
            folders
                .flat_map(|(name, letters)| letters.map(move |one| (name.clone(), one)))
                .collect()
        };
        let mail = all(Mailbox::new(2000, 24));
        assert_eq!(mail.len(), 2000);
        let bytes: usize = mail.iter().map(|(_, one)| one.body.len()).sum();
        assert!((10_000..40_000).contains(&(bytes / 2000)), "{bytes}");
        let again = all(Mailbox::new(2000, 24));
        assert!(
            mail.iter()
                .zip(&again)
                .all(|(one, two)| one.1.body == two.1.body)
        );
        let folders: std::collections::BTreeSet<&str> =
            mail.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(folders.len(), 24);
        for (_, one) in &mail {
            assert_eq!(one.date.len(), 28, "{}", one.date);
            assert!(one.body.ends_with(b"\r\n"));
        }
    }

    #[test]
    fn of_one_size() {
        let (_, letters) = Mailbox::new(50, 1)
            .of_size(2048)
            .by_folder()
            .next()
            .unwrap();
        let sizes: Vec<usize> = letters.map(|one| one.body.len()).collect();
        assert_eq!(sizes, [2048; 50]);
    }
}
