//! The stage: a flash on the chip's flash controller, and the steps of an observation file played
//! on it with the ROM's own flash functions.
//!
//! The registers, modes, pins and every erase are played in full. Of the data of a write only
//! sample pages are programmed and read: the first, the middle and the last sector of the region,
//! and what they meet where a region is larger than the array. A protected range touches an end of
//! the array or a unit of its own, so the samples see what a whole image would.

use std::rc::Rc;

use super::observed::{self, Loader, Relation, Select, Step};
use crate::{
    case::BoardFlash,
    flash::Pins,
    rom::{
        flash_driver::{self, FlashChip, FlashError},
        personality::BootPersonality,
    },
    soc::{Efuse, Identity, Machine, Soc},
    spi::{SpiConnection, SpiDevice},
    time::{Duration, Instant},
    trace::{Hang, Trace},
};

/// Sector, as addresses.
const SECTOR: u32 = 4096;
/// Block, as addresses.
const BLOCK: u32 = 0x1_0000;
/// Bytes of a sample.
const PAGE_BYTES: usize = 256;
/// Between two commands of a tool at 115,200 baud: a chip select takes about ten register accesses
/// of 26 bytes (QUIRKS Q6).
const COMMAND_GAP: Duration = Duration::from_millis(20);
/// Bit 9 of the status: what the legacy stub's unlock keeps (QUIRKS Q2).
const KEPT_BY_LEGACY_STUB: u8 = 0x02;
/// The image that is in the array before the first step.
const OLD_FIRMWARE: u16 = 0x100;
/// Most that an erase may take and still have been refused.
const NO_TIME_CHIP: Duration = Duration::from_millis(100);
const NO_TIME_SECTOR: Duration = Duration::from_millis(2);

/// What a step showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// The step shows nothing.
    Nothing,
    /// MD5 relations that hold, and whether the ROM's read-back differed.
    Written { relations: Vec<Relation>, error: bool },
    /// How long an erase took, and whether that is no time.
    Erased { took: Duration, no_time: bool },
    /// Status registers, SR1 first.
    Status(Vec<u8>),
    /// What a chip select read.
    Answer(Vec<u8>),
    /// The loader does not answer any more.
    Hangs(Hang),
}

/// A board that is played on.
#[derive(Debug)]
pub(super) struct Stage {
    machine: Machine<BoardFlash>,
    boots: Rc<[BootPersonality]>,
    /// Boots so far; the last personality of the list stays.
    boot_count: usize,
    size_setting: Option<u32>,
}

/// A board between two steps.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    flash: BoardFlash,
    boots: Rc<[BootPersonality]>,
    boot_count: usize,
}

impl Stage {
    /// A stage with a first board.
    pub(super) fn new(flash: BoardFlash, size_setting: Option<u32>) -> Self {
        let identity = Identity::default();
        let efuse = Efuse::with_cells(identity.cells());
        let soc = Soc::power_on(&identity, efuse, crate::board::STRAP_DOWNLOAD);
        let (now, trace) = (Instant::ZERO, Trace::default());
        let mut machine = Machine { now, soc, flash, connection: SpiConnection::Default, trace };
        machine.connect(SpiConnection::Default);
        Self { machine, boots: Rc::new([]), boot_count: 0, size_setting }
    }

    /// Puts another board on the stage, with what its boots do, one after the other.
    pub(super) fn enter(&mut self, flash: BoardFlash, boots: Rc<[BootPersonality]>) {
        self.restore(Snapshot { flash, boots, boot_count: 0 });
    }

    /// The board as it is.
    pub(super) fn snapshot(&self) -> Snapshot {
        let (flash, boots) = (self.machine.flash.clone(), Rc::clone(&self.boots));
        Snapshot { flash, boots, boot_count: self.boot_count }
    }

    /// Puts a board back.
    pub(super) fn restore(&mut self, board: Snapshot) {
        self.machine.flash = board.flash;
        self.machine.connect(SpiConnection::Default);
        self.machine.trace = Trace::default();
        self.boots = board.boots;
        self.boot_count = board.boot_count;
    }

