//! Storing messages: that they arrive as they left.

use mailmove_core::{
    Edges,
    destination::{Outcome, Outgoing, Receipt},
    edge::{MemoryBudget, Spool},
    model::{AlterationKind, FolderPath, Timestamp},
};

use super::super::{
    Stop, Taken,
    context::{
        Check, Context, append, check, check_eq, contents, label, letter, letters, made, made_from,
        outgoing, receipt, same_in_order, store,
    },
};
use crate::corpus::{Corpus, CorpusMessage, Kind};

/// Each kind alone, so that one that is refused says nothing about others.
pub(super) async fn every_kind(context: Context) -> Check {
    let destination = context.destination().await?;
    let path = FolderPath::new(["Everything"]);
    let folder = made(destination.as_ref(), &path).await?;
    let mut stored: Vec<(CorpusMessage, Receipt)> = Vec::new();
    let mut wrong = Vec::new();
    for message in Corpus::ugly() {
        let taken = context.keeps(&message).taken;
        let items = vec![outgoing(&message)];
        let outcome = append(destination.as_ref(), &folder, items)
            .await?
            .remove(0);
        match (outcome, taken) {
            (Outcome::Stored(receipt), Taken::Yes | Taken::Perhaps) => {
                stored.push((message, receipt));
            }
            (Outcome::NotStored(_), Taken::No | Taken::Perhaps) => {}
            (outcome, _) => wrong.push(format!("{}: {outcome:?}", message.kind)),
        }
    }
    check!(wrong.is_empty(), "{}", wrong.join("\n  "));
    let mut dump = context.dump().await?;
    let messages: Vec<CorpusMessage> = stored.iter().map(|(m, _)| m.clone()).collect();
    label(&mut dump, &messages);
    let wanted: Vec<_> = stored.iter().map(|(m, r)| (m, Some(r))).collect();
    same_in_order(&context, &wanted, dump.messages(&path))
}

/// All system flags and odd keywords arrive, or the receipt names those that did not.
pub(super) async fn flags(context: Context) -> Check {
    let destination = context.destination().await?;
    let inbox = FolderPath::inbox();
    let folder = made(destination.as_ref(), &inbox).await?;
    let sets: [&[&str]; 8] = [
        &[],
        &["\\Seen"],
        &["\\Answered", "\\Flagged"],
        &["\\Draft", "\\Deleted", "\\Seen"],
        &["$Forwarded", "$MDNSent", "NonJunk"],
        &["\\Seen", "$Label1", "Work"],
        &["x.y-z_1", "a+b", "sch&APY-n", "me@example.com"],
        &["NIL", "UID", "#1", "[x", "}", "~", "<k>"],
    ];
    let messages: Vec<CorpusMessage> = (0..)
        .zip(sets)
        .map(|(number, flags)| letter(number).with_flags(flags.iter().copied()))
        .collect();
    let receipts = store(&context, destination.as_ref(), &folder, &messages).await?;
    let keeps = &folder.keeps;
    for (message, receipt) in messages.iter().zip(&receipts) {
        for alteration in &receipt.altered {
            let dropped = alteration.kind == AlterationKind::FlagDropped;
            check!(
                !dropped || !alteration.detail.is_empty(),
                "a dropped flag is named: {alteration:?}"
            );
        }
        if let (Some(keeps), Some(now)) = (keeps, &receipt.flags) {
            let (kept, _) = keeps.split(&message.core_flags());
            check!(
                now.difference(&kept).is_empty(),
                "the receipt names flags that the folder does not keep: {now}"
            );
        }
    }
    let dump = context.dump().await?;
    let wanted: Vec<_> = messages.iter().zip(receipts.iter().map(Some)).collect();
    same_in_order(&context, &wanted, dump.messages(&inbox))?;
    let can = context.can()?;
    if can.keeps_keywords {
        // Well-known keywords are not among those that may get lost.
        let usual = receipts.iter().skip(4).take(2).flat_map(|r| &r.altered);
        let usual: Vec<_> = usual.collect();
        check!(usual.is_empty(), "usual keywords must be kept: {usual:?}");
    }
    Ok(())
}

