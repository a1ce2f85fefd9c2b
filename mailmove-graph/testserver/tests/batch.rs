//! Batches, upload sessions, exports and imports, by HTTP.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::time::Duration;

use mailmove_graph_testserver::{Action, Server};
use serde_json::{Value, json};
use support::{Reply, builder, client, encode, fill, raw, start};

fn by_id<'a>(reply: &'a Value, id: &str) -> &'a Value {
    let list = reply["responses"].as_array().unwrap();
    list.iter().find(|r| r["id"] == id).unwrap()
}

fn create(id: usize) -> Value {
    json!({"id": id.to_string(), "method": "POST", "url": "/users/ann/mailFolders/inbox/messages",
        "headers": {"Content-Type": "application/json"}, "body": {"subject": format!("number {id}")}})
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_of_a_batch_has_its_own_answer() {
    let server = start().await;
    let client = client(&server);
    let faults = server.faults();
    faults.arm(
        "CreateMessage",
        2,
        Action::Throttle(Some(Duration::from_secs(7))),
    );
    let get = json!({"id": "g", "method": "GET", "url": "users/ann/mailFolders/inbox?$select=displayName", "dependsOn": ["3"]});
    let lost = json!({"id": "l", "method": "GET", "url": "/users/ann/messages/nonsense"});
    let late = json!({"id": "d", "method": "GET", "url": "/users/ann", "dependsOn": ["l"]});
    let body = json!({"requests": [create(1), create(2), create(3), get, lost, late]});
    let reply = client.post("/$batch", &body).await.ok(200);
    let statuses = ["1", "2", "3"].map(|id| by_id(&reply, id)["status"].as_u64().unwrap());
    assert_eq!(statuses.iter().filter(|s| **s == 201).count(), 2);
    let refused = reply["responses"]
        .as_array()
        .unwrap()
        .iter()
        .find(|r| r["status"] == 429)
        .unwrap();
    assert_eq!(refused["headers"]["Retry-After"], "7");
    assert_eq!(by_id(&reply, "l")["status"], 400);
    assert_eq!(by_id(&reply, "d")["status"], 424);
    let counters = server.counters();
    assert_eq!(
        (
            counters.created,
            counters.operation("Batch"),
            counters.answer(429)
        ),
        (2, 1, 1)
    );
    assert_eq!(counters.status(429), 0);
    let many: Vec<_> = (0..21).map(create).collect();
    assert_eq!(
        client
            .post("/$batch", &json!({"requests": many}))
            .await
            .status,
        400
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_takes_four_places_of_its_mailbox() {
    let server = start().await;
    server.faults().arm_from("CreateMessage", 1, Action::Hold);
    let client = client(&server);
    let body = json!({"requests": (0..6).map(create).collect::<Vec<_>>()});
    let whole = client.post("/$batch", &body);
    let other = async {
        while server.counters().peak_slots < 4 {
            tokio::task::yield_now().await;
        }
        assert_eq!(client.get("/users/ann/mailFolders").await.status, 429);
        server.faults().clear();
        server.faults().release();
    };
    let (reply, ()) = tokio::join!(whole, other);
    let reply = reply.ok(200);
    assert!((0..6).all(|id| by_id(&reply, &id.to_string())["status"] == 201));
    assert_eq!(server.counters().peak_slots, 4);
}

async fn put(server: &Server, url: &str, range: &str, bytes: &[u8], more: &str) -> Reply {
    let target = url
        .strip_prefix(&format!("http://{}", server.plain_address()))
        .unwrap();
    let head = format!(
        "PUT {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Range: bytes {range}\r\n{more}Content-Length: {}\r\n\r\n",
        server.plain_address(),
        bytes.len()
    );
    raw(server, &head, bytes).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn large_attachments_come_in_ranges() {
    let server = builder().attachment_limit(10).start().await.unwrap();
    let client = client(&server);
    let made = client
        .post(
            "/users/ann/mailFolders/inbox/messages",
            &json!({"subject": "x"}),
        )
        .await
        .ok(201);
    let id = encode(made["id"].as_str().unwrap());
    let target = format!("/users/ann/messages/{id}/attachments/createUploadSession");
    let small = json!({"AttachmentItem": {"attachmentType": "file", "name": "a", "size": 9}});
    let refused = client.post(&target, &small).await;
    assert_eq!(
        refused.error().1,
        "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize"
    );
    let item = json!({"AttachmentItem": {"attachmentType": "item", "name": "a", "size": 20}});
    let refused = client.post(&target, &item).await;
    assert_eq!(
        refused.error().1,
        "ErrorAttachmentSessionIsSupportedOnlyForFileAttachments"
    );
    let file = json!({"AttachmentItem": {"attachmentType": "file", "name": "a.bin", "size": 20, "contentType": "x/y",
        "isInline": true, "contentId": "c"}});
    let session = client.post(&target, &file).await.ok(201);
    let url = session["uploadUrl"].as_str().unwrap();
    let leak = put(
        &server,
        url,
        "0-9/20",
        b"0123456789",
        "Authorization: Bearer app-token\r\n",
    )
    .await;
    assert_eq!((leak.status, server.counters().leaked_tokens), (401, 1));
    let next = put(&server, url, "0-9/20", b"0123456789", "").await.ok(200);
    assert_eq!(next["nextExpectedRanges"], json!(["10"]));
    assert_eq!(
        put(&server, url, "0-9/20", b"0123456789", "").await.status,
        416
    );
    let last = put(&server, url, "10-19/20", b"abcdefghij", "").await;
    assert_eq!(last.status, 201);
    assert!(last.header("location").unwrap().contains("/attachments('"));
    let all = client
        .get(&format!(
            "/users/ann/messages/{id}/attachments?$select=name,size,isInline"
        ))
        .await
        .ok(200);
    assert_eq!(all["value"][0]["size"], 20);
    assert_eq!(all["value"][0]["isInline"], true);
    assert!(all["value"][0].get("contentBytes").is_none());
    assert_eq!(
        put(&server, url, "0-9/20", b"0123456789", "").await.status,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn items_of_all_classes_travel_as_streams() {
    let server = start().await;
    fill(&server, &["INBOX"], 3);
    fill(&server, &["Calendar"], 1);
    assert!(server.set_item_class("ann", &["Calendar"], 1, "IPM.Appointment"));
    let client = client(&server);
    let mailbox = |reply: &Value| encode(reply["primaryMailboxId"].as_str().unwrap());
    let ann = mailbox(&client.get("/users/ann/settings/exchange").await.ok(200));
    let bob = mailbox(&client.get("/users/bob/settings/exchange").await.ok(200));
    let base = format!("/admin/exchange/mailboxes/{ann}");
    let (folders, _, _) = client.pages(&format!("{base}/folders")).await;
    let calendar = folders
        .iter()
        .find(|f| f["type"] == "IPF.Appointment")
        .unwrap();
    let place = encode(calendar["id"].as_str().unwrap());
    let (items, _, delta) = client
        .pages(&format!("{base}/folders/{place}/items/delta"))
        .await;
    assert_eq!(
        (items.len(), items[0]["type"].as_str()),
        (1, Some("IPM.Appointment"))
    );
    assert!(delta.is_some());
    let (again, _, more) = client.pages(&format!("{base}/folders/delta")).await;
    assert_eq!(again.len(), folders.len());
    let (unchanged, _, _) = client.pages(&more.unwrap()).await;
    assert!(unchanged.is_empty());
    let inbox = folders
        .iter()
        .find(|f| f["displayName"] == "Inbox")
        .unwrap();
    let inbox = encode(inbox["id"].as_str().unwrap());
    let (mails, _, _) = client
        .pages(&format!("{base}/folders/{inbox}/items?$top=2"))
        .await;
    assert_eq!(mails.len(), 3);
    let ids = json!({"itemIds": [items[0]["id"], "nonsense", mails[0]["id"]]});
    let exported = client
        .post(&format!("{base}/exportItems"), &ids)
        .await
        .ok(200);
    assert_eq!(
        exported["value"][1]["error"]["code"],
        "ErrorInvalidIdMalformed"
    );
    let session = client
        .send(
            "POST",
            &format!("/admin/exchange/mailboxes/{bob}/createImportSession"),
            b"",
        )
        .await
        .ok(200);
    let url = session["importUrl"].as_str().unwrap();
    let drafts = client.get("/users/bob/mailFolders/drafts").await.ok(200);
    let body =
        json!({"FolderId": drafts["id"], "Mode": "create", "Data": exported["value"][0]["data"]});
    let made = import(&server, url, &body).await.ok(200);
    assert!(made["itemId"].is_string());
    assert_eq!(
        server.item_class("bob", &["Drafts"], 1).as_deref(),
        Some("IPM.Appointment")
    );
    let mut cut = body.clone();
    let data = cut["Data"].as_str().unwrap();
    cut["Data"] = data[..data.len() / 8 * 4].into();
    assert_eq!(
        import(&server, url, &cut).await.error().1,
        "ErrorCorruptData"
    );
    server.faults().arm("ExportItems", 1, Action::Truncate);
    let short = client
        .post(&format!("{base}/exportItems"), &ids)
        .await
        .ok(200);
    cut["Data"] = short["value"][0]["data"].clone();
    assert_eq!(
        import(&server, url, &cut).await.error().1,
        "ErrorCorruptData"
    );
    let update = json!({"FolderId": drafts["id"], "Mode": "update", "Data": exported["value"][2]["data"],
        "ItemId": made["itemId"], "ChangeKey": made["changeKey"]});
    import(&server, url, &update).await.ok(200);
    let account = server.store().account("bob").unwrap();
    let id = account.folder(&["Drafts"]).unwrap().id;
    assert_eq!(account.messages(id).unwrap().len(), 1);
}

async fn import(server: &Server, url: &str, body: &Value) -> Reply {
    let target = url
        .strip_prefix(&format!("http://{}", server.plain_address()))
        .unwrap();
    let body = body.to_string();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        server.plain_address(),
        body.len()
    );
    raw(server, &head, body.as_bytes()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_of_all_classes_are_made_and_items_removed_there() {
    let server = start().await;
    let client = client(&server);
    let settings = client.get("/users/ann/settings/exchange").await.ok(200);
    let mailbox = encode(settings["primaryMailboxId"].as_str().unwrap());
    let folders = format!("/admin/exchange/mailboxes/{mailbox}/folders");
    let dates = json!({"displayName": "Dates", "type": "IPF.Appointment"});
    let made = client.post(&folders, &dates).await.ok(201);
    assert_eq!(
        (&made["type"], &made["wellKnownName"]),
        (&dates["type"], &Value::Null)
    );
    let (all, _, _) = client.pages(&folders).await;
    let named = |name: &str| all.iter().filter(|f| f["wellKnownName"] == name).count();
    assert_eq!(["inbox", "calendar", "sentitems"].map(named), [1; 3]);
    let place = format!("{folders}/{}", encode(made["id"].as_str().unwrap()));
    let below = json!({"displayName": "Below", "type": "IPF.Task"});
    let children = format!("{place}/childFolders");
    let child = client.post(&children, &below).await.ok(201);
    assert_eq!(child["parentFolderId"], made["id"]);
    let taken = client.post(&folders, &dates).await.error();
    assert_eq!(taken, (409, "ErrorFolderExists".to_owned()));
    for wrong in [
        json!({"displayName": "x"}),
        json!({"displayName": "x", "type": "calendar"}),
    ] {
        assert_eq!(client.post(&folders, &wrong).await.status, 400);
    }
    fill(&server, &["Dates"], 2);
    for uid in [1, 2] {
        assert!(server.set_item_class("ann", &["Dates"], uid, "IPM.Appointment"));
    }
    let (items, _, _) = client.pages(&format!("{place}/items")).await;
    let id = encode(items[0]["id"].as_str().unwrap());
    // It is no message, by whatever id.
    let refused = client.get(&format!("/users/ann/messages/{id}")).await;
    assert_eq!(refused.error(), (404, "ErrorItemNotFound".to_owned()));
    let item = format!("{place}/items/{id}");
    assert_eq!(client.send("DELETE", &item, b"").await.status, 400);
    let removed = format!("{item}?disposalType=softDelete");
    client.send("DELETE", &removed, b"").await.ok(204);
    let gone = client.send("DELETE", &removed, b"").await.error();
    assert_eq!(gone, (404, "ErrorItemNotFound".to_owned()));
    let (items, _, _) = client.pages(&format!("{place}/items")).await;
    assert_eq!(items.len(), 1);
}
