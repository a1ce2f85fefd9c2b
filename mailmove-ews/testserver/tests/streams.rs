//! Streams of whole items, and Autodiscover.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailmove_ews_testserver::Action;
use mailmove_testkit::mailbox::Account;
use support::*;

const MAIL: &str = "Subject: hello\r\n\r\nhi\r\n";

async fn export(client: &mut Client, id: &str) -> Reply {
    let export =
        format!("<m:ExportItems><m:ItemIds><t:ItemId Id=\"{id}\"/></m:ItemIds></m:ExportItems>");
    client.soap(&export).await
}

async fn upload(client: &mut Client, stream: &[u8], action: &str, id: Option<&str>) -> Reply {
    let folder = client.folder("drafts").await;
    let id = id.map_or(String::new(), |id| format!("<t:ItemId Id=\"{id}\"/>"));
    let upload = format!(
        "<m:UploadItems><m:Items><t:Item CreateAction=\"{action}\"><t:ParentFolderId Id=\"{folder}\"/>{id}\
         <t:Data>{}</t:Data></t:Item></m:Items></m:UploadItems>",
        STANDARD.encode(stream)
    );
    client.soap(&upload).await
}

fn in_drafts(account: &Account) -> usize {
    let drafts = account.folder(&["Drafts"]).unwrap();
    account.messages(drafts.id).unwrap().len()
}

#[tokio::test]
async fn an_item_travels_whole_with_all_its_properties() {
    let (server, account) = server(|b| b).await;
    let mut client = Client::login(&server).await;
    let more = [
        "<t:ItemClass>IPM.Note.Own</t:ItemClass><t:Categories><t:String>Red</t:String></t:Categories>\
         <t:Importance>High</t:Importance>"
            .to_owned(),
        property("0x0E07", "Integer", "1"),
        property("0x0E06", "SystemTime", "2001-02-03T04:05:07Z"),
        property("0x6001", "String", "own"),
    ];
    let id = client.create(MAIL, &more.concat()).await;
    let stream = STANDARD
        .decode(export(&mut client, &id).await.one("m:Data"))
        .unwrap();
    // The frame: method, interface, version, buffers; then the content's first properties.
    let word = |at: usize| u32::from_le_bytes(stream[at..at + 4].try_into().unwrap());
    assert_eq!([word(0), word(4), word(8), word(12)], [1, 8, 0, 1]);
    assert_eq!([word(16), word(20)], [3, 24]);
    assert_eq!(word(44), 0x8000_2400);
    assert_eq!([word(48), word(52)], [4, 6]);
    assert_eq!(word(62), 2);
    assert_eq!(
        [word(70), word(74), word(78)],
        [0x0017_0003, 1, 0x001A_84B0]
    );

    let reply = upload(&mut client, &stream, "CreateNew", None).await;
    assert_eq!(reply.codes(), ["NoError"]);
    let new = reply.attributes("m:ItemId", "Id").remove(0);
    let drafts = account.folder(&["Drafts"]).unwrap();
    let stored = account.messages(drafts.id).unwrap().remove(0);
    assert_eq!(stored.body, MAIL);
    assert_eq!(stored.date.unix, 981_173_107);
    assert_eq!(stored.flags.iter().collect::<Vec<_>>(), ["\\Seen", "Red"]);
    let wanted = [
        tag("0x6001", "String"),
        "<t:FieldURI FieldURI=\"item:ItemClass\"/><t:FieldURI FieldURI=\"item:Importance\"/>"
            .to_owned(),
    ];
    let reply = client.soap(&get_item(&new, &wanted.concat())).await;
    assert_eq!(reply.one("t:Value"), "own");
    assert_eq!(reply.one("t:ItemClass"), "IPM.Note.Own");
    assert_eq!(reply.one("t:Importance"), "High");
    assert_eq!(
        (server.counters().exported, server.counters().created),
        (1, 2)
    );

    let again = upload(&mut client, &stream, "Update", Some(&new)).await;
    assert_eq!(again.codes(), ["NoError"]);
    assert_eq!(in_drafts(&account), 1);
    let gone = upload(&mut client, &stream, "Update", Some(&new)).await;
    assert_eq!(gone.codes(), ["ErrorItemNotFound"]);
    let anyhow = upload(&mut client, &stream, "UpdateOrCreate", Some(&new)).await;
    assert_eq!(anyhow.codes(), ["NoError"]);
    assert_eq!(in_drafts(&account), 2);
}

