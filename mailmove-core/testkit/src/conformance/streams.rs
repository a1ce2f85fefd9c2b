//! Trials of adapters that hand on messages in a form of their server's own.

use futures_util::StreamExt as _;
use mailmove_core::{
    Scope, Source,
    destination::{Depth, Outcome, Outgoing, Probe},
    identity::HeaderDigest,
    model::{Content, Flags, Folder, FolderPath, Form, MessageId, Timestamp},
    source::{FetchRequest, Fetched, ListRequest},
};

use super::{
    Case, Disturbance, case,
    context::{
        Check, Context, Stop, append, check, check_eq, content, existing, fetch, letters, list,
        made, read, receipt, source_folder,
    },
};
use crate::{corpus::CorpusMessage, snapshot::MessageState};

pub(super) static CASES: &[Case] = &[
    case!("source::stream_listing", [SourceStreams], listing),
    case!("source::stream_fetch", [SourceStreams], fetching),
    case!(
        "destination::stream_arrives",
        [SourceStreams, DestinationStreams],
        arrives
    ),
    case!(
        "destination::stream_is_told_apart",
        [SourceStreams, DestinationStreams],
        told_apart
    ),
    case!(
        "destination::stream_damaged_costs_one",
        [SourceStreams, DestinationStreams],
        damaged
    ),
];

const FORM: Form = Form::ExchangeStream;

fn inbox() -> FolderPath {
    FolderPath::inbox()
}

fn other() -> FolderPath {
    FolderPath::new(["Arrived"])
}

/// Letters with flags and dates of their own.
fn mail(count: usize) -> Vec<CorpusMessage> {
    let flags = ["\\Seen", "", "\\Flagged \\Answered", "\\Seen Work"];
    let mut all = letters(count);
    for (number, letter) in all.iter_mut().enumerate() {
        let flags = flags.get(number % flags.len()).copied().unwrap_or_default();
        letter.flags = flags.split_ascii_whitespace().map(str::to_owned).collect();
        let later = i64::try_from(number).unwrap_or_default() * 3600;
        letter.received = Timestamp::new(1_000_000_000 + later, 0);
    }
    all
}

/// Exports, in the order of their ids.
async fn streams(
    source: &dyn Source,
    folder: &Folder,
    ids: &[MessageId],
) -> Result<Vec<Content>, Stop> {
    let request = FetchRequest::new(folder.id.clone(), folder.identity.as_str(), ids.to_vec());
    let answers: Vec<(MessageId, Fetched)> = source.fetch(request.with_form(FORM)).collect().await;
    check_eq!(answers.len(), ids.len(), "number of exports");
    let mut out = Vec::new();
    for id in ids {
        let found = answers.iter().find(|(found, _)| found == id);
        let found = content(found.map(|(_, fetched)| fetched))?;
        check_eq!(found.form(), FORM, "form of an export");
        check!(found.size() > 0, "an export is empty");
        out.push(found.clone());
    }
    Ok(out)
}

/// What is listed for exports is the same mail, and says what tells each of it apart.
async fn listing(context: Context) -> Check {
    context.fill(&inbox(), &mail(6)).await?;
    let source = context.source().await?;
    let folder = source_folder(source.as_ref(), &inbox()).await?;
    let plain = list(source.as_ref(), ListRequest::new(&folder)).await?;
    let request = ListRequest::new(&folder).with_form(FORM).with_headers(true);
    let found = list(source.as_ref(), request).await?;
    check_eq!(found.exists, Some(6), "messages that exist");
    check_eq!(found.ids(), plain.ids(), "ids in both forms");
    let mut headers: Vec<HeaderDigest> = Vec::new();
    for (item, plain) in found.items.iter().zip(&plain.items) {
        check_eq!(item.flags, plain.flags, "flags in both forms");
        check_eq!(item.received, plain.received, "date in both forms");
        let header = item.header.ok_or("nothing tells a message apart")?;
        check!(!headers.contains(&header), "two messages look alike");
        headers.push(header);
    }
    Ok(())
}

/// Exports come for each id, beside MIME; what is gone has vanished.
async fn fetching(context: Context) -> Check {
    context.fill(&inbox(), &mail(5)).await?;
    let source = context.source().await?;
    let folder = source_folder(source.as_ref(), &inbox()).await?;
    let ids = list(source.as_ref(), ListRequest::new(&folder))
        .await?
        .ids();
    for stream in streams(source.as_ref(), &folder, &ids).await? {
        read(&stream).await?;
    }
    let plain = fetch(source.as_ref(), &folder, &ids).await?;
    for id in &ids {
        check_eq!(content(plain.get(id))?.form(), Form::Mime, "form of MIME");
    }
    let gone = Disturbance::Expunge { message: 2 };
    context.disturb(&inbox(), gone).await?;
    let request = FetchRequest::new(folder.id.clone(), folder.identity.as_str(), ids);
    let answers: Vec<(MessageId, Fetched)> = source.fetch(request.with_form(FORM)).collect().await;
    let vanished = answers
        .iter()
        .filter(|(_, fetched)| matches!(fetched, Fetched::Vanished));
    check_eq!(
        (answers.len(), vanished.count()),
        (5, 1),
        "answers, and vanished ones"
    );
    Ok(())
}

