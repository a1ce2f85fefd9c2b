//! A strict reader and a writer of XML: no DOCTYPE, no unknown entity, no illegal character.

use std::borrow::Cow;
use std::fmt::Write as _;

pub(crate) const MESSAGES: &str = "http://schemas.microsoft.com/exchange/services/2006/messages";
pub(crate) const TYPES: &str = "http://schemas.microsoft.com/exchange/services/2006/types";
pub(crate) const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";

/// Nobody nests deeper than this.
const MAX_DEPTH: usize = 64;

/// An element. Names carry the prefixes `m`, `t` and `s`, whatever the sender chose; names of any other
/// namespace begin with `?:`, or have no prefix where the element has no namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: Cow<'static, str>,
    pub(crate) attributes: Vec<(Cow<'static, str>, String)>,
    pub(crate) children: Vec<Self>,
    pub(crate) text: String,
}

/// An element of this name.
pub(crate) fn el(name: &'static str) -> Element {
    Element {
        name: Cow::Borrowed(name),
        attributes: Vec::new(),
        children: Vec::new(),
        text: String::new(),
    }
}

/// An element of this name with text.
pub(crate) fn text(name: &'static str, text: impl Into<String>) -> Element {
    let mut element = el(name);
    element.text = text.into();
    element
}

impl Element {
    #[must_use]
    pub(crate) fn attr(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.attributes.push((Cow::Borrowed(name), value.into()));
        self
    }

