//! Works against the test server with io-msgraph, which knows nothing of it.
//!
//! Arguments: address without TLS, token. Prints one line for each thing that was found, as JSON.

use std::error::Error;
use std::net::TcpStream;

use io_msgraph::v1::client::{MsgraphClientStd, MsgraphClientStdConnectOptions};
use io_msgraph::v1::rest::users::mail_folders::list::MsgraphMailFoldersListParams;
use io_msgraph::v1::rest::users::messages::MsgraphMessage;
use io_msgraph::v1::rest::users::messages::delta::MsgraphMessagesDeltaParams;
use serde_json::{Value, json};

fn tell(what: &str, value: Value) {
    println!("{}", json!({ what: value }));
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let address = args.next().ok_or("no address")?;
    let token = args.next().ok_or("no token")?;
    let options = MsgraphClientStdConnectOptions::default();
    let mut client = MsgraphClientStd::new(TcpStream::connect(address)?, token, options);

    let params = MsgraphMailFoldersListParams {
        top: Some(100),
        ..Default::default()
    };
    let folders = client.mail_folders_list(&params)?.response.value;
    let mut names: Vec<_> = folders.iter().map(|f| json!(f.display_name)).collect();
    names.sort_by_key(Value::to_string);
    tell("folders", names.into());

    let params = MsgraphMessagesDeltaParams {
        select: Some("subject,receivedDateTime"),
        max_page_size: Some(10),
        ..Default::default()
    };
    let mut page = client
        .messages_delta_with_params(Some("inbox"), &params)?
        .response;
    let (mut found, mut pages) = (page.value, 1);
    while let Some(next) = page.next_link {
        page = client
            .messages_delta_from_link_with_page_size(&next, Some(10))?
            .response;
        found.extend(page.value);
        pages += 1;
    }
    let link = page.delta_link.ok_or("no link")?;
    tell("inbox", json!([found.len(), pages]));

    let first = found.first().ok_or("nothing there")?.message.id.clone();
    let mime = client.message_get_raw(&first)?.response;
    tell("mime", String::from_utf8_lossy(&mime).lines().next().into());

    let draft = client
        .message_create_mime(None, b"Subject: by MIME\r\n\r\nhello\r\n")?
        .response;
    tell("draft", json!([draft.subject, draft.is_draft]));
    client.attachment_create(&draft.id, "a.txt", b"text", Some("text/x-own"))?;
    let attachments = client.attachments_list(&draft.id)?.response.value;
    let attachment = attachments.first().ok_or("no attachment")?;
    let content = client
        .attachment_get_raw(&draft.id, &attachment.id)?
        .response;
    tell(
        "attachment",
        json!([attachment.name, String::from_utf8_lossy(&content)]),
    );

    let change = MsgraphMessage {
        is_read: Some(true),
        ..Default::default()
    };
    client.message_update(&first, &change)?;
    let moved = client.message_move(&draft.id, "inbox")?.response;
    let changes = client.messages_delta_from_link(&link)?.response;
    let told: Vec<_> = changes
        .value
        .iter()
        .map(|m| json!([m.message.subject, m.removed.is_some()]))
        .collect();
    tell("changes", told.into());
    client.message_delete(&moved.id)?;
    Ok(())
}
