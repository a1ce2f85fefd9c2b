//! Addresses in headers, as far as they are shown.

use crate::mime::decode_words;

/// Somebody in a list of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Decoded; may be empty.
    pub name: String,
    /// As it stands there.
    pub address: String,
}

impl Person {
    /// As a header shows it after a rebuild: a bare address becomes its own name.
    #[must_use]
    pub fn rebuilt(&self) -> String {
        let name = match self.name.is_empty() {
            true => &self.address,
            false => &self.name,
        };
        let name: String = name.chars().filter(|c| !matches!(c, '"' | '\\')).collect();
        match name.is_ascii() {
            true => format!("\"{name}\" <{}>", self.address),
            false => format!("{} <{}>", crate::rebuild::word(&name), self.address),
        }
    }
}

/// The people of a list.
#[must_use]
pub fn parse(list: &str) -> Vec<Person> {
    let (mut found, mut quoted, mut angle, mut start) = (Vec::new(), false, false, 0);
    let mut add = |entry: &str| {
        let (name, address) = match entry.rsplit_once('<') {
            Some((name, address)) => (name, address.split('>').next().unwrap_or_default()),
            None => ("", entry),
        };
        let name = decode_words(name.trim().trim_matches('"'));
        let address = address.trim().to_owned();
        if !address.is_empty() {
            found.push(Person { name, address });
        }
    };
    for (at, c) in list.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '<' if !quoted => angle = true,
            '>' if !quoted => angle = false,
            ',' if !quoted && !angle => {
                add(list.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    add(list.get(start..).unwrap_or_default());
    found
}

/// The names, for a list.
#[must_use]
pub fn display(list: &str) -> String {
    let names: Vec<_> = parse(list)
        .into_iter()
        .map(|p| if p.name.is_empty() { p.address } else { p.name })
        .collect();
    names.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_at_commas_outside_of_quotes() {
        let people = parse("\"Doe, Jane\" <j@x.y>, bob@z.y");
        let said: Vec<_> = people
            .iter()
            .map(|p| (p.name.as_str(), p.address.as_str()))
            .collect();
        assert_eq!(said, [("Doe, Jane", "j@x.y"), ("", "bob@z.y")]);
    }
}
