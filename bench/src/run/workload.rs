//! Which command comes next: fio's words for the pattern, a seeded generator for the choice.

use std::{fmt, str::FromStr};

/// Order and direction of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum Pattern {
    Read,
    Write,
    RandRead,
    RandWrite,
    /// Random, reads and writes mixed.
    RandRw,
}

/// One I/O command of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Io {
    pub(crate) write: bool,
    /// In units of the load's block size.
    pub(crate) block: u64,
}

/// The commands of one connection, without end.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    pattern: Pattern,
    read_percent: u8,
    blocks: u64,
    next_block: u64,
    random: SplitMix,
}

impl Workload {
    /// `blocks` of the load's block size are there. Connections of a sequential load begin at equal distances.
    pub(crate) fn new(
        pattern: Pattern,
        read_percent: u8,
        blocks: u64,
        connection: u64,
        connections: u64,
    ) -> Self {
        assert!(blocks > 0 && connection < connections);
        let next_block = (u128::from(blocks) * u128::from(connection) / u128::from(connections)) as u64;
        Self { pattern, read_percent, blocks, next_block, random: SplitMix(connection) }
    }

    pub(crate) fn next(&mut self) -> Io {
        let write = match self.pattern {
            Pattern::Read | Pattern::RandRead => false,
            Pattern::Write | Pattern::RandWrite => true,
            Pattern::RandRw => self.random.below(100) >= u64::from(self.read_percent),
        };
        let block = match self.pattern {
            Pattern::RandRead | Pattern::RandWrite | Pattern::RandRw => self.random.below(self.blocks),
            Pattern::Read | Pattern::Write => {
                let block = self.next_block;
                self.next_block = (block + 1) % self.blocks;
                block
            }
        };
        Io { write, block }
    }
}

/// Steele, Lea and Flood's generator: one multiplication chain, good enough to spread commands.
#[derive(Debug, Clone)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform enough in `0..limit`: the bias is `limit / 2^64`.
    fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }
}

/// Bytes of one command: `512`, `4k`, `128k`, `1m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IoBytes(pub(crate) u32);

impl fmt::Display for IoBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes.is_multiple_of(1 << 20) => write!(f, "{}m", bytes >> 20),
            bytes if bytes.is_multiple_of(1 << 10) => write!(f, "{}k", bytes >> 10),
            bytes => write!(f, "{bytes}"),
        }
    }
}

impl FromStr for IoBytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, shift) = match text.as_bytes().last() {
            Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
            Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
            _ => (text, 0),
        };
        let bytes = digits.parse::<u32>().ok().and_then(|count| count.checked_mul(1 << shift));
        match bytes {
            Some(bytes) if bytes > 0 && bytes.is_multiple_of(512) => Ok(Self(bytes)),
            _ => Err("write a multiple of 512 bytes, as in 512, 4k or 128k".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(workload: &mut Workload, count: usize) -> Vec<Io> {
        (0..count).map(|_| workload.next()).collect()
    }

    #[test]
    fn sequential_loads_start_apart_and_wrap() {
        let mut second = Workload::new(Pattern::Write, 0, 10, 1, 2);
        let blocks: Vec<_> = take(&mut second, 7).into_iter().map(|io| (io.block, io.write)).collect();
        assert_eq!(blocks, [5, 6, 7, 8, 9, 0, 1].map(|block| (block, true)));
    }

    #[test]
    fn random_loads_stay_inside_and_reach_both_ends() {
        let ios = take(&mut Workload::new(Pattern::RandRead, 0, 8, 0, 1), 1000);
        assert!(ios.iter().all(|io| !io.write && io.block < 8));
        assert!(ios.iter().any(|io| io.block == 0) && ios.iter().any(|io| io.block == 7));
    }

    #[test]
    fn a_mix_is_about_what_was_asked() {
        let ios = take(&mut Workload::new(Pattern::RandRw, 70, 1 << 20, 0, 1), 10_000);
        let reads = ios.iter().filter(|io| !io.write).count();
        assert!((6_500..7_500).contains(&reads), "{reads}");
    }

    #[test]
    fn io_sizes_parse() {
        for (text, bytes) in [("512", 512), ("4k", 4096), ("128K", 131_072), ("1m", 1 << 20)] {
            assert_eq!(text.parse(), Ok(IoBytes(bytes)));
            assert_eq!(IoBytes(bytes).to_string(), text.to_lowercase());
        }
        for text in ["", "k", "0", "100", "4g", "9999m"] {
            assert!(text.parse::<IoBytes>().is_err(), "{text}");
        }
    }
}
