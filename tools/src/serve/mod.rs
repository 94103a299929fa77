//! `basalt serve`: the data plane and the control plane in one process, from the flags to a clean end.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use control::{AdminConfig, ControlConfig, ControlError, ControlServer, KnownDrives, UsageFile, Written};
use dataplane::node::{Node, StartError};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::{
    data_dir::{DataDir, DataDirError},
    flags::{ConfigFileError, ServeFlags},
    logging::LogLevelError,
    ready::Ready,
    role::{NodeSettings, Role},
    settings::{Settings, SettingsError},
};

mod admin_flags;
mod controller_ids;
mod data_dir;
mod drive_flag;
mod flags;
mod logging;
mod portal_flag;
mod ready;
mod restart;
mod role;
mod settings;
mod storage_flags;
mod trial;

pub(crate) use self::drive_flag::DriveFlag;

#[derive(Debug, clap::Args)]
pub(crate) struct ServeArguments {
    /// A TOML file that says the same as these flags; a flag given here wins
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: ServeFlags,
}

/// Why the server could not start, or not end cleanly. Each text names the flag or file and the reason.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(transparent)]
    ConfigFile(#[from] ConfigFileError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Log(#[from] LogLevelError),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Node(#[from] StartError),
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A mistyped device must not become a file among the devices.
    #[error("--drive {}: there is no such device", .0.display())]
    NoDevice(PathBuf),
    #[error("the program cannot be started again: {0}")]
    Restart(io::Error),
    #[error("{0}")]
    System(#[from] io::Error),
}

/// Runs until SIGTERM or SIGINT: exit code 0. 1: could not start. 2: wrong flags.
pub(crate) fn run(arguments: ServeArguments, data_dir: Option<PathBuf>) -> ExitCode {
    let outcome = settings(arguments, data_dir).and_then(|settings| {
        if let Some(ended) = restart::hand_over(&settings.data_dir, settings.admin.release_limit())? {
            return Ok(ended);
        }
        match serve(settings)? {
            End::Stop => Ok(ExitCode::SUCCESS),
            End::Restart => Err(ServeError::Restart(restart::restart())),
        }
    });
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("basalt: {error}");
            let wrong_flags =
                matches!(error, ServeError::ConfigFile(_) | ServeError::Settings(_) | ServeError::Log(_));
            ExitCode::from(if wrong_flags { 2 } else { 1 })
        }
    }
}

fn settings(arguments: ServeArguments, data_dir: Option<PathBuf>) -> Result<Settings, ServeError> {
    let flags = ServeFlags { data_dir, ..arguments.flags };
    let file = match &arguments.config {
        Some(path) => ServeFlags::from_file(path)?,
        None => ServeFlags::default(),
    };
    Ok(Settings::resolve(flags.or(file))?)
}

/// What comes after a clean end.
enum End {
    Stop,
    Restart,
}

