//! Sizes as people write them.

use std::str::FromStr;

/// Bytes: `512M`, `16G`, `8T`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || format!("`{text}` is no size: write a whole number and M, G or T");
        let unit = text.chars().last().ok_or_else(error)?;
        let shift = "MGT".find(unit.to_ascii_uppercase()).ok_or_else(error)? * 10 + 20;
        let number: u64 = text[..text.len() - 1].parse().map_err(|_| error())?;
        let bytes = number.checked_mul(1 << shift).filter(|bytes| *bytes > 0);
        bytes.map(Self).ok_or_else(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse() {
        for (text, bytes) in [("512M", 512 << 20), ("16g", 16 << 30), ("8T", 8 << 40)] {
            assert_eq!(text.parse::<Size>().map(|size| size.0), Ok(bytes));
        }
        for text in ["", "T", "12", "0G", "99999999T", "4K"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
