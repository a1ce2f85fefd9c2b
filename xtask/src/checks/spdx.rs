//! Licence expressions: names joined by AND, OR and WITH, with parentheses.

/// Whether a choice among what `expression` offers needs only `allowed` licences.
///
/// An exception (WITH) only adds rights, so it is not looked at. The slash of old manifests
/// means OR. An error says what could not be read.
pub(super) fn satisfied(expression: &str, allowed: &[&str]) -> Result<bool, String> {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader {
        words: &words,
        allowed,
    };
    let satisfied = reader.any();
    match (satisfied, reader.words) {
        (Some(satisfied), []) => Ok(satisfied),
        _ => Err(format!("cannot read the licence `{expression}`")),
    }
}

struct Reader<'a> {
    words: &'a [&'a str],
    allowed: &'a [&'a str],
}

impl Reader<'_> {
    fn take(&mut self, word: &str) -> bool {
        let found = self.words.first() == Some(&word);
        if found {
            self.words = self.words.get(1..).unwrap_or_default();
        }
        found
    }

    fn any(&mut self) -> Option<bool> {
        let mut satisfied = self.all()?;
        while self.take("OR") {
            satisfied |= self.all()?;
        }
        Some(satisfied)
    }

    fn all(&mut self) -> Option<bool> {
        let mut satisfied = self.one()?;
        while self.take("AND") {
            satisfied &= self.one()?;
        }
        Some(satisfied)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let satisfied = self.any()?;
            return self.take(")").then_some(satisfied);
        }
        let satisfied = self.allowed.contains(&self.name()?);
        if self.take("WITH") {
            self.name()?;
        }
        Some(satisfied)
    }

    fn name(&mut self) -> Option<&str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        (!["AND", "OR", "WITH", "(", ")"].contains(first)).then_some(*first)
    }
}

#[cfg(test)]
mod tests {
    use super::satisfied;

    #[test]
    fn choices_and_sums() {
        let allowed = ["MIT", "Apache-2.0"];
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0/MIT", true),
            ("GPL-3.0 AND MIT", false),
            ("MIT AND (GPL-3.0 OR Apache-2.0)", true),
            ("GPL-3.0 OR MIT AND BSD-3-Clause", false),
            ("Apache-2.0 WITH LLVM-exception", true),
        ] {
            assert_eq!(
                satisfied(expression, &allowed),
                Ok(expected),
                "{expression}"
            );
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for expression in ["", "MIT MIT", "MIT OR", "(MIT", "MIT)", "AND"] {
            assert!(satisfied(expression, &["MIT"]).is_err(), "{expression}");
        }
    }
}
