//! Fault plans: what goes wrong on one board, as data. Seed and plan replay a run exactly.

use serde::{Deserialize, Serialize};
use spi_nor::part::{Part, RegisterName};

use super::link::LinkNoise;

/// Longest plan file in bytes.
pub const PLAN_BYTES_MAX: usize = 64 * 1024;
/// Faults of one kind that a plan may have.
const FAULTS_MAX: usize = 256;
/// Rates are parts of so many.
const MILLION: u32 = 1_000_000;

/// All that goes wrong on one board.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct FaultPlan {
    /// One line.
    #[serde(skip_serializing_if = "is_default")]
    pub title: String,
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// The line between host and chip.
    #[serde(skip_serializing_if = "is_default")]
    pub link: LinkPlan,
    /// The bus between chip and flash.
    #[serde(skip_serializing_if = "is_default")]
    pub bus: Vec<BusFault>,
    /// Single cells and sectors of the flash.
    #[serde(skip_serializing_if = "is_default")]
    pub cells: Vec<CellFault>,
    /// The supply.
    #[serde(skip_serializing_if = "is_default")]
    pub supply: Vec<SupplyFault>,
    /// Resets of the chip that nobody asked for.
    #[serde(skip_serializing_if = "is_default")]
    pub board: Vec<BoardFault>,
}

/// Left out of a plan's text.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Both directions of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LinkPlan {
    /// From the host to the chip.
    #[serde(skip_serializing_if = "is_default")]
    pub to_chip: LinkNoise,
    /// From the chip to the host.
    #[serde(skip_serializing_if = "is_default")]
    pub from_chip: LinkNoise,
}

/// Which chip selects a fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// All of them.
    #[default]
    Any,
    /// Reads of the array.
    Read,
    /// Reads of SR1.
    ReadStatus,
    /// Reads of any register.
    ReadRegister,
    /// Write enables.
    WriteEnable,
    /// Page programs.
    Program,
    /// Erases.
    Erase,
    /// Register writes.
    StatusWrite,
}

/// Level of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// 0.
    Low,
    /// 1.
    High,
}

impl Level {
    /// A byte of bits at this level.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Low => 0x00,
            Self::High => 0xFF,
        }
    }
}

/// Which of the chip selects of a class: `count` of them (all if it is left out) after `skip`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Window {
    /// The class.
    pub on: Class,
    /// So many come before the first.
    pub skip: u64,
    /// So many of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

/// A fault between the chip and its flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "fault", deny_unknown_fields, rename_all = "kebab-case")]
pub enum BusFault {
    /// MISO is stuck: every bit read has this level.
    #[serde(rename_all = "kebab-case")]
    MisoStuck {
        /// The level.
        level: Level,
        /// When.
        #[serde(default)]
        at: Window,
    },
    /// MOSI is stuck from a byte of each chip select on.
    #[serde(rename_all = "kebab-case")]
    MosiStuck {
        /// The level.
        level: Level,
        /// The first byte that arrives wrong: 0 is the opcode, 1 the first behind it.
        #[serde(default)]
        from_byte: usize,
        /// When.
        #[serde(default)]
        at: Window,
    },
    /// The flash does not see its chip select; the chip reads the pull-up.
    #[serde(rename_all = "kebab-case")]
    ChipSelectLost {
        /// When.
        #[serde(default)]
        at: Window,
    },
    /// Bits of a register arrive the other way.
    #[serde(rename_all = "kebab-case")]
    RegisterGlitch {
        /// The register.
        register: RegisterName,
        /// The bits.
        flip: u8,
        /// When; the class does not count.
        #[serde(default)]
        at: Window,
    },
    /// A program, erase or register write ends as if it had been carried out, and nothing changed.
    #[serde(rename_all = "kebab-case")]
    LyingWrite {
        /// When.
        #[serde(default)]
        at: Window,
    },
}

/// A fault of cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "fault", deny_unknown_fields, rename_all = "kebab-case")]
pub enum CellFault {
    /// A bit that is what it is.
    #[serde(rename_all = "kebab-case")]
    StuckBit {
        /// Address of its byte.
        address: u32,
        /// Its number, 0 to 7.
        bit: u8,
        /// Its value.
        level: Level,
    },
    /// A sector in which now and then one bit does not follow.
    #[serde(rename_all = "kebab-case")]
    WeakSector {
        /// Any address in it.
        address: u32,
        /// Share of the programs and erases in it that leave one bit as it was, in percent.
        percent: u8,
    },
}

