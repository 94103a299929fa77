//! What the contract does not measure: drives, volumes, hosts and this server itself.

use std::collections::HashMap;

use dataplane::node::{DriveActivity, DriveState, Latencies, NodeUsage, SubsystemUsage};
use uuid::Uuid;

use super::{Scrape, text::Family};
use crate::syslog::Sender;

pub(super) async fn families(scrape: &Scrape<'_>) -> Vec<Family> {
    let mut families = drives(scrape);
    families.extend(volumes(scrape));
    let usages = usages(scrape).await;
    families.extend(volume_io(scrape, &usages));
    families.extend(drive_activity(&usages));
    families.extend(node(scrape, &usages).await);
    families.extend(syslog(scrape.app.syslog.servers()));
    families
}

fn drives(scrape: &Scrape<'_>) -> Vec<Family> {
    let mut online =
        Family::new("basalt_drive_online", "Whether a drive serves reads and writes: 1 yes, 0 no.");
    let mut failed = Family::new("basalt_drive_failed", "Whether a drive serves nothing: 1 yes, 0 no.");
    let mut capacity = Family::new("basalt_drive_capacity_bytes", "Bytes that a drive has for volumes.");
    let mut used = Family::new("basalt_drive_used_bytes", "Bytes of a drive that hold data.");
    let mut unreserved =
        Family::new("basalt_drive_unreserved_bytes", "Bytes of a drive that are promised to no volume.");
    let nodes = scrape.observed.nodes.iter();
    for (node, drive) in nodes.flat_map(|(id, node)| node.drives.iter().map(move |drive| (id, drive))) {
        let labels =
            || vec![("node", node.clone()), ("drive", drive.uuid.to_string()), ("name", drive.name.clone())];
        // A drive that is being emptied serves, too.
        let serves = matches!(drive.state, DriveState::Online | DriveState::Evacuating);
        online.sample(labels(), u64::from(serves));
        failed.sample(labels(), u64::from(matches!(drive.state, DriveState::Failed(_))));
        capacity.sample(labels(), drive.capacity_bytes);
        used.sample(labels(), drive.used_bytes);
        unreserved.sample(labels(), drive.unreserved_bytes);
    }
    vec![online, failed, capacity, used, unreserved]
}

fn volumes(scrape: &Scrape<'_>) -> Vec<Family> {
    let mut used = Family::new("basalt_volume_used_bytes", "Bytes that a volume holds for itself.");
    let mut shared = Family::new(
        "basalt_volume_shared_bytes",
        "Bytes that a volume shares with its snapshots and clones.",
    );
    let mut healthy =
        Family::new("basalt_volume_healthy", "Whether a volume takes reads and writes: 1 yes, 0 no.");
    for volume in &scrape.volumes {
        let labels = || vec![("uuid", volume.uuid.to_string()), ("alias", volume.alias.clone())];
        let copies = || volume.shown_replicas().filter_map(|r| scrape.observed.volumes.get(&r.uuid));
        if copies().next().is_none() {
            continue;
        }
        used.sample(labels(), copies().map(|copy| copy.used_bytes).sum());
        shared.sample(labels(), copies().map(|copy| copy.shared_bytes).sum());
        let is_healthy = copies().all(|copy| copy.complete && copy.state.trouble().is_none());
        healthy.sample(labels(), u64::from(is_healthy));
    }
    vec![used, shared, healthy]
}

/// A counter of what the hosts of a subsystem did.
struct Counted {
    name: &'static str,
    help: &'static str,
    of: fn(&SubsystemUsage) -> f64,
}

const COUNTED: [Counted; 7] = [
    Counted { name: "basalt_subsystem_reads_total", help: "Reads that were served.", of: |u| u.reads as f64 },
    Counted {
        name: "basalt_subsystem_writes_total",
        help: "Writes that were served.",
        of: |u| u.writes as f64,
    },
    Counted {
        name: "basalt_subsystem_read_bytes_total",
        help: "Bytes that were read.",
        of: |u| u.bytes_read as f64,
    },
    Counted {
        name: "basalt_subsystem_written_bytes_total",
        help: "Bytes that were written.",
        of: |u| u.bytes_written as f64,
    },
    Counted {
        name: "basalt_subsystem_busy_seconds_total",
        help: "Time in which queues had commands under way; each queue counts.",
        of: |u| u.busy_nanos as f64 / 1e9,
    },
    Counted {
        name: "basalt_subsystem_media_errors_total",
        help: "Commands that failed because a drive did, or stored bytes were wrong.",
        of: |u| u.media_errors as f64,
    },
    Counted {
        name: "basalt_subsystem_errors_total",
        help: "Commands that failed, however.",
        of: |u| u.errors as f64,
    },
];

/// What the nodes did, by persistentID.
async fn usages(scrape: &Scrape<'_>) -> Vec<(String, NodeUsage)> {
    let mut usages = Vec::new();
    for member in scrape.app.nodes.all() {
        // One that does not answer has nothing to say, and must not hold up the scrape a second time.
        if scrape.observed.is_available(&member.persistent_id)
            && let Ok(usage) = member.handle.usage().await
        {
            usages.push((member.persistent_id.clone(), usage));
        }
    }
    usages
}

