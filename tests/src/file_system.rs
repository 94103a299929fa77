//! The two file systems that hosts put on volumes, and the checkers that their makers trust.

use std::fmt;

/// Shown as the name of its type, which also names what belongs to it in the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    Ext4,
    Xfs,
}

impl FileSystem {
    pub const ALL: [Self; 2] = [Self::Ext4, Self::Xfs];

    /// The command that makes one on the device named behind it, whatever is there.
    pub fn maker(self) -> &'static str {
        match self {
            Self::Ext4 => "mkfs.ext4 -q -F",
            Self::Xfs => "mkfs.xfs -q -f",
        }
    }

    /// The command that finds fault with the one on the device named behind it, and repairs nothing.
    pub fn checker(self) -> &'static str {
        match self {
            Self::Ext4 => "e2fsck -fn",
            Self::Xfs => "xfs_repair -n",
        }
    }

    /// Options of `mount` for a copy while the original is mounted: xfs refuses two with one UUID.
    pub fn copy_options(self) -> &'static str {
        match self {
            Self::Ext4 => "rw",
            Self::Xfs => "rw,nouuid",
        }
    }

    /// Options of `mount` for a copy on a read-only disk, where no journal can be replayed.
    pub fn read_only_options(self) -> &'static str {
        match self {
            Self::Ext4 => "ro,noload",
            Self::Xfs => "ro,norecovery,nouuid",
        }
    }
}

impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        })
    }
}
