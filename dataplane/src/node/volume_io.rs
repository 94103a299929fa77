//! What hosts did with a volume, and how long it took.

use serde::{Deserialize, Serialize};

/// How many there are of one kind of command. The last one has no upper bound.
pub const LATENCY_BUCKETS: usize = 20;
/// The first bucket ends at 2^14 ns, 16.4 µs.
const FIRST_BOUND_LOG2: u32 = 14;

/// How long commands took, from when they were seen to when they were answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latencies {
    /// How many took no longer than the bound of this bucket, and longer than that of the one before.
    pub buckets: [u64; LATENCY_BUCKETS],
    pub sum_nanos: u64,
}

impl Latencies {
    /// Ascending; each is twice the one before. The last bucket has none.
    pub fn bounds_nanos() -> [u64; LATENCY_BUCKETS - 1] {
        std::array::from_fn(|index| 1 << (index + FIRST_BOUND_LOG2 as usize))
    }

    /// The index of the bucket.
    pub(crate) fn bucket(nanos: u64) -> usize {
        // The exponent of the smallest power of two that is not less.
        let log2 = u64::BITS - nanos.saturating_sub(1).leading_zeros();
        (log2.saturating_sub(FIRST_BOUND_LOG2) as usize).min(LATENCY_BUCKETS - 1)
    }

    /// Commands.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// Of one volume on one node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeIo {
    /// Read commands.
    pub reads: Latencies,
    /// Write commands.
    pub writes: Latencies,
    /// Of the commands in `reads`, and in `writes`.
    #[serde(default)]
    pub bytes_read: u64,
    #[serde(default)]
    pub bytes_written: u64,
    /// Commands of any kind that were not answered yet, now.
    pub under_way: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_the_bucket_that_it_ends() {
        let bounds = Latencies::bounds_nanos();
        assert_eq!((bounds[0], bounds[18]), (16_384, 4_294_967_296));
        for (index, bound) in bounds.into_iter().enumerate() {
            assert_eq!([bound - 1, bound, bound + 1].map(Latencies::bucket), [index, index, index + 1]);
        }
        assert_eq!([0, 1, u64::MAX].map(Latencies::bucket), [0, 0, LATENCY_BUCKETS - 1]);
    }
}
