//! NVMe Qualified Names.

use std::fmt;

/// Longest name without its terminating zero (Base §4.7).
const BYTES_MAX: usize = 223;

/// A checked NVMe Qualified Name: UTF-8, 1 to 223 bytes, no zero byte, beginning with `nqn.`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nqn(String);

/// Why bytes are not an NQN; always the fault of who gave them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NqnError {
    /// No terminating zero within the field, or over 223 bytes.
    #[error("an NQN has at most 223 bytes and ends with a zero on the wire")]
    TooLong,
    /// Not UTF-8, or not of the form `nqn.`...
    #[error("an NQN is UTF-8 text that begins with `nqn.`")]
    Malformed,
}

impl Nqn {
    /// The well-known name of every discovery subsystem.
    pub const DISCOVERY: &'static str = "nqn.2014-08.org.nvmexpress.discovery";

    /// Checks a name given as text.
    pub fn new(text: impl Into<String>) -> Result<Self, NqnError> {
        let text = text.into();
        if text.len() > BYTES_MAX {
            return Err(NqnError::TooLong);
        }
        if !text.starts_with("nqn.") || text.bytes().any(|byte| byte < 0x20) {
            return Err(NqnError::Malformed);
        }
        Ok(Self(text))
    }

    /// Reads a zero-terminated 256-byte field.
    pub fn parse(field: &[u8; 256]) -> Result<Self, NqnError> {
        let end = field.iter().position(|&byte| byte == 0).ok_or(NqnError::TooLong)?;
        let text = std::str::from_utf8(&field[..end]).map_err(|_| NqnError::Malformed)?;
        Self::new(text)
    }

    /// The zero-padded 256-byte field.
    pub fn encode(&self) -> [u8; 256] {
        let mut field = [0; 256];
        field[..self.0.len()].copy_from_slice(self.0.as_bytes());
        field
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Nqn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Nqn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_its_field() {
        let name = Nqn::new("nqn.2026-11.io.basalt:a").unwrap();
        assert_eq!(Nqn::parse(&name.encode()).unwrap(), name);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        assert_eq!(Nqn::parse(&[b'n'; 256]), Err(NqnError::TooLong));
        assert_eq!(Nqn::parse(&[0; 256]), Err(NqnError::Malformed));
        assert_eq!(Nqn::new("iqn.x"), Err(NqnError::Malformed));
        assert_eq!(Nqn::new("nqn.a\nb"), Err(NqnError::Malformed));
        assert_eq!(Nqn::new(format!("nqn.{}", "x".repeat(220))), Err(NqnError::TooLong));
        assert!(Nqn::new(format!("nqn.{}", "x".repeat(219))).is_ok());
    }
}