    /// Puts an old firmware where the steps will look.
    pub(super) fn fill(&mut self, steps: &[Step]) {
        for step in steps {
            let (at, bytes) = match step {
                Step::Write(write) => (write.at, write.bytes),
                Step::Erase(erase) => (erase.at, erase.bytes),
                _ => continue,
            };
            let nor = self.machine.flash.nor_mut();
            for (place, len) in samples(at, bytes, nor.part().capacity_bytes) {
                let page = page(OLD_FIRMWARE, place);
                let place = place % nor.part().capacity_bytes;
                nor.load_image(place, &page[..len]);
            }
        }
    }

    /// Plays a step.
    pub(super) fn play(&mut self, step: &Step) -> Seen {
        self.machine.wait(COMMAND_GAP);
        let seen = match step {
            Step::Write(write) => self.write(write),
            Step::Erase(erase) => self.erase(erase),
            Step::EraseChip(_) => self.erase_chip(),
            Step::Status(status) => Ok(self.status(status.count())),
            Step::WriteFlashStatus(write) => self.write_flash_status(write),
            Step::WriteRegister(write) => self.write_register(write),
            Step::Select(select) => Ok(self.select(select)),
            Step::Boot(_) => self.boot(),
            Step::PowerCycle {} => {
                let now = self.machine.now;
                self.machine.flash.power_cycle(now);
                Ok(Seen::Nothing)
            }
            // The flash has no reset line (QUIRKS Q35); the ROM wakes it (ROM-FACTS 6.2).
            Step::HostReset {} => self.connect().map(|()| Seen::Nothing),
            Step::Supply(supply) => {
                self.machine.flash.nor_mut().set_supply_mv(supply.mv.get());
                Ok(Seen::Nothing)
            }
            Step::Pins(pins) => {
                self.machine.flash.nor_mut().set_pins(Pins {
                    wp_high: pins.wp == crate::case::Level::High,
                    hold_high: pins.hold == crate::case::Level::High,
                });
                Ok(Seen::Nothing)
            }
        };
        match seen {
            Ok(seen) => seen,
            Err(FlashError::Hang(why)) => Seen::Hangs(why),
            Err(FlashError::Range) => Seen::Hangs(Hang::LoaderLeft),
        }
    }

    /// What every connection does: the flash is attached, its size is set.
    fn connect(&mut self) -> Result<(), FlashError> {
        let capacity = self.machine.flash.nor().part().capacity_bytes;
        let chip_bytes = self.size_setting.unwrap_or(capacity);
        FlashChip { chip_bytes, ..FlashChip::DEFAULT }.store(&mut self.machine);
        flash_driver::attach(&mut self.machine, SpiConnection::Default, false)
    }

    fn write(&mut self, write: &observed::Write) -> Result<Seen, FlashError> {
        self.connect()?;
        let machine = &mut self.machine;
        let capacity = machine.flash.nor().part().capacity_bytes;
        let places = samples(write.at, write.bytes, capacity);
        let bytes = write.bytes.next_multiple_of(4);
        let mut chip = FlashChip::load(machine);
        chip.chip_bytes = chip.chip_bytes.max(write.at.saturating_add(bytes));
        chip.store(machine);
        let old = read_samples(machine, &places)?;
        match write.loader {
            Loader::Rom => flash_driver::prepare_range(machine, write.at, bytes)?,
            Loader::LegacyStub => {
                unlock_like_legacy_stub(machine)?;
                erase_range(machine, write.at, bytes)?;
            }
            Loader::Stub | Loader::Application => erase_range(machine, write.at, bytes)?,
        }
        let mut wanted = Vec::new();
        for (number, (place, len)) in places.iter().enumerate() {
            let mut data = page(write.image.into(), *place);
            if write.changed_byte && number == 0 {
                data[1] ^= 0x10;
            }
            let data = data[..*len].to_vec();
            flash_driver::write(machine, *place, &data)?;
            wanted.push(data);
        }
        let first = read_samples(machine, &places)?;
        if write.flash_end {
            flash_driver::lock(machine)?;
        }
        let second = read_samples(machine, &places)?;
        let error = write.loader == Loader::Rom && first != wanted;
        Ok(Seen::Written { relations: relations(&first, &second, &wanted, &old), error })
    }

