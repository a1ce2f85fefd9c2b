//! What a reply says: its response messages, or why there are none.

use std::time::Duration;

use super::{WireError, tree::Element};

/// A refusal, of a request or of a single item in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SoapError {
    /// `ErrorItemNotFound` and the like; empty if the server named none.
    pub code: String,
    /// In words.
    pub text: String,
    /// How long the server wants to be left alone.
    pub back_off: Option<Duration>,
    /// A fault: about the request as a whole.
    pub fault: bool,
    /// The fault says that the request was at fault.
    pub client: bool,
}

/// What answered a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reply {
    /// Its response messages, in the order of what was asked.
    Messages(Vec<Element>),
    /// The request was refused as a whole.
    Fault(SoapError),
}

/// Reads a reply to `operation`.
///
/// # Errors
/// If it is no SOAP message, or answers another operation: a stray reply to what went before must not be
/// taken for this one's.
pub fn messages(operation: &str, envelope: Element) -> Result<Reply, WireError> {
    if &*envelope.name != "Envelope" {
        return Err(WireError::NotSoap);
    }
    let body = envelope
        .children
        .into_iter()
        .find(|child| &*child.name == "Body");
    let first = body.and_then(|body| body.children.into_iter().next());
    let first = first.ok_or(WireError::NotSoap)?;
    if &*first.name == "Fault" {
        return Ok(Reply::Fault(fault(&first)));
    }
    if first.name.strip_suffix("Response") != Some(operation) {
        return Err(WireError::OtherOperation);
    }
    let all = first.children.into_iter();
    let list = all
        .into_iter()
        .find(|child| &*child.name == "ResponseMessages");
    let messages = list.map(|list| list.children).unwrap_or_default();
    Ok(Reply::Messages(messages))
}

fn fault(fault: &Element) -> SoapError {
    let faultcode = fault.text_of("faultcode").unwrap_or_default();
    let local = faultcode.rsplit(':').next().unwrap_or_default();
    let detail = fault.child("detail");
    let code = detail.and_then(|detail| detail.find("ResponseCode"));
    let code = code.map(|code| code.text.trim().to_owned());
    // Some servers have no detail, and put the code where the kind of fault should be.
    let named = local.starts_with("Error").then(|| local.to_owned());
    let text = detail
        .and_then(|detail| detail.find("Message"))
        .map(|message| message.text.as_str())
        .or_else(|| fault.text_of("faultstring"))
        .unwrap_or_default();
    SoapError {
        code: code
            .filter(|code| !code.is_empty())
            .or(named)
            .unwrap_or_default(),
        text: text.trim().to_owned(),
        back_off: detail.and_then(back_off),
        fault: true,
        client: local.eq_ignore_ascii_case("client"),
    }
}

/// The server's own wait, wherever it stands.
fn back_off(within: &Element) -> Option<Duration> {
    let values = within.find("MessageXml")?;
    let mut all = values.all("Value");
    let value = all.find(|value| value.attribute("Name") == Some("BackOffMilliseconds"))?;
    let milliseconds: u64 = value.text.trim().parse().ok()?;
    // A day is more than any server means.
    Some(Duration::from_millis(milliseconds.min(86_400_000)))
}

impl SoapError {
    /// What a response message refuses; `None` if it refuses nothing.
    #[must_use]
    pub fn of(message: &Element) -> Option<Self> {
        let code = message.text_of("ResponseCode").unwrap_or_default();
        let is_error = message.attribute("ResponseClass") == Some("Error");
        // What was not done because the batch was stopped comes as a warning.
        if !is_error && (code == "NoError" || code.is_empty()) {
            return None;
        }
        Some(Self {
            code: code.to_owned(),
            text: message
                .text_of("MessageText")
                .unwrap_or_default()
                .to_owned(),
            back_off: back_off(message),
            fault: false,
            client: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tree::parse;

    fn read(operation: &str, body: &str) -> Result<Reply, WireError> {
        let xml =
            format!("<s:Envelope xmlns:s='x'><s:Header/><s:Body>{body}</s:Body></s:Envelope>");
        messages(operation, parse(xml.as_bytes())?)
    }

    #[test]
    fn busy_is_read_from_a_fault_and_from_a_message() {
        let fault = "<s:Fault><faultcode xmlns:a='y'>a:ErrorServerBusy</faultcode><faultstring>busy</faultstring>\
            <detail><e:ResponseCode>ErrorServerBusy</e:ResponseCode><e:Message>later</e:Message>\
            <t:MessageXml><t:Value Name='BackOffMilliseconds'>1500</t:Value></t:MessageXml></detail></s:Fault>";
        let Ok(Reply::Fault(error)) = read("GetItem", fault) else {
            panic!("a fault")
        };
        assert_eq!(error.code, "ErrorServerBusy");
        assert_eq!(
            (error.text.as_str(), error.back_off),
            ("later", Some(Duration::from_millis(1500)))
        );
        let message = "<m:GetItemResponse><m:ResponseMessages><m:GetItemResponseMessage ResponseClass='Error'>\
            <m:MessageText>x</m:MessageText><m:ResponseCode>ErrorServerBusy</m:ResponseCode><m:MessageXml>\
            <t:Value Name='BackOffMilliseconds'>7</t:Value></m:MessageXml></m:GetItemResponseMessage>\
            </m:ResponseMessages></m:GetItemResponse>";
        let Ok(Reply::Messages(all)) = read("GetItem", message) else {
            panic!("messages")
        };
        let error = SoapError::of(&all[0]).unwrap();
        assert_eq!(
            (error.code.as_str(), error.back_off),
            ("ErrorServerBusy", Some(Duration::from_millis(7)))
        );
    }

    #[test]
    fn bare_faults_stray_replies_and_other_documents() {
        let bare = "<s:Fault><faultcode>ErrorCannotFindUser</faultcode><faultstring>no</faultstring></s:Fault>";
        let Ok(Reply::Fault(error)) = read("GetItem", bare) else {
            panic!("a fault")
        };
        assert_eq!(error.code, "ErrorCannotFindUser");
        let server = "<s:Fault><faultcode>SOAP:Client</faultcode></s:Fault>";
        let Ok(Reply::Fault(error)) = read("GetItem", server) else {
            panic!("a fault")
        };
        assert!(error.code.is_empty() && error.client);
        let stray = read("GetItem", "<m:CreateItemResponse/>");
        assert!(matches!(stray, Err(WireError::OtherOperation)));
        let html = parse(b"<html><body/></html>").unwrap();
        assert!(matches!(messages("GetItem", html), Err(WireError::NotSoap)));
        assert!(matches!(read("GetItem", ""), Err(WireError::NotSoap)));
    }

    #[test]
    fn warnings_are_refusals_if_they_name_a_code() {
        for (class, code, refused) in [
            ("Success", "NoError", false),
            ("Warning", "NoError", false),
            ("Warning", "ErrorBatchProcessingStopped", true),
            ("Error", "", true),
        ] {
            let xml = format!("<M ResponseClass='{class}'><ResponseCode>{code}</ResponseCode></M>");
            let message = parse(xml.as_bytes()).unwrap();
            assert_eq!(SoapError::of(&message).is_some(), refused, "{class} {code}");
        }
    }
}
