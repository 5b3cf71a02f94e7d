//! Quirks that need a board around the part: the ROM loader's own status writes, boots, resets.
//!
//! The part's own quirks are tested beside the part, in `flash/nor/tests/quirks.rs`.

use esp_protocol::{
    command::{Begin, Data, Request},
    slip,
};
use spi_nor::part::RegisterName::{self, Sr1, Sr2, Sr3};

use super::*;
use crate::{spi::CommandLines, spi::SpiDevice, spi::Transaction, time::Duration};

fn board(text: &str) -> CaseBoard {
    let loaded = parse_text(text).unwrap_or_else(|error| panic!("{error}"));
    loaded.into_board().unwrap_or_else(|error| panic!("{error}"))
}

fn register(board: &CaseBoard, name: RegisterName) -> u8 {
    board.flash().nor().register(name)
}

/// Everything that the board does by itself; what it sent.
fn settle(board: &mut CaseBoard) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..200_000 {
        let Some(due) = board.next_event() else { break };
        board.advance(due);
        board.transmit(due, &mut out);
    }
    out
}

/// Sends requests to the loader; status bytes of each answer.
fn send(board: &mut CaseBoard, requests: &[Request<'_>]) -> Vec<[u8; 2]> {
    settle(board);
    let mut statuses = Vec::new();
    for request in requests {
        let mut wire = Vec::new();
        slip::encode(&request.emit(), &mut wire);
        let later = board.now() + Duration::from_millis(100);
        board.receive(later, &wire);
        let answer = settle(board);
        let frame = answer.rsplit(|&byte| byte == slip::END).find(|frame| frame.len() >= 12);
        statuses.push(frame.map_or([0xff; 2], |frame| [frame[8], frame[9]]));
    }
    statuses
}

fn begin(size: u32) -> Request<'static> {
    let blocks = size.div_ceil(0x400);
    Request::FlashBegin(Begin { size, blocks, block_size: 0x400, offset: 0x1000, encrypted: None })
}

/// A block whose XOR is not that of a blank one: the ROM compares no more (ROM-FACTS 5.3).
fn data(byte: u8) -> Request<'static> {
    let mut bytes = vec![0; 0x400];
    bytes[0] = byte;
    Request::FlashData(Data { sequence: 0, bytes: bytes.into() })
}

const ATTACH: Request<'static> = Request::SpiAttach { pins: 0, legacy: Some(0) };

fn select(board: &mut CaseBoard, mosi: &[u8], count: usize) -> Vec<u8> {
    let mut miso = vec![0; count];
    let now = board.flash().nor().busy_until().unwrap_or(board.now()).max(board.now());
    let mut transaction = Transaction { mosi, miso: &mut miso, command_lines: CommandLines::One };
    let _ = board.spi_transfer(now, &mut transaction);
    miso
}

#[test]
fn q01_one_wrong_sample_of_sr2_is_made_permanent_by_the_roms_unlock() {
    // The second 35h of a FLASH_BEGIN is the one that the unlock writes back (ROM-FACTS 6.1).
    let text = "[flash]\npart = \"W25Q128FV\"\n\
        [faults]\nregister-reads = [{ opcode = 0x35, value = 0x40, from = 2, count = 1 }]\n";
    let mut board = board(text);
    let answers = send(&mut board, &[Request::Sync, ATTACH, begin(0x400), data(0x5a)]);
    assert_eq!(answers[2..], [[0, 0], [1, 8]]);
    assert_eq!((register(&board, Sr1) & 0xfc, register(&board, Sr2)), (0, 0x40));
    let capacity = board.flash().nor().part().capacity_bytes;
    assert_eq!(board.flash().nor().protected(), 0..capacity);
    // The next FLASH_BEGIN reads right and keeps what is there now; a power cycle as well.
    let now = board.now();
    board.power_cycle(now);
    let answers = send(&mut board, &[Request::Sync, ATTACH, begin(0x400), data(0x5a)]);
    assert_eq!(answers[2..], [[0, 0], [1, 8]]);
    assert_eq!(register(&board, Sr2), 0x40);
}

#[test]
fn q01_a_sample_of_ff_burns_the_one_time_bits() {
    let text = "[flash]\npart = \"GD25Q32B\"\n\
        [faults]\nregister-reads = [{ opcode = 0x35, value = 0xff, from = 2, count = 1 }]\n";
    let mut board = board(text);
    send(&mut board, &[Request::Sync, ATTACH, begin(0x400)]);
    assert_eq!(register(&board, Sr2) & 0x43, 0x43);
    let one_time = board.flash().nor().part().mask_where(Sr2, |bit| bit.name.starts_with("LB"));
    assert_eq!(register(&board, Sr2) & one_time, one_time);
}

