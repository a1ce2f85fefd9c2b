//! What operations answer, read off the wire.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailmove_testkit::mailbox::{FlagOp, InternalDate, NewMessage};
use support::*;

const MAIL: &str = "From: a@example.com\r\nTo: b@example.com\r\nSubject: hello\r\n\
                    Date: Sat, 3 Feb 2001 05:05:06 +0100\r\nMessage-ID: <1@example.com>\r\n\r\nhi\r\n";

#[tokio::test]
async fn folders_are_made_found_and_told_apart_by_distinguished_ids() {
    let (server, account) = server(|b| b.language(mailmove_ews_testserver::Language::German)).await;
    let mut client = Client::login(&server).await;
    let reply = client.soap(&get_folder("inbox")).await;
    assert_eq!(reply.one("t:DisplayName"), "Posteingang");
    let reply = client.soap(&get_folder("sentitems")).await;
    assert_eq!(reply.one("t:DisplayName"), "Gesendete Elemente");
    let reply = client.soap(&get_folder("archivemsgfolderroot")).await;
    assert_eq!(reply.codes(), ["ErrorFolderNotFound"]);

    let inbox = client.folder("inbox").await;
    let make = |name: &str| {
        format!(
            "<m:CreateFolder><m:ParentFolderId><t:FolderId Id=\"{inbox}\"/></m:ParentFolderId><m:Folders>\
             <t:Folder><t:FolderClass>IPF.Note</t:FolderClass><t:DisplayName>{name}</t:DisplayName></t:Folder>\
             </m:Folders></m:CreateFolder>"
        )
    };
    let made = client.soap(&make("a/b")).await;
    assert_eq!(made.codes(), ["NoError"]);
    assert_eq!(
        client.soap(&make("A/B")).await.codes(),
        ["ErrorFolderExists"]
    );
    assert!(account.folder(&["INBOX", "a/b"]).is_ok());

    let find = |offset: usize| {
        format!(
            "<m:FindFolder Traversal=\"Deep\"><m:FolderShape><t:BaseShape>IdOnly</t:BaseShape><t:AdditionalProperties>\
             <t:FieldURI FieldURI=\"folder:ParentFolderId\"/><t:FieldURI FieldURI=\"folder:FolderClass\"/>\
             <t:FieldURI FieldURI=\"folder:DisplayName\"/><t:ExtendedFieldURI PropertyTag=\"0x10F4\" PropertyType=\"Boolean\"/>\
             </t:AdditionalProperties></m:FolderShape><m:IndexedPageFolderView MaxEntriesReturned=\"8\" Offset=\"{offset}\" \
             BasePoint=\"Beginning\"/><m:ParentFolderIds><t:DistinguishedFolderId Id=\"msgfolderroot\"/></m:ParentFolderIds>\
             </m:FindFolder>"
        )
    };
    let first = client.soap(&find(0)).await;
    assert_eq!(
        first.attributes("m:RootFolder", "IncludesLastItemInRange"),
        ["false"]
    );
    let second = client.soap(&find(8)).await;
    assert_eq!(
        second.attributes("m:RootFolder", "IncludesLastItemInRange"),
        ["true"]
    );
    let mut names = first.all("t:DisplayName");
    names.extend(second.all("t:DisplayName"));
    assert_eq!(names.len(), 13);
    assert!(names.contains(&"a/b".to_owned()));
    let child = made.attributes("t:FolderId", "Id").remove(0);
    let all = [first.body.as_str(), second.body.as_str()].concat();
    let after = all.split(&child).nth(1).unwrap();
    assert!(after.split("</t:Folder>").next().unwrap().contains(&inbox));
    assert_eq!(all.matches("<t:Value>true</t:Value>").count(), 1);
    assert_eq!(server.counters().operation("FindFolder"), 2);
}

