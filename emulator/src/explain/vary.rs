//! The boards of one mechanism on one part: what is enumerated comes from the part's data.

use std::collections::BTreeMap;

use spi_nor::part::{BitKind, HexBytes, Part, RegisterName};

use super::{
    mechanism::{Mechanism, Onset, RegisterLock, Vary},
    observed::{Observed, Step},
};
use crate::{
    case::{
        BoardFile, DeadCells, Flavour, HiddenLock, RegisterReadFault, WriteForm,
        boot::{ByteRule, RegisterWrite},
    },
    flash::protected_range,
};

/// Register values by name.
type Registers = BTreeMap<RegisterName, u8>;

/// One board to play on.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// What is peculiar to it, in words.
    pub(super) detail: String,
    /// The board, without its part and the flavour of its boots.
    pub(super) board: BoardFile,
}

/// Answers of 05h, 35h and 15h at the first reading of each, as far as they were seen.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FirstReading([Option<u8>; 3]);

/// Opcodes of the status reads, SR1 first.
const STATUS_READS: [u8; 3] = [0x05, 0x35, 0x15];
/// WIP and WEL.
const LATCHES: u8 = 0x03;
/// Register writes that may clear a bit of another register as a side effect.
const SIDE_EFFECTS: [WriteForm; 3] = [
    WriteForm { opcode: 0x01, bytes: 1 },
    WriteForm { opcode: 0x31, bytes: 1 },
    WriteForm { opcode: 0x01, bytes: 2 },
];
/// Wrong answers of 35h come at the first, second or third reading.
const GLITCHED_READS: u32 = 3;

impl Candidate {
    fn new(detail: String, board: BoardFile) -> Self {
        Self { detail, board }
    }
}

impl FirstReading {
    /// Takes them from the steps.
    pub(super) fn of(observed: &Observed) -> Self {
        let mut first = Self::default();
        for step in &observed.steps {
            let Step::Status(status) = step else { continue };
            for (known, seen) in first.0.iter_mut().zip([status.sr1, status.sr2, status.sr3]) {
                *known = known.or(seen);
            }
        }
        first
    }

    /// As register values of `part`.
    fn registers(self, part: &Part) -> Registers {
        let read = STATUS_READS.into_iter().zip(self.0);
        read.filter_map(|(opcode, value)| Some((part.reads(opcode)?, value?))).collect()
    }
}

/// Everything that is enumerated for `mechanism` on `part`.
pub(super) fn candidates(
    mechanism: &Mechanism,
    part: &Part,
    observed: &Observed,
) -> Vec<Candidate> {
    let first = FirstReading::of(observed);
    let mut all = Vec::new();
    for base in starting_points(part, first) {
        let make = Make { mechanism, part, base };
        let more = match mechanism.vary {
            Vary::Once => vec![make.plain()],
            Vary::ProtectionBits => make.protection_bits(),
            Vary::LockSelect => make.lock_select(),
            Vary::LockSelectSideEffect => make.lock_select_side_effect(),
            Vary::HiddenBit => make.hidden_bits(),
            Vary::ThirdRegisterBit => make.third_register_bits(),
            Vary::DamagedRow => make.damaged_row(),
            Vary::StatusReadGlitch => make.status_read_glitches(),
            Vary::Misread => make.misread(first),
            Vary::DeadCells => make.dead_cells(observed),
            Vary::EnterOtp => make.left_in(&part.instructions.enter_otp),
            Vary::EnterQpi => make.left_in(&part.instructions.enter_qpi),
            Vary::Suspend => make.suspended(),
            Vary::UltraPowerDown => make.ultra_power_down(),
        };
        all.extend(more);
    }
    all
}

