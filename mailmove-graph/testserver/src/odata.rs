//! Query options, and the few expressions in them that clients of a mailbox use.

use crate::reply::Failure;

/// The options of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true), decode(value, true))
        });
        Self(pairs.collect())
    }

    /// An option, by its name in any case; the sign before it may be missing.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let bare = name.trim_start_matches('$');
        let fits = |have: &str| have.trim_start_matches('$').eq_ignore_ascii_case(bare);
        let mut all = self.0.iter();
        all.find(|(have, _)| fits(have)).map(|(_, v)| v.as_str())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<usize>, Failure> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let bad = || Failure::new(400, "BadRequest", format!("Invalid value for {name}."));
        text.parse().map(Some).map_err(|_| bad())
    }

    /// What is chosen; `None` for all.
    pub(crate) fn select(&self) -> Option<Vec<String>> {
        let names = self.get("$select")?.split(',');
        Some(names.map(|name| name.trim().to_owned()).collect())
    }
}

/// Undoes percent signs, and plus signs for blanks where they are such.
pub(crate) fn decode(text: &str, plus: bool) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let digit = |c: Option<u8>| char::from(c?).to_digit(16);
        match byte {
            b'+' if plus => out.push(b' '),
            b'%' => {
                if let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) {
                    out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                }
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// What may stand anywhere in a URL.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

/// A piece of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A name, number, date or operator.
    Word(String),
    /// In quotes, of which two stand for one.
    Text(String),
    Open,
    Close,
    Colon,
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ' ' => {}
            '(' => found.push(Token::Open),
            ')' => found.push(Token::Close),
            '\'' => {
                let mut inner = String::new();
                loop {
                    match chars.next()? {
                        '\'' if chars.peek() == Some(&'\'') => {
                            chars.next();
                            inner.push('\'');
                        }
                        '\'' => break,
                        other => inner.push(other),
                    }
                }
                found.push(Token::Text(inner));
            }
            _ => {
                let mut word = String::from(c);
                while let Some(next) = chars.peek() {
                    if matches!(next, ' ' | '(' | ')' | '\'') {
                        break;
                    }
                    word.extend(chars.next());
                }
                match word.strip_suffix(':') {
                    Some(name) => found.extend([Token::Word(name.to_owned()), Token::Colon]),
                    None => found.push(Token::Word(word)),
                }
            }
        }
    }
    Some(found)
}

/// A comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Test {
    /// A property, or in quotes the id of an extended one.
    pub(crate) property: Property,
    /// `eq`, `ge`, …
    pub(crate) operator: String,
    pub(crate) value: String,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Property {
    Named(String),
    Extended(String),
}

/// A filter: all of its tests hold.
pub(crate) fn filter(text: &str) -> Result<Vec<Test>, Failure> {
    let complex = || {
        Failure::new(
            400,
            "ErrorInvalidUrlQueryFilter",
            "The query filter contains one or more invalid nodes.",
        )
    };
    let all = tokens(text).ok_or_else(complex)?;
    let mut tests = Vec::new();
    let mut rest = all.as_slice();
    while !rest.is_empty() {
        if !tests.is_empty() {
            match rest.split_first() {
                Some((Token::Word(word), after)) if word == "and" => rest = after,
                Some((Token::Word(word), _)) if word == "or" => {
                    return Err(Failure::new(
                        400,
                        "ErrorRestrictionTooComplex",
                        "The restriction or sort order is too complex for this operation.",
                    ));
                }
                _ => return Err(complex()),
            }
        }
        let (test, after) = one(rest).ok_or_else(complex)?;
        tests.push(test);
        rest = after;
    }
    Ok(tests)
}

fn one(tokens: &[Token]) -> Option<(Test, &[Token])> {
    match tokens {
        [Token::Word(name), Token::Open, inner @ ..]
            if name.to_ascii_lowercase().ends_with("/any") =>
        {
            extended(name, inner)
        }
        [Token::Word(name), Token::Word(operator), value, rest @ ..] => {
            let (Token::Word(value) | Token::Text(value)) = value else {
                return None;
            };
            let test = Test {
                property: Property::Named(name.clone()),
                operator: operator.clone(),
                value: value.clone(),
            };
            Some((test, rest))
        }
        _ => None,
    }
}

