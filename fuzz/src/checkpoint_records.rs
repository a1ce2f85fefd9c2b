//! Records of the ledger: any bytes are read or refused, and what was written is read back.

use arbitrary::{Result, Unstructured};
use mailmove_core::checkpoint::{
    FolderNo, FolderRow, FolderState, Intent, ItemRow, ItemState, Original, TargetNo, TargetRow,
};
use mailmove_core::identity::HeaderDigest;
use mailmove_core::model::{
    Alteration, AlterationKind, ContentDigest, Cursor, Flags, FolderId, FolderPath, Mark,
    MessageId, Role, Timestamp, Token,
};
use serde::{Serialize, de::DeserializeOwned};

/// The bytes as JSON, and as what records are made up of.
pub fn check(data: &[u8]) {
    any_bytes::<Intent>(data);
    any_bytes::<ItemRow>(data);
    any_bytes::<FolderRow>(data);
    any_bytes::<TargetRow>(data);
    let _ = made_up(&mut Unstructured::new(data));
}

/// What was read is written so that the same is read again.
fn any_bytes<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(data: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<T>(data) {
        there_and_back(&value);
    }
}

fn there_and_back<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let json = serde_json::to_vec(value).expect("what can be recorded can be written");
    let again: T = serde_json::from_slice(&json).expect("what was written can be read");
    assert_eq!(again, *value, "{}", String::from_utf8_lossy(&json));
    // Not all of a value counts in its equality.
    let same = serde_json::to_vec(&again).expect("what can be recorded can be written");
    assert!(same == json, "{}", String::from_utf8_lossy(&json));
}

fn made_up(u: &mut Unstructured<'_>) -> Result<()> {
    let mut items = Vec::new();
    for _ in 0..u.int_in_range(0..=3)? {
        items.push(item(u)?);
    }
    let mut intent = Intent::new(u.arbitrary()?, TargetNo(u.arbitrary()?), mark(u)?, items);
    intent.settled_at = u.arbitrary()?;
    intent.moved_from = u.arbitrary::<Option<u32>>()?.map(TargetNo);
    there_and_back(&intent);

    let path = FolderPath::new(u.arbitrary::<Vec<String>>()?);
    let id = FolderId::new(u.arbitrary::<&str>()?);
    let mut folder = FolderRow::new(
        FolderNo(u.arbitrary()?),
        id.clone(),
        path.clone(),
        u.arbitrary::<String>()?,
    );
    folder.role = *u.choose(&[None, Some(Role::Inbox), Some(Role::Sent), Some(Role::All)])?;
    folder.state = match u.int_in_range(0..=3)? {
        0 => FolderState::Mapped,
        1 => FolderState::Excluded(u.arbitrary()?),
        2 => FolderState::Failed(u.arbitrary()?),
        _ => FolderState::Gone,
    };
    folder.cursor = u.arbitrary::<Option<&str>>()?.map(Cursor::new);
    folder.token = u.arbitrary::<Option<&str>>()?.map(Token::new);
    folder.exists = u.arbitrary()?;
    there_and_back(&folder);

    let mut target = TargetRow::new(TargetNo(u.arbitrary()?), id, path, u.arbitrary::<String>()?);
    target.mark = Some(mark(u)?);
    target.messages = u.arbitrary()?;
    there_and_back(&target);
    Ok(())
}

fn mark(u: &mut Unstructured<'_>) -> Result<Mark> {
    let epoch: &str = u.arbitrary()?;
    Ok(if u.arbitrary()? {
        Mark::counted(epoch, u.arbitrary()?)
    } else {
        Mark::opaque(epoch, u.arbitrary::<&str>()?)
    })
}

fn item(u: &mut Unstructured<'_>) -> Result<ItemRow> {
    let mut row = ItemRow::new(
        FolderNo(u.arbitrary()?),
        MessageId::new(u.arbitrary::<&str>()?),
    );
    row.state = *u.choose(&ItemState::ALL)?;
    row.code = u.arbitrary()?;
    row.size = u.arbitrary()?;
    row.flags = Flags::parse(u.arbitrary()?);
    row.attempts = u.arbitrary()?;
    row.pass = u.arbitrary()?;
    row.gone = u.arbitrary()?;
    row.resent = u.arbitrary()?;
    row.accepted = u.arbitrary::<Option<&str>>()?.map(Flags::parse);
    row.digest = u
        .arbitrary::<Option<[u8; 32]>>()?
        .map(ContentDigest::from_bytes);
    row.header = u
        .arbitrary::<Option<[u8; 16]>>()?
        .map(HeaderDigest::from_bytes);
    if u.arbitrary()? {
        row.received = Some(Timestamp::new(u.arbitrary()?, u.arbitrary()?));
        row.target = Some((
            TargetNo(u.arbitrary()?),
            MessageId::new(u.arbitrary::<&str>()?),
        ));
        row.altered = vec![Alteration::new(
            AlterationKind::FlagDropped,
            u.arbitrary::<String>()?,
        )];
    }
    if let Some(digest) = row.digest.filter(|_| row.gone) {
        row.original = Some(Original::new(digest, u.arbitrary()?, row.header));
        row.dead_letter = u.arbitrary()?;
    }
    Ok(row)
}

/// Records as they are written.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut row = ItemRow::new(FolderNo(1), MessageId::new("7/42"));
    row.flags = Flags::parse("\\Seen $Work");
    row.received = Some(Timestamp::new(1_689_587_065, -420));
    row.digest = Some(ContentDigest::of(b"mail"));
    row.header = Some(HeaderDigest::of(b"Subject: mail\r\n"));
    row.target = Some((TargetNo(2), MessageId::new("9/1")));
    row.altered = vec![Alteration::new(AlterationKind::DateReplaced, "1970")];
    let intent = Intent::new(3, TargetNo(2), Mark::counted("9", 1), vec![row.clone()]);
    let path = FolderPath::new(["a/b", "ü"]);
    let folder = FolderRow::new(FolderNo(1), FolderId::new("a"), path.clone(), "7");
    let target = TargetRow::new(TargetNo(2), FolderId::new("a"), path, "9");
    let json = [
        serde_json::to_vec(&intent),
        serde_json::to_vec(&row),
        serde_json::to_vec(&folder),
        serde_json::to_vec(&target),
    ];
    let mut seeds: Vec<Vec<u8>> = json
        .into_iter()
        .map(|json| json.expect("written"))
        .collect();
    for step in [1, 5, 13, 101] {
        let bytes = (0..300_usize).map(|n| u8::try_from(n * step % 253).unwrap_or(0));
        seeds.push(bytes.collect());
    }
    seeds
}
