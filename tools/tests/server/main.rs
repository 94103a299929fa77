//! The program as people use it: a real `basalt serve` in a directory of its own, commands beside it.
#![forbid(unsafe_code)]

mod cluster;
mod drives;
mod first_volume;
mod inventory_license;
mod kills;
mod life;
mod nodes;
mod refusals;
mod releases;
mod secrets;
mod snapshots;
mod support;
mod tenants;
mod tls_keys;
mod trust;
mod users;
