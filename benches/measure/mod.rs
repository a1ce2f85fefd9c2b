//! What whole programs are measured with: raw sockets, a replay, a proxy that delays, and the use of
//! time and memory by processes. Nothing of mailmove is in here, since it is what is measured.

pub mod delay;
pub mod letters;
pub mod mailbox;
pub mod raw;
pub mod replay;
pub mod usage;

/// An error with its whole explanation in the text; nothing here is handled by kind.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The middle one; between the two middle ones where there are two.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.len() % 2) {
        (Some(&upper), 0) => {
            let lower = values.get(middle.wrapping_sub(1)).copied().unwrap_or(upper);
            lower.midpoint(upper)
        }
        (Some(&middle), _) => middle,
        (None, _) => f64::NAN,
    }
}

/// The value of an option that is a number, of pairs of names and values; `usual` if it is not among them.
///
/// # Errors
/// If the value is no number, or something stands before it that is no option.
pub fn number(options: &[&str], name: &str, usual: usize) -> Result<usize> {
    for pair in options.chunks(2) {
        match pair {
            [option, value] if *option == name => return Ok(value.parse()?),
            [option, _] if option.starts_with("--") => {}
            _ => return Err(format!("{pair:?} is no option with its value").into()),
        }
    }
    Ok(usual)
}
