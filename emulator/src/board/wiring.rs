//! The circuit between the control lines and EN and GPIO0.

use serde::Deserialize;

/// Control lines as the host sets them; `true` = asserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ControlLines {
    /// Data terminal ready.
    pub dtr: bool,
    /// Request to send.
    pub rts: bool,
}

/// The circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wiring {
    /// EN falls on (DTR 0, RTS 1) and rises when RTS is 0; GPIO0 = !DTR is sampled then. Works
    /// with every client and timing (DEPS 1c.2).
    #[default]
    Latch,
    /// The lines are not connected.
    None,
}

/// What a line change does to the chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    /// EN stays as it is.
    Nothing,
    /// EN falls: the chip is held in reset.
    Hold,
    /// EN rises.
    Release {
        /// GPIO0 at that moment.
        gpio0: bool,
    },
}

impl Wiring {
    /// What `lines` do to a chip that `held` says is in reset.
    pub(super) fn edge(self, held: bool, lines: ControlLines) -> Edge {
        match self {
            Self::Latch if held && !lines.rts => Edge::Release { gpio0: !lines.dtr },
            Self::Latch if !held && lines.rts && !lines.dtr => Edge::Hold,
            Self::None | Self::Latch => Edge::Nothing,
        }
    }
}
