//! A reply's skeleton as a tree of elements. Namespaces' prefixes are left out: EWS has no two elements
//! that differ in these alone.

use quick_xml::{
    Reader,
    events::{BytesRef, BytesStart, Event},
};

use super::WireError;

/// Deepest nesting.
const DEPTH_MAX: usize = 64;
/// Most attributes of an element.
const ATTRIBUTES_MAX: usize = 32;
/// Most elements of a reply.
const ELEMENTS_MAX: usize = 1 << 20;

/// An element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Element {
    /// Its name, without prefix.
    pub name: Box<str>,
    /// Names and values; names without prefix.
    pub attributes: Vec<(Box<str>, Box<str>)>,
    /// Its own text, without that of its children.
    pub text: String,
    /// The elements in it.
    pub children: Vec<Self>,
}

impl Element {
    /// The first child of that name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| *child.name == *name)
    }

    /// The children of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children
            .iter()
            .filter(move |child| *child.name == *name)
    }

    /// The child at the end of a path of names.
    #[must_use]
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter()
            .try_fold(self, |element, name| element.child(name))
    }

    /// The text of the first child of that name, trimmed.
    #[must_use]
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.trim())
    }

    /// An attribute's value.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let mut all = self.attributes.iter();
        all.find(|(found, _)| **found == *name)
            .map(|(_, value)| &**value)
    }

    /// The first element of that name in it, however deep.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Self> {
        // Depth is limited when the tree is made.
        self.children.iter().find_map(|child| {
            if *child.name == *name {
                Some(child)
            } else {
                child.find(name)
            }
        })
    }
}

/// Whether XML 1.0 allows a character.
pub(crate) const fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Reads a document. What XML does not allow as a character is left out: one bad subject must not cost
/// a page of messages.
///
/// # Errors
/// If it is no XML, has a document type, or exceeds a limit.
pub fn parse(skeleton: &[u8]) -> Result<Element, WireError> {
    let text = String::from_utf8_lossy(skeleton);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    let mut elements = 0_usize;
    loop {
        let event = reader.read_event().map_err(|_| WireError::Malformed)?;
        let done = match event {
            Event::Start(start) => {
                elements += 1;
                if open.len() >= DEPTH_MAX || elements > ELEMENTS_MAX {
                    return Err(WireError::TooLarge);
                }
                open.push(element(&start)?);
                None
            }
            Event::Empty(start) => {
                elements += 1;
                if elements > ELEMENTS_MAX {
                    return Err(WireError::TooLarge);
                }
                Some(element(&start)?)
            }
            Event::End(_) => Some(open.pop().ok_or(WireError::Malformed)?),
            Event::Text(text) => {
                add(&mut open, &text);
                None
            }
            Event::CData(text) => {
                add(&mut open, &text);
                None
            }
            Event::GeneralRef(reference) => {
                let mut bytes = [0; 4];
                if let Some(c) = resolve(&reference) {
                    add(&mut open, c.encode_utf8(&mut bytes));
                }
                None
            }
            Event::DocType(_) => return Err(WireError::DocumentType),
            Event::Eof => break,
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => None,
        };
        if let Some(done) = done {
            match open.last_mut() {
                Some(parent) => parent.children.push(done),
                None => root = Some(done),
            }
        }
    }
    match (open.is_empty(), root) {
        (true, Some(root)) => Ok(root),
        _ => Err(WireError::Truncated),
    }
}

fn add(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.extend(text.chars().filter(|c| is_allowed(*c)));
    }
}

/// The character behind `&…;`; none if there is no such, or it is not allowed.
fn resolve(reference: &BytesRef<'_>) -> Option<char> {
    let c = match &**reference {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        _ => reference.resolve_char_ref().ok()??,
    };
    is_allowed(c).then_some(c)
}

fn element(start: &BytesStart<'_>) -> Result<Element, WireError> {
    let mut attributes = Vec::new();
    let mut all = start.attributes();
    // What is repeated does no harm here.
    all.with_checks(false);
    for attribute in all {
        let attribute = attribute.map_err(|_| WireError::Malformed)?;
        if attributes.len() >= ATTRIBUTES_MAX {
            return Err(WireError::TooLarge);
        }
        let value = unescape(&attribute.value);
        attributes.push((attribute.key.local_name().into_inner().into(), value.into()));
    }
    Ok(Element {
        name: start.local_name().into_inner().into(),
        attributes,
        text: String::new(),
        children: Vec::new(),
    })
}

/// An attribute's value. What is no reference stays as it is.
fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('&') {
        out.extend(before.chars().filter(|c| is_allowed(*c)));
        let known = after
            .split_once(';')
            .filter(|(name, _)| name.len() <= 10)
            .map(|(name, tail)| (resolve(&BytesRef::new(name)), tail));
        rest = match known {
            Some((c, tail)) => {
                out.extend(c);
                tail
            }
            None => {
                out.push('&');
                after
            }
        };
    }
    out.extend(rest.chars().filter(|c| is_allowed(*c)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_text_and_attributes() {
        let xml = "\u{feff}<?xml version=\"1.0\"?><s:A xmlns:s=\"u\" s:b='1 &amp; 2&#x1A;'>x&lt;&#65;\
            &#x0;&#x1A;\u{1}y<t:C/>z<C><![CDATA[<&>]]></C></s:A>";
        let tree = parse(xml.as_bytes()).unwrap();
        assert_eq!(&*tree.name, "A");
        assert_eq!(tree.attribute("b"), Some("1 & 2"));
        assert_eq!(tree.text, "x<Ayz");
        assert_eq!(tree.all("C").count(), 2);
        assert_eq!(tree.children[1].text, "<&>");
    }

    #[test]
    fn refuses_what_is_hostile() {
        assert_eq!(parse(b"<!DOCTYPE a><a/>"), Err(WireError::DocumentType));
        let deep = "<a>".repeat(100_000);
        assert_eq!(parse(deep.as_bytes()), Err(WireError::TooLarge));
        let wide: String = (0..100).map(|n| format!(" a{n}='x'")).collect();
        assert_eq!(
            parse(format!("<a{wide}/>").as_bytes()),
            Err(WireError::TooLarge)
        );
        for cut in ["", "<a>", "<a><b></a>", "<a", "text"] {
            assert!(parse(cut.as_bytes()).is_err(), "{cut}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
