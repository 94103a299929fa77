//! What a command has to say, for people and for scripts.

use serde_json::Value;

/// The same news twice: lines for people, JSON for `--json`.
#[derive(Debug)]
pub(crate) struct Report {
    /// Ends with a line feed.
    pub(crate) text: String,
    pub(crate) json: Value,
    /// The news is bad: it is printed, and the exit code is 1.
    pub(crate) has_problems: bool,
}

impl Report {
    pub(crate) fn new(text: impl Into<String>, json: Value) -> Self {
        let mut text = text.into();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Self { text, json, has_problems: false }
    }

    pub(crate) fn with_problems(self, has_problems: bool) -> Self {
        Self { has_problems, ..self }
    }
}

/// Columns as wide as their widest cell, two spaces between them, no trailing spaces.
pub(crate) fn table<const COLUMNS: usize>(
    header: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) -> String {
    let rows: Vec<_> = std::iter::once(header.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let line = |row: &[String; COLUMNS]| {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["a".to_owned(), "10 GiB".to_owned()], ["größer".to_owned(), "1 B".to_owned()]];
        assert_eq!(table(["NAME", "SIZE"], rows), "NAME    SIZE\na       10 GiB\ngrößer  1 B\n");
    }
}