#[tokio::test]
async fn the_recipe_makes_a_read_message_with_its_date_and_flags() {
    let (server, account) = server(|b| b).await;
    let mut client = Client::login(&server).await;
    let more = [
        "<t:Categories><t:String>Red one</t:String></t:Categories><t:Importance>High</t:Importance>".to_owned(),
        property("0x0E07", "Integer", "1"),
        property("0x0E06", "SystemTime", "2001-02-03T04:05:07Z"),
        property("0x1081", "Integer", "103"),
        "<t:Flag><t:FlagStatus>Flagged</t:FlagStatus></t:Flag><t:IsRead>true</t:IsRead>".to_owned(),
    ]
    .concat();
    let id = client.create(MAIL, &more).await;
    let stored = account.snapshot().folders[&vec!["INBOX".to_owned()]].messages[0].clone();
    assert_eq!(stored.body, MAIL.as_bytes());
    assert_eq!(stored.date, InternalDate::utc(981_173_107));
    let flags: Vec<_> = stored.flags.iter().collect();
    assert_eq!(flags, ["\\Answered", "\\Flagged", "\\Seen", "Red one"]);

    let wanted = [
        tag("0x0E07", "Integer"),
        tag("0x0E06", "SystemTime"),
        tag("0x0039", "SystemTime"),
        tag("0x1081", "Integer"),
        tag("0x1080", "Integer"),
        tag("0x007D", "String"),
        "<t:FieldURI FieldURI=\"item:Categories\"/><t:FieldURI FieldURI=\"item:Importance\"/>\
         <t:FieldURI FieldURI=\"item:IsDraft\"/><t:FieldURI FieldURI=\"item:Flag\"/>"
            .to_owned(),
    ]
    .concat();
    let reply = client.soap(&get_item(&id, &wanted)).await;
    let values = reply.all("t:Value");
    assert_eq!(
        values[..5],
        [
            "1025",
            "2001-02-03T04:05:07Z",
            "2001-02-03T04:05:06Z",
            "103",
            "261"
        ]
    );
    assert!(values[5].starts_with("From: a@example.com\nTo:"));
    assert_eq!(reply.one("t:IsDraft"), "false");
    assert_eq!(reply.one("t:Importance"), "High");
    assert_eq!(reply.one("t:FlagStatus"), "Flagged");
    assert_eq!(reply.one("t:String"), "Red one");
    let mime = reply
        .body
        .split("<t:MimeContent CharacterSet=\"UTF-8\">")
        .nth(1)
        .unwrap();
    let mime = STANDARD.decode(mime.split('<').next().unwrap()).unwrap();
    assert_eq!(mime, MAIL.as_bytes());
}

#[tokio::test]
async fn without_message_flags_an_item_is_a_draft_for_good() {
    let (server, account) = server(|b| b).await;
    let mut client = Client::login(&server).await;
    let id = client.create(MAIL, "").await;
    let update = format!(
        "<m:UpdateItem ConflictResolution=\"AlwaysOverwrite\" MessageDisposition=\"SaveOnly\"><m:ItemChanges><t:ItemChange>\
         <t:ItemId Id=\"{id}\"/><t:Updates><t:SetItemField><t:ExtendedFieldURI PropertyTag=\"0x0E07\" PropertyType=\"Integer\"/>\
         <t:Message>{}</t:Message></t:SetItemField></t:Updates></t:ItemChange></m:ItemChanges></m:UpdateItem>",
        property("0x0E07", "Integer", "1")
    );
    assert_eq!(client.soap(&update).await.codes(), ["NoError"]);
    let stored = account.snapshot().folders[&vec!["INBOX".to_owned()]].messages[0].clone();
    assert!(stored.flags.contains("\\Draft"));
    let reply = client.soap(&get_item(&id, &tag("0x0E07", "Integer"))).await;
    assert_eq!(reply.one("t:Value"), "1033");
}

#[tokio::test]
async fn elements_in_another_order_are_refused() {
    let (server, account) = server(|b| b).await;
    let mut client = Client::login(&server).await;
    let more = format!(
        "<t:IsRead>true</t:IsRead>{}",
        property("0x0E07", "Integer", "1")
    );
    let reply = client
        .try_soap("", &create_item("inbox", MAIL, &more))
        .await
        .unwrap();
    assert_eq!(reply.status, 500);
    assert!(reply.body.contains("ErrorSchemaValidation"));
    let reply = client.try_soap("", &sync("x", "", 513)).await.unwrap();
    assert!(reply.body.contains("ErrorSchemaValidation"));
    assert_eq!(account.used_messages(), 0);
}

