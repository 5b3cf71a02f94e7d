//! Commands over more than any part holds: a client cannot keep the board busy for ever.

use esp_protocol::{
    command::{Begin, Request, SpiParameters},
    slip,
};
use spi_nor::catalog;

use crate::{
    board::{Board, BoardSetup, Mode},
    case::{BoardFlash, LoadedBoard},
    time::{Duration, Instant},
    trace::{Event, Hang},
};

/// A board on which `SPI_SET_PARAMS` made the flash `chip_bytes` large, in sectors of one byte, and
/// which then got `request`; whether it answered.
fn board_after(chip_bytes: u32, request: &Request<'_>) -> (Board<BoardFlash>, bool) {
    let part = catalog::names().next().unwrap();
    let flash = LoadedBoard::with_part(part).flash().unwrap();
    let mut board = Board::power_on(BoardSetup::default(), flash);
    let (id, status_mask) = (0, 0xFFFF);
    let parameters = SpiParameters {
        id,
        size: chip_bytes,
        block_size: 16,
        sector_size: 1,
        page_size: 256,
        status_mask,
    };
    let mut now = Instant::ZERO + Duration::from_millis(100);
    let mut answer = Vec::new();
    let attach = Request::SpiAttach { pins: 0, legacy: Some(0) };
    for request in [&Request::Sync, &attach, &Request::SpiSetParams(parameters), request] {
        let mut wire = Vec::new();
        slip::encode(&request.emit(), &mut wire);
        board.receive(now, &wire);
        now = board.sent_at().max(now) + Duration::from_millis(1);
        answer.clear();
        board.transmit(now, &mut answer);
    }
    (board, !answer.is_empty())
}

fn hangs(board: &Board<BoardFlash>) -> bool {
    let endless = Event::Hang { why: Hang::Endless };
    board.mode() == Mode::Deaf && board.trace().entries().any(|entry| entry.event == endless)
}

fn erase_at(offset: u32, bytes: u32) -> Request<'static> {
    Request::FlashBegin(Begin { size: bytes, blocks: 1, block_size: 1024, offset, encrypted: None })
}

#[test]
fn an_erase_without_end_is_a_hang() {
    let (board, answered) = board_after(u32::MAX, &erase_at(0, 0x4000_0000));
    assert!(hangs(&board) && !answered);
    // A little less than 65,536 erases of 16 of these sectors each.
    let (board, answered) = board_after(u32::MAX, &erase_at(0, 0x000F_0000));
    assert!(answered && board.mode() == Mode::Loader);
}

/// Seventeen of these sectors, up to the last address that there is.
#[test]
fn an_erase_at_the_end_of_the_address_space_ends() {
    let (board, answered) = board_after(u32::MAX, &erase_at(u32::MAX - 17, 17));
    assert!(answered && board.mode() == Mode::Loader);
}

#[test]
fn a_digest_without_end_is_a_hang() {
    let digest = |len| Request::SpiFlashMd5 { offset: 0, len };
    let (board, answered) = board_after(u32::MAX, &digest(0x7FFF_FFFF));
    assert!(hangs(&board) && !answered);
    // Beyond the chip it is refused as any other.
    let (board, answered) = board_after(0x20_0000, &digest(0x7FFF_FFFF));
    assert!(answered && board.mode() == Mode::Loader);
}
