//! `basalt drive check` and `basalt drive dump`: what a drive holds, and whether it holds together.

use std::path::Path;

use dataplane::{
    engine::{CheckReport, Dump, GroupDump, MapRange, SuperblockDump},
    offline,
};
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    client::Client,
    error::CliError,
    report::{Report, table},
    resolve,
};
use crate::size::ByteSize;

/// `POST drives/{id}:check`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Findings {
    layers: u64,
    owned_extents: u64,
    metadata_extents: u64,
    problems: Vec<String>,
    /// Nothing changed during the walk.
    exact: bool,
}

/// Of a running server's drive.
pub(super) async fn check_live(client: &mut Client, text: &str) -> Result<Report, CliError> {
    let drive = resolve::drive(client, text).await?;
    let path = format!("/basalt/v1/drives/{}:check", drive.id);
    let json = client.call(Method::POST, &path, Some(json!({}))).await?;
    let findings: Findings = client.parse(json.clone())?;
    Ok(report(&drive.name, &findings, json))
}

/// Of a drive that no server has open.
pub(super) fn check_offline(path: &Path) -> Result<Report, CliError> {
    let CheckReport { layers, owned_extents, metadata_extents, problems, exact } =
        offline::check(path).map_err(|error| CliError::offline(path, error))?;
    let json = json!({
        "layers": layers,
        "ownedExtents": owned_extents,
        "metadataExtents": metadata_extents,
        "problems": problems,
        "exact": exact,
    });
    let findings = Findings { layers: layers as u64, owned_extents, metadata_extents, problems, exact };
    Ok(report(&path.display().to_string(), &findings, json))
}

fn report(name: &str, findings: &Findings, json: Value) -> Report {
    let Findings { layers, owned_extents, metadata_extents, problems, exact } = findings;
    let mut text = format!(
        "{name}: {layers} layers own {owned_extents} extents of 64 KiB, {metadata_extents} more hold metadata\n"
    );
    text.extend(problems.iter().map(|problem| format!("problem: {problem}\n")));
    if !exact {
        text += "it was changed meanwhile: problems may be none; check again when less is written\n";
    }
    if problems.is_empty() {
        text += "every extent has one owner, every counter and checksum is right\n";
    }
    Report::new(text, json).with_problems(!problems.is_empty())
}

/// For a person to read.
pub(super) fn dump(path: &Path, volume: Option<Uuid>) -> Result<Report, CliError> {
    let (dump, map) = offline::dump(path, volume).map_err(|error| CliError::offline(path, error))?;
    let mut text = superblocks(&dump.superblocks);
    for (slot, mark) in dump.flush_marks.iter().enumerate() {
        let says =
            mark.map_or("nothing".to_owned(), |sequence| format!("groups up to {sequence} are flushed"));
        text += &format!("flush mark slot {slot}: {says}\n");
    }
    text += &format!("\n{}", journal(&dump));
    text += &format!("\n{}", catalogue(&dump));
    if volume.is_some() {
        text += &format!("\n{}", ranges(&map));
    }
    Ok(Report::new(text, json_of(&dump, volume.map(|_| map.as_slice()))))
}

fn superblocks(superblocks: &[SuperblockDump]) -> String {
    let rows = superblocks.iter().map(|superblock| {
        [
            superblock.slot.to_string(),
            superblock.sequence.to_string(),
            superblock.cut_sequence.to_string(),
            ByteSize(superblock.size_bytes).to_string(),
            format!("{}+{}", superblock.journal.0, superblock.journal.1),
            format!("{}..{}", superblock.pool.0, superblock.pool.1),
            superblock.metadata_extents.to_string(),
            superblock.drive.to_string(),
        ]
    });
    table(["SUPERBLOCK", "SEQUENCE", "CUT", "SIZE", "JOURNAL", "POOL", "METADATA", "DRIVE"], rows)
}

fn journal(dump: &Dump) -> String {
    let rows = dump.groups.iter().map(|group| {
        let sections = group.sections.iter().map(|section| match section.layer {
            0 => format!("{} {}", section.kind, section.length_bytes),
            layer => format!("{} of {layer} {}", section.kind, section.length_bytes),
        });
        [
            group.sequence.to_string(),
            group.position_bytes.to_string(),
            group.length_bytes.to_string(),
            sections.collect::<Vec<_>>().join(", "),
            group.boot.to_string(),
        ]
    });
    let mut text = table(["GROUP", "POSITION", "BYTES", "SECTIONS (BYTES)", "BOOT"], rows);
    text.extend(dump.journal_problems.iter().map(|problem| format!("problem: {problem}\n")));
    text
}

