//! Log lines on standard error and in the data directory; a panic is logged and ends the process.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    path::Path,
    sync::{Arc, OnceLock},
};

use control::{LogFile, LogFilter};
use tracing_subscriber::{EnvFilter, fmt as lines, fmt::MakeWriter, util::SubscriberInitExt};

use super::{flags::LogFormat, settings::Settings};

#[derive(Debug, thiserror::Error)]
#[error("--log {level}: {reason}")]
pub(crate) struct LogLevelError {
    level: String,
    reason: tracing_subscriber::filter::ParseError,
}

/// What can be changed of the log while the server runs.
pub(crate) struct Logging {
    reload: Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>,
    file: Arc<OnceLock<LogFile>>,
}

impl fmt::Debug for Logging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logging").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Starts logging as `--log` and `--log-format` say. Called once, first thing.
pub(crate) fn start(settings: &Settings) -> Result<Logging, LogLevelError> {
    let filter = EnvFilter::builder()
        .parse(&settings.log)
        .map_err(|reason| LogLevelError { level: settings.log.clone(), reason })?;
    let file = Arc::new(OnceLock::new());
    let writer = Writer { file: Arc::clone(&file) };
    let lines = lines().with_env_filter(filter).with_writer(writer).with_ansi(io::stderr().is_terminal());
    let reload: Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync> = match settings.log_format {
        LogFormat::Text => {
            let lines = lines.with_filter_reloading();
            let handle = lines.reload_handle();
            lines.finish().init();
            Box::new(move |filter| handle.reload(filter).map_err(|e| e.to_string()))
        }
        LogFormat::Json => {
            let lines = lines.json().with_filter_reloading();
            let handle = lines.reload_handle();
            lines.finish().init();
            Box::new(move |filter| handle.reload(filter).map_err(|e| e.to_string()))
        }
    };
    abort_on_panic();
    Ok(Logging { reload, file })
}

impl Logging {
    /// From now on the lines are kept in the data directory, too.
    pub(crate) fn keep_in(&self, data_dir: &Path) -> io::Result<()> {
        let logs = data_dir.join("logs");
        std::fs::create_dir_all(&logs)?;
        let log = LogFile::open(logs.join("basalt.log"), MAX_BYTES)?;
        if self.file.set(log).is_err() {
            tracing::warn!("the log is kept already");
        }
        Ok(())
    }
}

impl LogFilter for Logging {
    fn check(&self, level: &str) -> Result<(), String> {
        EnvFilter::builder().parse(level).map(drop).map_err(|e| e.to_string())
    }

    fn set(&self, level: &str) -> Result<(), String> {
        let filter = EnvFilter::builder().parse(level).map_err(|e| e.to_string())?;
        (self.reload)(filter)
    }
}

/// Writes to standard error and, once there is one, to the file.
#[derive(Debug, Clone)]
struct Writer {
    file: Arc<OnceLock<LogFile>>,
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Writer {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if let Some(file) = self.file.get()
            && let Err(error) = file.append(text)
        {
            // A full disk must not end logging where somebody may still read it.
            drop(writeln!(io::stderr(), "the log file could not be written: {error}"));
        }
        io::stderr().write_all(text)?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Of the file, before its older half goes.
const MAX_BYTES: u64 = 8 << 20;

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
