//! From a board file to a board.

use spi_nor::part::{
    BitKind, Part, Protection, ProtectionRow, RegisterName, StatusWrite, WriteTarget,
};

use crate::{
    board::{Board, BoardSetup},
    flash::{FlashState, NorFlash, Pins},
    rom::personality::{BootPersonality, BootStep},
    soc::{Crystal as SocCrystal, Identity},
    spi::SpiPins,
};

use super::{
    BoardFile, BoardFlash, CaseError, Crystal, FlashPins, HiddenLock, Image, Inconsistency, Level,
    LoadedBoard, Package, PartOverrides, Revision,
    board_flash::{BootFaults, Causes, SideEffect},
    image, replace,
    second_flash::{Routing, SecondFlash},
};

/// A board of a case or a board file.
pub type CaseBoard = Board<BoardFlash>;

impl LoadedBoard {
    /// Powers the board on.
    ///
    /// # Errors
    ///
    /// The part does not exist, an image file cannot be read, or something does not fit the part.
    pub fn into_board(self) -> Result<CaseBoard, CaseError> {
        let flash = self.flash()?;
        Ok(Board::power_on(self.setup(), flash))
    }

    /// The flash with everything that the file says of it.
    ///
    /// # Errors
    ///
    /// As [`Self::into_board`].
    pub fn flash(&self) -> Result<BoardFlash, CaseError> {
        self.flash_of(self.part()?)
    }

    /// The same with a part that [`Self::part`] or [`Self::adapt`] gave.
    ///
    /// # Errors
    ///
    /// As [`Self::into_board`].
    pub(crate) fn flash_of(&self, part: Part) -> Result<BoardFlash, CaseError> {
        let nor = self.nor_of(part)?;
        let side_effect = self.side_effect(nor.part())?;
        let causes =
            Causes { boot: self.boot_faults(), side_effect, row_repair: self.row_repair() };
        Ok(BoardFlash::new(nor, self.routing()?, self.file.faults.clone(), causes))
    }

    /// The main part with what is in it.
    fn nor_of(&self, part: Part) -> Result<NorFlash, CaseError> {
        let setup = &self.file.flash;
        let mut state = FlashState::factory(&part);
        for (name, value) in &setup.registers {
            self.has_register("flash.registers", &part, *name)?;
            state.set_register(*name, *value);
        }
        for name in setup.volatile_registers.keys() {
            self.has_register("flash.volatile-registers", &part, *name)?;
        }
        if matches!(setup.hidden, Some(HiddenLock::StatusRow { damaged: true, .. })) {
            state.damaged_row = Some(0..part.capacity_bytes);
        }
        let capacity = part.capacity_bytes;
        let mut nor = NorFlash::new(part, state).map_err(|error| {
            self.wrong("flash.part", Inconsistency::PartFile(error.to_string()))
        })?;
        self.fill(&setup.image, capacity, &mut nor)?;
        for (name, value) in &setup.volatile_registers {
            nor.set_volatile(*name, *value);
        }
        self.set_locks(capacity, &mut nor)?;
        let pins = self.file.pins;
        nor.set_pins(Pins { wp_high: pins.wp == Level::High, hold_high: pins.hold == Level::High });
        nor.set_pull_level(if pins.data_pull == Level::High { 0xff } else { 0x00 });
        nor.set_supply_mv(self.file.power.supply_mv.get());
        let _ = nor.take_dirty();
        Ok(nor)
    }

    /// The pins of the main part, and the second part on its own.
    fn routing(&self) -> Result<Routing, CaseError> {
        let second = match &self.file.second_flash {
            None => None,
            Some(second) => {
                let file = BoardFile {
                    flash: second.flash.clone(),
                    power: self.file.power,
                    ..BoardFile::default()
                };
                let origin = format!("{} (second-flash)", self.origin);
                let text = String::new();
                let folder = self.folder.clone();
                let board = Self { origin, folder, file, text, replaced: Vec::new() };
                let nor = board.nor_of(board.part()?)?;
                let pins = match second.pins {
                    FlashPins::Hspi => SpiPins::HSPI,
                    FlashPins::Gpio(pins) => pins,
                };
                Some(Box::new(SecondFlash { pins, nor }))
            }
        };
        Ok(Routing {
            pins: self.file.chip.package.flash_pins(),
            pull: if self.file.pins.data_pull == Level::High { 0xff } else { 0x00 },
            second,
            ..Routing::default()
        })
    }

