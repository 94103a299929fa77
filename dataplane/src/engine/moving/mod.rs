//! Moving volumes to another drive while hosts use them. What shares layers moves together, and shares them there as
//! well: a tree of layers is copied layer by layer, each block once.
//!
//! ```text
//! a layer over there for each, with room promised -> copy; heads again where hosts wrote meanwhile (`written`)
//!   -> hold writes -> copy the rest -> names over there, "prepared", durable
//!   -> one record here, "moved", durable: decided
//!   -> writes go on over there -> over there "here", durable -> "moved" is taken away
//! ```
//!
//! A crash before the decision leaves the source as it is, one after it the copy (`settle`); the layers of the other
//! are given back like those of a deleted volume. While a tree moves nothing in it is merged or thinned out; snapshots,
//! clones and deletions go on, and move along.

mod copy;
mod incoming;
mod mover;
mod settle;
mod tree;
mod written;

pub(super) use self::written::Written;
pub use self::{
    copy::Meter,
    mover::Switch,
    settle::{Undecided, settle_moves},
    tree::Tree,
};
