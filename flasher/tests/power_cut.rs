//! `protect clear` with the power cut after every single flash instruction: no case ends worse
//! than it began.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    ops::Range,
    sync::{Arc, Mutex},
};

use esp32_emulator::{
    board::{Board, BoardSetup, STRAP_FLASH_BOOT},
    case::{self, BoardFlash},
    flash::NorFlash,
    spi::{SpiDevice, Transaction},
    time::Instant,
    trace::Trace,
};
use esp32_flasher::{
    identity::Identity, port::virtual_board::VirtualPort, protect::Trial, reset::ResetStrategy,
    session::Session,
};
use spi_nor::part::RegisterName;

/// Cases that the command cures. In the others nothing shows in the registers, or nothing is
/// protected before something is played, or nothing helps.
const CURED: [&str; 10] = [
    "by25q64as-cmp",
    "nodemcu-523",
    "sr1-bp",
    "gd-16bit-wrsr",
    "wps-locked",
    "arduino-1890",
    "esptool-220",
    "srp-locked",
    "otp-lb",
    "xmc-7994",
];

/// A flash whose supply goes away before one of its instructions.
struct Cut {
    flash: BoardFlash,
    left: u32,
    used: u32,
}

impl SpiDevice for Cut {
    fn transfer(&mut self, now: Instant, transaction: &mut Transaction<'_>, trace: &mut Trace) {
        if self.left == 0 {
            transaction.miso.fill(0xff);
            return;
        }
        self.left -= 1;
        self.used += 1;
        self.flash.transfer(now, transaction, trace);
        if self.left == 0 {
            self.flash.power_cycle(now);
        }
    }

    fn busy_until(&self) -> Option<Instant> {
        if self.left == 0 { None } else { self.flash.busy_until() }
    }
}

struct State {
    protected: Range<u32>,
    quad_enable: Option<u8>,
    lock_bits: Vec<Option<u8>>,
    one_time: Vec<u8>,
}

fn state(nor: &NorFlash) -> State {
    use spi_nor::part::BitKind;
    let part = nor.part();
    let bit = |name: &Option<String>| {
        let at = name.as_deref().and_then(|name| part.find_bit(name))?;
        Some(at.of(nor.register(at.register)))
    };
    let one_time = part
        .registers
        .keys()
        .map(|name| nor.register(*name) & part.mask_where(*name, |bit| bit.kind == BitKind::Otp));
    State {
        protected: nor.protected(),
        quad_enable: bit(&part.quad_enable_bit),
        lock_bits: vec![
            bit(&part.status_lock.wp_enable_bit),
            bit(&part.status_lock.power_lock_bit),
        ],
        one_time: one_time.collect(),
    }
}

/// Runs the command with the power cut after `left` instructions; returns how many there were.
fn run(name: &str, left: u32) -> (State, State, u32) {
    let loaded = case::load(name).unwrap();
    let flash = loaded.flash().unwrap();
    let mut before = state(flash.nor());
    let cut = Cut { flash, left: u32::MAX, used: 0 };
    let board = Arc::new(Mutex::new(Board::power_on(loaded.setup(), cut)));
    let mut session = Session::new(Box::new(VirtualPort::new(name, Arc::clone(&board))));
    session.connect(&[ResetStrategy::unix_tight()], 3).unwrap();
    let identity = Identity::of(session.attach_flash().unwrap());
    {
        let mut board = board.lock().unwrap();
        // What a power cycle alone does is no effect of the command.
        let now = board.now();
        let mut alone = board.flash().flash.clone();
        alone.power_cycle(now);
        before = State { protected: alone.nor().protected(), ..before };
        board.flash_mut().left = left;
        board.flash_mut().used = 0;
    }
    let result = session.clear_protection(&identity, Trial::Auto, &mut |_| Ok(()));
    let board = board.lock().unwrap();
    if left == u32::MAX && CURED.contains(&name) {
        result.unwrap();
    }
    (before, state(board.flash().flash.nor()), board.flash().used)
}

#[test]
fn no_cut_leaves_a_board_worse_than_before() {
    for name in case::list() {
        let (before, after, instructions) = run(name, u32::MAX);
        if CURED.contains(&name) {
            assert!(after.protected.is_empty(), "{name}");
        }
        assert_eq!(after.quad_enable, before.quad_enable, "{name}");
        for left in 1..=instructions {
            let (before, after, _) = run(name, left);
            let what = format!("{name}, cut after {left} of {instructions}");
            assert!(
                after.protected.is_empty() || after.protected == before.protected,
                "{what}: {:x?} from {:x?}",
                after.protected,
                before.protected
            );
            assert_eq!(after.quad_enable, before.quad_enable, "{what}");
            assert_eq!(after.lock_bits, before.lock_bits, "{what}");
            assert_eq!(after.one_time, before.one_time, "{what}");
        }
    }
}

/// Searches on a board that was flashed and booted, with the power cut after `left` instructions.
fn search(left: u32) -> ([u8; 3], [u8; 3], bool, u32) {
    const SPARE_SECTOR: u32 = 0x20_0000;
    let loaded = case::load("esptool-915").unwrap();
    let mut flash = loaded.flash().unwrap();
    flash.nor_mut().load_image(0x1000, &case::bootable(1, 0x1000));
    let cut = Cut { flash, left: u32::MAX, used: 0 };
    let setup = BoardSetup { strap: STRAP_FLASH_BOOT, ..loaded.setup() };
    let board = Arc::new(Mutex::new(Board::power_on(setup, cut)));
    board.lock().unwrap().advance(Instant::from_nanos(3_000_000_000));
    let mut session = Session::new(Box::new(VirtualPort::new("searched", Arc::clone(&board))));
    session.connect(&[ResetStrategy::unix_tight()], 3).unwrap();
    let identity = Identity::of(session.attach_flash().unwrap());
    let registers = |board: &Board<Cut>| {
        let names = [RegisterName::Sr1, RegisterName::Sr2, RegisterName::Sr3];
        names.map(|name| board.flash().flash.nor().register(name))
    };
    let before = registers(&board.lock().unwrap());
    board.lock().unwrap().flash_mut().left = left;
    board.lock().unwrap().flash_mut().used = 0;
    let mut kept = false;
    let _ = session.search_protection(&identity, SPARE_SECTOR, &mut |_| {
        kept = true;
        Ok(())
    });
    let board = board.lock().unwrap();
    (before, registers(&board), kept, board.flash().used)
}

#[test]
fn a_search_that_is_cut_leaves_one_bit_at_most_and_a_journal_of_it() {
    let (before, after, _, instructions) = search(u32::MAX);
    let [sr1, sr2, sr3] = before;
    let cleared = [sr1, sr2 & !0x02, sr3];
    assert!(before != cleared && after == cleared, "{before:x?} {after:x?}");
    // Every instruction is too many here: the sector is written and put back at each try.
    for left in (1..=instructions).step_by(7) {
        let (before, after, kept, _) = search(left);
        let what = format!("cut after {left} of {instructions}: {after:x?} from {before:x?}");
        assert!(after == before || after == cleared && kept, "{what}");
    }
}
