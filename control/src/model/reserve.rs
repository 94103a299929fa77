//! How much of a thin volume is guaranteed (provisioner §5.1, D51, D62).

use super::GIB;
use crate::envelope::Failure;

const TIB: u64 = 1 << 40;
/// Reserves are whole blocks.
const UNIT_BYTES: u64 = 4096;

/// What percentage 0 means.
pub(crate) const DEFAULT_PERCENT: u64 = 10;

/// Bytes that a thin volume of `capacity_bytes` reserves. `percent` 0 means the default; the floor
/// raises, the capacity always wins.
pub(crate) fn thin_reserve(capacity_bytes: u64, percent: u64, floor_gib: u64) -> u64 {
    let share = |percent: u64| {
        let bytes = u128::from(capacity_bytes) * u128::from(percent) / 100;
        u64::try_from(bytes).expect("at most 100 percent of a u64")
    };
    let least = share(2).max(floor_gib * GIB);
    let wanted = share(if percent == 0 { DEFAULT_PERCENT } else { percent });
    wanted.max(least).min(capacity_bytes) / UNIT_BYTES * UNIT_BYTES
}

/// The least reserve in GiB: as configured, else by the size of the pool (D62).
pub(crate) fn floor_gib(configured: Option<u64>, pool_bytes: u64) -> u64 {
    configured.unwrap_or(if pool_bytes >= TIB { 20 } else { 1 })
}

/// A request's `reservedSpacePercentage`: absent is 0, the default.
pub(crate) fn percent(given: Option<i64>) -> Result<u64, Failure> {
    match u64::try_from(given.unwrap_or(0)) {
        Ok(percent @ 0..=100) => Ok(percent),
        _ => Err(Failure::of_field("reservedSpacePercentage", "must be from 0 to 100")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contracts_samples_and_edges() {
        // (GiB, percent, floor) -> bytes
        let cases = [
            ((40, 0, 20), 20 * GIB),
            ((10, 10, 20), 10 * GIB),
            ((1000, 0, 20), 100 * GIB),
            ((1000, 1, 20), 20 * GIB),
            ((2000, 1, 20), 40 * GIB),
            ((100, 50, 20), 50 * GIB),
            ((100, 100, 20), 100 * GIB),
            ((1, 0, 1), GIB),
            ((4, 0, 1), GIB),
            ((15, 0, 1), 3 * GIB / 2),
            ((3, 50, 0), 3 * GIB / 2),
            ((1, 33, 0), 354_332_672),
        ];
        for ((gib, percent, floor), expected) in cases {
            assert_eq!(thin_reserve(gib * GIB, percent, floor), expected, "{gib} GiB, {percent} %, {floor}");
        }
    }

    #[test]
    fn the_floor_follows_the_pool_unless_configured() {
        assert_eq!(floor_gib(None, TIB - 1), 1);
        assert_eq!(floor_gib(None, TIB), 20);
        assert_eq!(floor_gib(Some(7), TIB), 7);
    }

    #[test]
    fn percentages_outside_0_to_100_are_refused() {
        assert_eq!(percent(None), Ok(0));
        assert_eq!(percent(Some(100)), Ok(100));
        assert!(percent(Some(-1)).is_err() && percent(Some(101)).is_err());
    }
}
