//! Folders, lists, messages, changes and attachments, by HTTP.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use serde_json::{Value, json};
use support::{builder, client, encode, fill, folder, start};

fn names(list: &[Value]) -> Vec<&str> {
    list.iter()
        .map(|f| f["displayName"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_are_listed_by_pages_without_their_roles() {
    let server = start().await;
    for n in 0..8 {
        folder(&server, &[&format!("Folder {n}")]);
    }
    folder(&server, &["Folder 0", "Deep"]);
    folder(&server, &["Unread"]);
    server.set_search_folder("ann", &["Unread"]);
    let client = client(&server);
    let (found, pages, _) = client.pages("/users/ann@example.com/mailFolders").await;
    // Six default folders of mail, eight of ours, one search.
    assert_eq!((found.len(), pages), (15, 2));
    assert!(found.iter().all(|f| f.get("wellKnownName").is_none()));
    assert!(!names(&found).contains(&"Calendar"));
    let search = found.iter().find(|f| f["displayName"] == "Unread").unwrap();
    assert_eq!(search["@odata.type"], "#microsoft.graph.mailSearchFolder");
    let with = client
        .get("/users/ann/mailFolders?includeHiddenFolders=true&$top=100")
        .await;
    assert_eq!(with.ok(200)["value"].as_array().unwrap().len(), 16);
    let parent = found
        .iter()
        .find(|f| f["displayName"] == "Folder 0")
        .unwrap();
    assert_eq!(parent["childFolderCount"], 1);
    let id = parent["id"].as_str().unwrap();
    let below = client
        .get(&format!(
            "/users/ann/mailFolders/{}/childFolders",
            encode(id)
        ))
        .await;
    assert_eq!(below.ok(200)["value"][0]["displayName"], "Deep");
    let root = client
        .get("/users/ann/mailFolders/msgfolderroot")
        .await
        .ok(200);
    assert_eq!(parent["parentFolderId"], root["id"]);
    let missing = client.get("/users/ann/mailFolders/archive").await;
    assert_eq!(missing.error(), (404, "ErrorFolderNotFound".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_told_by_pages_and_then_again() {
    let server = start().await;
    fill(&server, &["INBOX"], 25);
    let client = client(&server).with("Prefer: odata.maxpagesize=10, IdType=\"ImmutableId\"");
    let target = "/users/ann/mailFolders/inbox/messages/delta?$select=subject,isRead";
    let (found, pages, delta) = client.pages(target).await;
    assert_eq!((found.len(), pages), (25, 3));
    assert!(found[0].get("body").is_none());
    assert_eq!(found[0]["subject"], "number 25");
    let account = server.store().account("ann").unwrap();
    let inbox = folder(&server, &["INBOX"]);
    account.remove(inbox, &[3]).unwrap();
    let add = mailmove_testkit::mailbox::FlagOp::Add;
    account.store(inbox, &[7], add, &["\\Seen"], None).unwrap();
    let (changed, _, again) = client.pages(&delta.unwrap()).await;
    let third = found.iter().find(|m| m["subject"] == "number 3").unwrap();
    assert_eq!(changed[0]["id"], third["id"]);
    assert_eq!(changed[0]["@removed"]["reason"], "deleted");
    assert_eq!(changed[1]["isRead"], true);
    assert_eq!(changed.len(), 2);
    // What was moved has the same id in its new place.
    folder(&server, &["Else"]);
    account
        .move_messages(inbox, &[9], folder(&server, &["Else"]))
        .unwrap();
    let all = client.get("/users/ann/mailFolders").await.ok(200);
    let list = all["value"].as_array().unwrap();
    let other = list.iter().find(|f| f["displayName"] == "Else").unwrap();
    let other = encode(other["id"].as_str().unwrap());
    let (moved, _, _) = client
        .pages(&format!("/users/ann/mailFolders/{other}/messages/delta()"))
        .await;
    let ninth = found.iter().find(|m| m["subject"] == "number 9").unwrap();
    assert_eq!(moved[0]["id"], ninth["id"]);
    server.forget_deltas();
    let gone = client.get(&again.unwrap()).await;
    assert_eq!(gone.error(), (410, "SyncStateNotFound".to_owned()));
    assert!(
        gone.header("location")
            .unwrap()
            .ends_with("/messages/delta")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_json_makes_has_the_dates_and_flags_of_its_properties() {
    let server = start().await;
    let client = client(&server);
    let body = json!({
        "subject": "grüße",
        "body": {"contentType": "html", "content": "<p>hallo</p>"},
        "from": {"emailAddress": {"name": "Bob", "address": "bob@example.com"}},
        "toRecipients": [{"emailAddress": {"address": "ann@example.com"}}],
        "internetMessageId": "<a@b>",
        "isRead": true,
        "categories": ["Red"],
        "flag": {"flagStatus": "flagged"},
        "receivedDateTime": "2019-01-01T00:00:00Z",
        "singleValueExtendedProperties": [
            {"id": "Integer 0x0E07", "value": "4"},
            {"id": "SystemTime 0x0E06", "value": "2001-02-03T04:05:06Z"},
            {"id": "SystemTime 0x0039", "value": "2001-02-03T04:05:00Z"},
            {"id": "String 0x1042", "value": "<parent@b>"},
            {"id": "Integer 0x1081", "value": "102"},
            {"id": "String {66f5a359-4659-4830-9070-00040ec6ac6e} Name mark", "value": "m1"},
        ],
    });
    let made = client
        .post("/users/ann/mailFolders/inbox/messages", &body)
        .await
        .ok(201);
    assert_eq!(made["isDraft"], false);
    assert_eq!(made["receivedDateTime"], "2001-02-03T04:05:06Z");
    assert_eq!(made["sentDateTime"], "2001-02-03T04:05:00Z");
    assert_eq!(made["flag"]["flagStatus"], "flagged");
    let id = encode(made["id"].as_str().unwrap());
    let target = format!(
        "/users/ann/messages/{id}?$select=subject&$expand=singleValueExtendedProperties($filter=id%20eq%20\
         'Integer%200x1081'%20or%20id%20eq%20'String%20{{66f5a359-4659-4830-9070-00040ec6ac6e}}%20Name%20mark')"
    );
    let read = client.get(&target).await.ok(200);
    assert_eq!(
        read["singleValueExtendedProperties"],
        json!([
            {"id": "Integer 0x1081", "value": "102"},
            {"id": "String {66f5a359-4659-4830-9070-00040ec6ac6e} Name mark", "value": "m1"},
        ])
    );
    let found = client
        .get(
            "/users/ann/messages?$filter=singleValueExtendedProperties/Any(ep:%20ep/id%20eq%20'String%20\
             {66f5a359-4659-4830-9070-00040ec6ac6e}%20Name%20mark'%20and%20ep/value%20eq%20'm1')",
        )
        .await;
    assert_eq!(found.ok(200)["value"].as_array().unwrap().len(), 1);
    let mime = client
        .get(&format!("/users/ann/messages/{id}/$value"))
        .await;
    let text = String::from_utf8(mime.body.clone()).unwrap();
    assert!(text.contains("In-Reply-To: <parent@b>\r\n"), "{text}");
    assert_eq!(mime.header("content-type"), Some("text/plain"));
    assert_eq!(server.counters().operation("CreateMessage"), 1);
    // Without the property it is a draft, and stays one.
    let draft = client
        .post(
            "/users/ann/mailFolders/inbox/messages",
            &json!({"subject": "x"}),
        )
        .await
        .ok(201);
    let id = encode(draft["id"].as_str().unwrap());
    let patch = json!({"singleValueExtendedProperties": [{"id": "Integer 0x0E07", "value": "4"}], "subject": "y"});
    let still = client
        .json("PATCH", &format!("/users/ann/messages/{id}"), &patch)
        .await
        .ok(200);
    assert_eq!(
        (&still["isDraft"], &still["subject"]),
        (&json!(true), &json!("y"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mime_makes_drafts_and_above_a_size_nothing() {
    use base64::Engine as _;
    let server = builder().max_mime(1000).start().await.unwrap();
    let client = client(&server).with("Content-Type: text/plain");
    let encode64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let mime = "Subject: x\r\nDate: Thu, 01 Jan 1998 00:00:00 +0000\r\n\r\nbody\r\n";
    let made = client
        .send("POST", "/users/ann/messages", encode64(mime).as_bytes())
        .await
        .ok(201);
    assert_eq!(made["isDraft"], true);
    assert_ne!(made["receivedDateTime"], "1998-01-01T00:00:00Z");
    let large = format!("{mime}{}", "a".repeat(1000));
    let nothing = client
        .send("POST", "/users/ann/messages", encode64(&large).as_bytes())
        .await;
    assert_eq!((nothing.status, nothing.body.len()), (200, 0));
    assert_eq!(server.counters().created, 1);
    let refused = client.send("POST", "/users/ann/messages", b"***").await;
    assert_eq!(refused.error().1, "ErrorMimeContentInvalidBase64String");
}

/// Microsoft says that MIME is made in the folder that is named; others say that it is not.
#[tokio::test(flavor = "multi_thread")]
async fn mime_is_made_in_a_folder_or_among_the_drafts() {
    use base64::Engine as _;
    for elsewhere in [false, true] {
        let builder = builder();
        let builder = match elsewhere {
            true => builder.mime_goes_to_drafts(),
            false => builder,
        };
        let server = builder.start().await.unwrap();
        let client = client(&server);
        let of = async |name: &str| {
            let folder = client.get(&format!("/users/ann/mailFolders/{name}")).await;
            folder.ok(200)["id"].clone()
        };
        let (inbox, drafts) = (of("inbox").await, of("drafts").await);
        let body = base64::engine::general_purpose::STANDARD.encode("Subject: x\r\n\r\nbody\r\n");
        let client = support::client(&server).with("Content-Type: text/plain");
        let path = "/users/ann/mailFolders/inbox/messages";
        let made = client.send("POST", path, body.as_bytes()).await.ok(201);
        let place = if elsewhere { &drafts } else { &inbox };
        assert_eq!(&made["parentFolderId"], place);
        assert_eq!(made["createdDateTime"], made["receivedDateTime"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attachments_come_after_their_message() {
    let server = start().await;
    let client = client(&server);
    let body = json!({"subject": "with", "body": {"contentType": "text", "content": "text"}});
    let made = client
        .post("/users/ann/mailFolders/inbox/messages", &body)
        .await
        .ok(201);
    let id = encode(made["id"].as_str().unwrap());
    let target = format!("/users/ann/messages/{id}/attachments");
    let file = json!({"@odata.type": "#microsoft.graph.fileAttachment", "name": "ä.png", "contentType": "image/png",
        "isInline": true, "contentId": "c1", "contentBytes": "AAEC"});
    client.post(&target, &file).await.ok(201);
    let inner = json!({"@odata.type": "#microsoft.graph.itemAttachment", "name": "inner",
        "item": {"@odata.type": "#microsoft.graph.message", "subject": "inside", "body": {"contentType": "text", "content": "deep"}}});
    client.post(&target, &inner).await.ok(201);
    let all = client
        .get(&format!(
            "{target}?$expand=microsoft.graph.itemattachment/item"
        ))
        .await
        .ok(200);
    assert_eq!(all["value"][0]["contentBytes"], "AAEC");
    assert_eq!(all["value"][0]["contentId"], "c1");
    assert_eq!(all["value"][0]["isInline"], true);
    assert_eq!(all["value"][1]["item"]["subject"], "inside");
    let one = encode(all["value"][0]["id"].as_str().unwrap());
    assert_eq!(
        client.get(&format!("{target}/{one}/$value")).await.body,
        [0, 1, 2]
    );
    client
        .send("DELETE", &format!("{target}/{one}"), b"")
        .await
        .ok(204);
    let left = client.get(&target).await.ok(200);
    assert_eq!(left["value"].as_array().unwrap().len(), 1);
    assert!(left["value"][0].get("item").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_have_to_be_encoded_and_change_with_moves() {
    let server = start().await;
    fill(&server, &["INBOX"], 20);
    let client = client(&server);
    let list = client
        .get("/users/ann/mailFolders/inbox/messages?$top=20")
        .await
        .ok(200);
    let ids = list["value"].as_array().unwrap().iter();
    let ids: Vec<_> = ids.map(|m| m["id"].as_str().unwrap()).collect();
    let slashed = ids.iter().find(|id| id.contains('/')).unwrap();
    let raw = client.get(&format!("/users/ann/messages/{slashed}")).await;
    assert_eq!(raw.status, 400);
    let plus = ids
        .iter()
        .find(|id| id.contains('+'))
        .unwrap()
        .replace('/', "%2F");
    let raw = client.get(&format!("/users/ann/messages/{plus}")).await;
    assert_eq!(raw.error().1, "ErrorInvalidIdMalformed");
    let id = encode(ids[0]);
    let moved = client
        .post(
            &format!("/users/ann/messages/{id}/move"),
            &json!({"destinationId": "drafts"}),
        )
        .await;
    assert_ne!(moved.ok(201)["id"], ids[0]);
    let gone = client.get(&format!("/users/ann/messages/{id}")).await;
    assert_eq!(gone.error(), (404, "ErrorItemNotFound".to_owned()));
    let stable = client.clone().with("Prefer: IdType=\"ImmutableId\"");
    let list = stable
        .get("/users/ann/mailFolders/inbox/messages")
        .await
        .ok(200);
    let first = list["value"][0]["id"].as_str().unwrap();
    let id = encode(first);
    let moved = stable
        .post(
            &format!("/users/ann/messages/{id}/move"),
            &json!({"destinationId": "junkemail"}),
        )
        .await;
    assert_eq!(moved.ok(201)["id"], first);
    // Deleting goes to the deleted ones first.
    stable
        .send("DELETE", &format!("/users/ann/messages/{id}"), b"")
        .await
        .ok(204);
    let there = stable
        .get(&format!("/users/ann/messages/{id}"))
        .await
        .ok(200);
    let trash = stable
        .get("/users/ann/mailFolders/deleteditems")
        .await
        .ok(200);
    assert_eq!(there["parentFolderId"], trash["id"]);
    stable
        .send("DELETE", &format!("/users/ann/messages/{id}"), b"")
        .await
        .ok(204);
    assert_eq!(
        stable
            .get(&format!("/users/ann/messages/{id}"))
            .await
            .status,
        404
    );
    let other = stable
        .get(&format!("/users/bob/messages/{}", encode(ids[3])))
        .await;
    assert_eq!(other.error().1, "ErrorInvalidMailboxItemId");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_translated_and_changes_are_guarded() {
    let server = start().await;
    fill(&server, &["INBOX"], 1);
    let client = client(&server);
    let list = client
        .get("/users/ann/mailFolders/inbox/messages?$select=subject")
        .await
        .ok(200);
    let (id, etag) = (&list["value"][0]["id"], &list["value"][0]["@odata.etag"]);
    let body = json!({"inputIds": [id, "nonsense"], "sourceIdType": "restId", "targetIdType": "restImmutableEntryId"});
    let told = client
        .post("/users/ann/translateExchangeIds", &body)
        .await
        .ok(200);
    let stable = told["value"][0]["targetId"].as_str().unwrap();
    assert_eq!(
        server.item_id("ann", &["INBOX"], 1, true).as_deref(),
        Some(stable)
    );
    assert_eq!(
        told["value"][1]["errorDetails"]["code"],
        "ErrorInvalidIdMalformed"
    );
    let target = format!("/users/ann/messages/{}", encode(stable));
    let guarded = client
        .clone()
        .with(&format!("If-Match: {}", etag.as_str().unwrap()));
    guarded
        .json("PATCH", &target, &json!({"isRead": true}))
        .await
        .ok(200);
    let late = guarded
        .json("PATCH", &target, &json!({"isRead": false}))
        .await;
    assert_eq!(late.error(), (412, "ErrorIrresolvableConflict".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_as_mime_is_told_item_by_item() {
    let server = builder().smime_fails().start().await.unwrap();
    fill(&server, &["INBOX"], 2);
    assert!(server.set_item_class("ann", &["INBOX"], 1, "IPM.Note.SMIME.MultipartSigned"));
    assert!(server.poison_operation("ann", &["INBOX"], 2, "GetMime", "ErrorCorruptData"));
    let client = client(&server);
    let (found, _, _) = client
        .pages("/users/ann/mailFolders/inbox/messages?$orderby=receivedDateTime")
        .await;
    let mut codes = Vec::new();
    for message in &found {
        let id = encode(message["id"].as_str().unwrap());
        let mime = client
            .get(&format!("/users/ann/messages/{id}/$value"))
            .await;
        codes.push(mime.error());
    }
    let code = |text: &str| (500, text.to_owned());
    assert_eq!(
        codes,
        [
            code("ErrorMimeContentConversionFailed"),
            code("ErrorCorruptData")
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_messages_are_among_messages() {
    let server = start().await;
    fill(&server, &["INBOX"], 3);
    assert!(server.set_item_class("ann", &["INBOX"], 1, "IPM.Appointment"));
    assert!(server.set_item_class("ann", &["INBOX"], 2, "IPM.Schedule.Meeting.Request"));
    let client = client(&server);
    let target = "/users/ann/mailFolders/inbox/messages";
    for target in [target, &format!("{target}/delta")] {
        let (found, _, _) = client.pages(target).await;
        assert_eq!(found.len(), 2);
        let meeting = found.iter().find(|m| m["subject"] == "number 2").unwrap();
        assert_eq!(meeting["@odata.type"], "#microsoft.graph.eventMessage");
    }
    // A user's id is as good as the name.
    let user = client.get("/users/ann").await.ok(200);
    let id = user["id"].as_str().unwrap();
    client
        .get(&format!("/users/{id}/mailFolders"))
        .await
        .ok(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused() {
    let server = start().await;
    let client = client(&server);
    let account = server.store().account("ann").unwrap();
    let target = "/users/ann/mailFolders/inbox/messages";
    let made = client.post(target, &json!({"subject": "x"})).await.ok(201);
    let id = encode(made["id"].as_str().unwrap());
    let file = json!({"@odata.type": "#microsoft.graph.fileAttachment", "name": "a",
        "contentBytes": "A".repeat(4000)});
    let attach = format!("/users/ann/messages/{id}/attachments");
    account.configure(|limits| limits.max_message_size = Some(2000));
    let refused = client.post(&attach, &file).await;
    assert_eq!(
        refused.error(),
        (413, "ErrorMessageSizeExceeded".to_owned())
    );
    account.configure(|limits| {
        limits.max_message_size = None;
        limits.quota_bytes = Some(1000);
    });
    let refused = client.post(&attach, &file).await;
    assert_eq!(refused.error(), (507, "ErrorQuotaExceeded".to_owned()));
    let text =
        json!({"subject": "y", "body": {"contentType": "text", "content": "a".repeat(1000)}});
    let refused = client.post(target, &text).await;
    assert_eq!(refused.error(), (507, "ErrorQuotaExceeded".to_owned()));
    assert_eq!(server.counters().created, 1);
}