fn catalogue(dump: &Dump) -> String {
    let layers = dump.layers.iter().map(|layer| {
        let parent = layer.parent.map_or("-".to_owned(), |parent| parent.to_string());
        [layer.layer.to_string(), parent, layer.extents.to_string()]
    });
    let volumes = dump.volumes.iter().map(|volume| {
        [
            volume.uuid.to_string(),
            volume.kind.to_owned(),
            if volume.parts > 0 {
                format!("{} of {}", volume.part, volume.parts)
            } else {
                volume.part.to_string()
            },
            ByteSize(volume.size_bytes).to_string(),
            volume.block_bytes.to_string(),
            volume.reserved_extents.to_string(),
            volume.head.to_string(),
        ]
    });
    format!(
        "{} extents used by layers, {} hold metadata\n{}\n{}",
        dump.used_extents,
        dump.metadata_extents,
        table(["LAYER", "ON", "EXTENTS"], layers),
        table(["VOLUME", "KIND", "PART", "SIZE", "BLOCK", "RESERVED", "HEAD"], volumes)
    )
}

fn ranges(map: &[MapRange]) -> String {
    let rows = map.iter().map(|range| {
        let place = range.drive_offset_bytes.map_or("zeros".to_owned(), |offset| offset.to_string());
        let [offset, length] = [range.offset_bytes, range.length_bytes].map(|bytes| bytes.to_string());
        [range.part.to_string(), offset, length, place, range.layer.to_string()]
    });
    table(["PART", "OFFSET", "BYTES", "ON THE DRIVE", "LAYER"], rows)
}

fn json_of(dump: &Dump, map: Option<&[MapRange]>) -> Value {
    let superblock = |superblock: &SuperblockDump| {
        json!({
            "slot": superblock.slot,
            "drive": superblock.drive,
            "sequence": superblock.sequence,
            "cutSequence": superblock.cut_sequence,
            "sizeBytes": superblock.size_bytes,
            "journalExtents": [superblock.journal.0, superblock.journal.0 + superblock.journal.1],
            "poolExtents": [superblock.pool.0, superblock.pool.1],
            "metadataExtents": superblock.metadata_extents,
            "catalogueBytes": superblock.catalogue_bytes,
        })
    };
    let group = |group: &GroupDump| {
        let sections = group.sections.iter().map(|section| {
            json!({ "kind": section.kind, "layer": section.layer, "lengthBytes": section.length_bytes })
        });
        json!({
            "sequence": group.sequence,
            "positionBytes": group.position_bytes,
            "lengthBytes": group.length_bytes,
            "boot": group.boot,
            "sections": sections.collect::<Vec<_>>(),
        })
    };
    let layers = dump
        .layers
        .iter()
        .map(|layer| json!({ "layer": layer.layer, "parent": layer.parent, "extents": layer.extents }));
    let volumes = dump.volumes.iter().map(|volume| {
        json!({
            "uuid": volume.uuid,
            "kind": volume.kind,
            "part": volume.part,
            "parts": volume.parts,
            "sizeBytes": volume.size_bytes,
            "blockBytes": volume.block_bytes,
            "reservedExtents": volume.reserved_extents,
            "head": volume.head,
        })
    });
    let map = map.map(|map| map.iter().map(range_json).collect::<Vec<_>>());
    json!({
        "superblocks": dump.superblocks.iter().map(superblock).collect::<Vec<_>>(),
        "flushMarks": dump.flush_marks,
        "groups": dump.groups.iter().map(group).collect::<Vec<_>>(),
        "journalProblems": dump.journal_problems,
        "layers": layers.collect::<Vec<_>>(),
        "volumes": volumes.collect::<Vec<_>>(),
        "usedExtents": dump.used_extents,
        "metadataExtents": dump.metadata_extents,
        "map": map,
    })
}

fn range_json(range: &MapRange) -> Value {
    json!({
        "part": range.part,
        "offsetBytes": range.offset_bytes,
        "lengthBytes": range.length_bytes,
        "layer": range.layer,
        "driveOffsetBytes": range.drive_offset_bytes,
    })
}
