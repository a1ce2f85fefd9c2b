//! What a store accepts.

use bytes::Bytes;

use super::{Keywords, StoreError};

/// The rules of an account. The defaults accept everything.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Largest message in bytes (APPENDLIMIT, RFC 7889).
    pub max_message_size: Option<u64>,
    /// Bytes the account may hold (STORAGE, RFC 9208).
    pub quota_bytes: Option<u64>,
    /// Messages the account may hold (MESSAGE, RFC 9208).
    pub quota_messages: Option<u64>,
    /// Accepted keywords.
    pub keywords: Keywords,
    /// Folder names that differ only in case are the same folder.
    pub case_insensitive_names: bool,
    /// Characters that no component of a folder's name may hold.
    pub forbidden_chars: String,
    /// Names no folder may have (one component, compared without case).
    pub reserved_names: Vec<String>,
    /// Bytes of UTF-8 that one component may have.
    pub max_component_length: Option<usize>,
    /// Components that a path may have.
    pub max_depth: Option<usize>,
    /// Blanks at the ends of a component, or doubled, are refused.
    pub refuse_excess_blanks: bool,
    /// Creating `a/b` also creates `a` as a real folder.
    pub create_parents: bool,
    /// Messages with a NUL byte are refused.
    pub refuse_nul: bool,
    /// Messages with an LF that follows no CR are refused.
    pub refuse_bare_newlines: bool,
    /// Messages with a byte above 127 in the header are refused.
    pub refuse_8bit_header: bool,
    /// Messages with a longer line (without its end) are refused.
    pub max_line_length: Option<usize>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_size: None,
            quota_bytes: None,
            quota_messages: None,
            keywords: Keywords::Any,
            case_insensitive_names: false,
            forbidden_chars: String::new(),
            reserved_names: Vec::new(),
            max_component_length: None,
            max_depth: None,
            refuse_excess_blanks: false,
            create_parents: true,
            refuse_nul: false,
            refuse_bare_newlines: false,
            refuse_8bit_header: false,
            max_line_length: None,
        }
    }
}

impl Limits {
    /// Limits that accept everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn check_path(&self, path: &[String]) -> Result<(), StoreError> {
        if path.is_empty() {
            return Err(StoreError::InvalidName("it is empty"));
        }
        if self.max_depth.is_some_and(|max| path.len() > max) {
            return Err(StoreError::InvalidName("it is too deep"));
        }
        path.iter().try_for_each(|part| self.check_component(part))
    }

    fn check_component(&self, part: &str) -> Result<(), StoreError> {
        let bad = |why| Err(StoreError::InvalidName(why));
        if part.is_empty() {
            return bad("a part of it is empty");
        }
        if part.chars().any(char::is_control) {
            return bad("it holds a control character");
        }
        if part.chars().any(|c| self.forbidden_chars.contains(c)) {
            return bad("it holds a forbidden character");
        }
        if self
            .max_component_length
            .is_some_and(|max| part.len() > max)
        {
            return bad("it is too long");
        }
        if self.refuse_excess_blanks
            && (part.starts_with(' ') || part.ends_with(' ') || part.contains("  "))
        {
            return bad("it holds excess blanks");
        }
        if self
            .reserved_names
            .iter()
            .any(|r| r.eq_ignore_ascii_case(part))
        {
            return bad("it is reserved");
        }
        Ok(())
    }

    pub(super) fn check_body(&self, body: &Bytes) -> Result<(), StoreError> {
        if let Some(limit) = self.max_message_size
            && body.len() as u64 > limit
        {
            return Err(StoreError::TooBig(limit));
        }
        if self.refuse_nul && body.contains(&0) {
            return Err(StoreError::BadContent("it holds NUL characters"));
        }
        if self.refuse_bare_newlines && has_bare_newline(body) {
            return Err(StoreError::BadContent("it holds bare newlines"));
        }
        if self.refuse_8bit_header && header(body).iter().any(|b| *b > 127) {
            return Err(StoreError::BadContent("its header holds 8-bit data"));
        }
        if let Some(max) = self.max_line_length
            && body
                .split(|b| *b == b'\n')
                .any(|line| line.strip_suffix(b"\r").unwrap_or(line).len() > max)
        {
            return Err(StoreError::BadContent("a line is too long"));
        }
        Ok(())
    }
}

fn has_bare_newline(body: &[u8]) -> bool {
    let mut before = 0;
    body.iter().any(|&byte| {
        let bare = byte == b'\n' && before != b'\r';
        before = byte;
        bare
    })
}

/// The header of a message: everything before the first empty line.
fn header(body: &[u8]) -> &[u8] {
    let mut start = 0;
    for line in body.split_inclusive(|b| *b == b'\n') {
        if matches!(line, b"\r\n" | b"\n") {
            break;
        }
        start += line.len();
    }
    body.get(..start).unwrap_or(body)
}
