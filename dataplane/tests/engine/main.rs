//! The engine, one theme per file; what only chance finds is the model test's.

mod drive;
mod faults;
mod grow;
mod inspect;
mod snapshots;
mod support;
