//! Pages of lists that are sorted by id (provisioner §1.4, D8).

use crate::envelope::Failure;

/// A request's `limit`, `offset` and `marker`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// `None`: everything.
    limit: Option<usize>,
    offset: usize,
    /// Lower case; items up to and including it are left out. It need not exist.
    marker: Option<String>,
}

impl Page {
    pub(crate) fn parse(
        limit: Option<&str>,
        offset: Option<&str>,
        marker: Option<&str>,
    ) -> Result<Self, Failure> {
        let number = |name: &str, text: Option<&str>| match text.map(str::parse::<usize>) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) => Err(Failure::invalid(format!("{name} must be a whole number, not negative"))),
        };
        let limit = number("limit", limit)?;
        if limit == Some(0) {
            return Err(Failure::invalid("limit must be at least 1"));
        }
        Ok(Self {
            limit,
            offset: number("offset", offset)?.unwrap_or(0),
            marker: marker.map(str::to_ascii_lowercase),
        })
    }

    /// This page of the items, in the order of their lower-case ids.
    pub(crate) fn cut<T>(&self, mut items: Vec<T>, id: impl Fn(&T) -> String) -> Vec<T> {
        items.sort_by_cached_key(|item| id(item).to_ascii_lowercase());
        items
            .into_iter()
            .filter(|item| self.marker.as_ref().is_none_or(|m| id(item).to_ascii_lowercase() > *m))
            .skip(self.offset)
            .take(self.limit.unwrap_or(usize::MAX))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(limit: Option<&str>, offset: Option<&str>, marker: Option<&str>) -> String {
        let items = vec!["d", "B", "a", "c", "e"];
        Page::parse(limit, offset, marker).unwrap().cut(items, |s| (*s).to_owned()).concat()
    }

    #[test]
    fn marker_then_offset_then_limit() {
        assert_eq!(cut(None, None, None), "aBcde");
        assert_eq!(cut(Some("2"), None, None), "aB");
        assert_eq!(cut(None, Some("3"), None), "de");
        assert_eq!(cut(Some("2"), Some("1"), Some("A")), "cd");
        assert_eq!(cut(None, None, Some("bb")), "cde", "a marker need not exist");
        assert_eq!(cut(Some("9"), Some("9"), None), "");
    }

    #[test]
    fn nonsense_is_refused() {
        for (limit, offset) in
            [(Some("0"), None), (Some("-1"), None), (Some("x"), None), (None, Some("-1")), (None, Some(""))]
        {
            assert!(Page::parse(limit, offset, None).is_err(), "{limit:?} {offset:?}");
        }
    }
}
