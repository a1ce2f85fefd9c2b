//! How long a server wants to be left alone.

use std::time::Duration;

/// Longest wait that a server may ask for.
const WAIT_MAX: u64 = 86_400;

/// A wait in seconds, as all of Microsoft's servers tell it.
pub(crate) fn retry_after(field: Option<&str>) -> Option<Duration> {
    let seconds = field?.trim().parse::<f64>().ok()?;
    let seconds = seconds.is_finite().then(|| seconds.ceil().max(0.0))?;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and cut to a day"
    )]
    Some(Duration::from_secs((seconds as u64).min(WAIT_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read() {
        assert_eq!(retry_after(Some("7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(Some("0.2")), Some(Duration::from_secs(1)));
        assert_eq!(retry_after(Some("-3")), Some(Duration::ZERO));
        let longest = Some(Duration::from_secs(WAIT_MAX));
        assert_eq!(retry_after(Some("1e300")), longest);
        assert_eq!(retry_after(Some("soon")), None);
    }
}
