//! The four operations on the model itself, at both sides of every edge that a printed row has.

use esp32_emulator::{
    flash::{FlashState, NorFlash},
    spi::{CommandLines, SpiDevice, Transaction},
    time::Instant,
    trace::Trace,
};
use spi_nor::part::{ChipEraseRule, Part, RegisterName};

use super::{Bytes, Row, part_of, tables};

/// Three-byte addresses reach this far.
const THREE_BYTES: u32 = 0x0100_0000;

/// A part with registers set by hand and a clock that skips busy times.
struct Model {
    flash: NorFlash,
    now: Instant,
}

impl Model {
    fn new(part: Part) -> Self {
        let state = FlashState::factory(&part);
        let mut model = Self { flash: NorFlash::new(part, state).unwrap(), now: Instant::ZERO };
        if model.flash.part().capacity_bytes > THREE_BYTES {
            model.select(&[0xB7]);
        }
        model
    }

    fn select(&mut self, mosi: &[u8]) {
        let mut transaction = Transaction { mosi, miso: &mut [], command_lines: CommandLines::One };
        self.flash.transfer(self.now, &mut transaction, &mut Trace::default());
        self.now = self.flash.busy_until().unwrap_or(self.now);
    }

    /// 06h, the instruction with an address, 04h.
    fn act(&mut self, opcode: u8, address: u32, data: &[u8]) {
        self.select(&[0x06]);
        let bytes = address.to_be_bytes();
        let four_byte = self.flash.part().capacity_bytes > THREE_BYTES;
        let bytes = if four_byte { &bytes[..] } else { &bytes[1..] };
        self.select(&[&[opcode], bytes, data].concat());
        self.select(&[0x04]);
    }

    fn cell(&self, address: u32) -> u8 {
        let mut byte = [0];
        self.flash.read_cells(address, &mut byte);
        byte[0]
    }

    fn set(&mut self, bytes: Bytes) {
        let part = self.flash.part().clone();
        for &name in part.registers.keys() {
            if !matches!(name, RegisterName::Scur | RegisterName::Fsr) {
                self.flash.set_volatile(name, bytes.of(&part, name));
            }
        }
    }

    /// Everything that the row says of `address`; what the model does otherwise.
    fn check_address(&mut self, row: &Row, address: u32, wrong: &mut Vec<String>) {
        self.flash.load_image(address, &[0xFF]);
        self.act(0x02, address, &[0x00]);
        let programmed = self.cell(address) == 0x00;
        if programmed == row.range.contains(&address) {
            wrong.push(format!("program {address:#x} {programmed}: {}", row.line));
        }
        let erases: Vec<_> = self.flash.part().erase.iter().map(|e| (e.opcode, e.bytes)).collect();
        for (opcode, size) in erases {
            let unit = address / size * size..(address / size + 1) * size;
            let touches = unit.start < row.range.end && row.range.start < unit.end;
            self.flash.load_image(address, &[0x00]);
            self.act(opcode, address, &[]);
            let blank = self.cell(address) == 0xFF;
            if blank == touches {
                wrong.push(format!("erase {opcode:02x} {address:#x} {blank}: {}", row.line));
            }
        }
    }

    fn check_chip_erase(&mut self, row: &Row, wrong: &mut Vec<String>) {
        self.flash.load_image(0, &[0x00]);
        self.select(&[0x06]);
        self.select(&[self.flash.part().chip_erase.opcodes[0]]);
        self.select(&[0x04]);
        let blank = self.cell(0) == 0xFF;
        let allowed = match self.flash.part().chip_erase.rule {
            ChipEraseRule::NothingProtected => row.range.is_empty(),
            ChipEraseRule::BpAllZero => row.block_protect == 0,
        };
        if blank != allowed {
            wrong.push(format!("chip erase {blank}: {}", row.line));
        }
    }
}

#[test]
fn program_sector_block_and_chip_erase_do_what_every_row_says() {
    let (mut rows_checked, mut operations, mut wrong) = (0, 0, Vec::new());
    for (table, rows) in tables() {
        let part = part_of(&table);
        let capacity = part.capacity_bytes;
        let erases = part.erase.len();
        let mut model = Model::new(part);
        for row in rows.iter().filter(|row| row.basis == "tabulated" || row.basis == "derived") {
            model.set(row.bytes);
            let edges = [0, row.range.start, row.range.end, capacity];
            let mut addresses: Vec<u32> = edges
                .into_iter()
                .flat_map(|edge| [edge.wrapping_sub(1), edge])
                .filter(|&address| address < capacity)
                .collect();
            addresses.sort_unstable();
            addresses.dedup();
            for &address in &addresses {
                model.check_address(row, address, &mut wrong);
            }
            model.check_chip_erase(row, &mut wrong);
            rows_checked += 1;
            operations += addresses.len() * (1 + erases) + 1;
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
    assert_eq!(rows_checked, 1644, "tabulated and derived rows of all tables");
    assert!(operations > 20_000, "{operations}");
}
