//! The circuit between the control lines and EN and GPIO0.

use serde::Deserialize;

use crate::time::Duration;

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
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Wiring {
    /// EN falls on (DTR 0, RTS 1) and rises when RTS is 0; GPIO0 = !DTR is sampled then. Works
    /// with every client and timing (DEPS 1c.2).
    #[default]
    Latch,
    /// The two transistors of Espressif's boards: EN is low on (DTR 0, RTS 1), GPIO0 is low on
    /// (DTR 1, RTS 0). EN rises slowly through its resistor and capacitor, and GPIO0 is sampled
    /// when it is up.
    Transistors {
        /// From the release of EN to a running chip, in milliseconds.
        rise_ms: u16,
    },
    /// The adapter's pins, which are low when asserted, on EN and GPIO0: EN = !RTS, GPIO0 = !DTR.
    Direct,
    /// The same through inverters: EN = RTS, GPIO0 = DTR.
    Inverted,
    /// The lines are not connected.
    None,
}

/// A name that is none of a circuit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is no circuit: latch, strict-rc, strict-rc=MILLISECONDS, direct, inverted or none"
)]
pub struct UnknownWiring {
    /// What was given.
    pub name: String,
}

/// The rise of EN on boards with the usual 10 kOhm and 1 uF, in milliseconds.
const RISE_USUAL_MS: u16 = 10;

impl std::str::FromStr for Wiring {
    type Err = UnknownWiring;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownWiring { name: name.to_owned() };
        Ok(match name {
            "latch" => Self::Latch,
            "strict-rc" => Self::Transistors { rise_ms: RISE_USUAL_MS },
            "direct" => Self::Direct,
            "inverted" => Self::Inverted,
            "none" => Self::None,
            other => {
                let ms = other.strip_prefix("strict-rc=").and_then(|ms| ms.parse().ok());
                Self::Transistors { rise_ms: ms.ok_or_else(unknown)? }
            }
        })
    }
}

/// What the lines do to EN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    /// EN stays as it is.
    Nothing,
    /// EN is low: the chip is held in reset.
    Hold,
    /// EN of a held chip is let go.
    Release,
}

impl Wiring {
    /// What `lines` do to a chip that `held` says is in reset.
    pub(super) fn edge(self, held: bool, lines: ControlLines) -> Edge {
        let is_low = match self {
            Self::None => return Edge::Nothing,
            Self::Latch if held => lines.rts,
            Self::Latch | Self::Transistors { .. } => lines.rts && !lines.dtr,
            Self::Direct => lines.rts,
            Self::Inverted => !lines.rts,
        };
        match (is_low, held) {
            (true, _) => Edge::Hold,
            (false, true) => Edge::Release,
            (false, false) => Edge::Nothing,
        }
    }

    /// Level of GPIO0 under `lines`.
    pub(super) fn gpio0(self, lines: ControlLines) -> bool {
        match self {
            Self::Latch | Self::Direct => !lines.dtr,
            Self::Transistors { .. } => !lines.dtr || lines.rts,
            Self::Inverted => lines.dtr,
            Self::None => true,
        }
    }

    /// From the release of EN to a running chip.
    pub(super) fn rise(self) -> Duration {
        match self {
            Self::Transistors { rise_ms } => Duration::from_millis(rise_ms.into()),
            Self::Latch | Self::Direct | Self::Inverted | Self::None => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circuits_have_names() {
        let wiring = |name: &str| name.parse::<Wiring>();
        assert_eq!(wiring("latch"), Ok(Wiring::default()));
        assert_eq!(wiring("strict-rc"), Ok(Wiring::Transistors { rise_ms: 10 }));
        assert_eq!(wiring("strict-rc=60"), Ok(Wiring::Transistors { rise_ms: 60 }));
        assert_eq!(wiring("direct"), Ok(Wiring::Direct));
        assert_eq!(wiring("inverted"), Ok(Wiring::Inverted));
        assert_eq!(wiring("none"), Ok(Wiring::None));
        for bad in ["", "rc", "strict-rc=", "strict-rc=x", "latch=1"] {
            assert!(wiring(bad).is_err(), "{bad}");
        }
    }
}
