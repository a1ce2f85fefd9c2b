//! Reports as text.

use std::fmt::Write as _;

use mailmove_core::{
    identity::{Aspect, Loss},
    model::{AlterationKind, FolderPath},
    report::{
        AnnotationReport, Failure, FolderReport, MOST_LISTED, Plan, Problem, RepairedMessage,
        Report, Status, Tally, Verification, Warning,
    },
};

use crate::{
    failure::usual_remedy,
    output::{bytes, clean, count, number},
    table::{Table, fit},
};

/// Columns that a folder's name takes in a table.
const LONGEST_NAME: usize = 40;

/// What a pass did.
pub(crate) fn pass(report: &Report) -> String {
    let mut out = format!(
        "\nPass {}: {} -> {}\n\n",
        report.pass,
        clean(&report.source),
        clean(&report.destination)
    );
    let mut table = Table::new(&[
        "Folder",
        "found",
        "copied",
        "earlier",
        "there already",
        "excluded",
        "vanished",
        "failed",
        "notes",
    ]);
    for folder in &report.folders {
        let name = place(&folder.source, folder.destination.as_ref());
        table.row(tally_row(name, &folder.tally, notes(folder)));
    }
    let total = report.total();
    table.rule();
    let sum = if total.bytes == 0 {
        String::new()
    } else {
        format!("{} copied", bytes(total.bytes))
    };
    table.row(tally_row("total".to_owned(), &total, sum));
    out.push_str(&table.print());
    repaired(&mut out, &report.repaired);
    failures(&mut out, &report.failures, total.failed);
    if let Some(problem) = &report.not_kept {
        out.push_str("\nnot all of them could be kept in dead letters\n");
        explain(&mut out, problem);
    }
    for folder in &report.folders {
        if let Some(problem) = &folder.problem {
            let _ = write!(
                out,
                "\n{}: not completed\n",
                clean(&folder.source.to_string())
            );
            explain(&mut out, problem);
            // What holds for one folder alone can be gone around.
            if problem.remedy.is_none() && matches!(problem.kind, "unsupported" | "refused") {
                out.push_str(
                    "  remedy: Put it elsewhere with --map, or leave it out with --exclude.\n",
                );
            }
        }
    }
    if let (Some(problem), Status::Stopped) = (&report.stopped, report.status()) {
        out.push_str("\nstopped early\n");
        explain(&mut out, problem);
    }
    let _ = write!(out, "\n{}\n", verdict(report, &total));
    out
}

fn tally_row(name: String, tally: &Tally, notes: String) -> Vec<String> {
    let numbers = [
        tally.found,
        tally.copied,
        tally.earlier,
        tally.already_there,
        tally.excluded,
        tally.vanished,
        tally.failed,
    ];
    let mut row = vec![name];
    row.extend(numbers.into_iter().map(number));
    row.push(notes);
    row
}

/// Where a folder went, if it is not where it was.
fn place(source: &FolderPath, destination: Option<&FolderPath>) -> String {
    let name = |path: &FolderPath| fit(&clean(&path.to_string()), LONGEST_NAME);
    match destination {
        Some(to) if to != source => format!("{} -> {}", name(source), name(to)),
        _ => name(source),
    }
}

fn notes(folder: &FolderReport) -> String {
    let mut notes = Vec::new();
    if let Some(rule) = &folder.excluded {
        notes.push(format!("left out: {}", clean(rule)));
    }
    if folder.problem.is_some() {
        notes.push("not completed, see below".to_owned());
    }
    let tally = &folder.tally;
    for (n, what) in [
        (tally.open, "not dealt with"),
        (tally.removed_there, "removed at the destination"),
        (tally.by_reference, "copied within the destination"),
        (tally.moved, "moved"),
        (tally.flags_changed, "flags changed"),
        (tally.replaced, "replaced by a good copy"),
        (tally.gone, "no longer there at the source"),
        (tally.rescued, "gone there and delivered from dead letters"),
        (tally.perhaps_doubled, "perhaps doubled"),
        (tally.doubled, "doubled"),
    ] {
        if n > 0 {
            notes.push(format!("{} {what}", number(n)));
        }
    }
    for (kind, n) in &folder.altered {
        notes.push(format!("{} {}", number(*n), altered(*kind)));
    }
    if let Some(annotations) = &folder.annotations {
        noted(annotations, &mut notes);
    }
    let open = tally.found.abs_diff(tally.accounted() + tally.open);
    if folder.excluded.is_none() && folder.problem.is_none() && open > 0 {
        notes.push(format!("the numbers differ by {}", number(open)));
    }
    notes.join(", ")
}

