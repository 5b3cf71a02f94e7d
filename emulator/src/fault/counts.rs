//! What faults did: one number for each kind.

use std::fmt;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// A bit of a byte on the line was the other way.
    LinkFlip,
    /// A byte on the line was lost.
    LinkDrop,
    /// A byte on the line came twice.
    LinkDuplicate,
    /// Bytes on the line were late.
    LinkDelay,
    /// Bytes of one call came in two.
    LinkSplit,
    /// The plug was pulled for a while.
    LinkDisconnect,
    /// One end of the line ran at another rate for a while.
    LinkWrongRate,
    /// MISO was stuck.
    MisoStuck,
    /// MOSI was stuck.
    MosiStuck,
    /// The flash did not see its chip select.
    ChipSelectLost,
    /// A register was read wrongly.
    RegisterGlitch,
    /// A write was taken without effect.
    LyingWrite,
    /// A stuck bit did not follow.
    StuckBit,
    /// A bit in a weak sector did not follow.
    WeakSector,
    /// The supply went away between operations of the flash.
    PowerCut,
    /// The supply went away in the middle of an erase.
    PowerCutErase,
    /// The supply went away in the middle of a program.
    PowerCutProgram,
    /// The supply went away in the middle of a register write.
    PowerCutStatusWrite,
    /// A change was asked for while the supply was too low.
    BrownOut,
    /// The chip was reset.
    Reset,
    /// The watchdog reset the chip.
    Watchdog,
}

/// How often each kind of fault took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultCounts([u64; FaultKind::ALL.len()]);

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 21] = [
        Self::LinkFlip,
        Self::LinkDrop,
        Self::LinkDuplicate,
        Self::LinkDelay,
        Self::LinkSplit,
        Self::LinkDisconnect,
        Self::LinkWrongRate,
        Self::MisoStuck,
        Self::MosiStuck,
        Self::ChipSelectLost,
        Self::RegisterGlitch,
        Self::LyingWrite,
        Self::StuckBit,
        Self::WeakSector,
        Self::PowerCut,
        Self::PowerCutErase,
        Self::PowerCutProgram,
        Self::PowerCutStatusWrite,
        Self::BrownOut,
        Self::Reset,
        Self::Watchdog,
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LinkFlip => "link-flip",
            Self::LinkDrop => "link-drop",
            Self::LinkDuplicate => "link-duplicate",
            Self::LinkDelay => "link-delay",
            Self::LinkSplit => "link-split",
            Self::LinkDisconnect => "link-disconnect",
            Self::LinkWrongRate => "link-wrong-rate",
            Self::MisoStuck => "miso-stuck",
            Self::MosiStuck => "mosi-stuck",
            Self::ChipSelectLost => "chip-select-lost",
            Self::RegisterGlitch => "register-glitch",
            Self::LyingWrite => "lying-write",
            Self::StuckBit => "stuck-bit",
            Self::WeakSector => "weak-sector",
            Self::PowerCut => "power-cut",
            Self::PowerCutErase => "power-cut-erase",
            Self::PowerCutProgram => "power-cut-program",
            Self::PowerCutStatusWrite => "power-cut-status-write",
            Self::BrownOut => "brown-out",
            Self::Reset => "reset",
            Self::Watchdog => "watchdog",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FaultCounts {
    /// How often `kind` took effect.
    #[must_use]
    pub const fn of(&self, kind: FaultKind) -> u64 {
        self.0[kind as usize]
    }

    /// Counts `kind` so many times more.
    pub fn add(&mut self, kind: FaultKind, times: u64) {
        let count = &mut self.0[kind as usize];
        *count = count.saturating_add(times);
    }

    /// All of them together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Kinds that took effect, with how often.
    pub fn happened(&self) -> impl Iterator<Item = (FaultKind, u64)> + use<'_> {
        let all = FaultKind::ALL.into_iter().map(|kind| (kind, self.of(kind)));
        all.filter(|(_, count)| *count > 0)
    }
}
