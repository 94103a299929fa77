//! Volumes that move from one drive to another.
//!
//! * A tree arrives as it was, and shares what it shared.
//! * Hosts write, trim and read all the while: no read is stale, nothing that was answered is missing.
//! * Crash points: the process dies, or power is cut, at every write and flush of both drives. Exactly one copy counts.

mod crash_points;
mod host;
mod moves;
mod refusals;
mod site;
