//! Whether what lies at a drive's place is the drive that is expected there. Asked before anything is changed on it.

use std::path::Path;

use uuid::Uuid;

use super::{DriveConfig, DriveIdentity, StartError};
use crate::engine::Probe;

/// A file that has gone, perhaps with its file system, is not made anew under the same name.
pub(super) fn check_presence(path: &Path, config: &DriveConfig) -> Result<(), StartError> {
    match config.identity {
        Some(known) if !config.format && !path.exists() => Err(StartError(format!(
            "{} does not exist, but drive {} was there before: is its file system mounted?{}",
            path.display(),
            known.uuid,
            accept(&path.display().to_string())
        ))),
        _ => Ok(()),
    }
}

/// Refuses another drive than the known one, an older copy of it, and a copy of one that is open already.
pub(super) fn check(
    found: &Probe,
    config: &DriveConfig,
    name: &str,
    taken: &[Uuid],
) -> Result<(), StartError> {
    if config.format {
        return Ok(());
    }
    if let Probe::Ours { uuid, .. } = found
        && taken.contains(uuid)
    {
        return Err(StartError(format!("{name} is the same drive as another one here: {uuid}")));
    }
    let Some(known) = config.identity else { return Ok(()) };
    match difference(found, known) {
        Some(difference) => Err(StartError(format!("{name} {difference}.{}", accept(name)))),
        None => Ok(()),
    }
}

/// What is wrong with it, as the rest of a sentence.
fn difference(found: &Probe, known: DriveIdentity) -> Option<String> {
    match found {
        Probe::Ours { uuid, .. } if *uuid != known.uuid => {
            Some(format!("holds drive {uuid}, but drive {} was there before", known.uuid))
        }
        Probe::Ours { uuid, sequence, .. } if *sequence < known.sequence => Some(format!(
            "holds an older copy of drive {uuid}: its checkpoint {sequence} is there, and this server has written \
             checkpoint {} already. What was written since is missing in it",
            known.sequence
        )),
        Probe::Blank => Some(format!("is blank, but drive {} was there before", known.uuid)),
        // Something foreign is refused in any case.
        Probe::Ours { .. } | Probe::Foreign(_) => None,
    }
}

fn accept(name: &str) -> String {
    format!(" Bring the right one back, or start with --accept-drive {name} to go on with what is there")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::DriveMedium;

    #[test]
    fn only_the_known_drive_not_older_than_known() {
        let ours = |uuid, sequence| Probe::Ours { uuid: Uuid::from_u128(uuid), size_bytes: 1, sequence };
        let known = Some(DriveIdentity { uuid: Uuid::from_u128(7), sequence: 5 });
        // (found, known, open already, refused with)
        let table = [
            (ours(7, 5), known, vec![], None),
            (ours(7, 6), known, vec![], None),
            (ours(7, 4), known, vec![], Some("older copy")),
            (ours(8, 9), known, vec![], Some("was there before")),
            (Probe::Blank, known, vec![], Some("is blank")),
            (Probe::Blank, None, vec![], None),
            (ours(8, 1), None, vec![], None),
            (ours(8, 1), None, vec![8], Some("same drive")),
        ];
        for (found, identity, taken, expected) in table {
            let medium = DriveMedium::Memory("m".into());
            let config = DriveConfig { identity, ..DriveConfig::new(medium) };
            let taken: Vec<_> = taken.into_iter().map(Uuid::from_u128).collect();
            let refused = check(&found, &config, "m", &taken).err().map(|StartError(text)| text);
            match expected {
                Some(part) => {
                    assert!(refused.as_deref().is_some_and(|text| text.contains(part)), "{refused:?}");
                }
                None => assert_eq!(refused, None, "{found:?}"),
            }
            let formatted = DriveConfig { format: true, ..config };
            assert!(check(&found, &formatted, "m", &taken).is_ok(), "it will be another one");
        }
    }
}