/// `ep: ep/id eq '…' and ep/value eq '…')`, and what follows.
fn extended<'a>(name: &str, inner: &'a [Token]) -> Option<(Test, &'a [Token])> {
    if !name.starts_with("singleValueExtendedProperties") {
        return None;
    }
    let [
        Token::Word(_),
        Token::Colon,
        Token::Word(id),
        Token::Word(first),
        Token::Text(key),
        Token::Word(and),
        Token::Word(of),
        Token::Word(operator),
        value,
        Token::Close,
        rest @ ..,
    ] = inner
    else {
        return None;
    };
    let (Token::Word(value) | Token::Text(value)) = value else {
        return None;
    };
    let fits = id.ends_with("/id") && first == "eq" && and == "and" && of.ends_with("/value");
    let test = Test {
        property: Property::Extended(key.clone()),
        operator: operator.clone(),
        value: value.clone(),
    };
    fits.then_some((test, rest))
}

/// What `$expand` asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expand {
    /// Ids of extended properties with one value.
    pub(crate) single: Vec<String>,
    /// Ids of extended properties with many.
    pub(crate) multi: Vec<String>,
    pub(crate) attachments: bool,
    /// The item within an attachment.
    pub(crate) item: bool,
    pub(crate) child_folders: bool,
}

pub(crate) fn expand(text: Option<&str>) -> Result<Expand, Failure> {
    let bad = || {
        Failure::new(
            400,
            "BadRequest",
            "Parsing OData Select and Expand failed: the expression is not understood.",
        )
    };
    let mut found = Expand::default();
    for part in split(text.unwrap_or_default()) {
        let (name, options) = match part.split_once('(') {
            Some((name, rest)) => (name, rest.strip_suffix(')').ok_or_else(bad)?),
            None => (part, ""),
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "singlevalueextendedproperties" => found.single = ids(options).ok_or_else(bad)?,
            "multivalueextendedproperties" => found.multi = ids(options).ok_or_else(bad)?,
            "attachments" => found.attachments = true,
            "microsoft.graph.itemattachment/item" => found.item = true,
            "childfolders" => found.child_folders = true,
            _ => return Err(bad()),
        }
    }
    Ok(found)
}

/// Parts between commas outside of brackets and quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut quoted) = (0_i32, false);
    let parts = text.split(move |c: char| {
        quoted ^= c == '\'';
        match c {
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0 && !quoted
    });
    parts.map(str::trim).filter(|p| !p.is_empty()).collect()
}

/// `$filter=id eq 'a' or id eq 'b'`.
fn ids(options: &str) -> Option<Vec<String>> {
    let filter = options.trim().strip_prefix("$filter=")?;
    let all = tokens(filter)?;
    let mut found = Vec::new();
    let mut rest = all.as_slice();
    loop {
        let [
            Token::Word(id),
            Token::Word(eq),
            Token::Text(key),
            after @ ..,
        ] = rest
        else {
            return None;
        };
        if !id.eq_ignore_ascii_case("id") || eq != "eq" {
            return None;
        }
        found.push(key.clone());
        match after {
            [] => return Some(found),
            [Token::Word(or), more @ ..] if or == "or" => rest = more,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extended_properties_are_asked_for() {
        let text = "singleValueExtendedProperties($filter=id eq 'String 0x001A' or id eq 'Integer \
                    0x1081'),attachments";
        let found = expand(Some(text)).unwrap();
        assert_eq!(found.single, ["String 0x001A", "Integer 0x1081"]);
        assert!(found.attachments);
        assert!(expand(Some("nonsense")).is_err());
    }

    #[test]
    fn filters_are_simple() {
        let tests =
            filter("receivedDateTime ge 2024-01-01T00:00:00Z and subject eq 'it''s'").unwrap();
        assert_eq!(tests.len(), 2);
        assert_eq!(tests[1].value, "it's");
        let text = "singleValueExtendedProperties/Any(ep: ep/id eq 'String {a} Name b' and ep/value eq 'c')";
        let found = filter(text).unwrap();
        assert_eq!(
            found[0].property,
            Property::Extended("String {a} Name b".to_owned())
        );
        assert!(filter("a eq 'b' or c eq 'd'").is_err());
    }
}