/// What loses its supply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Chip and flash.
    #[default]
    Board,
    /// The flash alone.
    Flash,
}

/// An operation of the flash that takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// An erase.
    Erase,
    /// A program.
    Program,
    /// A register write.
    StatusWrite,
}

impl Operation {
    /// The chip selects that begin it.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::Erase => Class::Erase,
            Self::Program => Class::Program,
            Self::StatusWrite => Class::StatusWrite,
        }
    }
}

/// A fault of the supply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "fault", deny_unknown_fields, rename_all = "kebab-case")]
pub enum SupplyFault {
    /// The supply goes away after so many chip selects, and comes back.
    #[serde(rename_all = "kebab-case")]
    CutAfter {
        /// So many are carried out before.
        transactions: u64,
        /// What loses it.
        #[serde(default)]
        scope: Scope,
    },
    /// The supply goes away in the middle of an operation, and comes back.
    #[serde(rename_all = "kebab-case")]
    CutIn {
        /// The kind of operation.
        operation: Operation,
        /// So many of its kind come before.
        #[serde(default)]
        skip: u64,
        /// How far it has come, in percent of its time.
        percent: u8,
        /// What loses it.
        #[serde(default)]
        scope: Scope,
    },
    /// The supply of the flash is too low to write during some chip selects.
    #[serde(rename_all = "kebab-case")]
    BrownOut {
        /// How low, in millivolts.
        mv: u16,
        /// When.
        #[serde(default)]
        at: Window,
    },
}

/// When a board fault comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Moment {
    /// After so many chip selects, in the middle of whatever the chip does.
    Transactions(u64),
    /// So long after power-on, in microseconds.
    Micros(u64),
}

/// A reset that nobody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "fault", deny_unknown_fields, rename_all = "kebab-case")]
pub enum BoardFault {
    /// A pulse on EN.
    #[serde(rename_all = "kebab-case")]
    Reset {
        /// When.
        after: Moment,
        /// What the strap pins are then; what they were, if it is left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        strap: Option<u8>,
    },
    /// The RTC watchdog bites.
    #[serde(rename_all = "kebab-case")]
    Watchdog {
        /// When.
        after: Moment,
        /// What the strap pins are then; what they were, if it is left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        strap: Option<u8>,
    },
}

/// A plan that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The file cannot be read.
    #[error("{}: {cause}", path.display())]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// It is not what the schema allows.
    #[error("{origin}: {cause}")]
    Schema {
        /// The file.
        origin: String,
        /// What and where.
        cause: Box<toml::de::Error>,
    },
    /// The text is longer than a plan may be.
    #[error("{origin}: longer than {PLAN_BYTES_MAX} bytes")]
    Long {
        /// The file.
        origin: String,
    },
    /// A value is out of range.
    #[error("{origin}: {key} = {value} is more than {most}")]
    Range {
        /// The file.
        origin: String,
        /// Which value.
        key: &'static str,
        /// What it is.
        value: u64,
        /// The most that is allowed.
        most: u64,
    },
    /// No faults at all, where some are asked for.
    #[error("{origin}: nothing goes wrong by this plan: there is nothing under [link]")]
    QuietLink {
        /// The file.
        origin: String,
    },
    /// Faults behind the line, where there is only the line.
    #[error(
        "{origin}: [{}] {} the board itself; only [link] can be played on the wire in front of a \
         port (a virtual board takes the whole plan: emulator serve --faults)",
        kinds.join("], ["), if kinds.len() == 1 { "needs" } else { "need" }
    )]
    BeyondLink {
        /// The file.
        origin: String,
        /// The tables of the plan.
        kinds: Vec<&'static str>,
    },
    /// The part has no such thing.
    #[error("the plan's {key} does not fit the part: {value}")]
    Part {
        /// Which value.
        key: &'static str,
        /// What it is.
        value: String,
    },
}

