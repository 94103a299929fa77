//! Commands between nodes that hold replicas of one volume. See `wire::replica`.

use zerocopy::transmute;

use super::DataPointer;
use crate::{
    Status,
    wire::{
        Sqe,
        replica::{ReplicaOpcode, ReplicaSqe, Zeroing},
    },
};

/// Which command of which primary's connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplicaTag {
    pub incarnation: u64,
    pub session: u64,
    pub command: u64,
}

/// Logical blocks, of which a command may name more than a host's may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaBlocks {
    pub lba: u64,
    /// At least 1.
    pub blocks: u32,
}

/// A command of another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaCommand {
    Send {
        data: DataPointer,
    },
    /// The message may be shorter than `len_bytes`; it is never longer.
    Receive {
        len_bytes: u32,
    },
    Write {
        tag: ReplicaTag,
        range: ReplicaBlocks,
        data: DataPointer,
    },
    WriteZeroes {
        tag: ReplicaTag,
        range: ReplicaBlocks,
        zeroing: Zeroing,
    },
    Flush {
        tag: ReplicaTag,
    },
    Fetch {
        tag: ReplicaTag,
        range: ReplicaBlocks,
        len_bytes: u32,
    },
}

impl ReplicaCommand {
    /// Parses an entry of an I/O queue of the internal subsystem.
    pub fn parse(sqe: &Sqe) -> Result<Self, Status> {
        let replica: ReplicaSqe = transmute!(*sqe);
        let tag = ReplicaTag {
            incarnation: replica.incarnation.get(),
            session: replica.session.get(),
            command: replica.command.get(),
        };
        let data = DataPointer::parse(sqe)?;
        let blocks = || match replica.blocks.get() {
            0 => Err(Status::INVALID_FIELD),
            blocks => Ok(ReplicaBlocks { lba: replica.slba.get(), blocks }),
        };
        let to_host = || {
            data.check_to_host(data.len_bytes())?;
            Ok(data.len_bytes())
        };
        match ReplicaOpcode(replica.opcode) {
            ReplicaOpcode::SEND => Ok(Self::Send { data }),
            ReplicaOpcode::RECEIVE => Ok(Self::Receive { len_bytes: to_host()? }),
            ReplicaOpcode::WRITE => Ok(Self::Write { tag, range: blocks()?, data }),
            ReplicaOpcode::WRITE_ZEROES => {
                let zeroing = Zeroing(replica.zeroing.get());
                match zeroing {
                    Zeroing::ZEROES | Zeroing::ZEROES_DEALLOCATE | Zeroing::DEALLOCATE => {
                        Ok(Self::WriteZeroes { tag, range: blocks()?, zeroing })
                    }
                    _ => Err(Status::INVALID_FIELD),
                }
            }
            ReplicaOpcode::FLUSH => Ok(Self::Flush { tag }),
            ReplicaOpcode::FETCH => Ok(Self::Fetch { tag, range: blocks()?, len_bytes: to_host()? }),
            _ => Err(Status::INVALID_OPCODE),
        }
    }

    /// Where its data is that goes to the replica.
    pub fn data_from_host(&self) -> Option<DataPointer> {
        match self {
            Self::Send { data } | Self::Write { data, .. } => Some(*data),
            Self::Receive { .. } | Self::WriteZeroes { .. } | Self::Flush { .. } | Self::Fetch { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::sqe;

    const TAG: ReplicaTag = ReplicaTag { incarnation: 7, session: 3 << 32 | 1, command: u64::MAX };
    const RANGE: ReplicaBlocks = ReplicaBlocks { lba: 1 << 40, blocks: 16 };

    #[test]
    fn what_is_built_is_parsed() {
        let none = DataPointer::Transport { len: 0 };
        let table = [
            (sqe::replica_send(9), ReplicaCommand::Send { data: none }),
            (sqe::replica_receive(), ReplicaCommand::Receive { len_bytes: 0 }),
            (sqe::replica_write(9, TAG, RANGE), ReplicaCommand::Write { tag: TAG, range: RANGE, data: none }),
            (
                sqe::replica_write_zeroes(9, TAG, RANGE, Zeroing::DEALLOCATE),
                ReplicaCommand::WriteZeroes { tag: TAG, range: RANGE, zeroing: Zeroing::DEALLOCATE },
            ),
            (sqe::replica_flush(9, TAG), ReplicaCommand::Flush { tag: TAG }),
            (
                sqe::replica_fetch(9, TAG, RANGE),
                ReplicaCommand::Fetch { tag: TAG, range: RANGE, len_bytes: 0 },
            ),
        ];
        for (sqe, command) in table {
            assert_eq!(ReplicaCommand::parse(&sqe), Ok(command), "{sqe:?}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let none = ReplicaBlocks { lba: 0, blocks: 0 };
        let neither = sqe::replica_write_zeroes(1, TAG, RANGE, Zeroing(3));
        let mut prp = sqe::replica_flush(1, TAG);
        prp.flags = 0;
        let mut in_capsule = sqe::replica_fetch(1, TAG, RANGE);
        in_capsule.sgl.sgl_id = crate::wire::sqe::SGL_IN_CAPSULE;
        let table = [
            (sqe::replica_write(1, TAG, none), Status::INVALID_FIELD),
            (sqe::replica_fetch(1, TAG, none), Status::INVALID_FIELD),
            (neither, Status::INVALID_FIELD),
            (prp, Status::INVALID_FIELD),
            (in_capsule, Status::SGL_DESCRIPTOR_TYPE_INVALID),
            (sqe::read(1, 0, 1), Status::INVALID_OPCODE),
        ];
        for (sqe, status) in table {
            assert_eq!(ReplicaCommand::parse(&sqe), Err(status), "{sqe:?}");
        }
    }
}