#[tokio::test]
async fn a_batch_is_answered_item_by_item() {
    let (server, account) = server(|b| b).await;
    account.configure(|limits| limits.max_message_size = Some(200));
    let mut client = Client::login(&server).await;
    let big = format!("{MAIL}{}", "x".repeat(200));
    let items = [
        item(MAIL, ""),
        item(&big, ""),
        "<t:Message><t:MimeContent>?</t:MimeContent></t:Message>".to_owned(),
        item(MAIL, ""),
    ];
    let reply = client.soap(&create_items("inbox", &items.concat())).await;
    assert_eq!(
        reply.codes(),
        [
            "NoError",
            "ErrorMessageSizeExceeded",
            "ErrorMimeContentInvalidBase64String",
            "NoError"
        ]
    );
    assert_eq!(account.used_messages(), 2);
    assert_eq!(server.counters().created, 2);
}

#[tokio::test]
async fn a_sync_tells_the_newest_first_and_then_what_changed() {
    let (server, account) = server(|b| b).await;
    let inbox = account.folder(&["INBOX"]).unwrap().id;
    for n in 0..7 {
        let message = NewMessage::new(format!("Subject: {n}\r\n\r\n")).with_flags(["$x"]);
        account.append(inbox, vec![message]).unwrap();
    }
    let mut client = Client::login(&server).await;
    let folder = client.folder("inbox").await;
    let mut state = String::new();
    let mut told = Vec::new();
    let mut pages = 0;
    loop {
        let reply = client.soap(&sync(&folder, &state, 3)).await;
        told.extend(reply.attributes("t:ItemId", "Id"));
        state = reply.one("m:SyncState");
        pages += 1;
        if pages == 1 {
            // Comes in a later sync.
            account
                .append(inbox, vec![NewMessage::new("Subject: new\r\n\r\n")])
                .unwrap();
        }
        if reply.one("m:IncludesLastItemInRange") == "true" {
            break;
        }
    }
    assert_eq!((pages, told.len()), (3, 7));
    let newest = client
        .soap(&get_item(
            &told[0],
            "<t:FieldURI FieldURI=\"item:Subject\"/>",
        ))
        .await;
    assert_eq!(newest.one("t:Subject"), "6");

    account
        .store(inbox, &[1], FlagOp::Add, &["\\Seen"], None)
        .unwrap();
    account
        .store(inbox, &[2], FlagOp::Add, &["\\Flagged"], None)
        .unwrap();
    account.remove(inbox, &[3]).unwrap();
    let reply = client.soap(&sync(&folder, &state, 512)).await;
    assert_eq!(reply.one("m:IncludesLastItemInRange"), "true");
    let count = |what: &str| reply.body.matches(what).count();
    assert_eq!(count("<t:Create>"), 1);
    assert_eq!(count("<t:Update>"), 1);
    assert_eq!(count("<t:ReadFlagChange>"), 1);
    assert_eq!(count("<t:Delete>"), 1);
    // The same state tells the same again.
    let again = client.soap(&sync(&folder, &state, 512)).await;
    assert_eq!(again.all("m:SyncState"), reply.all("m:SyncState"));
    let idle = client
        .soap(&sync(&folder, &again.one("m:SyncState"), 512))
        .await;
    assert!(!idle.body.contains("t:ItemId"));

    let reply = client.soap(&sync(&folder, "nonsense", 512)).await;
    assert_eq!(reply.codes(), ["ErrorInvalidSyncStateData"]);
    account.bump_uidvalidity(inbox).unwrap();
    let reply = client.soap(&sync(&folder, &state, 512)).await;
    assert_eq!(reply.codes(), ["ErrorInvalidSyncStateData"]);
}

