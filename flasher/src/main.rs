//! The `flasher` command.
fn main() {}
