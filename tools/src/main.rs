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
        Command::Cli(command) => cli::run(command, arguments.client, arguments.data_dir),
    }
}