    fn erase(&mut self, erase: &observed::Erase) -> Result<Seen, FlashError> {
        self.connect()?;
        let machine = &mut self.machine;
        let mut chip = FlashChip::load(machine);
        chip.chip_bytes = chip.chip_bytes.max(erase.at.saturating_add(erase.bytes));
        chip.store(machine);
        if erase.loader == Loader::LegacyStub {
            unlock_like_legacy_stub(machine)?;
        }
        let begin = machine.now;
        erase_range(machine, erase.at, erase.bytes)?;
        let took = machine.now.since(begin);
        Ok(Seen::Erased { took, no_time: took < NO_TIME_SECTOR })
    }

    fn erase_chip(&mut self) -> Result<Seen, FlashError> {
        self.connect()?;
        let begin = self.machine.now;
        flash_driver::erase_chip(&mut self.machine)?;
        let took = self.machine.now.since(begin);
        Ok(Seen::Erased { took, no_time: took < NO_TIME_CHIP })
    }

    fn status(&mut self, count: u8) -> Seen {
        let opcodes = [0x05, 0x35, 0x15].into_iter().take(count.into());
        let read = opcodes.map(|opcode| {
            self.machine.wait(COMMAND_GAP);
            let mut answer = [0xff];
            self.machine.transfer(&[opcode], &mut answer);
            answer[0]
        });
        Seen::Status(read.collect())
    }

    /// The burst of QUIRKS Q6, between two readings of the registers.
    fn write_flash_status(
        &mut self,
        write: &observed::WriteFlashStatus,
    ) -> Result<Seen, FlashError> {
        self.connect()?;
        let _ = self.status(write.bytes);
        let values = write.value.to_le_bytes();
        let values = &values[..usize::from(write.bytes.min(3))];
        let enable = if write.non_volatile { 0x06 } else { 0x50 };
        let mut forms = Vec::new();
        if let [first, second] = values {
            forms.push(vec![0x01, *first, *second]);
        }
        forms.extend([0x01, 0x31, 0x11].into_iter().zip(values).map(|(op, byte)| vec![op, *byte]));
        for form in forms {
            self.send(&[enable]);
            self.send(&form);
        }
        self.send(&[0x04]);
        let _ = self.status(write.bytes);
        Ok(self.settle())
    }

    fn write_register(&mut self, write: &observed::WriteRegister) -> Result<Seen, FlashError> {
        self.connect()?;
        self.send(&[write.enable]);
        self.send(&[&[write.opcode], write.data.as_slice()].concat());
        Ok(self.settle())
    }

    fn select(&mut self, select: &Select) -> Seen {
        if select.write_enable {
            self.send(&[0x06]);
        }
        let mut answer = vec![0xff; select.answer_bytes()];
        self.machine.wait(COMMAND_GAP);
        self.machine.transfer(&select.out.0, &mut answer);
        if answer.is_empty() {
            return self.settle();
        }
        Seen::Answer(answer)
    }

    /// One chip select of a tool that does not look at the part in between.
    fn send(&mut self, mosi: &[u8]) {
        self.machine.wait(COMMAND_GAP);
        self.machine.transfer(mosi, &mut []);
    }

    /// Gives the part its time. It may not answer at all: that is seen at the next step.
    fn settle(&mut self) -> Seen {
        if let Some(end) = self.machine.flash.busy_until() {
            self.machine.now = self.machine.now.max(end);
        }
        Seen::Nothing
    }

