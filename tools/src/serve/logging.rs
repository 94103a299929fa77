//! Log lines on standard error; a panic is logged and ends the process.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt, util::SubscriberInitExt};

use super::{flags::LogFormat, settings::Settings};

#[derive(Debug, thiserror::Error)]
#[error("--log {level}: {reason}")]
pub(crate) struct LogLevelError {
    level: String,
    reason: tracing_subscriber::filter::ParseError,
}

/// Starts logging as `--log` and `--log-format` say. Called once, first thing.
pub(crate) fn start(settings: &Settings) -> Result<(), LogLevelError> {
    let filter = EnvFilter::builder()
        .parse(&settings.log)
        .map_err(|reason| LogLevelError { level: settings.log.clone(), reason })?;
    let lines =
        fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    match settings.log_format {
        LogFormat::Text => lines.finish().init(),
        LogFormat::Json => lines.json().finish().init(),
    }
    abort_on_panic();
    Ok(())
}

/// A panic is a bug of ours. Going on with half the threads could acknowledge writes that nobody carries out;
/// a dead process loses nothing acknowledged (E2), and whoever supervises it starts it again.
fn abort_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(place, message, "panic: this is a bug in basalt; the process ends now");
        std::process::abort();
    }));
}
