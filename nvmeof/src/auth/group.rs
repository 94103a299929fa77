//! The Diffie-Hellman groups of RFC 7919, and the large powers that are computed in them.
//!
//! A power takes milliseconds: it is handed out as [`Work`], for a thread that nobody waits for.

use std::sync::LazyLock;

use crypto_bigint::{
    Limb, NonZero, Odd, Uint,
    modular::{FixedMontyForm, FixedMontyParams},
};
use zeroize::Zeroizing;

/// A group that host and controller agree on; the numbers are the specification's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DhGroup {
    /// No exchange: the secret alone protects the responses.
    Null = 0,
    Ffdhe2048 = 1,
    Ffdhe3072 = 2,
    Ffdhe4096 = 3,
    Ffdhe6144 = 4,
    Ffdhe8192 = 5,
}

impl DhGroup {
    /// All that we know.
    pub const ALL: [Self; 6] =
        [Self::Null, Self::Ffdhe2048, Self::Ffdhe3072, Self::Ffdhe4096, Self::Ffdhe6144, Self::Ffdhe8192];

    /// By its identifier in messages.
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|group| *group as u8 == id)
    }

    /// Bytes of a public value and of the shared secret; none without an exchange.
    pub fn value_bytes(self) -> usize {
        match self {
            Self::Null => 0,
            Self::Ffdhe2048 => 256,
            Self::Ffdhe3072 => 384,
            Self::Ffdhe4096 => 512,
            Self::Ffdhe6144 => 768,
            Self::Ffdhe8192 => 1024,
        }
    }
}

/// Bits of a private exponent: twice the strength of the largest group, with room to spare.
const EXPONENT_BITS: u32 = 512;
/// The same in bytes.
pub(super) const EXPONENT_BYTES: usize = EXPONENT_BITS as usize / 8;

/// A private exponent: random bytes, used for one exchange.
#[derive(Clone)]
pub(super) struct Exponent(Zeroizing<[u8; EXPONENT_BYTES]>);

impl Exponent {
    pub(super) fn new(bytes: Zeroizing<[u8; EXPONENT_BYTES]>) -> Self {
        Self(bytes)
    }
}

impl std::fmt::Debug for Exponent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exponent")
    }
}

/// One or two large powers to compute, away from whoever must answer others meanwhile.
#[derive(Debug)]
pub struct Work {
    pub(super) group: DhGroup,
    pub(super) exponent: Exponent,
    /// Compute our public value.
    pub(super) public: bool,
    /// Compute the secret shared with the owner of this public value.
    pub(super) peer: Option<Vec<u8>>,
}

/// What a [`Work`] came to.
pub struct Worked {
    /// Our public value, if it was asked for.
    pub(super) public: Vec<u8>,
    /// The shared secret; `None` if the peer's value is none that its group allows.
    pub(super) shared: Option<Zeroizing<Vec<u8>>>,
}

impl std::fmt::Debug for Worked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Worked")
    }
}

impl Work {
    /// Computes it: some milliseconds, and more at a group's first use.
    pub fn compute(self) -> Worked {
        match self.group {
            DhGroup::Null => Worked { public: Vec::new(), shared: Some(Zeroizing::default()) },
            DhGroup::Ffdhe2048 => self.within(&FFDHE2048),
            DhGroup::Ffdhe3072 => self.within(&FFDHE3072),
            DhGroup::Ffdhe4096 => self.within(&FFDHE4096),
            DhGroup::Ffdhe6144 => self.within(&FFDHE6144),
            DhGroup::Ffdhe8192 => self.within(&FFDHE8192),
        }
    }

    fn within<const LIMBS: usize>(&self, group: &FixedMontyParams<LIMBS>) -> Worked {
        /// The generator of all groups.
        const GENERATOR: u8 = 2;
        let public = if self.public {
            power(group, &Uint::from(GENERATOR), &self.exponent)
        } else {
            Zeroizing::default()
        };
        let shared = self.peer.as_deref().and_then(|peer| {
            let peer = public_value(group, peer)?;
            Some(power(group, &peer, &self.exponent))
        });
        Worked { public: public.to_vec(), shared }
    }
}

/// Reads a peer's value; 0, 1 and p - 1 would make the secret known to everybody (RFC 7919 §5.1).
fn public_value<const LIMBS: usize>(group: &FixedMontyParams<LIMBS>, bytes: &[u8]) -> Option<Uint<LIMBS>> {
    let value = Uint::from_be_slice(bytes);
    let largest = group.modulus().as_ref().wrapping_sub(&Uint::from(2u8));
    (value > Uint::ONE && value <= largest).then_some(value)
}

/// As many bytes as the group's values have, most significant first.
fn power<const LIMBS: usize>(
    group: &FixedMontyParams<LIMBS>,
    base: &Uint<LIMBS>,
    exponent: &Exponent,
) -> Zeroizing<Vec<u8>> {
    let exponent = Zeroizing::new(Uint::<{ EXPONENT_BYTES / 8 }>::from_be_slice(&*exponent.0).to_words());
    let exponent = Uint::from_words(*exponent);
    let power = FixedMontyForm::new(base, group).pow_bounded_exp(&exponent, EXPONENT_BITS).retrieve();
    let words = Zeroizing::new(power.to_words());
    Zeroizing::new(
        words.iter().rev().flat_map(|word| (0..8).rev().map(move |n| (word >> (8 * n)) as u8)).collect(),
    )
}

