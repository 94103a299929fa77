//! Secrets and identities come from the kernel's generator.

use rustix::{
    io::Errno,
    rand::{GetRandomFlags, getrandom},
};

/// `N` random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    fill(&mut out);
    out
}

/// Makes all of `out` random.
pub(crate) fn fill(out: &mut [u8]) {
    let mut filled = 0;
    while filled < out.len() {
        match getrandom(&mut out[filled..], GetRandomFlags::empty()) {
            Ok(n) => filled += n,
            Err(Errno::INTR) => {}
            Err(e) => panic!("the kernel gives no random bytes: {e}"),
        }
    }
}

/// `length` letters and digits, each drawn evenly (about 5.95 bits apiece).
pub(crate) fn text(length: usize) -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut out = String::with_capacity(length);
    while out.len() < length {
        // 248 is the largest multiple of 62 in a byte: taking more would favour some letters.
        out.extend(
            bytes::<64>().iter().filter(|&&b| b < 248).map(|&b| char::from(ALPHABET[usize::from(b) % 62])),
        );
    }
    out.truncate(length);
    out
}
