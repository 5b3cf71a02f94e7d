//! `protect clear` with the power cut after every single flash instruction: no case ends worse
//! than it began.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    ops::Range,
    sync::{Arc, Mutex},
};

use esp32_emulator::{
    board::Board,
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
    if left == u32::MAX {
        result.unwrap();
    }
    (before, state(board.flash().flash.nor()), board.flash().used)
}

#[test]
fn no_cut_leaves_a_board_worse_than_before() {
    for name in [
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
    ] {
        let (_, after, instructions) = run(name, u32::MAX);
        assert!(after.protected.is_empty(), "{name}");
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
