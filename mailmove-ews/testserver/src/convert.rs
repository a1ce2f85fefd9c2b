//! ConvertId and GetMailTips.

use crate::operations::{batch, failed, respond};
use crate::soap::{Call, Failure, Fault};
use crate::xml::{Element, el, text};
use crate::{auth, ids};

const INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";

pub(crate) fn ids(call: &Call) -> Result<Element, Fault> {
    let format = call.operation.get("DestinationFormat").unwrap_or("EwsId");
    let list = call.operation.child("m:SourceIds");
    let answers = batch(call, list.iter().flat_map(|ids| &ids.children), |id| {
        let value = id.get("Id").unwrap_or_default();
        let Some(ids::Id::Folder { account, .. } | ids::Id::Item { account, .. }) =
            ids::parse(value)
        else {
            return Err(Failure::new("ErrorInvalidIdMalformed"));
        };
        let user = call.shared.config.users.get(&account);
        let address = user.map_or(account, |user| user.address.clone());
        Ok(vec![
            el("m:AlternateId")
                .attr("xmlns:xsi", INSTANCE)
                .attr("xsi:type", "t:AlternateIdType")
                .attr("Format", format)
                .attr("Id", value)
                .attr("Mailbox", address),
        ])
    });
    Ok(respond(call, answers, None))
}

pub(crate) fn mail_tips(call: &Call) -> Result<Element, Fault> {
    let recipients = call.operation.child("m:Recipients");
    let recipients = recipients.iter().flat_map(|r| &r.children);
    let answers = batch(call, recipients, |recipient| {
        let address = recipient.child_text("t:EmailAddress").unwrap_or_default();
        let missing = || Failure::new("ErrorNonExistentMailbox");
        let name = auth::find(&call.shared.config, address).ok_or_else(missing)?;
        let account = call.shared.store.account(name).ok_or_else(missing)?;
        let limits = account.limits();
        let full = limits
            .quota_bytes
            .is_some_and(|quota| account.used_bytes() >= quota)
            || limits
                .quota_messages
                .is_some_and(|quota| account.used_messages() >= quota);
        let mut tips = el("m:MailTips")
            .with(
                el("t:RecipientAddress")
                    .with(text("t:Name", name))
                    .with(text("t:EmailAddress", address))
                    .with(text("t:RoutingType", "SMTP")),
            )
            .with(el("t:PendingMailTips"))
            .with(text("t:MailboxFull", full.to_string()));
        if let Some(size) = limits.max_message_size {
            let size = i32::try_from(size).unwrap_or(i32::MAX);
            tips = tips.with(text("t:MaxMessageSize", size.to_string()));
        }
        Ok(vec![tips])
    });
    let messages = answers.into_iter().map(|answer| {
        let message = el("m:MailTipsResponseMessageType");
        match answer {
            Ok(content) => message
                .attr("ResponseClass", "Success")
                .with(text("m:ResponseCode", "NoError"))
                .with_all(content),
            Err(failure) => failed(message, &failure),
        }
    });
    Ok(el("m:GetMailTipsResponse")
        .attr("ResponseClass", "Success")
        .with(text("m:ResponseCode", "NoError"))
        .with(el("m:ResponseMessages").with_all(messages)))
}