#[test]
fn q08_each_flavour_writes_the_registers_in_its_own_way() {
    let after = |part: &str, sr1: u8, sr2: Option<u8>, flavour: &str| {
        let sr2 = sr2.map_or(String::new(), |sr2| format!(", sr2 = {sr2}"));
        let mut board = board(&format!(
            "[chip]\nstrap = 0x13\n[flash]\npart = \"{part}\"\nregisters = {{ sr1 = {sr1}{sr2} }}\n\
             image = {{ pattern = {{ at = 0x1000, bytes = 0x1000, seed = 1 }} }}\n\
             [boot]\nflavour = \"{flavour}\"\n"
        ));
        settle(&mut board);
        let writes = |entry: &crate::trace::Entry| {
            matches!(entry.event, crate::trace::Event::StatusWrite { .. })
        };
        let written = board.trace().entries().any(writes);
        (register(&board, Sr1), register(&board, Sr2), written)
    };
    let clean = Some(0x02);
    assert_eq!(after("W25Q128FV", 0x1c, Some(0x42), "idf-unlock"), (0, 0x02, true));
    assert_eq!(after("W25Q128FV", 0x00, clean, "idf-unlock"), (0, 0x02, false));
    assert_eq!(after("W25Q128FV", 0x1c, Some(0x00), "idf-qio16-bit"), (0, 0x02, true));
    assert_eq!(after("W25Q128FV", 0x00, Some(0x00), "idf-qio31h"), (0, 0x02, true));
    // GigaDevice C and E parts do not execute the two-byte 01h of the general flavour (Q3).
    assert_eq!(after("GD25Q128E", 0x1c, Some(0x40), "idf-unlock").0 & 0x1c, 0x1c);
    assert_eq!(after("GD25Q128E", 0x1c, Some(0x40), "idf-unlock-gd"), (0, 0, true));
    assert_eq!(after("GD25Q128E", 0x1c, Some(0x00), "idf-qio-gd"), (0, 0x02, true));
    assert_eq!(after("MX25L12835F", 0x1c, None, "idf-qio-macronix").0, 0x40);
    assert_eq!(after("MX25L12835F", 0x5c, None, "idf-unlock-macronix").0, 0x40);
    assert_eq!(after("W25Q128FV", 0x1c, Some(0x42), "none"), (0x1c, 0x42, false));
}

#[test]
fn q09_flash_end_leaves_bp_set_and_the_next_begin_clears_it() {
    let mut board = board("[flash]\npart = \"W25Q128FV\"\n");
    let end = Request::FlashEnd { action: 1 };
    let answers = send(&mut board, &[Request::Sync, ATTACH, begin(0x400), data(0x5a), end]);
    assert_eq!(answers[2..4], [[0, 0], [0, 0]]);
    assert_eq!(register(&board, Sr1) & 0xfc, 0x1c);
    let now = board.now();
    board.power_cycle(now);
    assert_eq!(register(&board, Sr1), 0x1c);
    select(&mut board, &[0x06], 0);
    select(&mut board, &[0x02, 0, 0, 0, 0], 0);
    assert_eq!(select(&mut board, &[0x03, 0, 0, 0], 1), [0xff]);
    send(&mut board, &[Request::Sync, ATTACH, begin(0x400)]);
    assert_eq!(register(&board, Sr1) & 0xfc, 0);
}

#[test]
fn q35_a_host_reset_leaves_the_flash_alone_and_a_power_cycle_does_not() {
    let mut board = board("[flash]\npart = \"W25Q128FV\"\nregisters = { sr3 = 0x64 }\n");
    select(&mut board, &[0x50], 0);
    select(&mut board, &[0x01, 0x1c], 0);
    select(&mut board, &[0x06], 0);
    select(&mut board, &[0x98], 0);
    select(&mut board, &[0x06], 0);
    let now = board.now();
    board.host_reset(now);
    let nor = board.flash().nor();
    assert_eq!((nor.register(Sr1), nor.individually_locked(0)), (0x1e, Some(false)));
    board.power_cycle(now);
    let nor = board.flash().nor();
    assert_eq!((nor.register(Sr1), nor.individually_locked(0)), (0x00, Some(true)));
    assert_eq!(nor.register(Sr3), 0x64);

    let mut board = self::board("[flash]\npart = \"IS25LP128\"\n");
    select(&mut board, &[0x35], 1);
    let now = board.now();
    board.host_reset(now);
    assert_eq!(select(&mut board, &[0x9f], 1), [0xff]);
    board.power_cycle(now);
    assert_eq!(select(&mut board, &[0x9f], 1), [0x9d]);
}

#[test]
fn q38_every_cause_of_a_mismatch_has_a_preset_that_shows_another_sign() {
    let sign = |name: &str| {
        let story = case(name).file.case.expect("a story");
        let outcome = story.play.iter().find_map(|step| match step {
            Step::Write(write) if write.expect != WriteOutcome::Verifies => Some(write.expect),
            _ => None,
        });
        (story.class, outcome)
    };
    assert_eq!(sign("supply"), (Class::Supply, Some(WriteOutcome::Varies)));
    assert_eq!(sign("reads-ff"), (Class::Wiring, Some(WriteOutcome::Blank)));
    assert_eq!(sign("vdd-sdio"), (Class::Supply, Some(WriteOutcome::OldContent)));
    assert_eq!(sign("sr1-bp"), (Class::RegisterBits, Some(WriteOutcome::OldContent)));
    assert_eq!(sign("sst-a25bf").0, Class::UnsupportedPart);
    assert_eq!(sign("otp-lb"), (Class::Harmless, None));
}

/// Faults that come and go while a board is served, as the control socket sets them.
#[test]
fn faults_take_effect_when_they_are_set_and_end_when_they_are_lifted() {
    let mut board = board("[flash]\npart = \"W25Q32JV\"\n");
    let cell = |board: &CaseBoard| {
        let mut cell = [0];
        board.flash().nor().read_cells(0x1000, &mut cell);
        cell[0]
    };
    let lost = Faults { program_lost: true, ..Default::default() };
    board.flash_mut().set_faults(lost);
    send(&mut board, &[Request::Sync, ATTACH, begin(0x400), data(0x42)]);
    assert_eq!(cell(&board), 0xff);
    board.flash_mut().set_faults(Faults::default());
    send(&mut board, &[begin(0x400), data(0x42)]);
    assert_eq!(cell(&board), 0x42);
}
