//! How a volume is divided over drives. Borders lie on whole MiB.

use crate::limits;

const UNIT_BYTES: u64 = 1 << 20;

/// What a drive could take, or shall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// The drive's place in the caller's list.
    pub(crate) drive: usize,
    pub(crate) size_bytes: u64,
    pub(crate) reserved_bytes: u64,
}

/// Divides a volume over drives that have so much room, the roomiest first: one that has room for all of it takes all.
/// Each part has the share of the size that it has of the reserve. `None`: together they have too little.
pub(crate) fn spread(size_bytes: u64, reserved_bytes: u64, room_bytes: &[u64]) -> Option<Vec<Room>> {
    let mut drives: Vec<usize> = (0..room_bytes.len()).collect();
    drives.sort_by_key(|&drive| std::cmp::Reverse(room_bytes[drive]));
    let roomiest = *drives.first()?;
    if room_bytes[roomiest] >= reserved_bytes {
        return Some(vec![Room { drive: roomiest, size_bytes, reserved_bytes }]);
    }
    let (mut size_left, mut reserve_left) = (size_bytes, reserved_bytes);
    let mut parts = Vec::new();
    for drive in drives.into_iter().take(limits::VOLUME_PARTS) {
        let room = room_bytes[drive];
        if room >= reserve_left {
            parts.push(Room { drive, size_bytes: size_left, reserved_bytes: reserve_left });
            return Some(parts);
        }
        let reserve = room - room % UNIT_BYTES;
        if reserve == 0 {
            return None;
        }
        let size = portion(size_bytes, reserve, reserved_bytes) / UNIT_BYTES * UNIT_BYTES;
        parts.push(Room { drive, size_bytes: size, reserved_bytes: reserve });
        (size_left, reserve_left) = (size_left - size, reserve_left - reserve);
    }
    None
}

/// Divides a reserve over parts of given sizes, by size; none gets more than it can fill.
pub(crate) fn share(reserved_bytes: u64, size_bytes: &[u64]) -> Vec<u64> {
    let whole: u64 = size_bytes.iter().sum();
    let mut left = reserved_bytes;
    let mut shares: Vec<u64> = Vec::with_capacity(size_bytes.len());
    for &size in size_bytes {
        let part = portion(reserved_bytes, size, whole).min(size).min(left);
        left -= part;
        shares.push(part);
    }
    // What rounding left over.
    for (part, &size) in shares.iter_mut().zip(size_bytes) {
        let more = left.min(size - *part);
        *part += more;
        left -= more;
    }
    shares
}

/// `of * part / whole`, rounded down.
fn portion(of: u64, part: u64, whole: u64) -> u64 {
    let portion = u128::from(of) * u128::from(part) / u128::from(whole.max(1));
    u64::try_from(portion).expect("a part is no larger than the whole")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = UNIT_BYTES;

    #[test]
    fn one_drive_if_it_has_room_for_all() {
        let whole = |drive| Some(vec![Room { drive, size_bytes: 10 * MIB, reserved_bytes: 4 * MIB }]);
        assert_eq!(spread(10 * MIB, 4 * MIB, &[3 * MIB, 5 * MIB, 4 * MIB]), whole(1));
        assert_eq!(spread(10 * MIB, 4 * MIB, &[3 * MIB]), None);
        assert_eq!(spread(10 * MIB, 0, &[]), None);
        assert_eq!(spread(10 * MIB, 4 * MIB, &[3 * MIB, 100]), None);
    }

    #[test]
    fn a_thin_volume_is_divided_like_its_reserve() {
        let parts = spread(40 * MIB, 10 * MIB, &[2 * MIB, 8 * MIB + 5]).unwrap();
        assert_eq!(
            parts,
            [
                Room { drive: 1, size_bytes: 32 * MIB, reserved_bytes: 8 * MIB },
                Room { drive: 0, size_bytes: 8 * MIB, reserved_bytes: 2 * MIB }
            ]
        );
    }

    proptest! {
        #[test]
        fn parts_are_the_whole_and_fit(
            size in 1u64..2000,
            percent in 0u64..=100,
            room in proptest::collection::vec(0u64..1000 * MIB, 0..20),
        ) {
            let (size, reserved) = (size * MIB, size * MIB / 100 * percent);
            let sum: u64 = room.iter().sum();
            let Some(parts) = spread(size, reserved, &room) else {
                prop_assert!(room.is_empty() || sum < reserved + 20 * MIB || room.len() > limits::VOLUME_PARTS);
                return Ok(());
            };
            prop_assert_eq!(parts.iter().map(|part| part.size_bytes).sum::<u64>(), size);
            prop_assert_eq!(parts.iter().map(|part| part.reserved_bytes).sum::<u64>(), reserved);
            for (index, part) in parts.iter().enumerate() {
                prop_assert!(part.size_bytes > 0 && part.reserved_bytes <= part.size_bytes.max(reserved.min(size)));
                prop_assert!(part.reserved_bytes <= part.size_bytes && part.reserved_bytes <= room[part.drive]);
                prop_assert!(index + 1 == parts.len() || part.size_bytes.is_multiple_of(MIB));
            }
        }

        #[test]
        fn shares_are_the_whole_and_fit(
            sizes in proptest::collection::vec(1u64..1000 * MIB, 1..17),
            percent in 0u64..=100,
        ) {
            let whole: u64 = sizes.iter().sum();
            let reserved = whole / 100 * percent;
            let shares = share(reserved, &sizes);
            prop_assert_eq!(shares.iter().sum::<u64>(), reserved);
            prop_assert!(shares.iter().zip(&sizes).all(|(share, size)| share <= size));
        }
    }
}
