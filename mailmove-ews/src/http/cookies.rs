//! Cookies of one credential at one server.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

/// Most that are kept.
const MOST: usize = 50;
/// Longest one, name and value.
const LONGEST: usize = 4096;

/// What the server wants to be told again. Load balancers find a mailbox's back end by it.
#[derive(Default)]
pub(crate) struct Jar(Mutex<BTreeMap<String, String>>);

/// Names alone: whoever has the values may be taken for the user.
impl fmt::Debug for Jar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let jar = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(jar.keys()).finish()
    }
}

impl Jar {
    /// Heeds a `Set-Cookie` field.
    pub(crate) fn set(&self, field: &str) {
        let (pair, attributes) = field.split_once(';').unwrap_or((field, ""));
        let Some((name, value)) = pair.trim().split_once('=') else {
            return;
        };
        let fits = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        if name.is_empty() || field.len() > LONGEST || !fits(name) || !fits(value) {
            return;
        }
        let lower = attributes.to_ascii_lowercase();
        let ended = lower.split(';').any(|one| {
            let (name, value) = one.trim().split_once('=').unwrap_or((one, ""));
            // An end in the past is written with an old year; no other is looked at.
            (name == "max-age" && (value == "0" || value.starts_with('-')))
                || (name == "expires"
                    && ["19", "200"].iter().any(|year| {
                        value
                            .split([' ', '-'])
                            .any(|word| word.len() == 4 && word.starts_with(year))
                    }))
        });
        let mut jar = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ended {
            jar.remove(name);
        } else if jar.len() < MOST || jar.contains_key(name) {
            jar.insert(name.to_owned(), value.to_owned());
        }
    }

    /// The `Cookie` field, if there is anything to tell.
    pub(crate) fn field(&self) -> Option<String> {
        let jar = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<String> = jar
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_kept_and_forgotten() {
        let jar = Jar::default();
        assert_eq!(jar.field(), None);
        jar.set("exchangecookie=abc; path=/; HttpOnly");
        jar.set(
            "X-BackEndCookie=S-1=u56; expires=Fri, 25-Dec-2026 00:00:00 GMT; path=/EWS; secure",
        );
        assert_eq!(
            jar.field().unwrap(),
            "X-BackEndCookie=S-1=u56; exchangecookie=abc"
        );
        assert_eq!(
            format!("{jar:?}"),
            "{\"X-BackEndCookie\", \"exchangecookie\"}"
        );
        jar.set("exchangecookie=; expires=Thu, 01 Jan 1970 00:00:00 GMT");
        jar.set("X-BackEndCookie=; Max-Age=0");
        jar.set("bad\r\nX: y=z");
        assert_eq!(jar.field(), None);
        (0..100).for_each(|n| jar.set(&format!("c{n}=x")));
        assert_eq!(jar.field().unwrap().split("; ").count(), MOST);
    }
}