    /// What happens to the flash at the first register write of a boot.
    fn boot_faults(&self) -> BootFaults {
        let boot = &self.file.boot;
        BootFaults { damages_row: boot.damages_status_row, supply: boot.supply_mv }
    }

    /// Opcodes that repair a damaged status row; all of them where the board does not say.
    fn row_repair(&self) -> Option<Vec<u8>> {
        match &self.file.flash.hidden {
            Some(HiddenLock::StatusRow { repaired_by, .. }) => Some(repaired_by.clone()),
            _ => None,
        }
    }

    /// Individual locks that differ from their power-up state.
    fn set_locks(&self, capacity: u32, nor: &mut NorFlash) -> Result<(), CaseError> {
        for (number, lock) in self.file.flash.locks.iter().enumerate() {
            let key = format!("flash.locks[{number}]");
            if lock.at >= capacity {
                let end = u64::from(lock.at) + 1;
                return Err(self.wrong(&key, Inconsistency::BeyondArray { end, capacity }));
            }
            if !nor.set_individual_lock(lock.at, lock.locked) {
                return Err(self.wrong(&key, Inconsistency::NoLocks));
            }
        }
        Ok(())
    }

    /// The part as this board has it.
    ///
    /// # Errors
    ///
    /// The part does not exist or its file is wrong.
    pub fn part(&self) -> Result<Part, CaseError> {
        let setup = &self.file.flash;
        let (key, origin, text) = match (&setup.part, &setup.part_file) {
            (Some(name), None) => {
                let text = spi_nor::catalog::text(name).ok_or_else(|| {
                    self.wrong("flash.part", Inconsistency::UnknownPart(name.clone()))
                })?;
                ("flash.overrides.fields", name.clone(), text.to_owned())
            }
            (None, Some(path)) => {
                let path = self.folder.join(path);
                let text = super::read_text(&path)?;
                ("flash.part-file", path.display().to_string(), text)
            }
            _ => return Err(self.wrong("flash", Inconsistency::PartOrFile)),
        };
        let mut part = Part::parse_changed(&text, &setup.overrides.fields, &origin)
            .map_err(|error| self.wrong(key, Inconsistency::PartFile(error.to_string())))?;
        self.adapt(&mut part)?;
        let faults = part.faults();
        if !faults.is_empty() {
            let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
            return Err(
                self.wrong("flash.overrides", Inconsistency::ChangedPart(faults.join("; ")))
            );
        }
        Ok(part)
    }

    /// Changes a part into the one that this board has.
    ///
    /// # Errors
    ///
    /// A register or bit that the part does not have.
    pub(crate) fn adapt(&self, part: &mut Part) -> Result<(), CaseError> {
        let overrides = &self.file.flash.overrides;
        let latches = &mut part.refused;
        replace(&mut latches.write_enable_latch, overrides.write_enable_latch_after_refusal);
        replace(
            &mut latches.status_write_enable_latch,
            overrides.write_enable_latch_after_refused_status_write,
        );
        replace(&mut part.chip_erase.rule, overrides.chip_erase_rule);
        replace(&mut part.status_lock.both, overrides.both_lock_bits);
        replace(
            &mut part.write_inhibit_mv,
            overrides.write_inhibit_mv.map(super::SupplyMillivolts::get),
        );
        replace(
            &mut part.read_minimum_mv,
            overrides.read_minimum_mv.map(super::SupplyMillivolts::get),
        );
        if let Some(sfdp) = &overrides.sfdp {
            part.sfdp = Some(sfdp.clone());
        }
        override_status_writes(part, overrides);
        override_qpi(part, overrides.has_qpi);
        for (name, mask) in &overrides.fixed_bits {
            self.has_register("flash.overrides.fixed-bits", part, *name)?;
            let registers = &self.file.flash.registers;
            let fixed = registers.get(name).copied().unwrap_or_else(|| part.factory_value(*name));
            for bit in part.registers.get_mut(name).into_iter().flat_map(|it| &mut it.bits) {
                if mask >> bit.bit & 1 == 1 {
                    bit.kind = BitKind::Reserved;
                    bit.factory = fixed >> bit.bit & 1;
                }
            }
        }
        if let Some(HiddenLock::RegisterBit { register, bit, .. }) = &self.file.flash.hidden {
            self.has_register("flash.hidden", part, *register)?;
            if *bit > 7 {
                let bit = format!("{bit} of {register}; allowed: 0 to 7");
                return Err(self.wrong("flash.hidden", Inconsistency::NoSuchBit { bit }));
            }
            protect_by_bit(part, *register, *bit);
        }
        Ok(())
    }

