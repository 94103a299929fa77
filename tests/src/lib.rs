//! End-to-end tests: a real Linux initiator in a virtual machine against the `basalt` binary.
