//! A real Linux initiator: Debian's kernel in a virtual machine, with nvme-cli, fio and mkfs inside.
//!
//! [`Kernel::fetch`] unpacks the kernel, [`TlsPrograms::fetch`] what Debian 12 lacks for NVMe/TCP over TLS,
//! [`initramfs::build`] makes the machine's only file system, and a [`Guest`] is one running machine, in which a scenario runs one shell script after another.
//! QEMU emulates the processor in software: /dev/kvm is not used, so it runs wherever QEMU does.

mod apt;
mod guest;
pub mod initramfs;
mod kernel;
mod tls_programs;

pub use guest::{Guest, GuestSpec, Job, Outcome};
pub use kernel::{Kernel, KernelFiles};
pub use tls_programs::TlsPrograms;

/// Where the guest reaches this machine's 127.0.0.1.
pub const HOST_ADDRESS: &str = "10.0.2.2";
