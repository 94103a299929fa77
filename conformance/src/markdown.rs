//! A report as a table for documents.

use std::fmt::Write;

use crate::{check::Outcome, run::Report};

impl Outcome {
    /// How it ended, in one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail { .. } => "FAIL",
            Self::Skip { .. } => "skip",
            Self::Broken { .. } => "BROKEN",
        }
    }

    /// What there is to say beyond that word; empty for a pass.
    pub fn remark(&self) -> String {
        match self {
            Self::Pass => String::new(),
            Self::Fail { expected, seen } => format!("expected {expected}; seen {seen}"),
            Self::Skip { why } | Self::Broken { why } => why.clone(),
        }
    }
}

impl Report {
    /// `COUNT checks: …`
    pub fn summary(&self) -> String {
        format!(
            "{} checks: {} passed, {} failed, {} skipped",
            self.rows.len(),
            self.passed(),
            self.failed(),
            self.skipped()
        )
    }

    /// The summary and, theme by theme, a Markdown table of all checks.
    pub fn markdown(&self) -> String {
        let mut text = format!("{}.\n", self.summary());
        let mut theme = "";
        for row in &self.rows {
            if row.theme != theme {
                theme = &row.theme;
                let _infallible = write!(
                    text,
                    "\n## {theme}\n\n| Check | Result | Section | Remark |\n|---|---|---|---|\n"
                );
            }
            let remark = row.outcome.remark().replace('|', "\\|");
            let (name, word, section) = (&row.name, row.outcome.word(), row.section);
            let _infallible = writeln!(text, "| `{name}` | {word} | {section} | {remark} |");
        }
        text
    }
}
