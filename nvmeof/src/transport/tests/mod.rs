//! The transport from outside: golden bytes, bad PDUs, and both ends joined in memory.

mod bad_pdus;
mod command_table;
mod golden;
mod pair;
mod two_faults;
