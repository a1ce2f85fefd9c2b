//! `mailmove explain`: what the ledger knows of a message.

use std::{fmt::Write as _, fs, path::Path};

use mailmove_core::{
    Error, ErrorKind, Migration, Result,
    checkpoint::ItemState,
    edge::tls::TlsSettings,
    identity::HeaderDigest,
    model::{ContentDigest, FolderPath},
    report::Explanation,
    store::SqliteStore,
};
use serde::Serialize;

use crate::{
    adapter::{Key, Mailbox},
    args::ExplainArgs,
    exit::Exit,
    failure::Failure,
    job::{dead_letters, edges, state_directory},
    output::{self, bytes, clean, count},
    secrets::Side,
    url::MailboxUrl,
};

pub(crate) async fn explain(args: &ExplainArgs) -> Result<Exit, Failure> {
    let names = names(args)?;
    let mailbox = |side: Side, text: &str| -> Result<Mailbox> {
        let url = MailboxUrl::parse(side.option(), text)?;
        Mailbox::new(url, TlsSettings::new(), None)
    };
    let from = mailbox(Side::Source, &args.from)?;
    let to = mailbox(Side::Destination, &args.to)?;
    let state = state_directory(&args.output, &from, &to)?;
    let edges = edges(&state, None);
    // Nobody logs in: only names are made of what the ledger holds.
    let store = SqliteStore::new(&state);
    let letters = dead_letters(&state, &edges);
    let migration = Migration::builder(
        from.source(Key::Nobody, &edges)?,
        to.destination(Key::Nobody, &edges)?,
    )
    .store(store.clone())
    .dead_letters(letters)
    .edges(edges)
    .build()?;
    let file = store.file(&migration.job());
    if !file.exists() {
        return Err(nothing_known(&file).into());
    }
    let folder = args.folder.as_ref();
    let mut found = Vec::new();
    for name in &names {
        found = migration.explain(folder, name).await?;
        if !found.is_empty() {
            break;
        }
    }
    if args.output.json {
        output::json(&Line {
            event: "explanation",
            messages: &found,
        });
    } else {
        output::result(&text(&found, folder));
    }
    Ok(if found.is_empty() {
        Exit::Failures
    } else {
        Exit::Complete
    })
}

#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    messages: &'a [Explanation],
}

/// What the message may be called in the ledger, the surest first.
fn names(args: &ExplainArgs) -> Result<Vec<String>> {
    let Some(path) = &args.file else {
        return Ok(args.item.iter().cloned().collect());
    };
    let message = fs::read(path).map_err(|error| {
        Error::new(ErrorKind::Config, "cannot read the message's file")
            .with_code("explain/file")
            .with_context("file", path.display().to_string())
            .with_source(error)
    })?;
    Ok(vec![
        ContentDigest::of(&message).to_string(),
        HeaderDigest::of(&message).to_string(),
    ])
}

fn nothing_known(file: &Path) -> Error {
    Error::new(ErrorKind::Config, "there is no ledger of these mailboxes")
        .with_code("explain/no-ledger")
        .with_context("file", file.display().to_string())
        .with_remedy("Give --from, --to and --state as they were given to migrate.")
}

fn text(found: &[Explanation], folder: Option<&FolderPath>) -> String {
    if found.is_empty() {
        let place = folder.map_or_else(
            || "the ledger".to_owned(),
            |folder| format!("the ledger of {}", clean(&folder.to_string())),
        );
        return format!("no such message in {place}\n");
    }
    let mut out = String::new();
    for one in found {
        message(&mut out, one);
    }
    out
}

fn message(out: &mut String, one: &Explanation) {
    let _ = writeln!(
        out,
        "{}, {} ({}, {})",
        clean(&one.source.folder.to_string()),
        clean(&one.source.message),
        clean(one.received.as_deref().unwrap_or("no date")),
        bytes(one.size),
    );
    let mut line = |name: &str, text: &str| {
        let text = text.replace("\r\n", " ").replace(['\r', '\n'], " ");
        let _ = writeln!(out, "  {name}: {}", clean(&text));
    };
    line("state", &state(one));
    if let Some(place) = &one.destination {
        line(
            "destination",
            &format!("{}, {}", place.folder, place.message),
        );
    }
    for note in &one.altered {
        line("not as it left", &note.detail);
    }
    if let Some(reason) = &one.reason {
        line("reason", reason);
    }
    if let Some(remedy) = &one.remedy {
        line("remedy", remedy);
    }
    if let Some(place) = &one.dead_letter {
        line("kept in", place);
    }
    for open in &one.open {
        let folder = open.folder.as_ref().map(ToString::to_string);
        let folder = folder.unwrap_or_else(|| "a folder that is gone".to_owned());
        let text = format!(
            "{} into {folder} (batch {}); the next run settles it",
            open.what, open.batch
        );
        line("not known to be done", &text);
    }
    line("flags", &format!("({})", one.flags));
    if let Some(accepted) = &one.accepted {
        line("flags at the destination", &format!("({accepted})"));
    }
    if let Some(digest) = &one.original {
        line("content at the source", digest);
    }
    if let Some(digest) = &one.digest {
        line("content", digest);
    }
}

fn state(one: &Explanation) -> String {
    let what = match one.state {
        ItemState::Pending => "known, not dealt with yet",
        ItemState::Copied => "copied",
        ItemState::AlreadyThere => "was there already",
        ItemState::Excluded => "left out",
        ItemState::Vanished => "gone from the source before it could be fetched",
        ItemState::Failed => "could not be moved",
        ItemState::Unnamed => "stored, its id to be looked up",
        ItemState::RemovedThere => "copied, and removed at the destination by somebody since",
        other => other.as_str(),
    };
    let mut text = format!("{what} in pass {}", one.pass);
    if one.attempts > 0 {
        let _ = write!(text, ", after {}", failed(one.attempts));
    }
    if let Some(code) = &one.code {
        let _ = write!(text, " [{code}]");
    }
    if one.resent {
        text.push_str(", sent again although the first copy was not proven absent");
    }
    if one.gone {
        text.push_str("; the source has it no more");
    }
    text
}

fn failed(attempts: u32) -> String {
    count(u64::from(attempts), "failure")
}
