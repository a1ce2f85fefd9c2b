//! Compares what left with what arrived, and both with the report.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use mailmove_core::repair::repair;
use serde_json::Value;

use crate::world::{Job, Mail, Mailbox, Message, Server, fresh};

/// What a pair of servers made of a mailbox.
#[derive(Debug, Default)]
struct Tally {
    /// Messages at the source.
    left: usize,
    /// Equal in bytes, flags and date at the destination.
    equal: usize,
    bytes: usize,
    flags: usize,
    dates: usize,
    /// Of those whose bytes changed: repaired by us, and stored as we repaired them.
    repaired: usize,
    /// Refused, by code and reason.
    failed: BTreeMap<String, usize>,
}

/// Migrates these mails, and checks that each arrived or is explained.
pub(crate) fn moves(what: &str, source: &Server, destination: &Server, mails: Vec<Mail>) {
    let (ann, bob) = (fresh("ann"), fresh("bob"));
    let offered = mails.len();
    let taken = source.fill(&ann, &mails);
    drop(mails);
    // Courier numbers a mailbox twice if its first two visitors ever come at once.
    destination.client(&bob).ok("SELECT INBOX").unwrap();
    let job = Job::new((source, &ann), (destination, &bob));
    let report = job.migrate();
    let had = source.dump(&ann);
    let has = destination.dump(&bob);
    let mut tally = Tally::default();
    let mut unexplained = Vec::new();
    for folder in report["folders"].as_array().unwrap() {
        compare_folder(folder, &report, (&had, &has), &mut tally, &mut unexplained);
    }
    let Tally {
        left,
        equal,
        bytes,
        flags,
        dates,
        repaired,
        failed,
    } = &tally;
    println!(
        "PAIR {what:8} {:10} -> {:10} offered {offered}, taken {taken}, left {left}, equal {equal}; \
         changed: bytes {bytes} ({repaired} repaired), flags {flags}, date {dates}; refused: {failed:?}",
        source.name, destination.name
    );
    assert!(unexplained.is_empty(), "{unexplained:#?}\n{tally:#?}");
    assert_eq!(*left, taken, "messages at the source");
    let again = job.migrate();
    assert_eq!(
        sum(&again, "copied"),
        0,
        "copied by a second run: {again:#}"
    );
    assert_eq!(sum(&again, "failed"), sum(&report, "failed"));
    let doubled = |report| sum(report, "doubled") + sum(report, "perhaps_doubled");
    assert_eq!(doubled(&report) + doubled(&again), 0);
    assert_eq!(destination.dump(&bob), has, "changed by a second run");
}

fn compare_folder(
    folder: &Value,
    report: &Value,
    (had, has): (&Mailbox, &Mailbox),
    tally: &mut Tally,
    unexplained: &mut Vec<String>,
) {
    let source = path(&folder["source"]);
    if !folder["excluded_by"].is_null() {
        // What others share; see `shared`.
        return;
    }
    if !folder["problem"].is_null() {
        unexplained.push(format!("{source}: {}", folder["problem"]));
        return;
    }
    let failed = failures(report, &folder["source"], tally);
    let arrived = match folder["destination"].is_null() {
        true => &Vec::new(),
        false => has.get(&path(&folder["destination"])).unwrap(),
    };
    let left = had.get(&source).map_or(&[][..], Vec::as_slice);
    tally.left += left.len();
    let sent: Vec<&Message> = left
        .iter()
        .filter(|message| !failed.contains(&message.uid))
        .collect();
    if sent.len() != arrived.len() {
        unexplained.push(format!(
            "{source}: {} left, {} of them failed, {} arrived",
            left.len(),
            failed.len(),
            arrived.len()
        ));
        return;
    }
    let mut changed = [0; 3];
    let mut repaired = 0;
    let mut dropped = 0;
    for (sent, arrived) in paired(sent, arrived) {
        let (lost, gained) = flags_between(sent, arrived);
        dropped += lost.len();
        if !gained.is_empty() {
            unexplained.push(format!("{source}: nobody set {gained:?}"));
        }
        let one = differences(sent, arrived);
        tally.equal += usize::from(!one.contains(&true));
        let form = repair(&sent.body).map(|form| form.bytes);
        repaired += usize::from(one[0] && form.as_deref() == Some(&arrived.body[..]));
        changed
            .iter_mut()
            .zip(one)
            .for_each(|(sum, one)| *sum += usize::from(one));
    }
    let [bytes, flags, dates] = changed;
    tally.bytes += bytes;
    tally.flags += flags;
    tally.dates += dates;
    tally.repaired += repaired;
    let told = |kind: &str| folder["altered"][kind].as_u64().unwrap_or(0) as usize;
    for (what, changed, told) in [
        (
            "bytes",
            bytes,
            told("content-rewritten") + told("content-repaired"),
        ),
        // What a server makes of some bytes by itself may be what a repair makes of them.
        ("repaired", repaired.max(told("content-repaired")), repaired),
        ("dates", dates, told("date-replaced")),
        ("flags", dropped, told("flag-dropped")),
    ] {
        if changed != told {
            unexplained.push(format!(
                "{source}: {what} of {changed} changed, {told} told"
            ));
        }
    }
}