    /// What the board is apart from its flash.
    #[must_use]
    pub fn setup(&self) -> BoardSetup {
        let chip = &self.file.chip;
        let (revision_major, revision_minor) = match chip.revision {
            Revision::V1_0 => (1, 0),
            Revision::V1_1 => (1, 1),
            Revision::V3_0 => (3, 0),
            Revision::V3_1 => (3, 1),
        };
        let identity = Identity {
            mac: chip.mac.0,
            revision_major,
            revision_minor,
            package: match chip.package {
                Package::D0wdq6 => 0,
                Package::D0wd => 1,
                Package::D2wd => 2,
                Package::U4wdh => 4,
                Package::PicoD4 => 5,
                Package::PicoV302 => 6,
                Package::D0wdr2 => 7,
            },
            crystal: match chip.crystal {
                Crystal::Mhz40 => SocCrystal::Mhz40,
                Crystal::Mhz26 => SocCrystal::Mhz26,
            },
            console_debug_disabled: chip.console_debug_disabled,
            download_disabled: chip.download_disabled,
        };
        BoardSetup {
            identity,
            efuses: self.file.efuse.cells(),
            strap: chip.strap.get(),
            wiring: self.file.wiring,
            personality: Some(self.personality()),
            ..BoardSetup::default()
        }
    }

    /// The boot as steps.
    pub(crate) fn personality(&self) -> BootPersonality {
        let boot = &self.file.boot;
        let mut steps: Vec<_> =
            boot.all_register_writes().into_iter().map(BootStep::UpdateRegister).collect();
        if !steps.is_empty() {
            // ESP-IDF closes with 04h whether or not the part took the write (QUIRKS Q10).
            steps.push(send(vec![0x04]));
        }
        steps.extend(boot.instructions.iter().map(|out| send(out.0.clone())));
        steps.extend(boot.output.iter().map(|line| BootStep::Text { text: format!("{line}\r\n") }));
        for write in &boot.app_writes {
            let [_, address @ ..] = write.at.to_be_bytes();
            let erase = [&[0x20], &address[..]].concat();
            let program = [&[0x02], &address[..], &write.hex.0].concat();
            for instruction in [erase, program] {
                steps.extend([send(vec![0x06]), send(instruction), BootStep::WaitIdle {}]);
            }
            steps.push(send(vec![0x04]));
        }
        BootPersonality { steps, repeat_from: None }
    }

    fn side_effect(&self, part: &Part) -> Result<Option<SideEffect>, CaseError> {
        let (bit, cleared_by) = match &self.file.flash.hidden {
            Some(HiddenLock::SideEffect { bit, cleared_by }) => (bit, cleared_by),
            Some(HiddenLock::RegisterBit { register, bit, cleared_by })
                if !cleared_by.is_empty() =>
            {
                let mask = 1_u8.checked_shl((*bit).into()).unwrap_or(0);
                let cleared_by = cleared_by.clone();
                return Ok(Some(SideEffect { register: *register, mask, cleared_by }));
            }
            _ => return Ok(None),
        };
        let found = part.find_bit(bit).ok_or_else(|| {
            self.wrong("flash.hidden", Inconsistency::NoSuchBit { bit: bit.clone() })
        })?;
        let (register, mask) = (found.register, found.mask());
        Ok(Some(SideEffect { register, mask, cleared_by: cleared_by.clone() }))
    }

    fn fill(&self, image: &Image, capacity: u32, nor: &mut NorFlash) -> Result<(), CaseError> {
        let check = |key: &str, at: u32, bytes: usize| {
            let end = u64::from(at) + u64::try_from(bytes).unwrap_or(u64::MAX);
            if end <= u64::from(capacity) {
                return Ok(());
            }
            Err(self.wrong(key, Inconsistency::BeyondArray { end, capacity }))
        };
        if let Some(pattern) = &image.pattern {
            let bytes = usize::try_from(pattern.bytes).unwrap_or(usize::MAX);
            check("flash.image.pattern", pattern.at, bytes)?;
            nor.load_image(pattern.at, &image::bootable(pattern.seed, bytes));
        }
        if let Some(file) = &image.file {
            let path = self.folder.join(&file.path);
            let data = super::read_at_most(&path, usize::try_from(capacity).unwrap_or(usize::MAX))
                .map_err(|cause| CaseError::Read { path, cause })?;
            check("flash.image.file", file.at, data.len())?;
            nor.load_image(file.at, &data);
        }
        for (number, piece) in image.pieces.iter().enumerate() {
            check(&format!("flash.image.pieces[{number}]"), piece.at, piece.hex.0.len())?;
            nor.load_image(piece.at, &piece.hex.0);
        }
        Ok(())
    }

