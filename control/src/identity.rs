//! The node's persistentID.

use std::path::Path;

use crate::{ControlError, files, random};

const FILE: &str = "persistent-id";

/// The persistentID of the node that keeps its state in `data_dir` (provisioner D66): a random locally
/// administered MAC, made at the first call. Creates the directory.
pub fn node_id(data_dir: &Path) -> Result<String, ControlError> {
    files::private_dir(data_dir)?;
    let path = data_dir.join(FILE);
    if let Some(text) = files::read_if_there(&path)? {
        let id = text.trim();
        return match is_mac(id) {
            true => Ok(id.to_owned()),
            false => Err(ControlError::bad_file(path, "holds no persistentID (02:xx:xx:xx:xx:xx)")),
        };
    }
    let [a, b, c, d, e] = random::bytes();
    let id = format!("02:{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}");
    files::write_private(&path, &format!("{id}\n"))?;
    Ok(id)
}

pub(crate) fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    parts.len() == 6 && parts.iter().all(|p| p.len() == 2 && u8::from_str_radix(p, 16).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let first = node_id(dir.path()).unwrap();
        assert!(is_mac(&first) && first.starts_with("02:"), "{first}");
        assert_eq!(node_id(dir.path()).unwrap(), first);
    }

    #[test]
    fn a_damaged_file_is_refused_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "junk").unwrap();
        assert!(matches!(node_id(dir.path()), Err(ControlError::BadFile { .. })));
        assert_eq!(std::fs::read_to_string(dir.path().join(FILE)).unwrap(), "junk");
    }
}
