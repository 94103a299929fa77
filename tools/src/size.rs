//! Sizes as people write them: `16G`, `512MiB`, `4096`. Letters are powers of 1024, in any case.

use std::{fmt, str::FromStr};

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct ByteSize(pub(crate) u64);

pub(crate) const GIB: u64 = 1 << 30;

/// Why a text is not a size; the text itself is named by whoever asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SizeError {
    #[error("`{0}` is not a size: write a whole number and a unit, as in 512M, 16G or 2T")]
    NotASize(String),
    #[error("`{0}` is more bytes than 64 bits can count")]
    TooLarge(String),
    #[error("a size of 0 makes no sense here")]
    Zero,
}

impl ByteSize {
    /// The size in GiB, if it is a whole number of them.
    pub(crate) fn whole_gib(self) -> Option<u64> {
        self.0.is_multiple_of(GIB).then_some(self.0 / GIB)
    }
}

impl FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let not_a_size = || SizeError::NotASize(text.to_owned());
        let trimmed = text.trim();
        let digits_end = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
        let (digits, unit) = trimmed.split_at(digits_end);
        let shift = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kib" => 10,
            "m" | "mib" => 20,
            "g" | "gib" => 30,
            "t" | "tib" => 40,
            _ => return Err(not_a_size()),
        };
        if digits.is_empty() {
            return Err(not_a_size());
        }
        let count: u64 = digits.parse().map_err(|_| SizeError::TooLarge(text.to_owned()))?;
        let bytes = count.checked_mul(1 << shift).ok_or_else(|| SizeError::TooLarge(text.to_owned()))?;
        if bytes == 0 { Err(SizeError::Zero) } else { Ok(Self(bytes)) }
    }
}

/// Three significant digits and a binary unit, whole numbers without a fraction: `16 GiB`, `1.5 GiB`, `0 B`.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u32); 5] = [("PiB", 50), ("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
        let Some((unit, shift)) = UNITS.into_iter().find(|(_, shift)| self.0 >> shift > 0) else {
            return write!(f, "{} B", self.0);
        };
        let value = self.0 as f64 / (1u64 << shift) as f64;
        if self.0.is_multiple_of(1 << shift) || value >= 100.0 {
            write!(f, "{value:.0} {unit}")
        } else if value >= 10.0 {
            write!(f, "{value:.1} {unit}")
        } else {
            write!(f, "{value:.2} {unit}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse() {
        for (text, bytes) in [
            ("4096", 4096),
            ("512B", 512),
            ("64k", 64 << 10),
            ("64 KiB", 64 << 10),
            ("512M", 512 << 20),
            ("16G", 16 << 30),
            ("16gib", 16 << 30),
            ("2T", 2 << 40),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "G", "1.5G", "-1G", "16GB", "sixteen", "0x10"] {
            assert!(matches!(text.parse::<ByteSize>(), Err(SizeError::NotASize(_))), "{text}");
        }
        assert_eq!("0G".parse::<ByteSize>(), Err(SizeError::Zero));
        for text in ["99999999999999999999", "99999999T"] {
            assert!(matches!(text.parse::<ByteSize>(), Err(SizeError::TooLarge(_))), "{text}");
        }
    }

    #[test]
    fn sizes_print() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.50 KiB"),
            (16 << 30, "16 GiB"),
            ((15 << 30) + (3 << 28), "15.8 GiB"),
            (1000 << 20, "1000 MiB"),
            (5 << 50, "5 PiB"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }
}