/// What differs: bytes, flags, date.
fn differences(sent: &Message, arrived: &Message) -> [bool; 3] {
    [
        sent.body != arrived.body,
        sent.flags != arrived.flags,
        sent.received.seconds() != arrived.received.seconds(),
    ]
}

/// The flags that are gone, and those that came.
pub(crate) fn flags_between<'a>(
    sent: &'a Message,
    arrived: &'a Message,
) -> (Vec<&'a str>, Vec<&'a str>) {
    let set = |message: &'a Message| -> BTreeSet<&str> { message.flags.split(' ').collect() };
    let (before, after) = (set(sent), set(arrived));
    let not_in = |one: &BTreeSet<&'a str>, other: &BTreeSet<&'a str>| {
        let rest = one.difference(other).copied();
        rest.filter(|flag| !flag.is_empty()).collect()
    };
    (not_in(&before, &after), not_in(&after, &before))
}

/// Which message became which: the most alike first, since a few (those with NUL) arrive later than
/// they stood; what is alike in nothing, in order.
fn paired<'a>(sent: Vec<&'a Message>, arrived: &'a [Message]) -> Vec<(&'a Message, &'a Message)> {
    let mut sent: Vec<Option<&Message>> = sent.into_iter().map(Some).collect();
    let mut arrived: Vec<Option<&Message>> = arrived.iter().map(Some).collect();
    let mut pairs = Vec::new();
    let rounds: [fn([bool; 3]) -> bool; 6] = [
        |[bytes, flags, date]| !bytes && !flags && !date,
        |[bytes, flags, _]| !bytes && !flags,
        |[bytes, _, date]| !bytes && !date,
        |[bytes, ..]| !bytes,
        |[_, flags, date]| !flags && !date,
        |_| true,
    ];
    for fits in rounds {
        for one in &mut sent {
            let Some(message) = *one else { continue };
            let found = arrived
                .iter_mut()
                .find(|there| there.is_some_and(|there| fits(differences(message, there))));
            if let Some(there) = found.and_then(Option::take) {
                pairs.push((message, there));
                *one = None;
            }
        }
    }
    pairs
}

/// UIDs of the folder's messages that the report explains.
fn failures(report: &Value, folder: &Value, tally: &mut Tally) -> HashSet<u32> {
    let mut uids = HashSet::new();
    for one in report["failures"].as_array().unwrap() {
        if one["folder"] != *folder {
            continue;
        }
        let (code, reason) = (
            one["code"].as_str().unwrap(),
            one["reason"].as_str().unwrap(),
        );
        let answer = reason.split("answer ").nth(1).unwrap_or(reason);
        let answer = answer.split([',', ')']).next().unwrap_or(answer);
        *tally.failed.entry(format!("{code}: {answer}")).or_default() += 1;
        let id = one["message"].as_str().unwrap();
        uids.insert(id.rsplit(['-', ' ']).next().unwrap().parse().unwrap());
    }
    uids
}

pub(crate) fn path(folder: &Value) -> String {
    match folder.as_array() {
        Some(names) => {
            let names: Vec<&str> = names.iter().map(|name| name.as_str().unwrap()).collect();
            names.join("/")
        }
        None => folder.as_str().unwrap().to_owned(),
    }
}

/// The sum of one number over all folders of a report.
pub(crate) fn sum(report: &Value, field: &str) -> u64 {
    let folders = report["folders"].as_array().unwrap();
    folders
        .iter()
        .filter_map(|folder| folder[field].as_u64())
        .sum()
}