impl FaultPlan {
    /// Reads a plan file.
    ///
    /// # Errors
    ///
    /// [`PlanError`] if it cannot be read or is no plan.
    pub fn load(path: &std::path::Path) -> Result<Self, PlanError> {
        let fail = |cause| PlanError::Read { path: path.to_owned(), cause };
        let text = std::fs::read_to_string(path).map_err(fail)?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Reads the text of a plan; `origin` names it in messages.
    ///
    /// # Errors
    ///
    /// [`PlanError`] if it is no plan.
    pub fn parse(origin: &str, text: &str) -> Result<Self, PlanError> {
        if text.len() > PLAN_BYTES_MAX {
            return Err(PlanError::Long { origin: origin.to_owned() });
        }
        let plan: Self = toml::from_str(text).map_err(|cause| PlanError::Schema {
            origin: origin.to_owned(),
            cause: Box::new(cause),
        })?;
        plan.check(origin)?;
        Ok(plan)
    }

    /// Only the line's part of the plan, which has no other; `origin` names it in messages.
    ///
    /// # Errors
    ///
    /// [`PlanError::BeyondLink`]; [`PlanError::QuietLink`] if nothing can go wrong.
    pub fn only_link(&self, origin: &str) -> Result<LinkPlan, PlanError> {
        let kinds = self.kinds_beyond_link();
        if kinds.is_empty() {
            let quiet = || PlanError::QuietLink { origin: origin.to_owned() };
            return self.disturbs_link().then_some(self.link).ok_or_else(quiet);
        }
        Err(PlanError::BeyondLink { origin: origin.to_owned(), kinds })
    }

    /// The plan as text that [`Self::parse`] reads; for the report of a run.
    #[must_use]
    pub fn to_text(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| format!("# {error}\n"))
    }

    /// Whether anything can go wrong on the line.
    #[must_use]
    pub fn disturbs_link(&self) -> bool {
        self.link != LinkPlan::default()
    }

    /// Kinds of faults in the plan that are not on the line: they need the board itself.
    #[must_use]
    pub fn kinds_beyond_link(&self) -> Vec<&'static str> {
        let kinds = [
            ("bus", self.bus.is_empty()),
            ("cells", self.cells.is_empty()),
            ("supply", self.supply.is_empty()),
            ("board", self.board.is_empty()),
        ];
        kinds.into_iter().filter(|(_, is_empty)| !is_empty).map(|(kind, _)| kind).collect()
    }

    /// Whether all values are in their ranges; `origin` names the plan in messages.
    ///
    /// # Errors
    ///
    /// [`PlanError::Range`].
    pub fn check(&self, origin: &str) -> Result<(), PlanError> {
        let most = |key, value: u64, most: u64| {
            if value <= most {
                return Ok(());
            }
            Err(PlanError::Range { origin: origin.to_owned(), key, value, most })
        };
        for noise in [&self.link.to_chip, &self.link.from_chip] {
            for (key, rate) in noise.rates() {
                most(key, rate.into(), MILLION.into())?;
            }
        }
        for (key, count) in [
            ("bus", self.bus.len()),
            ("cells", self.cells.len()),
            ("supply", self.supply.len()),
            ("board", self.board.len()),
        ] {
            most(key, count as u64, FAULTS_MAX as u64)?;
        }
        for fault in &self.cells {
            match *fault {
                CellFault::StuckBit { bit, .. } => most("bit", bit.into(), 7)?,
                CellFault::WeakSector { percent, .. } => most("percent", percent.into(), 100)?,
            }
        }
        for fault in &self.supply {
            if let SupplyFault::CutIn { percent, .. } = *fault {
                most("percent", percent.into(), 100)?;
            }
        }
        for fault in &self.board {
            let (BoardFault::Reset { strap, .. } | BoardFault::Watchdog { strap, .. }) = *fault;
            most("strap", strap.unwrap_or(0).into(), 0x3F)?;
        }
        Ok(())
    }

    /// Whether the plan makes sense on `part`.
    ///
    /// # Errors
    ///
    /// [`PlanError::Part`] if it names a cell or register that the part lacks.
    pub fn check_part(&self, part: &Part) -> Result<(), PlanError> {
        for fault in &self.cells {
            let (CellFault::StuckBit { address, .. } | CellFault::WeakSector { address, .. }) =
                *fault;
            if address >= part.capacity_bytes {
                let value = format!("{address:#x} behind {:#x}", part.capacity_bytes);
                return Err(PlanError::Part { key: "address", value });
            }
        }
        for fault in &self.bus {
            if let BusFault::RegisterGlitch { register, .. } = fault
                && !part.registers.contains_key(register)
            {
                return Err(PlanError::Part { key: "register", value: register.to_string() });
            }
        }
        Ok(())
    }
}
