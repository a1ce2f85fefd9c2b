//! A reply of EWS means the same however it arrives, and nothing in it ends the program.

use mailmove_ews::wire::{
    Element, Property, Reply, SoapError, Splitter, WireError, messages, parse,
};
use mailmove_exchange::{date::parse_date, sink::Contents};

#[derive(Default)]
struct Collect(Vec<u8>);

impl Contents for Collect {
    type Item = (Vec<u8>, bool);

    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn end(&mut self, whole: bool) -> Self::Item {
        let bytes = std::mem::take(&mut self.0);
        // Of a damaged content nobody uses the bytes; how far it was decoded may depend on the pieces.
        (if whole { bytes } else { Vec::new() }, whole)
    }
}

type Split = Result<(Vec<u8>, Vec<(Vec<u8>, bool)>), WireError>;

fn split(xml: &[u8], step: usize) -> Split {
    let mut splitter = Splitter::new(Collect::default());
    for piece in xml.chunks(step.max(1)) {
        splitter.push(piece)?;
    }
    splitter.finish()
}

/// The first byte chooses where the reply is cut; the rest is the reply.
pub fn check(data: &[u8]) {
    let Some((&step, xml)) = data.split_first() else {
        return;
    };
    let whole = split(xml, xml.len());
    assert_eq!(whole, split(xml, usize::from(step)), "in pieces");
    let Ok((skeleton, contents)) = whole else {
        return;
    };
    let taken: usize = contents.iter().map(|(bytes, _)| bytes.len()).sum();
    assert!(taken <= xml.len());
    let Ok(envelope) = parse(&skeleton) else {
        return;
    };
    walk(&envelope);
    if let Ok(Reply::Messages(all)) = messages("GetItem", envelope) {
        for message in &all {
            let _ = SoapError::of(message);
        }
    }
}

fn walk(element: &Element) {
    let allowed = |c: char| !c.is_control() || "\t\r\n".contains(c) || c > '\u{7e}';
    assert!(element.text.chars().all(allowed), "{:?}", element.text);
    let _ = (
        Property::Stamp.of(element),
        Property::MessageFlags.number(element),
    );
    let _ = parse_date(&element.text);
    element.children.iter().for_each(walk);
}

/// Replies of several kinds.
pub fn seeds() -> Vec<Vec<u8>> {
    let replies: [&[u8]; 5] = [
        b"<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"x\"><s:Body><m:GetItemResponse><m:ResponseMessages>\
          <m:GetItemResponseMessage ResponseClass=\"Success\"><m:ResponseCode>NoError</m:ResponseCode><m:Items>\
          <t:Message><t:MimeContent CharacterSet=\"UTF-8\">U3ViamVjdDogeA0K\r\nDQo=</t:MimeContent><t:ItemId Id=\"A+/=\"/>\
          <t:DateTimeReceived>2001-02-03T04:05:06.789Z</t:DateTimeReceived></t:Message></m:Items>\
          </m:GetItemResponseMessage></m:ResponseMessages></m:GetItemResponse></s:Body></s:Envelope>",
        b"<s:Envelope><s:Body><s:Fault><faultcode>a:ErrorServerBusy</faultcode><detail><e:ResponseCode>ErrorServerBusy\
          </e:ResponseCode><t:MessageXml><t:Value Name='BackOffMilliseconds'>1500</t:Value></t:MessageXml></detail>\
          </s:Fault></s:Body></s:Envelope>",
        b"<a><!-- <MimeContent> --><![CDATA[<Data>]]><Data/><Data>aGk&#xD;\n</Data>&lt;&#x1A;&#65;\x01</a>",
        b"<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
        b"<t:ExtendedProperty><t:ExtendedFieldURI PropertyTag='0x0E07' PropertyType='Integer'/><t:Value>1025</t:Value>\
          </t:ExtendedProperty>",
    ];
    let seed = |(number, reply): (usize, &&[u8])| {
        [&[u8::try_from(number + 3).unwrap_or(1)], *reply].concat()
    };
    replies.iter().enumerate().map(seed).collect()
}