/// What was exported, each in the other folder.
async fn stored(context: &Context, count: usize) -> Result<(Folder, Folder), Stop> {
    context.fill(&inbox(), &mail(count)).await?;
    let source = context.source().await?;
    let destination = context.destination().await?;
    let from = source_folder(source.as_ref(), &inbox()).await?;
    let ids = list(source.as_ref(), ListRequest::new(&from)).await?.ids();
    let to = made(destination.as_ref(), &other()).await?;
    let streams = streams(source.as_ref(), &from, &ids).await?;
    let most = context.can()?.batching.max_items.max(1);
    for streams in streams.chunks(most) {
        let items = streams.iter().cloned().map(Outgoing::new).collect();
        for outcome in append(destination.as_ref(), &to, items).await? {
            let receipt = receipt(&outcome, "an export")?;
            let named = receipt.id.is_some() || !context.can()?.returns_ids;
            check!(named, "the receipt of an export names no id");
        }
    }
    Ok((from, to))
}

/// An export has all of a message in it: nothing beside it says flags or date.
async fn arrives(context: Context) -> Check {
    stored(&context, 9).await?;
    let found = context.dump().await?;
    let of = |path: &FolderPath| {
        let messages = found.folders.get(path).map(|folder| &folder.messages);
        let one =
            |message: &MessageState| (message.digest, message.flags.clone(), message.received);
        let mut all: Vec<_> = messages.into_iter().flatten().map(one).collect();
        all.sort_by_key(|(digest, ..)| digest.to_string());
        all
    };
    let (before, after): (Vec<_>, Vec<_>) = (of(&inbox()), of(&other()));
    check_eq!(before.len(), 9, "messages at the source");
    check_eq!(after, before, "messages that were stored as exports");
    Ok(())
}

/// At the destination exports are told apart by what the source's listing says.
async fn told_apart(context: Context) -> Check {
    let (from, to) = stored(&context, 7).await?;
    let source = context.source().await?;
    let destination = context.destination().await?;
    let request = ListRequest::new(&from).with_form(FORM).with_headers(true);
    let listed = list(source.as_ref(), request).await?;
    let mut expected: Vec<_> = listed.items.iter().map(|item| item.header).collect();
    let mark = to.mark.clone();
    let probe = Probe::new(to.id.clone(), Depth::Header).with_form(FORM);
    let there = existing(destination.as_ref(), probe.with_since(mark)).await?;
    let mut found: Vec<_> = there.iter().map(|one| one.header).collect();
    expected.sort_by_key(|header| format!("{header:?}"));
    found.sort_by_key(|header| format!("{header:?}"));
    check_eq!(found, expected, "what tells messages apart");
    let flags: Vec<&Flags> = there.iter().map(|one| &one.flags).collect();
    check!(
        flags.iter().any(|flags| !flags.is_empty()),
        "no flags are told"
    );
    Ok(())
}

/// An export that was cut is refused, and nothing else.
async fn damaged(context: Context) -> Check {
    context.fill(&inbox(), &mail(3)).await?;
    let source = context.source().await?;
    let destination = context.destination().await?;
    let from = source_folder(source.as_ref(), &inbox()).await?;
    let ids = list(source.as_ref(), ListRequest::new(&from)).await?.ids();
    let to = made(destination.as_ref(), &other()).await?;
    let mut streams = streams(source.as_ref(), &from, &ids).await?;
    let [_, second, _] = streams.as_mut_slice() else {
        return Err("three exports were asked for".into());
    };
    let mut bytes = read(second).await?;
    bytes.truncate(bytes.len() / 2);
    *second = Content::from_bytes(bytes).with_form(FORM);
    let items = streams.into_iter().map(Outgoing::new).collect();
    let outcomes = append(destination.as_ref(), &to, items).await?;
    let atomic = context.can()?.batching.atomic;
    for (number, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Outcome::NotStored(error) if number == 1 || atomic => {
                check_eq!(error.scope(), Scope::Message, "scope of a damaged export");
                check!(!error.is_transient(), "a damaged export stays so: {error}");
            }
            Outcome::Stored(_) if number != 1 => {}
            other => return Err(format!("export {number} of 3: {other:?}").into()),
        }
    }
    let found = context.dump().await?;
    let count = found
        .folders
        .get(&other())
        .map_or(0, |folder| folder.messages.len());
    check_eq!(count, if atomic { 0 } else { 2 }, "messages stored");
    Ok(())
}