pub(super) async fn dates(context: Context) -> Check {
    let destination = context.destination().await?;
    let inbox = FolderPath::inbox();
    let folder = made(destination.as_ref(), &inbox).await?;
    let times = [
        Timestamp::new(1_709_164_799, 0),
        Timestamp::new(1_709_210_096, 345),
        Timestamp::new(1_000_000_000, -570),
        Timestamp::new(1_735_689_599, 840),
        Timestamp::new(1_735_689_600, -720),
        Timestamp::new(86_400, 0),
    ];
    let messages: Vec<CorpusMessage> = (0..)
        .zip(times)
        .map(|(number, time)| letter(number).with_received(time))
        .collect();
    let receipts = store(&context, destination.as_ref(), &folder, &messages).await?;
    let altered: Vec<_> = receipts.iter().flat_map(|r| &r.altered).collect();
    check!(altered.is_empty(), "nothing needs alteration: {altered:?}");
    let dump = context.dump().await?;
    for (time, found) in times.iter().zip(dump.messages(&inbox)) {
        check_eq!(found.received, *time, "received date of {}", found.label);
    }
    check_eq!(dump.messages(&inbox).len(), times.len(), "messages");
    Ok(())
}

pub(super) async fn without_date(context: Context) -> Check {
    let destination = context.destination().await?;
    let inbox = FolderPath::inbox();
    let folder = made(destination.as_ref(), &inbox).await?;
    let message = letter(0);
    let item = outgoing(&message).with_received(None);
    let outcomes = append(destination.as_ref(), &folder, vec![item]).await?;
    receipt(&outcomes[0], "a letter without a date")?;
    let dump = context.dump().await?;
    check_eq!(dump.messages(&inbox).len(), 1, "messages");
    Ok(())
}

pub(super) async fn order(context: Context) -> Check {
    let destination = context.destination().await?;
    let inbox = FolderPath::inbox();
    context.fill(&inbox, &letters(2)).await?;
    let folder = made(destination.as_ref(), &inbox).await?;
    // Dates that run backwards: the order is that of the batch, not of dates.
    let new: Vec<CorpusMessage> = (2..50)
        .map(|n| letter(n).with_received(Timestamp::new(1_600_000_000 - 5000 * n as i64, 0)))
        .collect();
    store(&context, destination.as_ref(), &folder, &new).await?;
    let old = letters(2);
    let wanted: Vec<_> = old.iter().chain(&new).map(|m| (m, None)).collect();
    if !context.can()?.keeps_received {
        return Ok(());
    }
    same_in_order(&context, &wanted, context.dump().await?.messages(&inbox))
}

/// Batches filled to the last item, and to the last byte.
pub(super) async fn full_batches(context: Context) -> Check {
    let destination = context.destination().await?;
    let limits = context.can()?.batching;
    let by_items = letters(limits.max_items.min(200));
    let mut by_bytes = letters(2);
    let half = usize::try_from(limits.max_bytes / 2)
        .unwrap_or(usize::MAX)
        .min(4 << 20);
    for message in &mut by_bytes {
        let mut body = message.body.to_vec();
        while body.len() + 78 <= half {
            body.extend_from_slice(&[b'x'; 76]);
            body.extend_from_slice(b"\r\n");
        }
        message.body = body.into();
    }
    by_bytes.truncate(limits.max_items);
    for (name, messages) in [("By items", by_items), ("By bytes", by_bytes)] {
        let path = FolderPath::new([name]);
        let folder = made(destination.as_ref(), &path).await?;
        let items: Vec<Outgoing> = messages.iter().map(outgoing).collect();
        for outcome in append(destination.as_ref(), &folder, items).await? {
            receipt(&outcome, name)?;
        }
        let found = context.dump().await?.messages(&path).len();
        check_eq!(found, messages.len(), "messages of the batch full {name}");
    }
    Ok(())
}