#[tokio::test]
async fn items_are_found_by_named_properties() {
    let (server, _account) = server(|b| b).await;
    let mut client = Client::login(&server).await;
    let uri = "<t:ExtendedFieldURI PropertySetId=\"a4a5b2c0-1111-4222-8333-444455556666\" PropertyName=\"Key\" PropertyType=\"String\"/>";
    let mut ids = Vec::new();
    for n in 0..3 {
        let property =
            format!("<t:ExtendedProperty>{uri}<t:Value>k{n}</t:Value></t:ExtendedProperty>");
        ids.push(client.create(MAIL, &property).await);
    }
    let find = |key: &str| {
        format!(
            "<m:FindItem Traversal=\"Shallow\"><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape></m:ItemShape>\
             <m:IndexedPageItemView MaxEntriesReturned=\"100\" Offset=\"0\" BasePoint=\"Beginning\"/><m:Restriction><t:IsEqualTo>{uri}\
             <t:FieldURIOrConstant><t:Constant Value=\"{key}\"/></t:FieldURIOrConstant></t:IsEqualTo></m:Restriction>\
             <m:ParentFolderIds><t:DistinguishedFolderId Id=\"inbox\"/></m:ParentFolderIds></m:FindItem>"
        )
    };
    let reply = client.soap(&find("k1")).await;
    assert_eq!(reply.attributes("t:ItemId", "Id"), [ids[1].clone()]);
    let reply = client.soap(&find("k9")).await;
    assert!(reply.attributes("t:ItemId", "Id").is_empty());
}

#[tokio::test]
async fn items_move_to_new_ids_and_keep_their_properties() {
    let (server, account) = server(|b| b).await;
    let mut client = Client::login(&server).await;
    let id = client
        .create(MAIL, "<t:Importance>Low</t:Importance>")
        .await;
    let to = |operation: &str, id: &str| {
        format!(
            "<m:{operation}><m:ToFolderId><t:DistinguishedFolderId Id=\"drafts\"/></m:ToFolderId>\
             <m:ItemIds><t:ItemId Id=\"{id}\"/></m:ItemIds></m:{operation}>"
        )
    };
    let copied = client.soap(&to("CopyItem", &id)).await;
    assert_eq!(copied.codes(), ["NoError"]);
    assert_eq!(account.used_messages(), 2);
    let moved = client.soap(&to("MoveItem", &id)).await;
    let new = moved.attributes("t:ItemId", "Id").remove(0);
    assert_ne!(new, id);
    let gone = client.soap(&get_item(&id, &tag("0x0E07", "Integer"))).await;
    assert_eq!(gone.codes(), ["ErrorItemNotFound"]);
    let reply = client
        .soap(&get_item(
            &new,
            "<t:FieldURI FieldURI=\"item:Importance\"/>",
        ))
        .await;
    assert_eq!(reply.one("t:Importance"), "Low");
    let delete = format!(
        "<m:DeleteItem DeleteType=\"HardDelete\"><m:ItemIds><t:ItemId Id=\"{new}\"/></m:ItemIds></m:DeleteItem>"
    );
    assert_eq!(client.soap(&delete).await.codes(), ["NoError"]);
    assert_eq!(account.used_messages(), 1);
}