fn noted(annotations: &AnnotationReport, notes: &mut Vec<String>) {
    let names = |names: Vec<&String>| {
        let names: Vec<_> = names.into_iter().map(|name| clean(name)).collect();
        names.join(" ")
    };
    if annotations.copied > 0 {
        notes.push(format!("{} annotations", number(annotations.copied)));
    }
    if !annotations.kept.is_empty() {
        let kept = names(annotations.kept.iter().collect());
        notes.push(format!("annotated otherwise at the destination: {kept}"));
    }
    if !annotations.refused.is_empty() {
        let refused = annotations.refused.iter().map(|one| &one.name);
        let refused = names(refused.collect());
        notes.push(format!("annotations refused: {refused}"));
    }
    if annotations.left_out {
        notes.push("annotations too long or too many".to_owned());
    }
}

fn altered(kind: AlterationKind) -> &'static str {
    match kind {
        AlterationKind::FlagDropped => "with a flag that the destination does not keep",
        AlterationKind::DateReplaced => "with a replaced date",
        AlterationKind::ContentRepaired => "repaired",
        AlterationKind::ContentRewritten => "rewritten by the destination",
        AlterationKind::MergedByServer => "merged by the server with an identical message",
        AlterationKind::OldPlaceKept => "also kept in the old place",
        _ => "altered",
    }
}

fn repaired(out: &mut String, listed: &[RepairedMessage]) {
    if listed.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "\n{} arrived repaired:",
        count(listed.len() as u64, "message")
    );
    for one in listed {
        let _ = writeln!(
            out,
            "  {}, {}: {}",
            clean(&one.folder.to_string()),
            clean(&one.message),
            clean(&one.what)
        );
    }
}

fn failures(out: &mut String, listed: &[Failure], all: u64) {
    if listed.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{} could not be moved:", count(all, "message"));
    for failure in listed {
        let received = failure.received.as_deref().unwrap_or("no date");
        let _ = writeln!(
            out,
            "  {}, {} ({}, {})\n    reason: {} [{}]",
            clean(&failure.folder.to_string()),
            clean(&failure.message),
            clean(received),
            bytes(failure.size),
            clean(&failure.reason),
            clean(&failure.code),
        );
        if let Some(remedy) = &failure.remedy {
            let _ = writeln!(out, "    remedy: {}", clean(remedy));
        }
        if let Some(place) = &failure.dead_letter {
            let _ = writeln!(out, "    kept in: {}", clean(place));
        }
    }
    let more = all.saturating_sub(listed.len() as u64);
    if more > 0 {
        let _ = writeln!(
            out,
            "  … and {} more (the first {MOST_LISTED} are listed)",
            number(more)
        );
    }
}

fn explain(out: &mut String, problem: &Problem) {
    let _ = writeln!(
        out,
        "  reason: {} [{}]",
        clean(&problem.reason),
        clean(&problem.code)
    );
    let remedy = problem
        .remedy
        .as_deref()
        .or_else(|| usual_remedy(problem.kind));
    if let Some(remedy) = remedy {
        let _ = writeln!(out, "  remedy: {}", clean(remedy));
    }
}

/// One line that says how it ended.
fn verdict(report: &Report, total: &Tally) -> String {
    let folders = report
        .folders
        .iter()
        .filter(|folder| !folder.is_complete())
        .count() as u64;
    match report.status() {
        Status::Complete if total.copied == 0 && total.moved == 0 && total.flags_changed == 0 => {
            format!(
                "complete: nothing new; all {} accounted for",
                count(total.found, "message")
            )
        }
        Status::Complete => format!(
            "complete: every message accounted for ({} found, {} copied in this pass)",
            number(total.found),
            number(total.copied)
        ),
        Status::CompleteWithFailures if total.failed > 0 => format!(
            "complete with failures: {} could not be moved; mailmove retry tries again",
            count(total.failed, "message")
        ),
        Status::CompleteWithFailures => {
            format!(
                "complete with failures: {} not complete, see the notes",
                count(folders, "folder")
            )
        }
        Status::Mismatch => {
            let open = report
                .folders
                .iter()
                .filter(|folder| folder.is_mismatched());
            format!(
                "the ledger does not close: {} with other numbers than the server counts",
                count(open.count() as u64, "folder")
            )
        }
        Status::Cancelled => {
            "interrupted: what was sent is recorded; the same command goes on from here".to_owned()
        }
        _ => "stopped: what was sent is recorded; the same command goes on from here".to_owned(),
    }
}