/// The factory state, and where it differs the state with every bit that does not protect as it
/// was first read: QE, drive strength, OTP bits may come from anywhere.
fn starting_points(part: &Part, first: FirstReading) -> Vec<Registers> {
    let mut read = Registers::new();
    for (name, value) in first.registers(part) {
        let mask = part.write_mask(name) & !mask_of(part, name, &deciding_bits(part));
        let factory = part.factory_value(name);
        let value = factory & !mask | value & mask;
        if value != factory {
            read.insert(name, value);
        }
    }
    if read.is_empty() { vec![Registers::new()] } else { vec![Registers::new(), read] }
}

/// Names of the bits that decide what is protected, and whether the registers can be written.
fn deciding_bits(part: &Part) -> Vec<&str> {
    let mut names = part.protection.bit_names();
    names.extend(part.individual_locks.as_ref().and_then(|locks| locks.select_bit.as_deref()));
    names.extend(part.status_lock.wp_enable_bit.as_deref());
    names.extend(part.status_lock.power_lock_bit.as_deref());
    names
}

fn mask_of(part: &Part, register: RegisterName, names: &[&str]) -> u8 {
    part.mask_where(register, |bit| names.contains(&bit.name.as_str()))
}

/// Register values in words: `SR2 = 0x42`.
fn words(registers: &Registers) -> String {
    let said: Vec<_> = registers
        .iter()
        .map(|(name, value)| format!("{} = {value:#04x}", name.to_string().to_uppercase()))
        .collect();
    if said.is_empty() { "factory state".to_owned() } else { said.join(", ") }
}

/// What candidates of one mechanism, part and starting point are made from.
struct Make<'a> {
    mechanism: &'a Mechanism,
    part: &'a Part,
    base: Registers,
}

