//! One message, and its text (RFC 5424 §6).

use std::fmt::Write;

use time::format_description::well_known::Rfc3339;

use crate::utc;

/// Messages of what an operator runs; nothing else on a machine uses it by default.
const FACILITY_LOCAL0: u8 = 16;
/// The number that RFC 5612 sets aside for documentation: we have none of our own.
const SD_ID: &str = "basalt@32473";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Fatal = 2,
    Error = 3,
    Warning = 4,
    Info = 6,
}

/// The MSGID: what kind of message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logging {
    Event,
    /// What somebody asked this system to do.
    Command,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) logging: Logging,
    pub(crate) severity: Severity,
    /// Milliseconds since the epoch.
    pub(crate) time_ms: u64,
    pub(crate) host: String,
    pub(crate) app: String,
    pub(crate) text: String,
    /// Name and value; structured data.
    pub(crate) parameters: Vec<(String, String)>,
}

impl Message {
    pub(crate) fn encode(&self) -> String {
        let priority = FACILITY_LOCAL0 * 8 + self.severity as u8;
        let id = match self.logging {
            Logging::Event => "EVENT",
            Logging::Command => "COMMAND",
        };
        format!(
            "<{priority}>1 {} {} {} - {id} {} {}",
            timestamp(self.time_ms),
            word(&self.host, 255),
            word(&self.app, 48),
            self.structured_data(),
            line(&self.text),
        )
    }

    fn structured_data(&self) -> String {
        if self.parameters.is_empty() {
            return "-".to_owned();
        }
        let mut text = format!("[{SD_ID}");
        for (name, value) in &self.parameters {
            let name: String = word(name, 32).replace(['=', ']', '"'], "_");
            let value = line(value).replace('\\', r"\\").replace('"', "\\\"").replace(']', r"\]");
            write!(text, " {name}=\"{value}\"").expect("a String takes all");
        }
        text + "]"
    }
}

fn timestamp(epoch_ms: u64) -> String {
    utc::text(epoch_ms, &Rfc3339).unwrap_or_else(|| "-".to_owned())
}

/// Printable ASCII without blanks, of limited length; `-` for nothing.
fn word(text: &str, longest: usize) -> String {
    let word: String =
        text.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).take(longest).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

/// One line, whatever somebody put into it: no message must look like two.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_rfc_5424() {
        let message = Message {
            logging: Logging::Event,
            severity: Severity::Warning,
            time_ms: 1_795_309_323_250,
            host: "node a".to_owned(),
            app: "basalt".to_owned(),
            text: "80 % full\n<0>1 forged".to_owned(),
            parameters: vec![("a=b".to_owned(), "q\"\\]\u{7}ü".to_owned()), (String::new(), String::new())],
        };
        let expected = "<132>1 2026-11-22T01:02:03.25Z node_a basalt - EVENT \
            [basalt@32473 a_b=\"q\\\"\\\\\\] ü\" -=\"\"] 80 % full <0>1 forged";
        assert_eq!(message.encode(), expected);
        let bare = Message {
            logging: Logging::Command,
            severity: Severity::Fatal,
            time_ms: 0,
            host: String::new(),
            app: "x".repeat(60),
            text: "t".to_owned(),
            parameters: Vec::new(),
        };
        assert_eq!(bare.encode(), format!("<130>1 1970-01-01T00:00:00Z - {} - COMMAND - t", "x".repeat(48)));
    }
}