/// Two identical messages stay two, in one batch and in two.
pub(super) async fn twins(context: Context) -> Check {
    let destination = context.destination().await?;
    let inbox = FolderPath::inbox();
    let folder = made(destination.as_ref(), &inbox).await?;
    let twins = vec![letter(1), letter(1), letter(2)];
    let again = vec![letter(1)];
    let mut merged = 0;
    for messages in [&twins, &again] {
        let limit = context.can()?.batching.max_items;
        for messages in messages.chunks(limit) {
            let items = messages.iter().map(outgoing).collect();
            for outcome in append(destination.as_ref(), &folder, items).await? {
                match outcome {
                    Outcome::Stored(_) => {}
                    // Told, so that the ledger can say so.
                    Outcome::AlreadyThere(_) => merged += 1,
                    other => return Err(format!("a twin must be stored: {other:?}").into()),
                }
            }
        }
    }
    let dump = context.dump().await?;
    check_eq!(dump.messages(&inbox).len(), 4 - merged, "messages");
    Ok(())
}

/// The ids in receipts are those of these very messages.
pub(super) async fn ids(context: Context) -> Check {
    let destination = context.destination().await?;
    let inbox = FolderPath::inbox();
    context.fill(&inbox, &letters(3)).await?;
    let folder = made(destination.as_ref(), &inbox).await?;
    let messages: Vec<CorpusMessage> = (3..40).map(letter).collect();
    let receipts = store(&context, destination.as_ref(), &folder, &messages).await?;
    let found = contents(destination.as_ref(), &folder).await?;
    let dump = context.dump().await?;
    for (message, receipt) in messages.iter().zip(&receipts) {
        let digest = mailmove_core::model::ContentDigest::of(&message.body);
        let id = receipt.id.as_ref().ok_or("a receipt without id")?;
        let one = found.iter().find(|existing| &existing.id == id);
        let one = one.ok_or_else(|| format!("{id:?} does not exist"))?;
        check_eq!(
            made_from(one),
            Some(digest),
            "digest of {}",
            destination.describe(id)
        );
        let native = context.account.native(id);
        if let Some(native) = native.filter(|_| context.keeps(message).bytes) {
            let there = dump
                .messages(&inbox)
                .iter()
                .find(|m| m.id.as_ref() == Some(&native));
            let there = there.ok_or_else(|| format!("the server has no message {native}"))?;
            check_eq!(there.digest, digest, "digest of the server's {native}");
        }
    }
    Ok(())
}

/// A message far larger than memory may be comes from a file.
pub(super) async fn huge(context: Context) -> Check {
    let huge = Corpus::huge(context.harness.huge());
    let can = context.can()?;
    let fits = can
        .max_message
        .is_none_or(|most| most >= huge.body.len() as u64);
    if context.keeps(&huge).taken != Taken::Yes || !fits {
        return Err(Stop::Ignored("the server takes no such message".to_owned()));
    }
    let budget = MemoryBudget::new(1 << 20);
    let spool = Spool::new(std::env::temp_dir(), budget.clone());
    let mut writer = spool.writer(huge.body.len() as u64)?;
    writer.write(&huge.body)?;
    let content = writer.finish();
    check!(
        content.as_bytes().is_none(),
        "the content must be in a file"
    );
    let mut context = context;
    context.edges = Edges::new().with_spool(spool);
    let destination = context.destination().await?;
    let inbox = FolderPath::inbox();
    let folder = made(destination.as_ref(), &inbox).await?;
    let item = Outgoing::new(content).with_received(Some(huge.received));
    let outcomes = append(destination.as_ref(), &folder, vec![item]).await?;
    let receipt = receipt(&outcomes[0], Kind::Huge.name())?;
    let dump = context.dump().await?;
    same_in_order(&context, &[(&huge, Some(receipt))], dump.messages(&inbox))
}