    /// The ROM wakes the part and looks at its status; then the firmware starts.
    fn boot(&mut self) -> Result<Seen, FlashError> {
        self.connect()?;
        flash_driver::wait_idle(&mut self.machine)?;
        let last = self.boots.len().saturating_sub(1);
        let boots = Rc::clone(&self.boots);
        let steps = boots.get(self.boot_count.min(last)).map_or(&[][..], |boot| &boot.steps);
        self.boot_count += 1;
        let done = steps.iter().try_for_each(|step| step.run(&mut self.machine));
        done.map(|()| Seen::Nothing).map_err(FlashError::Hang)
    }
}

/// 35h; 06h; 01h with SR1 = 0 and of SR2 only bit 1; the result is not looked at.
fn unlock_like_legacy_stub(machine: &mut Machine<BoardFlash>) -> Result<(), FlashError> {
    let second = flash_driver::read_status_high(machine)?;
    flash_driver::write_enable(machine)?;
    machine.transfer(&[0x01, 0x00, second & KEPT_BY_LEGACY_STUB], &mut []);
    flash_driver::wait_idle(machine).map(drop)
}

/// Blocks where they fit, sectors else.
fn erase_range(machine: &mut Machine<BoardFlash>, at: u32, bytes: u32) -> Result<(), FlashError> {
    let end = at.saturating_add(bytes);
    let mut at = at;
    while at < end {
        if at.is_multiple_of(BLOCK) && end - at >= BLOCK {
            flash_driver::erase_block(machine, at / BLOCK)?;
            at += BLOCK;
        } else {
            flash_driver::erase_sector(machine, at / SECTOR)?;
            at += SECTOR;
        }
    }
    Ok(())
}

/// Sample pages of a region with their lengths, in address order.
fn samples(at: u32, bytes: u32, capacity: u32) -> Vec<(u32, usize)> {
    let end = at.saturating_add(bytes.next_multiple_of(4));
    let last = (end - 1) / SECTOR * SECTOR;
    let middle = (at + (last - at) / 2) / SECTOR * SECTOR;
    let mut places = vec![at, middle, last];
    // Where the region is larger than the array, addresses that mean the same cells.
    places.extend([middle, last].into_iter().filter_map(|place| place.checked_sub(capacity)));
    places.retain(|place| (at..end).contains(place));
    places.sort_unstable();
    places.dedup();
    let len = |place: u32| PAGE_BYTES.min(usize::try_from(end - place).unwrap_or(PAGE_BYTES));
    places.into_iter().map(|place| (place, len(place))).collect()
}

/// One page of an image: the same for the same image and place.
fn page(image: u16, place: u32) -> [u8; PAGE_BYTES] {
    let mut random = fastrand::Rng::with_seed(u64::from(place) << 16 | u64::from(image));
    let mut page = [0; PAGE_BYTES];
    random.fill(&mut page);
    // No page may look like another relation by chance.
    page[0] = 0xe9;
    page
}

fn read_samples(
    machine: &mut Machine<BoardFlash>,
    places: &[(u32, usize)],
) -> Result<Vec<Vec<u8>>, FlashError> {
    let mut pages = Vec::new();
    for (place, len) in places {
        let mut page = vec![0; *len];
        flash_driver::read(machine, *place, &mut page)?;
        pages.push(page);
    }
    Ok(pages)
}

/// Relations that hold. Old content that is blank is both.
fn relations(
    first: &[Vec<u8>],
    second: &[Vec<u8>],
    wanted: &[Vec<u8>],
    old: &[Vec<u8>],
) -> Vec<Relation> {
    if first != second {
        return vec![Relation::Varying];
    }
    let is_blank = first.iter().flatten().all(|byte| *byte == 0xff);
    let mut relations = Vec::new();
    if first == wanted {
        relations.push(Relation::Intended);
    }
    if first == old {
        relations.push(Relation::Old);
    }
    if is_blank {
        relations.push(Relation::Blank);
    }
    if relations.is_empty() {
        relations.push(Relation::Other);
    }
    relations
}