/// Of volumes that hosts did anything with; each copy is on another node.
fn volume_io(scrape: &Scrape<'_>, usages: &[(String, NodeUsage)]) -> Vec<Family> {
    let mut reads = Family::histogram("basalt_volume_read_seconds", "How long reads of a volume took.");
    let mut writes = Family::histogram("basalt_volume_write_seconds", "How long writes of a volume took.");
    let mut depth =
        Family::new("basalt_volume_queue_depth", "Commands of a volume that are not answered yet.");
    let mut bytes_read =
        Family::counter("basalt_volume_read_bytes_total", "Bytes that were read from a volume.");
    let mut bytes_written =
        Family::counter("basalt_volume_written_bytes_total", "Bytes that were written to a volume.");
    let bounds = Latencies::bounds_nanos().map(|nanos| nanos as f64 / 1e9);
    let copies = scrape.volumes.iter().flat_map(|v| v.shown_replicas().map(move |r| (r.uuid, v)));
    let copies: HashMap<Uuid, _> = copies.collect();
    for (node, usage) in usages {
        for (copy, io) in &usage.volumes {
            let Some(volume) = copies.get(copy) else { continue };
            let labels = vec![
                ("node", node.clone()),
                ("uuid", volume.uuid.to_string()),
                ("alias", volume.alias.clone()),
            ];
            for (family, took) in [(&mut reads, &io.reads), (&mut writes, &io.writes)] {
                family.sample_buckets(&labels, &bounds, &took.buckets, took.sum_nanos as f64 / 1e9);
            }
            bytes_read.sample(labels.clone(), io.bytes_read);
            bytes_written.sample(labels.clone(), io.bytes_written);
            depth.sample(labels, io.under_way);
        }
    }
    vec![reads, writes, bytes_read, bytes_written, depth]
}

/// One figure of a drive's machinery.
struct Figure {
    family: fn(&'static str, &'static str) -> Family,
    name: &'static str,
    help: &'static str,
    of: fn(&DriveActivity) -> u64,
}

const FIGURES: [Figure; 8] = [
    Figure {
        family: Family::new,
        name: "basalt_drive_journal_bytes",
        help: "Size of a drive's journal.",
        of: |a| a.journal_bytes,
    },
    Figure {
        family: Family::new,
        name: "basalt_drive_journal_used_bytes",
        help: "Bytes of the journal that a start would replay.",
        of: |a| a.journal_used_bytes,
    },
    Figure {
        family: Family::counter,
        name: "basalt_drive_journal_groups_total",
        help: "Groups of changes that were written to the journal.",
        of: |a| a.journal_groups,
    },
    Figure {
        family: Family::counter,
        name: "basalt_drive_checkpoints_total",
        help: "Checkpoints that were written.",
        of: |a| a.checkpoints,
    },
    Figure {
        family: Family::new,
        name: "basalt_drive_map_memory_bytes",
        help: "Memory for map pages.",
        of: |a| a.map_memory_bytes,
    },
    Figure {
        family: Family::new,
        name: "basalt_drive_map_resident_bytes",
        help: "Memory that holds map pages.",
        of: |a| a.map_resident_bytes,
    },
    Figure {
        family: Family::counter,
        name: "basalt_drive_map_page_reads_total",
        help: "Metadata pages that were read because they were not in memory.",
        of: |a| a.map_page_reads,
    },
    Figure {
        family: Family::counter,
        name: "basalt_drive_merged_extents_total",
        help: "Extents that deleted snapshots left to the layer above.",
        of: |a| a.merged_extents,
    },
];

/// Of drives of nodes that answer.
fn drive_activity(usages: &[(String, NodeUsage)]) -> Vec<Family> {
    let mut families = FIGURES.map(|Figure { family, name, help, .. }| family(name, help));
    for (node, usage) in usages {
        for (drive, activity) in &usage.drives {
            for (family, Figure { of, .. }) in families.iter_mut().zip(FIGURES) {
                family.sample(vec![("node", node.clone()), ("drive", drive.to_string())], of(activity));
            }
        }
    }
    families.into()
}

async fn node(scrape: &Scrape<'_>, usages: &[(String, NodeUsage)]) -> Vec<Family> {
    let mut counted = COUNTED.map(|Counted { name, help, .. }| Family::counter(name, help));
    let mut starts = Family::counter("basalt_node_starts_total", "Starts of a node since its first one.");
    let mut unclean = Family::counter(
        "basalt_node_unclean_starts_total",
        "Starts of a node that followed an end which was not a clean stop.",
    );
    for (node, usage) in usages {
        let node = ("node", node.clone());
        for (nqn, used) in &usage.subsystems {
            for (family, Counted { of, .. }) in counted.iter_mut().zip(COUNTED) {
                family.sample_real(vec![node.clone(), ("nqn", nqn.clone())], of(used));
            }
        }
        starts.sample(vec![node.clone()], usage.starts);
        unclean.sample(vec![node], usage.unclean_starts);
    }
    let mut connected = Family::new("basalt_controllers", "NVMe controllers that hosts have connected.");
    connected.sample(vec![], scrape.app.controllers().await.len() as u64);
    counted.into_iter().chain([connected, starts, unclean]).collect()
}

fn syslog(servers: &[Sender]) -> Vec<Family> {
    let mut connected =
        Family::new("basalt_syslog_connected", "Whether a syslog server can be reached: 1 yes, 0 no.");
    let mut sent = Family::counter("basalt_syslog_sent_total", "Messages that were sent to a syslog server.");
    let mut dropped =
        Family::counter("basalt_syslog_dropped_total", "Messages to a syslog server that were lost.");
    for server in servers {
        let labels = || vec![("server", server.url.to_string())];
        connected.sample(labels(), u64::from(server.is_connected()));
        sent.sample(labels(), server.sent());
        dropped.sample(labels(), server.dropped());
    }
    vec![connected, sent, dropped]
}
