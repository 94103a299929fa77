//! What a Linux host does with a volume, one file per theme.

mod attach;
mod authentication;
mod bad_input;
mod cinder;
mod commands;
mod conformance;
mod discovery;
mod evacuation;
mod filesystem;
mod fio;
mod full_drive;
mod idle;
mod kernel_target;
mod logs;
mod mirrored;
mod multipath;
mod power_cut;
mod process_death;
mod publish;
mod reservations;
mod restart;
mod scene;
mod smoke;
mod snapshot_deletion;
mod snapshots;
mod tls;
mod verified_load;
mod writers;

use std::path::Path;

use anyhow::Result;
use uuid::Uuid;

use crate::{
    initiator::{ConnectOptions, Initiator},
    lab::{Bootable, Lab},
    report::Report,
    server::{Server, ServerSpec},
    vm::Guest,
};

/// What a scenario works with.
#[derive(Debug, Clone, Copy)]
pub struct Stage<'a> {
    pub lab: &'a Lab,
    /// The machine that scenarios share.
    pub guest: &'a Guest,
    /// This scenario's own, empty at its start.
    pub directory: &'a Path,
}

/// A named scenario that shares one boot with others.
pub type Scenario = (&'static str, fn(Stage<'_>) -> Result<()>);

/// A named scenario whose machine loses power, so it boots its own.
pub type PowerScenario = (&'static str, fn(&Lab, &Bootable, &Path) -> Result<()>);

/// The whole of a host's life, in the order in which it runs.
pub const ALL: [Scenario; 39] = [
    ("harness_with_the_kernels_own_target", kernel_target::run),
    ("conformance_of_the_kernels_own_target", conformance::kernel_target),
    ("discover_connect_list_identify", attach::run),
    ("ext4_and_xfs_files", filesystem::files),
    ("fstrim_frees_space", filesystem::trim),
    ("online_expand", filesystem::expand),
    ("fio_verify_no_digests", fio::no_digests),
    ("fio_verify_header_digest", fio::header_digest),
    ("fio_verify_data_digest", fio::data_digest),
    ("fio_verify_both_digests", fio::both_digests),
    ("unpublished_host_is_refused", publish::stranger),
    ("unpublish_takes_the_namespace_away", publish::unpublish),
    ("bad_commands_are_refused", bad_input::commands),
    ("bad_pdus_end_their_connection_only", bad_input::pdus),
    ("discovery_stays_and_follows", discovery::persistent),
    ("discovery_connects_all", discovery::connect_all),
    ("nvme_cli_compares_verifies_copies_and_clears", commands::data),
    ("nvme_cli_reads_the_logs", logs::run),
    ("nvme_reset_under_load", logs::reset),
    ("snapshots_show_their_instant", snapshots::instant),
    ("clone_and_source_are_apart", snapshots::clone),
    ("snapshots_go_in_any_order_under_load", snapshot_deletion::run),
    ("drive_is_emptied_under_load", evacuation::run),
    ("cinder_attaches_by_its_connection_info", cinder::attach),
    ("host_mirrors_over_the_death_of_a_node", mirrored::run),
    ("restart_and_update_under_load", restart::run),
    ("authentication_lets_in_who_knows_the_secret", authentication::accepted),
    ("authentication_refuses_everybody_else", authentication::refused),
    ("authentication_anew_under_load", authentication::anew),
    ("tls_carries_files_over_a_death", tls::carries_files),
    ("tls_refuses_everybody_else", tls::refuses_others),
    ("reservations_keep_hosts_apart", reservations::run),
    ("paths_go_and_come_under_load", multipath::run),
    ("connections_are_cut_by_the_hundred", multipath::cuts),
    ("full_drive_fails_new_writes_only", full_drive::run),
    ("idle_costs_nothing", idle::run),
    ("process_death_loses_nothing", process_death::file),
    ("process_death_write_through", process_death::lossy_write_through),
    ("process_death_test_can_fail", process_death::late_records_are_noticed),
];

/// What an older kernel has to manage: what it has of the protocol's features, each by its own nvme-cli.
pub const OLDER: [Scenario; 11] = [
    ("harness_with_the_kernels_own_target", kernel_target::run),
    ("connect_mkfs_fio_disconnect", smoke::run),
    ("discover_connect_list_identify", attach::run),
    ("discovery_stays_and_follows", discovery::persistent),
    ("discovery_connects_all", discovery::connect_all),
    ("nvme_cli_compares_verifies_copies_and_clears", commands::data),
    ("nvme_cli_reads_the_logs", logs::run),
    ("nvme_reset_under_load", logs::reset),
    ("reservations_keep_hosts_apart", reservations::run),
    ("paths_go_and_come_under_load", multipath::run),
    ("connections_are_cut_by_the_hundred", multipath::cuts),
];

/// Scenarios with boots of their own.
pub const POWER: [PowerScenario; 2] = [
    ("power_cut_loses_nothing_flushed", power_cut::run),
    ("power_cut_test_can_fail", power_cut::no_flush_is_noticed),
];

/// Runs the scenarios whose names contain `filter` in one machine; each starts with nothing connected or
/// mounted, whatever the one before left behind.
pub fn run_shared(
    lab: &Lab,
    guest: &Guest,
    prefix: &str,
    scenarios: &[Scenario],
    report: &mut Report,
) -> Result<()> {
    for (name, scenario) in scenarios {
        let directory = lab.directory(&format!("{prefix}-{name}"))?;
        let stage = Stage { lab, guest, directory: &directory };
        report.scenario(&format!("{prefix}::{name}"), || scenario(stage));
        // A failed scenario's server is gone: drop every controller first, or unmounting would wait for it.
        guest.run(
            "cd /; nvme disconnect-all
            awk '$2 ~ \"^/mnt\" { print $2 }' /proc/mounts | while read -r path; do umount -f -l $path; done
            mdadm --stop --scan --quiet",
        )?;
    }
    Ok(())
}

/// A running server with hosts and volumes, as scenarios begin.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) server: Server,
}

