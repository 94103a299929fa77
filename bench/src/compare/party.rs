//! Who is measured.

use std::{
    env,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};

use super::{Options, loads::Load};
use crate::{
    measured::Measured,
    pin::pin,
    run::{self, Target},
    target,
};

/// One who answers loads.
pub(super) struct Party {
    pub(super) name: String,
    kind: Kind,
}

enum Kind {
    Ceiling,
    Target {
        target: Target,
        /// The process that serves it, if we started it.
        _served: Option<Served>,
    },
}

/// A `bench target` in a process of its own; it ends with this, whose drop closes its standard input.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It ends by itself then; how, makes no difference to what was measured.
        let _ = self.0.wait();
    }
}

impl Party {
    /// The ceiling first. Every volume is written once, so that reads are of something and writes are overwrites.
    pub(super) fn all(options: &Options) -> Result<Vec<Self>> {
        let mut parties = vec![Self { name: "ceiling".to_owned(), kind: Kind::Ceiling }];
        parties.push(Self::served("ours", &env::current_exe()?, options)?);
        if let Some(before) = &options.before {
            parties.push(Self::served("before", before, options)?);
        }
        for other in &options.other {
            let kind = Kind::Target { target: other.target.clone(), _served: None };
            parties.push(Self { name: other.name.clone(), kind });
        }
        pin([load_cpu(options)])?;
        for party in &parties {
            party.fill(options).with_context(|| party.name.clone())?;
        }
        Ok(parties)
    }

    fn served(name: &str, program: &Path, options: &Options) -> Result<Self> {
        pin(server_cpus(options))?;
        let mut child = Command::new(program)
            .args(["target", "--drive", &format!("{}", options.drive)])
            .args(["--volume", &format!("{}M", options.volume.0 >> 20)])
            .args(["--cores", &options.cores.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| program.display().to_string())?;
        let pid = child.id();
        let output = child.stdout.take().context("its output is piped")?;
        let served = Served(child);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address: SocketAddr =
            line.trim().parse().with_context(|| format!("{name}: it printed {line:?}, no address"))?;
        let kind = Kind::Target { target: target::at(address, pid), _served: Some(served) };
        Ok(Self { name: name.to_owned(), kind })
    }

    fn fill(&self, options: &Options) -> Result<()> {
        let Kind::Target { target, .. } = &self.kind else { return Ok(()) };
        let any = super::LOADS[0].0;
        let fill = run::Options { fill: true, ..run::Options::new(target.clone(), any, 0.01) };
        pin([load_cpu(options)])?;
        run::report(&fill).map(drop)
    }

    /// One load, once.
    pub(super) fn measure(&self, load: &Load, options: &Options) -> Result<Measured> {
        match &self.kind {
            Kind::Ceiling => load.ceiling(options.time).measure(server_cpus(options), load_cpu(options)),
            Kind::Target { target, .. } => {
                pin([load_cpu(options)])?;
                let run = run::Options::new(target.clone(), load.0, options.time);
                let report = run::report(&run).with_context(|| format!("{}: {}", self.name, load.text()))?;
                Ok(Measured::from(&report))
            }
        }
    }
}

fn server_cpus(options: &Options) -> std::ops::Range<usize> {
    options.cpu..options.cpu + usize::from(options.cores)
}

fn load_cpu(options: &Options) -> usize {
    options.cpu + usize::from(options.cores)
}
