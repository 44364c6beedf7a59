//! Numbers of bytes, as users write them.

use std::fmt;

/// Why a text is not a number of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SizeError(String);

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a size: write a number of bytes, or one with K, M or G, such as 64M",
            self.0
        )
    }
}

impl std::error::Error for SizeError {}

/// Parses a number of bytes such as `65536`, `64K`, `100M` or `2G`, with units of 1024.
///
/// # Errors
///
/// [`SizeError`] if the text is not a number with one of these units, or exceeds the address space.
pub fn parse_size(text: &str) -> Result<usize, SizeError> {
    parse(text).ok_or_else(|| SizeError(text.into()))
}

fn parse(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text[digits.len()..].to_ascii_uppercase();
    let factor = match unit.trim_end_matches("IB").trim_end_matches('B') {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("65536", 65_536),
            ("64K", 64 << 10),
            ("100M", 100 << 20),
            ("2g", 2 << 30),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for text in [
            "",
            "K",
            "1T",
            "-1",
            "1.5G",
            "99999999999999999999",
            "99999999999999999G",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
