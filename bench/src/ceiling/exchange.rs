//! The bytes of requests and answers, as NVMe/TCP has them.

/// A CapsuleCmd PDU without data.
const REQUEST_BYTES: usize = 72;
/// A C2HData PDU's header, or a CapsuleResp PDU.
const ANSWER_BYTES: usize = 24;

/// Which requests carry data, and which answers. Both sides count the requests of a connection and agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub(crate) read_percent: u8,
    pub(crate) io_bytes: usize,
}

impl Exchange {
    pub(super) fn request_bytes(self, index: u64) -> usize {
        if self.is_read(index) { REQUEST_BYTES } else { self.largest_request_bytes() }
    }

    pub(super) fn answer_bytes(self, index: u64) -> usize {
        if self.is_read(index) { self.largest_answer_bytes() } else { ANSWER_BYTES }
    }

    pub(super) fn largest_request_bytes(self) -> usize {
        REQUEST_BYTES + self.io_bytes
    }

    pub(super) fn largest_answer_bytes(self) -> usize {
        ANSWER_BYTES + self.io_bytes
    }

    /// 37 has no divisor in common with 100: of a hundred requests each remainder comes once, well mixed.
    fn is_read(self, index: u64) -> bool {
        index.wrapping_mul(37) % 100 < u64::from(self.read_percent)
    }
}

/// How many messages end within bytes that come.
#[derive(Debug)]
pub(super) struct Messages {
    index: u64,
    missing_bytes: usize,
}

impl Messages {
    pub(super) fn new(first_bytes: usize) -> Self {
        Self { index: 0, missing_bytes: first_bytes }
    }

    /// The indexes of messages that are complete with `count` bytes more; `bytes_of` tells each one's length.
    pub(super) fn complete(
        &mut self,
        mut count: usize,
        bytes_of: impl Fn(u64) -> usize,
    ) -> std::ops::Range<u64> {
        let first = self.index;
        while count >= self.missing_bytes {
            count -= self.missing_bytes;
            self.index += 1;
            self.missing_bytes = bytes_of(self.index);
        }
        self.missing_bytes -= count;
        first..self.index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_what_was_asked_in_every_hundred() {
        for read_percent in [0, 30, 70, 100] {
            let exchange = Exchange { read_percent, io_bytes: 4096 };
            let reads = (500..600).filter(|&index| exchange.request_bytes(index) == 72).count();
            assert_eq!(reads, usize::from(read_percent));
        }
    }

    #[test]
    fn messages_end_where_they_end() {
        let exchange = Exchange { read_percent: 100, io_bytes: 4096 };
        let mut messages = Messages::new(exchange.answer_bytes(0));
        let mut complete = |count| messages.complete(count, |index| exchange.answer_bytes(index));
        assert_eq!(complete(4119), 0..0);
        assert_eq!(complete(1), 0..1);
        assert_eq!(complete(3 * 4120 + 5), 1..4);
        assert_eq!(complete(4115), 4..5);
    }
}