/// `basalt self-check`: exit code 0 where this program can read the metadata.
pub(crate) fn self_check(store: &Path) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let checked = runtime
        .map_err(ServeError::System)
        .and_then(|runtime| runtime.block_on(control::self_check(store)).map_err(ServeError::Control));
    match checked {
        Ok(()) => {
            tell(&format!("basalt {}\n", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("basalt: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(mut settings: Settings) -> Result<End, ServeError> {
    let logging = Arc::new(logging::start(&settings)?);
    if let Some(path) = settings.missing_device() {
        return Err(ServeError::NoDevice(path.to_owned()));
    }
    let node_id = control::node_id(&settings.data_dir)?;
    let data_dir = DataDir::lock(&settings.data_dir)?;
    logging.keep_in(&settings.data_dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()?;
    // The handlers come first: a signal during a long recovery shall end in order too.
    let stop = runtime.block_on(async { Stop::new() })?;
    if let Some(ip) = runtime.block_on(control::configured_address(&settings.data_dir))? {
        settings.listen_on(ip);
    }
    let control = ControlConfig {
        admin: AdminConfig { storage_helpers: settings.storage.helpers(), ..settings.admin.to_config()? },
        log_filter: Some(logging),
        ..settings.control_config()
    };
    if settings.role == Role::Provisioner {
        return runtime.block_on(run_provisioner(&settings, control, &data_dir, stop));
    }
    // The control plane lets hosts in, once what was published is exported again.
    let known = KnownDrives::load(&settings.data_dir)?;
    let usage_file = UsageFile::of(&settings.data_dir);
    let past = usage_file.read()?.begin();
    let node = Node::start_closed(settings.node_config(node_id, &known)?)?;
    node.restore_usage(past);
    usage_file.write(&runtime.block_on(node.usage()), Written::Running)?;
    match &settings.role {
        Role::Node(alone) => runtime.block_on(run_alone(&settings, alone, node, stop)),
        Role::Both | Role::Provisioner => {
            runtime.block_on(run_node(&settings, control, &data_dir, node, stop))
        }
    }
}

/// A provisioner whose nodes are elsewhere.
async fn run_provisioner(
    settings: &Settings,
    config: ControlConfig,
    data_dir: &DataDir,
    mut stop: Stop,
) -> Result<End, ServeError> {
    data_dir.write_api_url(settings.api[0])?;
    let control = control::serve(config, None).await?;
    let api = control.listeners();
    data_dir.write_api_url(api[0])?;
    let program = program();
    let ready = Ready {
        data_dir: &settings.data_dir,
        has_setup_token: data_dir.has_setup_token(),
        api,
        portals: &[],
        discovery: &[],
        drives: &[],
        program: &program,
    };
    control::release_is_ready(&settings.data_dir)?;
    tell(&ready.provisioner_lines());
    let after = until_end(&mut stop, &control).await;
    tokio::select! {
        () = control.shutdown() => tracing::info!("stopped"),
        signal = stop.received() => {
            tracing::warn!(signal, "not waiting for a clean end");
            std::process::exit(1);
        }
    }
    Ok(after)
}

/// Waits for a signal, or for a restart that was asked for.
async fn until_end(stop: &mut Stop, control: &ControlServer) -> End {
    tokio::select! {
        signal = stop.received() => {
            tracing::info!(signal, "stopping");
            End::Stop
        }
        () = control.restart_wanted() => {
            tracing::info!("restarting");
            End::Restart
        }
    }
}

/// How this program was started.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "basalt".to_owned())
}

/// A node whose provisioner is elsewhere.
async fn run_alone(
    settings: &Settings,
    alone: &NodeSettings,
    node: Node,
    mut stop: Stop,
) -> Result<End, ServeError> {
    let server = control::serve_node(alone.role(settings), node.clone()).await?;
    tell(&format!("basalt {} is ready\n  node API     {}\n", env!("CARGO_PKG_VERSION"), server.address()));
    let signal = stop.received().await;
    tracing::info!(signal, "stopping");
    let end = async {
        server.shutdown().await;
        node.shutdown().await;
    };
    end_by(settings, &node, end, stop).await?;
    Ok(End::Stop)
}

async fn run_node(
    settings: &Settings,
    config: ControlConfig,
    data_dir: &DataDir,
    node: Node,
    mut stop: Stop,
) -> Result<End, ServeError> {
    // Every file is there before the API answers; only a port that the kernel chooses is known no sooner.
    data_dir.write_api_url(settings.api[0])?;
    let control = control::serve(config, node.clone()).await?;
    let api = control.listeners();
    data_dir.write_api_url(api[0])?;
    let ready = Ready {
        data_dir: &settings.data_dir,
        has_setup_token: data_dir.has_setup_token(),
        api,
        portals: &node.portals(),
        discovery: &node.discovery_portals(),
        drives: &node.drives().await,
        program: &program(),
    };
    control::release_is_ready(&settings.data_dir)?;
    tell(&ready.lines());
    let after = until_end(&mut stop, &control).await;
    let end = async {
        control.shutdown().await;
        node.shutdown().await;
    };
    end_by(settings, &node, end, stop).await?;
    Ok(after)
}

/// Waits for the clean end, or for a second signal.
async fn end_by(
    settings: &Settings,
    node: &Node,
    end: impl Future<Output = ()>,
    mut stop: Stop,
) -> Result<(), ServeError> {
    tokio::select! {
        () = end => {
            // The checkpoints of the end, which nobody looked at any more.
            KnownDrives::load(&settings.data_dir)?.see(&node.drives().await)?;
            UsageFile::of(&settings.data_dir).write(&node.usage().await, Written::AtTheEnd)?;
            tracing::info!("stopped");
        }
        signal = stop.received() => {
            // As killed: the next start replays what was not written down yet.
            tracing::warn!(signal, "not waiting for a clean end");
            std::process::exit(1);
        }
    }
    Ok(())
}

/// Prints for a person; one who looks away misses nothing that the log and the files do not say.
fn tell(text: &str) {
    drop(io::stdout().lock().write_all(text.as_bytes()));
}

/// SIGTERM and SIGINT: the first asks for a clean end, a second one for an end.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The name of the next signal that came.
    async fn received(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// The control plane mostly waits; the data plane has the other cores to itself.
const CONTROL_THREADS: usize = 2;
