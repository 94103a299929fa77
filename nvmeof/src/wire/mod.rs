//! Layouts as the specifications print them.
//!
//! Every structure is little-endian, has no padding of its own and an asserted size; any byte pattern of that
//! size is a valid value (enums are open), so viewing bytes never fails and never panics. Fields keep the
//! specification's mnemonics; a field that counts from zero ends in `_z`.

pub mod admin;
pub mod authentication;
pub mod connect;
pub mod cqe;
pub mod identify;
pub mod log_page;
pub mod nvm;
pub mod opcode;
pub mod pdu;
pub mod property;
pub mod replica;
pub mod reservation;
pub mod sqe;
pub mod status;

pub use cqe::Cqe;
pub use sqe::Sqe;

/// A number with names for the values that we know; every other value stays itself.
macro_rules! open_enum {
    ($(#[$meta:meta])* $name:ident: $repr:ty { $($(#[$item_meta:meta])* $item:ident = $value:expr,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(pub $repr);

        impl $name {
            $($(#[$item_meta])* pub const $item: Self = Self($value);)*
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match *self {
                    $(Self::$item => f.write_str(stringify!($item)),)*
                    Self(other) => write!(f, concat!(stringify!($name), "({:#x})"), other),
                }
            }
        }
    };
}
pub(crate) use open_enum;

/// Derives for one layout, and the assertion of its size in bytes.
macro_rules! layout {
    ($size:literal, $(#[$meta:meta])* pub struct $name:ident $body:tt) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq,
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable,
            zerocopy::Unaligned,
        )]
        #[repr(C)]
        pub struct $name $body

        const _: () = assert!(size_of::<$name>() == $size);
    };
}
pub(crate) use layout;