/// What a pass would do.
pub(crate) fn plan(plan: &Plan) -> String {
    let mut out = format!(
        "\nPlan: {} -> {}\n\n",
        clean(&plan.source),
        clean(&plan.destination)
    );
    let mut table = Table::new(&[
        "Folder", "found", "size", "done", "filtered", "to do", "notes",
    ]);
    let (mut found, mut size, mut done, mut filtered, mut to_do) = (0, 0, 0, 0, 0);
    for folder in &plan.folders {
        let mut notes = Vec::new();
        if let Some(rule) = &folder.excluded {
            notes.push(format!("left out: {}", clean(rule)));
        }
        if let Some(why) = &folder.renamed {
            notes.push(format!("renamed: {}", clean(why)));
        }
        if folder.create {
            notes.push("will be created".to_owned());
        }
        let optional =
            |n: Option<u64>, show: fn(u64) -> String| n.map_or_else(|| "?".to_owned(), show);
        table.row(vec![
            place(&folder.source, folder.destination.as_ref()),
            optional(folder.found, number),
            optional(folder.bytes, bytes),
            number(folder.done),
            number(folder.filtered),
            number(folder.to_do),
            notes.join(", "),
        ]);
        found += folder.found.unwrap_or(0);
        size += folder.bytes.unwrap_or(0);
        done += folder.done;
        filtered += folder.filtered;
        to_do += folder.to_do;
    }
    table.rule();
    table.row(vec![
        "total".to_owned(),
        number(found),
        bytes(size),
        number(done),
        number(filtered),
        number(to_do),
        String::new(),
    ]);
    out.push_str(&table.print());
    for warning in &plan.warnings {
        let _ = write!(out, "\nwarning: {}\n", warned(warning));
    }
    let _ = write!(
        out,
        "\nplan: {} to be looked at; nothing was changed\n",
        count(to_do, "message")
    );
    out
}

fn warned(warning: &Warning) -> String {
    match warning {
        Warning::NoRoom { needed, free, .. } => format!(
            "the destination has room for {}, and {} are to be copied\n  remedy: Free some space \
             there, raise its quota, or copy less (--since, --exclude, --max-size).",
            bytes(*free),
            bytes(*needed)
        ),
        Warning::TooManyMessages { needed, free, .. } => format!(
            "the destination takes {} more, and {} are to be copied",
            count(*free, "message"),
            number(*needed)
        ),
        other => clean(&other.to_string()).into_owned(),
    }
}

/// What a repair can do something about.
fn is_mendable(what: &str) -> bool {
    ["missing", "size", "content", "received", "not-copied"].contains(&what)
        || Aspect::ALL.iter().any(|aspect| aspect.as_str() == what)
}

/// What comparing showed.
pub(crate) fn verification(found: &Verification, most: usize) -> String {
    let mut out = String::from("\n");
    let mut table = Table::new(&["Folder", "checked", "different", "notes"]);
    let (mut checked, mut different, mut known) = (0, 0, 0);
    for folder in &found.folders {
        checked += folder.checked;
        different += folder.differences;
        known += folder.known;
        // Folders without mail have nothing to tell here.
        let nothing = folder.checked + folder.differences + folder.known == 0;
        if nothing && folder.problem.is_none() {
            continue;
        }
        let mut notes = Vec::new();
        if folder.problem.is_some() {
            notes.push("not all compared, see below".to_owned());
        }
        if folder.known > 0 {
            notes.push(format!("{} known from before", number(folder.known)));
        }
        if folder.unread > 0 {
            let gone = "no longer at the source, so not compared by content";
            notes.push(format!("{} {gone}", number(folder.unread)));
        }
        table.row(vec![
            place(&folder.source, folder.destination.as_ref()),
            number(folder.checked),
            number(folder.differences),
            notes.join(", "),
        ]);
    }
    table.rule();
    table.row(vec![
        "total".to_owned(),
        number(checked),
        number(different),
        String::new(),
    ]);
    out.push_str(&table.print());
    if !found.differences.is_empty() {
        out.push('\n');
    }
    for difference in found.differences.iter().take(most) {
        let there = difference.destination.as_deref().unwrap_or("nowhere");
        let _ = writeln!(
            out,
            "  {}, {} (destination: {}): {}: {}{}",
            clean(&difference.folder.to_string()),
            clean(&difference.message),
            clean(there),
            difference.what,
            clean(&difference.detail),
            if difference.known {
                " (known from before)"
            } else {
                ""
            }
        );
    }
    let listed = found.differences.len().min(most);
    let more = (different + known).saturating_sub(listed as u64);
    if more > 0 {
        let _ = writeln!(out, "  … and {} more", number(more));
    }
    if !found.losses.is_empty() {
        let _ = writeln!(
            out,
            "\nknown losses of this destination, which makes messages anew (docs/fidelity.md):"
        );
    }
    for (name, count) in &found.losses {
        let loss = Loss::ALL.into_iter().find(|loss| loss.as_str() == name);
        let words = loss.map_or("", Loss::in_words);
        let _ = writeln!(out, "  {name:16} {:>7}  {words}", number(*count));
    }
    for folder in &found.folders {
        if let Some(problem) = &folder.problem {
            let _ = write!(
                out,
                "\n{}: not all compared\n",
                clean(&folder.source.to_string())
            );
            explain(&mut out, problem);
        }
    }
    let verdict = if found.is_clean() {
        format!("verified: {}, no difference", count(checked, "message"))
    } else if different > 0 {
        let left = found
            .differences
            .iter()
            .any(|one| !one.known && is_mendable(one.what));
        format!(
            "different: {} of {}{}",
            number(different),
            count(checked, "message"),
            if left {
                "; `mailmove verify --repair` sends again what is missing or damaged"
            } else {
                ""
            }
        )
    } else {
        "not verified: some folders could not be compared".to_owned()
    };
    let _ = write!(out, "\n{verdict}\n");
    out
}

