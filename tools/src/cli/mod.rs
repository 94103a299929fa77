//! The command line: each command is one or a few calls of the REST API.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Subcommand};

use self::{client::Client, error::CliError, report::Report, server::ServerOptions};

mod auth_server;
mod client;
mod conformance;
mod drive;
mod drive_inspect;
mod error;
mod events;
mod file;
mod host;
mod host_secret;
mod host_tls_key;
mod inventory;
mod license;
mod login;
mod model;
mod node;
mod node_drain;
mod password;
mod placement;
mod publish;
mod replica;
mod report;
mod resolve;
pub(crate) mod server;
mod snapshot;
mod status;
mod task;
mod tenant;
mod timestamp;
mod tls;
mod token;
mod user;
mod user_token;
mod volume;
mod volume_arguments;
mod volume_path;

#[derive(Debug, Args)]
pub(crate) struct ClientArguments {
    #[command(flatten)]
    server: ServerOptions,
    /// Print JSON for scripts
    #[arg(long, global = true)]
    json: bool,
    /// Act for this tenant: its name, id or the beginning of its id [default: the tenant `default`]
    #[arg(long, global = true, value_name = "TENANT")]
    tenant: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CliCommand {
    /// Create, list, show, expand and delete volumes
    #[command(subcommand)]
    Volume(volume::VolumeCommand),
    /// Add, remove and judge the copies of a volume that its host mirrors
    #[command(subcommand)]
    Replica(replica::ReplicaCommand),
    /// Take, list and delete snapshots, and make volumes of them
    #[command(subcommand)]
    Snapshot(snapshot::SnapshotCommand),
    /// Add, list and delete hosts
    #[command(subcommand)]
    Host(host::HostCommand),
    /// Attach a volume to a host, and print what to run there
    Publish(publish::PublishArguments),
    /// Detach a volume from a host
    Unpublish(publish::UnpublishArguments),
    /// The node, its drives, volumes and hosts, and what to do next
    Status,
    /// What happened: changes, drives that fail, a pool that is getting full
    Events(events::EventsArguments),
    /// List, add, grow, remove and check drives, and look into them
    #[command(subcommand)]
    Drive(drive::DriveCommand),
    /// What the server and the hosts' agents are doing or have done
    #[command(subcommand)]
    Task(task::TaskCommand),
    /// List storage nodes and invite more
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// Make, list, change and delete tenants, who share the pool by budgets
    #[command(subcommand)]
    Tenant(tenant::TenantCommand),
    /// Where a volume would lie, and why not elsewhere
    #[command(subcommand)]
    Placement(placement::PlacementCommand),
    /// Issue, list and revoke tokens, and replace the administrator's
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Log in and print a token that speaks for the user: export BASALT_TOKEN=$(basalt login USER)
    Login(login::LoginArguments),
    /// Make, list and delete users, say what they may do, and make tokens for them
    #[command(subcommand)]
    User(user::UserCommand),
    /// Show, set and clear the authorization server whose tokens count here
    #[command(subcommand)]
    AuthServer(auth_server::AuthServerCommand),
    /// Which storage nodes there were when
    #[command(subcommand)]
    Inventory(inventory::InventoryCommand),
    /// Show and install the license
    #[command(subcommand, visible_alias = "licence")]
    License(license::LicenseCommand),
    /// Judge any NVMe/TCP target by the specifications; exits 1 if a check fails, 2 if none could be run
    Conformance(Box<conformance::ConformanceArguments>),
}

/// Runs one command, prints its report and turns its error into an exit code.
pub(crate) fn run(command: CliCommand, arguments: ClientArguments, data_dir: Option<PathBuf>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&CliError::Runtime(error), arguments.json),
    };
    let json = arguments.json;
    match runtime.block_on(execute(command, arguments, data_dir)) {
        Ok(report) => print(&report, json),
        Err(error) => fail(&error, json),
    }
}

async fn execute(
    command: CliCommand,
    arguments: ClientArguments,
    data_dir: Option<PathBuf>,
) -> Result<Report, CliError> {
    if let CliCommand::Drive(command) = &command
        && let Some(report) = command.run_offline()
    {
        return report;
    }
    let command = match command {
        CliCommand::Conformance(arguments) => return conformance::run(*arguments),
        command => command,
    };
    let client = &mut Client::connect(arguments.server.find(data_dir)?).await?;
    if let Some(text) = &arguments.tenant {
        let tenant = resolve::tenant(client, text).await?;
        client.act_for(tenant.tenant_id);
    }
    match command {
        CliCommand::Volume(command) => volume::run(client, command).await,
        CliCommand::Replica(command) => replica::run(client, command).await,
        CliCommand::Snapshot(command) => snapshot::run(client, command).await,
        CliCommand::Host(command) => host::run(client, command).await,
        CliCommand::Publish(arguments) => publish::publish(client, arguments).await,
        CliCommand::Unpublish(arguments) => publish::unpublish(client, arguments).await,
        CliCommand::Status => status::run(client).await,
        CliCommand::Events(following) => events::run(client, following, arguments.json).await,
        CliCommand::Drive(command) => drive::run(client, command).await,
        CliCommand::Task(command) => task::run(client, command).await,
        CliCommand::Tenant(command) => tenant::run(client, command).await,
        CliCommand::Placement(command) => placement::run(client, command).await,
        CliCommand::Node(command) => node::run(client, command).await,
        CliCommand::Token(command) => token::run(client, command).await,
        CliCommand::Login(arguments) => login::run(client, arguments).await,
        CliCommand::User(command) => user::run(client, command).await,
        CliCommand::AuthServer(command) => auth_server::run(client, command).await,
        CliCommand::Inventory(command) => inventory::run(client, command).await,
        CliCommand::License(command) => license::run(client, command).await,
        CliCommand::Conformance(_) => unreachable!("it needs no server and was run above"),
    }
}

/// A reader that went away (`basalt volume list | head -1`) is no failure of ours.
fn print(report: &Report, json: bool) -> ExitCode {
    let text = if json { format!("{:#}\n", report.json) } else { report.text.clone() };
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => fail(&CliError::Output(error), json),
        _ if report.has_problems => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

fn fail(error: &CliError, json: bool) -> ExitCode {
    if json {
        eprintln!("{}", serde_json::json!({ "code": error.code(), "message": error.to_string() }));
    } else {
        eprintln!("basalt: {error}");
    }
    ExitCode::from(error.exit_code())
}
