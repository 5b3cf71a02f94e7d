//! Reset sequences as data: line changes and waits.

use std::time::Duration;

use crate::port::{Lines, Port, PortError};

/// One step of a reset sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Drive the lines.
    Lines(Lines),
    /// Let time pass.
    Wait(Duration),
}

/// A sequence of line changes that resets the chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetStrategy {
    /// Steps in order; none to leave the chip alone.
    pub steps: Vec<Step>,
}

const fn lines(dtr: bool, rts: bool) -> Step {
    Step::Lines(Lines { dtr, rts })
}

const fn wait(ms: u64) -> Step {
    Step::Wait(Duration::from_millis(ms))
}

impl ResetStrategy {
    /// Leaves the chip as it is: somebody holds GPIO0 and presses EN, or it is in download mode.
    #[must_use]
    pub const fn none() -> Self {
        Self { steps: Vec::new() }
    }

    /// EN low, then GPIO0 low while EN rises.
    #[must_use]
    pub fn classic() -> Self {
        Self {
            steps: vec![
                lines(false, true),
                wait(100),
                lines(true, false),
                wait(50),
                lines(false, false),
            ],
        }
    }

    /// As [`Self::classic`], through (1,1), so that no short moment of (0,0) on a USB bridge that
    /// changes its lines one after the other lets EN rise with GPIO0 high.
    #[must_use]
    pub fn unix_tight() -> Self {
        Self {
            steps: vec![
                lines(false, false),
                lines(true, true),
                lines(false, true),
                wait(100),
                lines(true, false),
                wait(50),
                lines(false, false),
            ],
        }
    }

    /// The ways into the loader that are tried in turn on `port`. The steps through (1,1) are for
    /// bridges that change their lines one after the other, and would be a second reset to a server
    /// that plays its own.
    #[must_use]
    pub fn usual(port: &dyn Port) -> Vec<Self> {
        if port.has_served_lines() {
            return vec![Self::classic()];
        }
        vec![Self::unix_tight(), Self::classic()]
    }

    /// EN low and high again with GPIO0 high: starts the program in flash.
    #[must_use]
    pub fn run() -> Self {
        Self { steps: vec![lines(false, true), wait(100), lines(false, false)] }
    }

    /// Plays the sequence.
    ///
    /// # Errors
    ///
    /// [`PortError::LinesUnsupported`] if the port has no lines; nothing has happened then.
    pub fn play(&self, port: &mut dyn Port) -> Result<(), PortError> {
        for step in &self.steps {
            match step {
                Step::Lines(lines) => port.set_lines(*lines)?,
                Step::Wait(span) => port.wait(*span),
            }
        }
        Ok(())
    }
}

/// Reads `D1`, `R0`, `W0.1` steps joined by `|`: DTR, RTS, wait in seconds.
impl std::str::FromStr for ResetStrategy {
    type Err = BadReset;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut state = Lines { dtr: false, rts: false };
        let mut steps = Vec::new();
        for part in text.split('|').map(str::trim) {
            let bad = || BadReset { part: part.to_owned() };
            match part.split_at_checked(1) {
                Some(("D", level)) => state.dtr = parse_level(level).ok_or_else(bad)?,
                Some(("R", level)) => state.rts = parse_level(level).ok_or_else(bad)?,
                Some(("W", seconds)) => {
                    let seconds = seconds.parse().map_err(|_| bad())?;
                    let span = Duration::try_from_secs_f64(seconds).map_err(|_| bad())?;
                    steps.push(Step::Wait(span));
                    continue;
                }
                _ => return Err(bad()),
            }
            steps.push(Step::Lines(state));
        }
        Ok(Self { steps })
    }
}

fn parse_level(text: &str) -> Option<bool> {
    match text {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

/// A reset sequence that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part:?} is no reset step; write D0, D1, R0, R1 or W<seconds>, joined by |")]
pub struct BadReset {
    /// The step.
    pub part: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_custom_sequence_keeps_the_other_line() {
        let custom: ResetStrategy = "D0|R1|W0.1|D1|R0".parse().unwrap();
        assert_eq!(
            custom.steps,
            [
                lines(false, false),
                lines(false, true),
                wait(100),
                lines(true, true),
                lines(true, false)
            ]
        );
    }

    #[test]
    fn a_bad_step_is_named() {
        for bad in ["D2", "X1", "", "W-1", "Wx", "W1e99", "\u{e9}1"] {
            let error = bad.parse::<ResetStrategy>().unwrap_err();
            assert_eq!(error.part, bad);
        }
    }
}
