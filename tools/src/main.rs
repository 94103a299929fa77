//! `basalt`: the storage node (`basalt serve`) and its command line in one program.
#![forbid(unsafe_code)]

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

mod cli;
mod serve;
mod size;

/// Where `serve` keeps its state and where every other command looks for the server.
const DEFAULT_DATA_DIR: &str = "./basalt-data";

/// In the data directory: where the API of a running server is, for the other commands.
const API_URL_FILE: &str = "api-url";

/// Basalt, an NVMe/TCP storage node.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
struct Arguments {
    /// The directory of `basalt serve`: its state and credentials [default: ./basalt-data]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    client: cli::ClientArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the storage node until SIGTERM or SIGINT
    Serve(Box<serve::ServeArguments>),
    /// Read a copy of the metadata, as an update asks of a new program
    #[command(hide = true)]
    SelfCheck { store: PathBuf },
    #[command(flatten)]
    Cli(cli::CliCommand),
}

fn main() -> ExitCode {
    // Before anything that makes a TLS configuration: rustls takes the process's provider from here.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        unreachable!("nothing before this line installs a provider");
    }
    let arguments = Arguments::parse();
    match arguments.command {
        Command::Serve(serve) => serve::run(*serve, arguments.data_dir),
        Command::SelfCheck { store } => serve::self_check(&store),
        Command::Cli(command) => cli::run(command, arguments.client, arguments.data_dir),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{Command, CommandFactory};

    use super::*;

    /// An argument that has a global one's name gives it its value: `token revoke NAME` once logged in as NAME.
    #[test]
    fn no_argument_of_a_command_is_named_like_a_global_one() {
        fn check(command: &Command, global: &BTreeSet<String>) {
            for inner in command.get_subcommands() {
                let own = inner.get_arguments().map(|argument| argument.get_id().to_string());
                let taken: Vec<String> = own.filter(|id| global.contains(id)).collect();
                assert!(taken.is_empty(), "{}: {taken:?}", inner.get_name());
                check(inner, global);
            }
        }
        let command = Arguments::command();
        let global = command.get_arguments().filter(|argument| argument.is_global_set());
        let global = global.map(|argument| argument.get_id().to_string()).collect();
        check(&command, &global);
        Arguments::command().debug_assert();
    }
}
