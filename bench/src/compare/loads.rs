//! The loads that everybody gets.

use crate::{
    ceiling::{Ceiling, Exchange},
    run::{IoBytes, Pattern, Shape},
};

const SMALL: IoBytes = IoBytes(4 << 10);
const LARGE: IoBytes = IoBytes(128 << 10);

/// A load on one thread of the generator.
#[derive(Debug)]
pub(super) struct Load(pub(super) Shape);

pub(super) const LOADS: &[Load] = &[
    load(Pattern::RandRead, SMALL, 1, 1),
    load(Pattern::RandRead, SMALL, 1, 32),
    load(Pattern::RandRead, SMALL, 1, 128),
    load(Pattern::RandWrite, SMALL, 1, 32),
    load(Pattern::RandWrite, SMALL, 1, 128),
    load(Pattern::RandRw, SMALL, 1, 128),
    load(Pattern::RandRead, SMALL, 4, 32),
    load(Pattern::RandRead, SMALL, 4, 64),
    load(Pattern::RandRead, SMALL, 64, 4),
    load(Pattern::Read, LARGE, 1, 32),
    load(Pattern::Write, LARGE, 1, 32),
    with_digests(load(Pattern::RandRead, SMALL, 1, 32)),
    with_digests(load(Pattern::RandRead, SMALL, 1, 128)),
    with_digests(load(Pattern::RandWrite, SMALL, 1, 128)),
];

/// Of a mix, 70 % are reads.
const fn load(rw: Pattern, bs: IoBytes, conns: u16, qd: u16) -> Load {
    Load(Shape { rw, rwmixread: 70, bs, qd, conns, digests: false })
}

const fn with_digests(load: Load) -> Load {
    Load(Shape { digests: true, ..load.0 })
}

impl Load {
    pub(super) fn text(&self) -> String {
        self.0.text()
    }

    /// The same bytes without a protocol, and without the digests: those are work of the protocol.
    pub(super) fn ceiling(&self, seconds: f64) -> Ceiling {
        let Shape { rw, rwmixread, bs, qd, conns, .. } = self.0;
        let read_percent = match rw {
            Pattern::Read | Pattern::RandRead => 100,
            Pattern::Write | Pattern::RandWrite => 0,
            Pattern::RandRw => rwmixread,
        };
        let exchange = Exchange { read_percent, io_bytes: bs.0 as usize };
        Ceiling { exchange, depth: qd, connections: conns, seconds, runtime: false }
    }
}