#[tokio::test]
async fn cut_and_altered_streams_are_refused() {
    let (server, account) = server(|b| b).await;
    let mut client = Client::login(&server).await;
    let id = client.create(MAIL, "").await;
    let whole = STANDARD
        .decode(export(&mut client, &id).await.one("m:Data"))
        .unwrap();
    server
        .faults()
        .arm("ExportItems", 1, Action::TruncateExport);
    let cut = STANDARD
        .decode(export(&mut client, &id).await.one("m:Data"))
        .unwrap();
    assert!(cut.ends_with(b"=== Truncated Data ==="));
    let reply = upload(&mut client, &cut, "CreateNew", None).await;
    assert_eq!(reply.codes(), ["ErrorCorruptData"]);
    for at in [0, 62, 70, 78, whole.len() / 2, whole.len() - 1] {
        let mut altered = whole.clone();
        altered[at] ^= 0x20;
        let reply = upload(&mut client, &altered, "CreateNew", None).await;
        assert_eq!(reply.codes(), ["ErrorCorruptData"], "{at}");
    }
    for length in [whole.len() - 1, 40, 0] {
        let reply = upload(&mut client, &whole[..length], "CreateNew", None).await;
        assert_eq!(reply.codes(), ["ErrorCorruptData"], "{length}");
    }
    assert_eq!(in_drafts(&account), 0);
}

#[tokio::test]
async fn autodiscover_tells_the_endpoint() {
    let (server, _account) = server(|b| {
        b.autodiscover_redirect("old@example.com", "u@example.com")
            .redirect("/old/autodiscover.xml", "/autodiscover/autodiscover.xml")
    })
    .await;
    let mut client = Client::login(&server).await;
    let path = "/Autodiscover/Autodiscover.json?Email=u%40example.com&Protocol=Ews&RedirectCount=1";
    let reply = client.http("GET", path, "").await.unwrap();
    let expected = format!(
        "\"Url\":\"http://{}/EWS/Exchange.asmx\"",
        server.plain_address()
    );
    assert!(reply.body.contains(&expected), "{}", reply.body);
    let path = "/autodiscover/autodiscover.json/v1.0/u@example.com?Protocol=Nonsense";
    assert_eq!(client.http("GET", path, "").await.unwrap().status, 400);
    let pox = |address: &str| {
        format!(
            "<Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006\"><Request>\
             <EMailAddress>{address}</EMailAddress><AcceptableResponseSchema>\
             http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema>\
             </Request></Autodiscover>"
        )
    };
    let path = "/autodiscover/autodiscover.xml";
    let reply = client
        .http("POST", path, &pox("u@example.com"))
        .await
        .unwrap();
    let url = format!("http://{}/EWS/Exchange.asmx", server.plain_address());
    assert_eq!(reply.all("EwsUrl"), [url.clone(), url]);
    let reply = client
        .http("POST", path, &pox("old@example.com"))
        .await
        .unwrap();
    assert_eq!(reply.one("RedirectAddr"), "u@example.com");
    let reply = client
        .http("POST", path, &pox("nobody@example.com"))
        .await
        .unwrap();
    assert_eq!(reply.one("ErrorCode"), "500");
    let reply = client
        .http("POST", "/old/autodiscover.xml", "")
        .await
        .unwrap();
    assert!(
        reply
            .head
            .contains("Location: /autodiscover/autodiscover.xml")
    );
    let reply = client.http("GET", "/owa", "").await.unwrap();
    assert!(reply.head.contains("Location: /owa/auth/logon.aspx"));
    client.authorization = None;
    let reply = client
        .http("POST", path, &pox("u@example.com"))
        .await
        .unwrap();
    assert_eq!(reply.status, 401);
}