type Group<const LIMBS: usize> = LazyLock<FixedMontyParams<LIMBS>>;

// The last number of each is X of RFC 7919, appendix A.
static FFDHE2048: Group<32> = LazyLock::new(|| group(560_316));
static FFDHE3072: Group<48> = LazyLock::new(|| group(2_625_351));
static FFDHE4096: Group<64> = LazyLock::new(|| group(5_736_041));
static FFDHE6144: Group<96> = LazyLock::new(|| group(15_705_020));
static FFDHE8192: Group<128> = LazyLock::new(|| group(10_965_728));

/// p = 2^b - 2^(b-64) + ([2^(b-130) e] + X) 2^64 - 1, for b bits (RFC 7919, appendix A).
fn group<const LIMBS: usize>(x: u32) -> FixedMontyParams<LIMBS> {
    let bits = Uint::<LIMBS>::BITS;
    // e needs two bits before the point, and 128 of its last ones, where the series rounds, are cut off.
    let mut term = Uint::<LIMBS>::ONE.shl_vartime(bits - 2);
    let mut e = term;
    let mut n = Limb::ONE;
    while term != Uint::ZERO {
        let divisor = NonZero::new(n).expect("it counts from one");
        term = term.div_rem_limb(divisor).0;
        e = e.wrapping_add(&term);
        n = n.wrapping_add(Limb::ONE);
    }
    let middle = e.shr_vartime(128).wrapping_add(&Uint::from(x)).shl_vartime(64);
    let ends = Uint::<LIMBS>::ZERO.wrapping_sub(&Uint::ONE.shl_vartime(bits - 64));
    let p = ends.wrapping_add(&middle).wrapping_sub(&Uint::ONE);
    FixedMontyParams::new_vartime(Odd::new(p).expect("p ends in ones"))
}

const _: () = assert!(Limb::BITS == 64, "the groups' sizes are given in limbs of 64 bits");

#[cfg(test)]
mod tests {
    use super::*;

    /// The last words before the ones that p ends in, as RFC 7919 prints them.
    fn check<const LIMBS: usize>(params: &FixedMontyParams<LIMBS>, last: u64) {
        let p = params.modulus().as_ref();
        let words = p.to_words();
        assert_eq!((words[0], words[LIMBS - 1]), (u64::MAX, u64::MAX));
        assert_eq!(words[LIMBS - 2], 0xADF8_5458_A2BB_4A9A);
        assert_eq!(words[1], last, "{:x}", words[1]);
    }

    #[test]
    fn the_groups_are_those_of_the_rfc() {
        check(&FFDHE2048, 0x886B_4238_6128_5C97);
        check(&FFDHE3072, 0x25E4_1D2B_66C6_2E37);
        check(&FFDHE4096, 0xC68A_007E_5E65_5F6A);
        check(&FFDHE6144, 0xA40E_329C_D0E4_0E65);
        check(&FFDHE8192, 0xD68C_8BB7_C5C6_424C);
    }

    /// 2^(p-1) = 1 mod p: a wrong p would hardly pass.
    #[test]
    fn the_smallest_group_is_of_a_prime() {
        let p = *FFDHE2048.modulus().as_ref();
        let two = FixedMontyForm::new(&Uint::from(2u8), &FFDHE2048);
        assert_eq!(two.pow(&p.wrapping_sub(&Uint::ONE)).retrieve(), Uint::ONE);
    }

    fn work(group: DhGroup, seed: u8, peer: Option<Vec<u8>>) -> Worked {
        let exponent = Exponent::new(Zeroizing::new([seed; EXPONENT_BYTES]));
        Work { group, exponent, public: peer.is_none(), peer }.compute()
    }

    #[test]
    fn both_sides_come_to_the_same_secret() {
        for group in &DhGroup::ALL[1..] {
            let (a, b) = (work(*group, 3, None).public, work(*group, 5, None).public);
            assert_eq!((a.len(), b.len()), (group.value_bytes(), group.value_bytes()));
            let (ab, ba) = (work(*group, 3, Some(b)).shared, work(*group, 5, Some(a)).shared);
            assert!(ab.is_some() && ab == ba, "{group:?}");
        }
    }

    #[test]
    fn values_that_give_the_secret_away_are_refused() {
        let bytes = DhGroup::Ffdhe2048.value_bytes();
        let small = |value: u8| [vec![0; bytes - 1], vec![value]].concat();
        let ones = vec![0xFF; bytes];
        let p: Vec<u8> = FFDHE2048
            .modulus()
            .as_ref()
            .to_words()
            .iter()
            .rev()
            .flat_map(|word| (0..8).rev().map(move |n| (word >> (8 * n)) as u8))
            .collect();
        let below_p = |by: u8| [&p[..bytes - 1], &[p[bytes - 1] - by]].concat();
        for bad in [small(0), small(1), below_p(0), below_p(1), ones] {
            assert!(work(DhGroup::Ffdhe2048, 3, Some(bad)).shared.is_none());
        }
        for good in [small(2), below_p(2)] {
            assert!(work(DhGroup::Ffdhe2048, 3, Some(good)).shared.is_some());
        }
    }
}