#[tokio::test]
async fn other_mailboxes_open_to_delegates_and_impersonators_alone() {
    let (server, _account) = server(|b| {
        b.user("other", "q")
            .user("d", "d")
            .delegate("d", "other")
            .impersonator("admin", "a")
            .archive("other")
    })
    .await;
    let theirs = "<m:GetFolder><m:FolderShape><t:BaseShape>IdOnly</t:BaseShape></m:FolderShape><m:FolderIds>\
                  <t:DistinguishedFolderId Id=\"inbox\"><t:Mailbox><t:EmailAddress>other@example.com</t:EmailAddress></t:Mailbox>\
                  </t:DistinguishedFolderId></m:FolderIds></m:GetFolder>";
    let as_other = "<t:ExchangeImpersonation><t:ConnectingSID><t:PrimarySmtpAddress>other@example.com</t:PrimarySmtpAddress>\
                    </t:ConnectingSID></t:ExchangeImpersonation>";
    let mut owner = Client::login_as(&server, "other@example.com", "q").await;
    let inbox = owner.folder("inbox").await;
    assert_eq!(
        owner
            .soap(&get_folder("archivemsgfolderroot"))
            .await
            .codes(),
        ["NoError"]
    );
    let mut delegate = Client::login_as(&server, "EXAMPLE\\d", "d").await;
    let found = delegate.soap(theirs).await.attributes("t:FolderId", "Id");
    assert_eq!(found, std::slice::from_ref(&inbox));
    let mut stranger = Client::login(&server).await;
    assert_eq!(stranger.soap(theirs).await.codes(), ["ErrorAccessDenied"]);
    assert_eq!(server.counters().foreign, 1);
    assert_eq!(
        stranger.soap(&sync(&inbox, "", 10)).await.codes(),
        ["ErrorAccessDenied"]
    );
    assert_eq!(server.counters().foreign, 2);
    let denied = stranger
        .try_soap(as_other, &get_folder("inbox"))
        .await
        .unwrap();
    assert!(denied.body.contains("ErrorImpersonateUserDenied"));
    let mut admin = Client::login_as(&server, "admin", "a").await;
    let reply = admin
        .try_soap(as_other, &get_folder("inbox"))
        .await
        .unwrap();
    assert_eq!(reply.attributes("t:FolderId", "Id"), [inbox]);
    let mut wrong = Client::login_as(&server, "u", "wrong").await;
    let reply = wrong.try_soap("", &get_folder("inbox")).await.unwrap();
    assert_eq!(reply.status, 401);
    assert!(reply.head.contains("WWW-Authenticate: Basic"));
}

#[tokio::test]
async fn ids_are_converted_and_limits_told() {
    let (server, account) = server(|b| b).await;
    account.configure(|limits| limits.max_message_size = Some(5000));
    let mut client = Client::login(&server).await;
    let root = client.folder("root").await;
    let convert = format!(
        "<m:ConvertId DestinationFormat=\"EwsId\"><m:SourceIds><t:AlternateId Format=\"EwsId\" Id=\"{root}\" Mailbox=\"x\"/>\
         </m:SourceIds></m:ConvertId>"
    );
    let reply = client.soap(&convert).await;
    assert_eq!(
        reply.attributes("m:AlternateId", "Mailbox"),
        ["u@example.com"]
    );
    let tips = "<m:GetMailTips><m:SendingAs><t:EmailAddress>u@example.com</t:EmailAddress></m:SendingAs><m:Recipients>\
                <t:Mailbox><t:EmailAddress>u@example.com</t:EmailAddress></t:Mailbox></m:Recipients>\
                <m:MailTipsRequested>MailboxFullStatus MaxMessageSize</m:MailTipsRequested></m:GetMailTips>";
    let reply = client.soap(tips).await;
    assert_eq!(reply.one("t:MaxMessageSize"), "5000");
    assert_eq!(reply.one("t:MailboxFull"), "false");
}

#[tokio::test]
async fn an_old_server_knows_its_own_schema_alone() {
    let (server, _account) = server(mailmove_ews_testserver::Builder::exchange_2010).await;
    let mut client = Client::login(&server).await;
    let asked = get_folder("inbox");
    let reply = client.try_soap("", &asked).await.unwrap();
    assert!(reply.body.contains("ErrorInvalidServerVersion"));
    let old =
        |operation: &str| envelope("", operation).replace("Exchange2013_SP1", "Exchange2010_SP2");
    let path = "/EWS/Exchange.asmx";
    let reply = client.http("POST", path, &old(&asked)).await.unwrap();
    assert_eq!(reply.codes(), ["NoError"]);
    assert_eq!(
        reply.attributes("t:ServerVersionInfo", "MajorVersion"),
        ["14"]
    );
    let flag = create_item(
        "inbox",
        MAIL,
        "<t:Flag><t:FlagStatus>Flagged</t:FlagStatus></t:Flag>",
    );
    let reply = client.http("POST", path, &old(&flag)).await.unwrap();
    assert!(reply.body.contains("ErrorSchemaValidation"));
}
