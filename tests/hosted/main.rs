//! Hosted tests: PTY and real clients, wall clock.
