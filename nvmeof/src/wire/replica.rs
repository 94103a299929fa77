//! Commands between the nodes that hold replicas of one volume: vendor specific commands of an I/O queue, served only by
//! a node's internal subsystem. Bits 1:0 of an opcode say which way its data goes (Base §3.3.3.1, Table 92).

use zerocopy::little_endian::{U16, U32, U64};

use super::{layout, open_enum, sqe::SglDescriptor};

open_enum! {
    /// What a primary asks of another node.
    ReplicaOpcode: u8 {
        /// Make what was executed durable.
        FLUSH = 0x80,
        /// A message of the replication protocol.
        SEND = 0x81,
        /// The next message for the node that asks, whichever volume it is about; waits until there is one.
        RECEIVE = 0x82,
        WRITE_ZEROES = 0x84,
        WRITE = 0x85,
        /// Blocks that a primary lacks.
        FETCH = 0x86,
    }
}

open_enum! {
    /// How blocks become zeros: as the host's command that is repeated, so that all replicas read the same afterwards.
    Zeroing: u32 {
        /// Write Zeroes.
        ZEROES = 0,
        /// Write Zeroes that gives the space back.
        ZEROES_DEALLOCATE = 1,
        /// Dataset Management, Deallocate: zeros only where whole 4 KiB lie in the range.
        DEALLOCATE = 2,
    }
}

layout! { 64,
    /// Any of them. NSID is the volume's number among replicated volumes, not a namespace.
    pub struct ReplicaSqe {
        pub opcode: u8,
        pub flags: u8,
        pub cid: U16,
        pub nsid: U32,
        /// The primary's connection, counted by it.
        pub session: U64,
        /// The start of the primary's process.
        pub incarnation: U64,
        pub sgl: SglDescriptor,
        pub slba: U64,
        pub blocks: U32,
        /// Of Write Zeroes.
        pub zeroing: U32,
        /// The command's number in its session.
        pub command: U64,
    }
}