    fn has_register(&self, key: &str, part: &Part, name: RegisterName) -> Result<(), CaseError> {
        if part.registers.contains_key(&name) {
            return Ok(());
        }
        let known: Vec<_> = part.registers.keys().map(ToString::to_string).collect();
        let register = name.to_string();
        let key = format!("{key}.{register}");
        let problem = Inconsistency::NoSuchRegister { register, known: known.join(", ") };
        Err(self.wrong(&key, problem))
    }
}

/// Which register writes the part takes, and what they clear.
fn override_status_writes(part: &mut Part, overrides: &PartOverrides) {
    if let Some(counts) = &overrides.status_write_01h_bytes {
        part.status_write.retain(|form| form.opcode != 0x01);
        part.status_write.extend(counts.iter().map(|count| status_write_form(*count)));
    }
    if let Some(clears) = &overrides.one_byte_01h_clears {
        for form in &mut part.status_write {
            if form.opcode == 0x01 && form.to.len() == 1 {
                form.clears.clone_from(clears);
            }
        }
    }
    let has_31h = part.status_write.iter().any(|form| form.opcode == 0x31);
    match overrides.has_31h {
        Some(false) => part.status_write.retain(|form| form.opcode != 0x31),
        Some(true) if !has_31h => part.status_write.push(StatusWrite {
            opcode: 0x31,
            to: vec![WriteTarget::Sr2],
            clears: Vec::new(),
            confidence: None,
        }),
        _ => {}
    }
}

/// Takes the four-line mode away or gives it.
fn override_qpi(part: &mut Part, has_qpi: Option<bool>) {
    let reads_35h = part.reads(0x35).is_some();
    let instructions = &mut part.instructions;
    match has_qpi {
        Some(false) => {
            instructions.enter_qpi.clear();
            instructions.exit_qpi.clear();
        }
        Some(true) if instructions.enter_qpi.is_empty() => {
            let (enter, exit) = if reads_35h { (0x38, 0xff) } else { (0x35, 0xf5) };
            instructions.enter_qpi = vec![enter];
            instructions.exit_qpi = vec![exit];
        }
        _ => {}
    }
}

/// 01h with `count` data bytes: SR1, SR2, SR3. A count that no register stands for is left to the
/// check of the part.
fn status_write_form(count: u8) -> StatusWrite {
    let targets = [WriteTarget::Sr1, WriteTarget::Sr2, WriteTarget::Sr3];
    let extra = usize::from(count).saturating_sub(targets.len());
    let ignored = std::iter::repeat_n(WriteTarget::Ignored, extra);
    let to = targets.into_iter().take(count.into()).chain(ignored).collect();
    StatusWrite { opcode: 0x01, to, clears: Vec::new(), confidence: None }
}

/// Makes one register bit protect the whole array (QUIRKS part 3, H1).
fn protect_by_bit(part: &mut Part, register: RegisterName, bit: u8) {
    let bits = part.registers.get(&register).into_iter().flat_map(|it| &it.bits);
    let Some(name) = bits.into_iter().find(|it| it.bit == bit).map(|it| it.name.clone()) else {
        return;
    };
    let row = ProtectionRow {
        bits: [(name, 1)].into_iter().collect(),
        start: 0,
        end: part.capacity_bytes,
    };
    match &mut part.protection {
        Protection::BlockProtect { exceptions, .. }
        | Protection::InverseBlockProtect { exceptions, .. }
        | Protection::SymmetricBlockProtect { exceptions, .. } => exceptions.insert(0, row),
        Protection::Table { rows } => rows.insert(0, row),
        other => *other = Protection::Table { rows: vec![row] },
    }
}

/// One chip select of the firmware that reads nothing.
fn send(out: Vec<u8>) -> BootStep {
    BootStep::Spi { out: spi_nor::part::HexBytes(out), read_bytes: 0 }
}