    #[must_use]
    pub(crate) fn with(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    #[must_use]
    pub(crate) fn with_all(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    /// The name without its prefix.
    pub(crate) fn local(&self) -> &str {
        self.name.split_once(':').map_or(&self.name, |(_, n)| n)
    }

    pub(crate) fn get(&self, attribute: &str) -> Option<&str> {
        let mut all = self.attributes.iter();
        all.find(|(name, _)| name == attribute)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    pub(crate) fn child_text(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }

    /// What is below these names, one below the other.
    pub(crate) fn path(&self, names: &[&str]) -> Option<&Self> {
        let mut at = self;
        for name in names {
            at = at.child(name)?;
        }
        Some(at)
    }

    /// As text, with the namespaces declared if it is the outermost.
    pub(crate) fn render(&self) -> String {
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>");
        self.write(&mut out, true);
        out
    }

    fn write(&self, out: &mut String, outermost: bool) {
        let _ = write!(out, "<{}", self.name);
        if outermost {
            let _ = write!(
                out,
                " xmlns:s=\"{SOAP}\" xmlns:m=\"{MESSAGES}\" xmlns:t=\"{TYPES}\""
            );
        }
        for (name, value) in &self.attributes {
            let _ = write!(out, " {name}=\"");
            escape(value, out);
            out.push('"');
        }
        if self.children.is_empty() && self.text.is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        escape(&self.text, out);
        for child in &self.children {
            child.write(out, false);
        }
        let _ = write!(out, "</{}>", self.name);
    }
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#xD;"),
            c if legal(c) => out.push(c),
            // Left out, as no XML can say it; [`Mangle`](crate::Mangle) puts such in where a test wants it.
            _ => {}
        }
    }
}

/// A character that XML 1.0 may hold.
fn legal(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// Reads a document.
pub(crate) fn parse(input: &[u8]) -> Result<Element, String> {
    let input = input.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(input);
    let text = std::str::from_utf8(input).map_err(|_| "the document is not UTF-8".to_owned())?;
    let mut reader = Reader {
        rest: text,
        scopes: vec![Vec::new()],
    };
    reader.prolog()?;
    let root = reader.element(0)?;
    reader.misc()?;
    match reader.rest.is_empty() {
        true => Ok(root),
        false => Err("something follows the outermost element".to_owned()),
    }
}

struct Reader<'a> {
    rest: &'a str,
    /// Namespace declarations, innermost last: prefix and our prefix.
    scopes: Vec<Vec<(String, &'static str)>>,
}

impl<'a> Reader<'a> {
    fn eat(&mut self, what: &str) -> bool {
        match self.rest.strip_prefix(what) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, what: &str) -> Result<(), String> {
        match self.eat(what) {
            true => Ok(()),
            false => Err(format!("expected `{what}`")),
        }
    }

    fn until(&mut self, end: &str) -> Result<&'a str, String> {
        let (before, after) = self
            .rest
            .split_once(end)
            .ok_or_else(|| format!("no `{end}`"))?;
        self.rest = after;
        Ok(before)
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn prolog(&mut self) -> Result<(), String> {
        if self.rest.starts_with("<?xml") {
            let declaration = self.until("?>")?.to_ascii_lowercase();
            if declaration.contains("encoding") && !declaration.contains("utf-8") {
                return Err("only UTF-8 is read".to_owned());
            }
        }
        self.misc()
    }

    fn misc(&mut self) -> Result<(), String> {
        loop {
            self.blanks();
            if !self.comment()? {
                return Ok(());
            }
        }
    }

    fn comment(&mut self) -> Result<bool, String> {
        if !self.eat("<!--") {
            return Ok(false);
        }
        self.until("-->")?;
        Ok(true)
    }

    fn name(&mut self) -> Result<&'a str, String> {
        let good = |c: char| c.is_alphanumeric() || matches!(c, ':' | '_' | '-' | '.');
        let end = self.rest.find(|c| !good(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() {
            return Err("expected a name".to_owned());
        }
        self.rest = rest;
        Ok(name)
    }

    fn element(&mut self, depth: usize) -> Result<Element, String> {
        if depth > MAX_DEPTH {
            return Err("too deep".to_owned());
        }
        if self.rest.starts_with("<!") || self.rest.starts_with("<?") {
            return Err("no DOCTYPE and no instruction is read".to_owned());
        }
        self.expect("<")?;
        let written = self.name()?;
        let attributes = self.attributes()?;
        let name = self.resolve(written, true)?;
        let mut element = Element {
            name: Cow::Owned(name),
            attributes: Vec::new(),
            children: Vec::new(),
            text: String::new(),
        };
        for (name, value) in attributes {
            let name = match name.contains(':') && !name.starts_with("xml:") {
                true => self.resolve(&name, false)?,
                false => name,
            };
            if element.get(&name).is_some() {
                return Err(format!("attribute {name} twice"));
            }
            element.attributes.push((Cow::Owned(name), value));
        }
        if self.eat("/>") {
            self.scopes.pop();
            return Ok(element);
        }
        self.expect(">")?;
        self.content(&mut element, depth)?;
        let closing = self.name()?;
        if closing != written {
            return Err(format!("</{closing}> closes <{written}>"));
        }
        self.blanks();
        self.expect(">")?;
        self.scopes.pop();
        if !element.children.is_empty() {
            if !element.text.trim().is_empty() {
                return Err(format!("text beside elements in {}", element.name));
            }
            element.text.clear();
        }
        Ok(element)
    }

    /// Reads to the element's `</`.
    fn content(&mut self, element: &mut Element, depth: usize) -> Result<(), String> {
        loop {
            if self.eat("</") {
                return Ok(());
            }
            if self.comment()? {
                continue;
            }
            if self.eat("<![CDATA[") {
                let data = self.until("]]>")?;
                element.text.push_str(check(data)?);
                continue;
            }
            if self.rest.starts_with('<') {
                element.children.push(self.element(depth + 1)?);
                continue;
            }
            let end = self.rest.find('<').ok_or("an element does not end")?;
            let (raw, rest) = self.rest.split_at(end);
            self.rest = rest;
            unescape(raw, &mut element.text)?;
        }
    }

    fn attributes(&mut self) -> Result<Vec<(String, String)>, String> {
        let mut scope = Vec::new();
        let mut attributes = Vec::new();
        loop {
            self.blanks();
            if self.rest.starts_with(['/', '>']) {
                break;
            }
            let name = self.name()?;
            self.blanks();
            self.expect("=")?;
            self.blanks();
            let quote = if self.eat("\"") {
                "\""
            } else {
                self.expect("'")?;
                "'"
            };
            let raw = self.until(quote)?;
            if raw.contains('<') {
                return Err(format!("`<` in attribute {name}"));
            }
            let mut value = String::new();
            unescape(raw, &mut value)?;
            match name.strip_prefix("xmlns") {
                Some("") => scope.push((String::new(), ours(&value))),
                Some(prefix) if prefix.starts_with(':') => {
                    scope.push((prefix.trim_start_matches(':').to_owned(), ours(&value)));
                }
                _ => attributes.push((name.to_owned(), value)),
            }
        }
        self.scopes.push(scope);
        Ok(attributes)
    }

    fn resolve(&self, written: &str, element: bool) -> Result<String, String> {
        let (prefix, local) = written.split_once(':').unwrap_or(("", written));
        let declared = self
            .scopes
            .iter()
            .rev()
            .flat_map(|scope| scope.iter().rev())
            .find(|(name, _)| name == prefix);
        match declared {
            Some((_, "")) => Ok(local.to_owned()),
            Some((_, ours)) => Ok(format!("{ours}:{local}")),
            None if prefix.is_empty() && element => Ok(local.to_owned()),
            None => Err(format!("prefix {prefix} is not declared")),
        }
    }
}

/// Our prefix of a namespace.
fn ours(namespace: &str) -> &'static str {
    match namespace {
        MESSAGES => "m",
        TYPES => "t",
        SOAP => "s",
        "" => "",
        _ => "?",
    }
}

fn check(text: &str) -> Result<&str, String> {
    match text.chars().find(|c| !legal(*c)) {
        None => Ok(text),
        Some(c) => Err(format!("illegal character U+{:04X}", u32::from(c))),
    }
}

fn unescape(raw: &str, out: &mut String) -> Result<(), String> {
    let mut rest = check(raw)?;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (entity, after) = after.split_once(';').ok_or("an entity does not end")?;
        let c = match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let number = entity
                    .strip_prefix("#x")
                    .map(|hex| u32::from_str_radix(hex, 16))
                    .or_else(|| entity.strip_prefix('#').map(str::parse))
                    .ok_or_else(|| format!("unknown entity {entity}"))?;
                number
                    .ok()
                    .and_then(char::from_u32)
                    .filter(|c| legal(*c))
                    .ok_or_else(|| format!("illegal reference {entity}"))?
            }
        };
        out.push(c);
        rest = after;
    }
    out.push_str(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_namespaces_not_prefixes() {
        let document = format!(
            "<?xml version='1.0'?><e:Envelope xmlns:e='{SOAP}'><GetItem xmlns='{MESSAGES}' A='&lt;&#x41;'>\
             <q:ItemId xmlns:q='{TYPES}' Id='a'/></GetItem></e:Envelope>"
        );
        let root = parse(document.as_bytes()).unwrap();
        let item = root.path(&["m:GetItem", "t:ItemId"]).unwrap();
        assert_eq!(item.get("Id"), Some("a"));
        assert_eq!(root.child("m:GetItem").unwrap().get("A"), Some("<A"));
        assert_eq!(parse(root.render().as_bytes()).unwrap(), root);
    }

    #[test]
    fn what_is_no_xml_is_refused() {
        for bad in [
            "<!DOCTYPE a><a/>",
            "<a>&x;</a>",
            "<a>&#x1A;</a>",
            "<a>\u{1}</a>",
            "<a b='1' b='2'/>",
            "<a></b>",
            "<p:a/>",
            "<a/><b/>",
            "<a>x<b/></a>",
            "<a",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse("<a>".repeat(100).as_bytes()).is_err());
    }
}