impl Make<'_> {
    /// The board as the mechanism has it.
    fn board(&self) -> BoardFile {
        let mut board = self.mechanism.board.clone();
        board.flash.registers.extend(self.base.iter());
        board
    }

    fn plain(&self) -> Candidate {
        Candidate::new(words(&self.base), self.board())
    }

    /// A board on which `bits` are set, from the start or by the boot; `None` if they cannot be.
    fn with_registers(&self, bits: &Registers) -> Option<Candidate> {
        let mut board = self.board();
        let (mut set, mut whole) = (Registers::new(), Registers::new());
        for (&name, &mask) in bits {
            let base = self.value(name);
            set.insert(name, mask);
            whole.insert(name, base | mask);
        }
        match self.mechanism.onset {
            Onset::Start => {
                board.flash.registers.extend(whole.iter());
                Some(Candidate::new(words(&board.flash.registers), board))
            }
            Onset::Boot => {
                for (&name, &mask) in &set {
                    let write = self.write_that_sets(name, mask)?;
                    board.boot.register_writes.push(write);
                }
                Some(Candidate::new(format!("the boot sets {}", self.names_of(&set)), board))
            }
        }
    }

    /// Value of a register at the start.
    fn value(&self, name: RegisterName) -> u8 {
        self.base.get(&name).copied().unwrap_or_else(|| self.part.factory_value(name))
    }

    /// Bits in words.
    fn names_of(&self, bits: &Registers) -> String {
        let names: Vec<_> = self
            .part
            .bits()
            .filter(|(at, _)| bits.get(&at.register).is_some_and(|mask| at.of(*mask) == 1))
            .map(|(_, bit)| bit.name.clone())
            .collect();
        names.join(" ")
    }

    /// A register write of a firmware that sets `mask` in one register and keeps all else.
    fn write_that_sets(&self, name: RegisterName, mask: u8) -> Option<RegisterWrite> {
        let forms = self.part.status_write.iter().filter(|form| {
            form.to.iter().any(|to| to.register() == Some(name))
                && form.to.iter().all(|to| to.register().is_some())
        });
        let form = forms.min_by_key(|form| form.to.len())?;
        let bytes: Option<Vec<_>> = form
            .to
            .iter()
            .map(|to| {
                let to = to.register()?;
                let read = self.part.register(to)?.read.first().copied()?;
                let set = if to == name { mask } else { 0 };
                Some(ByteRule { read, keep: 0xff, set })
            })
            .collect();
        Some(RegisterWrite {
            enable: 0x06,
            opcode: form.opcode,
            bytes: bytes?,
            only_if_changed: true,
        })
    }

    /// Every value of the deciding bits that protects something; with a lock of the registers, the
    /// others as well.
    fn protection_bits(&self) -> Vec<Candidate> {
        let Some(lock) = self.lock_bits() else { return Vec::new() };
        let places: Vec<_> = self
            .part
            .protection
            .bit_names()
            .into_iter()
            .filter_map(|name| self.part.find_bit(name))
            .filter(|at| at.of(self.part.write_mask(at.register)) == 1)
            .collect();
        // A checked part has at most ten of them.
        let count = places.len().min(10);
        let mut made = Vec::new();
        for number in 0..1_u32 << count {
            let mut bits = lock.clone();
            for (at, place) in places.iter().take(count).enumerate() {
                if number >> at & 1 == 1 {
                    *bits.entry(place.register).or_default() |= place.mask();
                }
            }
            if !self.protects(&bits) && self.mechanism.lock.is_none() {
                continue;
            }
            made.extend(self.with_registers(&bits));
        }
        made
    }

    /// The lock bits of the mechanism; `None` if the part does not have them.
    fn lock_bits(&self) -> Option<Registers> {
        let lock = &self.part.status_lock;
        let (pin, power) = (lock.wp_enable_bit.as_deref(), lock.power_lock_bit.as_deref());
        let names = match self.mechanism.lock {
            None => Vec::new(),
            Some(RegisterLock::WpEnable) => vec![pin?],
            Some(RegisterLock::PowerLock) => vec![power?],
            Some(RegisterLock::Both) => vec![pin?, power?],
        };
        let mut bits = Registers::new();
        for name in names {
            let at = self.part.find_bit(name)?;
            *bits.entry(at.register).or_default() |= at.mask();
        }
        Some(bits)
    }

    /// Whether these bits on top of the start protect anything.
    fn protects(&self, bits: &Registers) -> bool {
        let bit = |name: &str| {
            self.part.find_bit(name).map_or(0, |at| {
                at.of(self.value(at.register) | bits.get(&at.register).copied().unwrap_or(0))
            })
        };
        !protected_range(self.part, &bit).is_empty()
    }

    fn select_bit(&self) -> Option<(String, Registers)> {
        let name = self.part.individual_locks.as_ref()?.select_bit.clone()?;
        let at = self.part.find_bit(&name)?;
        Some((name, Registers::from([(at.register, at.mask())])))
    }

    fn lock_select(&self) -> Vec<Candidate> {
        let Some((name, bits)) = self.select_bit() else { return Vec::new() };
        let locks = self.part.individual_locks.as_ref();
        let select = locks.and_then(|locks| locks.select.first().copied());
        match (self.mechanism.onset, select) {
            (Onset::Boot, Some(opcode)) => {
                let mut board = self.board();
                let sent = [vec![0x06], vec![opcode]];
                board.boot.instructions = sent.map(HexBytes).into();
                vec![Candidate::new(format!("the boot sets {name} by {opcode:02X}h"), board)]
            }
            _ => self.with_registers(&bits).into_iter().collect(),
        }
    }

    fn lock_select_side_effect(&self) -> Vec<Candidate> {
        let Some((name, _)) = self.select_bit() else { return Vec::new() };
        let with = |base: Candidate, form: WriteForm| {
            let mut board = base.board;
            let (bit, cleared_by) = (name.clone(), vec![form]);
            board.flash.hidden = Some(HiddenLock::SideEffect { bit, cleared_by });
            Candidate::new(format!("{}; {}", base.detail, cleared(form)), board)
        };
        let bases = self.lock_select();
        let all = bases.into_iter().flat_map(|base| SIDE_EFFECTS.map(|form| (base.clone(), form)));
        all.map(|(base, form)| with(base, form)).collect()
    }

    /// Bits that a register write reaches and that have nothing to do with protection.
    fn free_bits(&self) -> Vec<spi_nor::BitPosition> {
        let names = deciding_bits(self.part);
        let free = |kind: BitKind, name: &str| {
            matches!(kind, BitKind::Nv | BitKind::NvVolatile) && !names.contains(&name)
        };
        let bits = self.part.bits().filter(|(_, bit)| free(bit.kind, &bit.name));
        bits.map(|(at, _)| at).filter(|at| self.write_that_sets(at.register, 0).is_some()).collect()
    }

    fn hidden_bits(&self) -> Vec<Candidate> {
        let hide = |at: spi_nor::BitPosition| {
            let mut board = self.board();
            let (register, bit) = (at.register, at.bit);
            board.flash.hidden =
                Some(HiddenLock::RegisterBit { register, bit, cleared_by: Vec::new() });
            let upper = register.to_string().to_uppercase();
            Candidate::new(format!("bit {bit} of {upper}; {}", words(&self.base)), board)
        };
        self.free_bits().into_iter().map(hide).collect()
    }

    fn third_register_bits(&self) -> Vec<Candidate> {
        let mut made = Vec::new();
        let seen = STATUS_READS[..2].iter().filter_map(|opcode| self.part.reads(*opcode));
        let seen: Vec<_> = seen.collect();
        for at in self.free_bits() {
            let write = self.write_that_sets(at.register, at.mask());
            let (Some(write), false) = (write, seen.contains(&at.register)) else { continue };
            for form in SIDE_EFFECTS {
                let mut board = self.board();
                let (register, bit) = (at.register, at.bit);
                board.flash.registers.insert(register, self.value(register) & !at.mask());
                board.flash.hidden =
                    Some(HiddenLock::RegisterBit { register, bit, cleared_by: vec![form] });
                board.boot.register_writes.push(write.clone());
                let upper = register.to_string().to_uppercase();
                let detail = format!("bit {bit} of {upper}; {}", cleared(form));
                made.push(Candidate::new(detail, board));
            }
        }
        made
    }

    fn damaged_row(&self) -> Vec<Candidate> {
        let mut board = self.board();
        let boots = self.mechanism.onset == Onset::Boot;
        let mut opcodes: Vec<_> = self.part.status_write.iter().map(|form| form.opcode).collect();
        opcodes.dedup();
        board.flash.hidden = Some(HiddenLock::StatusRow { damaged: !boots, repaired_by: opcodes });
        board.boot.damages_status_row = boots;
        vec![Candidate::new(words(&self.base), board)]
    }

    /// Each deciding bit of the second register alone, and all ones, at one of the first readings.
    fn status_read_glitches(&self) -> Vec<Candidate> {
        let Some(register) = self.part.reads(STATUS_READS[1]) else { return Vec::new() };
        let mask = mask_of(self.part, register, &deciding_bits(self.part));
        let bits = (0..8).map(|bit| 1_u8 << bit).filter(|bit| bit & mask != 0);
        let values: Vec<_> = bits.chain([0xff]).collect();
        let reads = 1..=GLITCHED_READS;
        let both = reads.flat_map(|from| values.iter().map(move |value| (from, *value)));
        both.map(|(from, value)| {
            let mut board = self.board();
            let opcode = STATUS_READS[1];
            board.faults.register_reads =
                vec![RegisterReadFault { opcode, value, from, count: Some(1) }];
            let detail = format!("reading {from} of 35h answers {value:#04x}");
            Candidate::new(detail, board)
        })
        .collect()
    }

    /// All BP bits and SRP0, hidden behind a reading that never changes.
    fn misread(&self, first: FirstReading) -> Vec<Candidate> {
        let Some(pin) = self.part.status_lock.wp_enable_bit.as_deref() else { return Vec::new() };
        let places = self.part.block_protect_bits().into_iter().chain(self.part.find_bit(pin));
        let mut bits = Registers::new();
        for at in places {
            *bits.entry(at.register).or_default() |= at.mask();
        }
        // QE would free WP#.
        let mut base = Make { base: Registers::new(), ..*self };
        base.base.extend(
            self.part
                .quad_enable()
                .map(|at| (at.register, self.part.factory_value(at.register) & !at.mask())),
        );
        let Some(mut made) = base.with_registers(&bits) else { return Vec::new() };
        for (opcode, value) in STATUS_READS.into_iter().zip(first.0) {
            let Some(value) = value else { continue };
            let value = if opcode == STATUS_READS[0] { value & !LATCHES } else { value };
            let always = RegisterReadFault { opcode, value, from: 1, count: None };
            made.board.faults.register_reads.push(always);
        }
        if made.board.faults.register_reads.is_empty() { Vec::new() } else { vec![made] }
    }

    fn dead_cells(&self, observed: &Observed) -> Vec<Candidate> {
        let first = observed.steps.iter().find_map(|step| match step {
            Step::Write(write) => Some(write.at),
            _ => None,
        });
        let Some(at) = first else { return Vec::new() };
        let mut board = self.board();
        board.faults.dead_cells = Some(DeadCells { at, bytes: 256, stuck_bits: 0x18 });
        vec![Candidate::new(words(&self.base), board)]
    }

    /// The boot leaves the part in a mode.
    fn left_in(&self, enter: &[u8]) -> Vec<Candidate> {
        let opcodes = enter.iter().copied();
        opcodes
            .map(|opcode| self.sending(&[vec![opcode]], format!("the boot sends {opcode:02X}h")))
            .collect()
    }

    fn suspended(&self) -> Vec<Candidate> {
        let (erase, suspend) = (self.part.erase.first(), self.part.instructions.suspend.first());
        let (Some(erase), Some(&suspend)) = (erase, suspend) else { return Vec::new() };
        // The last sector: nothing looks there.
        let [_, address @ ..] = (self.part.capacity_bytes - 1).to_be_bytes();
        let erase = [&[erase.opcode], &address[..]].concat();
        let detail = format!("the boot suspends an erase by {suspend:02X}h");
        vec![self.sending(&[vec![0x06], erase, vec![suspend]], detail)]
    }

    fn ultra_power_down(&self) -> Vec<Candidate> {
        let table = &self.part.instructions;
        let (Some(&first), Some(&second)) =
            (table.power_down.first(), table.ultra_power_down.first())
        else {
            return Vec::new();
        };
        let detail = format!("the boot sends {first:02X}h, {second:02X}h");
        vec![self.sending(&[vec![first], vec![second]], detail)]
    }

    fn sending(&self, sent: &[Vec<u8>], detail: String) -> Candidate {
        let mut board = self.board();
        board.boot.instructions = sent.iter().cloned().map(HexBytes).collect();
        Candidate::new(detail, board)
    }
}

/// The write that clears a bit as a side effect, in words.
fn cleared(form: WriteForm) -> String {
    let bytes = if form.bytes == 1 { "byte" } else { "bytes" };
    format!("cleared by {:02X}h with {} {bytes}", form.opcode, form.bytes)
}

/// What the boots of `board` do on `part`: the flavours that are tried where the file leaves them
/// open.
pub(super) fn flavours(part: &Part, observed: &Observed) -> Vec<Option<Flavour>> {
    let boots = observed.steps.iter().filter_map(|step| match step {
        Step::Boot(boot) => Some(boot.flavour),
        _ => None,
    });
    let open = boots.clone().any(|flavour| flavour.is_none());
    if !open {
        return vec![None];
    }
    let id = part.jedec_id.0;
    let known = [Flavour::None, Flavour::of_idf(id, false), Flavour::of_idf(id, true)];
    known.map(Some).into()
}
