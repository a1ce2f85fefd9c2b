//! Values of options: sizes, rates, dates, folders.

use mailmove_core::model::{FolderPath, Timestamp};

/// Reads a size: `25MB` (millions of bytes), `25MiB` (1024 × 1024 bytes), `1.5GB`, `1000`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let shape = "give a number with B, kB, MB, GB, KiB, MiB or GiB, e.g. 25MB";
    let text = text.trim();
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "ki" | "kib" => 1 << 10,
        "mi" | "mib" => 1 << 20,
        "gi" | "gib" => 1 << 30,
        _ => return Err(shape.to_owned()),
    };
    // Whole and fractional part apart: exact, unlike floating point.
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(fraction) || fraction.len() > 9 {
        return Err(shape.to_owned());
    }
    let whole: u64 = whole.parse().map_err(|_| shape.to_owned())?;
    let fraction: u64 = format!("{fraction:0<9}")
        .parse()
        .map_err(|_| shape.to_owned())?;
    let part = u128::from(fraction) * u128::from(factor) / 1_000_000_000;
    let bytes = u128::from(whole) * u128::from(factor) + part;
    match u64::try_from(bytes) {
        Ok(0) => Err("it must be more than nothing".to_owned()),
        Ok(bytes) => Ok(bytes),
        Err(_) => Err("that is too large".to_owned()),
    }
}

/// Reads a [`size`], or 0.
pub(crate) fn size_or_none(text: &str) -> Result<u64, String> {
    match text.trim() {
        "0" => Ok(0),
        text => size(text),
    }
}

/// Reads a rate in bytes a second: `2MB/s`, `500KiB/s`, `2MB`.
pub(crate) fn rate(text: &str) -> Result<u64, String> {
    let text = text.trim();
    size(text.strip_suffix("/s").unwrap_or(text))
        .map_err(|why| format!("{why}; a rate may end in /s, e.g. 2MB/s"))
}

/// Reads a calendar date (midnight UTC).
pub(crate) fn date(text: &str) -> Result<Timestamp, String> {
    let parts: Vec<&str> = text.split('-').collect();
    let read = || -> Option<Timestamp> {
        let [year, month, day] = parts.as_slice() else {
            return None;
        };
        let plain = |text: &str, len| text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
        if !plain(year, 4) || !plain(month, 2) || !plain(day, 2) {
            return None;
        }
        Timestamp::from_date(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
    };
    read().ok_or_else(|| "give a date that exists, as YYYY-MM-DD, e.g. 2024-02-29".to_owned())
}

/// Reads a folder path.
pub(crate) fn folder(text: &str) -> Result<FolderPath, String> {
    let path = FolderPath::parse(text);
    if path.names().is_empty() {
        Err("give a folder, e.g. Archive/2024".to_owned())
    } else {
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("1", 1),
            ("25MB", 25_000_000),
            ("25 MB", 25_000_000),
            ("25mib", 25 << 20),
            ("1.5GB", 1_500_000_000),
            ("0.5KiB", 512),
            ("10k", 10_000),
            ("2GiB", 2 << 30),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "MB",
            "-1",
            "1.2.3",
            "1e3",
            "5XB",
            "0",
            "99999999999GB",
            ".5MB",
            "1,5MB",
            "+1",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates() {
        assert_eq!(rate("2MB/s"), Ok(2_000_000));
        assert_eq!(rate("512KiB/s"), Ok(512 << 10));
        assert_eq!(rate("100"), Ok(100));
        assert!(rate("fast").is_err());
        assert!(rate("/s").is_err());
    }

    #[test]
    fn dates() {
        assert_eq!(date("2024-02-29"), Ok(Timestamp::new(1_709_164_800, 0)));
        for text in [
            "2023-02-29",
            "2024-2-29",
            "29.02.2024",
            "2024-13-01",
            "2024-00-10",
            "",
            "2024-01-01T00:00",
            "+024-01-01",
        ] {
            assert!(date(text).is_err(), "{text}");
        }
    }
}
