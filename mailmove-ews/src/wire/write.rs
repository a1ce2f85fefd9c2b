//! Writes requests. Contents are not copied into the XML: they are read and encoded while it is sent.

use mailmove_core::model::Content;

use mailmove_exchange::base64;

use super::tree::is_allowed;

/// A piece of a request's body.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Piece {
    /// XML.
    Text(String),
    /// A content, to be sent as Base64.
    Content(Content),
}

impl Piece {
    /// Bytes on the wire.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Content(content) => base64::encoded_len(content.size()),
        }
    }
}

/// XML that is being written.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    text: String,
    pieces: Vec<Piece>,
}

impl Writer {
    pub(crate) fn raw(&mut self, xml: &str) -> &mut Self {
        self.text.push_str(xml);
        self
    }

    /// Text between tags, or a value between quotation marks.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            match c {
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '&' => self.text.push_str("&amp;"),
                '"' => self.text.push_str("&quot;"),
                // A parser would make LF of it.
                '\r' => self.text.push_str("&#xD;"),
                c if is_allowed(c) => self.text.push(c),
                _ => {}
            }
        }
        self
    }

    /// `<name>text</name>`.
    pub(crate) fn leaf(&mut self, name: &str, text: &str) -> &mut Self {
        self.raw("<").raw(name).raw(">").text(text);
        self.raw("</").raw(name).raw(">")
    }

    /// `<name attribute="value"/>`.
    pub(crate) fn empty(&mut self, name: &str, attribute: &str, value: &str) -> &mut Self {
        self.raw("<").raw(name).raw(" ").raw(attribute).raw("=\"");
        self.text(value).raw("\"/>")
    }

    pub(crate) fn content(&mut self, content: &Content) -> &mut Self {
        self.pieces
            .push(Piece::Text(std::mem::take(&mut self.text)));
        self.pieces.push(Piece::Content(content.clone()));
        self
    }

    pub(crate) fn finish(mut self) -> Vec<Piece> {
        self.pieces.push(Piece::Text(self.text));
        self.pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tree;

    proptest::proptest! {
        #[test]
        fn any_text_reads_back_but_for_what_xml_lacks(text: String) {
            let mut writer = Writer::default();
            writer.raw("<a b=\"").text(&text).raw("\">").text(&text).raw("</a>");
            let pieces = writer.finish();
            let [Piece::Text(xml)] = pieces.as_slice() else { panic!("one piece") };
            let tree = tree::parse(xml.as_bytes()).unwrap();
            let expected: String = text.chars().filter(|c| is_allowed(*c)).collect();
            proptest::prop_assert_eq!(&tree.text, &expected);
            proptest::prop_assert_eq!(tree.attribute("b"), Some(expected.as_str()));
        }
    }
}