/// A volume that a host has connected.
#[derive(Debug, Clone)]
pub(crate) struct Attached {
    pub(crate) volume: Uuid,
    pub(crate) nqn: String,
    /// `/dev/nvmeXnY` in the guest.
    pub(crate) device: String,
}

impl Site {
    pub(crate) fn open(lab: &Lab, directory: &Path) -> Result<Self> {
        Ok(Self { server: Server::start(ServerSpec::new(&lab.binary, directory)?)? })
    }

    /// With a drive that has room for what snapshots reserve: a GiB for each of a volume of one.
    pub(crate) fn open_for_snapshots(lab: &Lab, directory: &Path) -> Result<Self> {
        let spec = ServerSpec { drive_size: "32G", ..ServerSpec::new(&lab.binary, directory)? };
        Ok(Self { server: Server::start(spec)? })
    }

    /// Creates a volume of 1 GiB and publishes it to `host`.
    pub(crate) fn publish(&self, host: &Initiator<'_>, alias: &str, block_bytes: u32) -> Result<Uuid> {
        let api = self.server.api();
        let volume = api.create_volume(alias, 1, block_bytes)?;
        api.add_host(&host.identity)?;
        api.publish(volume, &host.identity)?;
        Ok(volume)
    }

    /// Connects `host` to the subsystem of a published volume, unless it is connected, and finds the disk.
    pub(crate) fn connect(
        &self,
        host: &Initiator<'_>,
        volume: Uuid,
        options: ConnectOptions,
    ) -> Result<Attached> {
        let api = self.server.api();
        let nqn = api.target_nqn(volume, &host.identity)?;
        if !host.is_connected(&nqn)? {
            host.connect(self.server.portal(), &nqn, options)?;
        }
        let device = host.device(api.namespace_uuid(volume)?)?;
        Ok(Attached { volume, nqn, device })
    }

    /// Publishes a volume that is there to a host that is known, and finds its disk.
    pub(crate) fn reach(&self, host: &Initiator<'_>, volume: Uuid) -> Result<Attached> {
        self.server.api().publish(volume, &host.identity)?;
        self.connect(host, volume, ConnectOptions::default())
    }

    /// [`Self::publish`] and [`Self::connect`].
    pub(crate) fn attach(
        &self,
        host: &Initiator<'_>,
        alias: &str,
        block_bytes: u32,
        options: ConnectOptions,
    ) -> Result<Attached> {
        let volume = self.publish(host, alias, block_bytes)?;
        self.connect(host, volume, options)
    }
}