#[cfg(test)]
mod tests {
    use mailmove_core::{Error, ErrorKind};

    use super::*;

    fn report() -> Report {
        let mut report = Report::new(2, "imap://ann@old", "imap://ann@new");
        let mut inbox = FolderReport::new(FolderPath::inbox());
        inbox.destination = Some(FolderPath::inbox());
        inbox.tally.found = 1200;
        inbox.tally.copied = 1000;
        inbox.tally.earlier = 199;
        inbox.tally.bytes = 5_000_000;
        inbox.tally.failed = 1;
        inbox.tally.moved = 5;
        inbox.altered.insert(AlterationKind::FlagDropped, 2);
        let mut annotations = AnnotationReport::default();
        annotations.copied = 2;
        annotations.kept = vec!["/private/comment".to_owned()];
        inbox.annotations = Some(annotations);
        let mut sent = FolderReport::new(FolderPath::new(["Sent Items"]));
        sent.destination = Some(FolderPath::new(["Sent"]));
        let mut junk = FolderReport::new(FolderPath::new(["Junk"]));
        junk.excluded = Some("--exclude Junk".to_owned());
        junk.tally.found = 3;
        junk.tally.excluded = 3;
        report.folders = vec![inbox, sent, junk];
        report
    }

    #[test]
    fn a_pass_by_folder_with_totals() {
        let text = pass(&report());
        let expected = "
Pass 2: imap://ann@old -> imap://ann@new

Folder              found  copied  earlier  there already  excluded  vanished  failed  notes
-------------------------------------------------------------------------------------
INBOX               1,200   1,000      199              0         0         0       1  5 moved, 2 with a flag that the destination does not keep, 2 annotations, annotated otherwise at the destination: /private/comment
Sent Items -> Sent      0       0        0              0         0         0       0
Junk                    3       0        0              0         3         0       0  left out: --exclude Junk
-------------------------------------------------------------------------------------
total               1,203   1,000      199              0         3         0       1  5.0 MB copied

complete with failures: 1 message could not be moved; mailmove retry tries again
";
        assert_eq!(text, expected);
    }

    #[test]
    fn verdicts() {
        let ends = |report: &Report| pass(report).lines().last().map(str::to_owned).unwrap();
        let mut report = report();
        report.folders[0].tally.failed = 0;
        report.folders[0].tally.earlier = 200;
        assert!(ends(&report).starts_with("complete: every message accounted for"));
        report.folders[0].tally.earlier = 1200;
        report.folders[0].tally.copied = 0;
        report.folders[0].tally.moved = 0;
        assert!(ends(&report).starts_with("complete: nothing new"));
        report.folders[0].tally.doubled = 1;
        assert!(ends(&report).starts_with("complete with failures: 1 folder"));
        report.stopped = Some(Problem::from(&Error::new(ErrorKind::Cancelled, "asked")));
        assert!(ends(&report).starts_with("interrupted"));
        let full = Error::new(ErrorKind::Quota, "the mailbox is full").with_remedy("Make room.");
        report.stopped = Some(Problem::from(&full));
        let text = pass(&report);
        assert!(text.contains("reason: the mailbox is full [quota]\n  remedy: Make room."));
        assert!(ends(&report).starts_with("stopped"));
    }

    #[test]
    fn numbers_that_do_not_add_up_are_shown() {
        let mut report = report();
        report.folders[1].tally.found = 7;
        assert!(pass(&report).contains("the numbers differ by 7"));
    }
}
