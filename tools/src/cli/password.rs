//! Passwords: typed unseen at a terminal, or the first line of standard input.

use std::io::{self, BufRead, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::error::CliError;

/// Never an argument: others on the machine see those.
pub(crate) fn read(whose: &str) -> Result<Zeroizing<String>, CliError> {
    let input = io::stdin();
    let mut line = Zeroizing::new(String::new());
    match input.is_terminal() {
        true => unseen(whose, || input.lock().read_line(&mut line))?,
        false => input.lock().read_line(&mut line),
    }
    .map_err(CliError::Input)?;
    match line.trim_end_matches(['\n', '\r']) {
        "" => Err(CliError::Usage("a password is needed: type it, or pipe it to standard input".to_owned())),
        password => Ok(Zeroizing::new(password.to_owned())),
    }
}

/// Asks on standard error, so that standard output holds the answer of the command alone.
fn unseen<T>(whose: &str, read: impl FnOnce() -> T) -> Result<T, CliError> {
    let input = io::stdin();
    let mode = || -> io::Result<_> {
        write!(io::stderr(), "password of {whose}: ")?;
        let before = tcgetattr(&input)?;
        let mut hidden = before.clone();
        hidden.local_modes -= LocalModes::ECHO;
        tcsetattr(&input, OptionalActions::Now, &hidden)?;
        Ok(before)
    };
    let before = mode().map_err(CliError::Input)?;
    let done = read();
    let shown = tcsetattr(&input, OptionalActions::Now, &before).map_err(io::Error::from);
    shown.and_then(|()| writeln!(io::stderr())).map_err(CliError::Input)?;
    Ok(done)
}
