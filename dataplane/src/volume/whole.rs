//! Which of the parts that lie on a node's drives make a whole.

/// A volume or snapshot as far as its parts are there.
#[derive(Debug)]
pub(crate) struct Whole<T> {
    /// Those that count, ascending.
    pub(crate) parts: Vec<T>,
    /// The first one that should be there and is not.
    pub(crate) missing: Option<u8>,
    /// What an unfinished change left behind.
    pub(crate) left_behind: Vec<T>,
}

impl<T> Whole<T> {
    /// Sorts parts out, given in any order; `index` and `of` are what their records say. The first part says how many
    /// there are. Without it nobody knows, and none is taken for left behind.
    pub(crate) fn of(mut parts: Vec<T>, index: impl Fn(&T) -> u8, of: impl Fn(&T) -> u8) -> Self {
        parts.sort_by_key(&index);
        let Some(first) = parts.first().filter(|first| index(first) == 0) else {
            return Self { parts, missing: Some(0), left_behind: Vec::new() };
        };
        let count = of(first);
        let left_behind = parts.split_off(parts.partition_point(|part| index(part) < count));
        let missing = (0..count).find(|&wanted| parts.get(usize::from(wanted)).map(&index) != Some(wanted));
        Self { parts, missing, left_behind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_is_what_the_first_part_says() {
        // Index and count of each part; those that count, the missing one, those left behind.
        type Row<'a> = (&'a [(u8, u8)], &'a [u8], Option<u8>, &'a [u8]);
        let table: [Row<'_>; 7] = [
            (&[(0, 1)], &[0], None, &[]),
            (&[(1, 0), (0, 2)], &[0, 1], None, &[]),
            (&[(0, 3), (2, 0)], &[0, 2], Some(1), &[]),
            (&[(0, 2)], &[0], Some(1), &[]),
            (&[(1, 0), (0, 1), (2, 0)], &[0], None, &[1, 2]),
            (&[(1, 0)], &[1], Some(0), &[]),
            (&[(0, 2), (2, 0)], &[0], Some(1), &[2]),
        ];
        for (given, counting, missing, left) in table {
            let whole = Whole::of(given.to_vec(), |part| part.0, |part| part.1);
            let indexes = |parts: &[(u8, u8)]| parts.iter().map(|part| part.0).collect::<Vec<_>>();
            let found = (indexes(&whole.parts), whole.missing, indexes(&whole.left_behind));
            assert_eq!(found, (counting.to_vec(), missing, left.to_vec()), "{given:?}");
        }
    }
}
