//! Resets, rates, noise.

use std::time::Duration;

use esp_protocol::{
    command::Request,
    response::{Dialect, Response},
    slip,
};
use esp32_flasher::{
    chip::Chip,
    reset::ResetStrategy,
    session::{CONNECT_BAUD, Session},
};

use super::check;
use crate::{
    bench::{Bench, CONNECT_ATTEMPTS, Trouble, strategies},
    suite::Outcome,
};

/// Rates besides that of the connection, in baud.
const RATES: [u32; 4] = [230_400, 460_800, 921_600, 57_600];
const NO_LINES: &str = "the port has no modem lines";

fn connect(session: &mut Session, strategy: &ResetStrategy) -> Result<(), Trouble> {
    session.connect(std::slice::from_ref(strategy), CONNECT_ATTEMPTS)?;
    session.attach_flash()?;
    Ok(())
}

pub(super) fn resets(bench: &mut Bench) -> Result<Outcome, Trouble> {
    if !bench.has_lines() {
        return Ok(Outcome::Skipped(NO_LINES.to_owned()));
    }
    for strategy in strategies() {
        connect(&mut bench.session, &strategy)?;
        let chip = Chip::read(&mut bench.session)?;
        check(chip.mac == bench.chip.mac, || format!("{} answers", chip.mac))?;
    }
    Ok(Outcome::Passed)
}

pub(super) fn run_and_back(bench: &mut Bench) -> Result<Outcome, Trouble> {
    if !bench.has_lines() {
        return Ok(Outcome::Skipped(NO_LINES.to_owned()));
    }
    bench.session.reset(&ResetStrategy::run())?;
    bench.session.port().wait(Duration::from_millis(300));
    bench.session.port().flush_input()?;
    let answers = bench.session.sync(2)?;
    let [first, second] = strategies();
    bench.session.connect(&[first, second], CONNECT_ATTEMPTS)?;
    bench.session.attach_flash()?;
    check(!answers, || "the loader answers after a reset with GPIO0 high".to_owned())?;
    Ok(Outcome::Passed)
}

pub(super) fn pipelined(bench: &mut Bench) -> Result<Outcome, Trouble> {
    let mut wire = Vec::new();
    let addresses = [0x4000_1000, 0x3ff5_a004, 0x4000_1000];
    for address in addresses {
        slip::encode(&Request::ReadReg { address }.emit(), &mut wire);
    }
    let frames = bench.raw(&wire, addresses.len(), Duration::from_secs(3))?;
    let values: Result<Vec<u32>, _> = frames
        .iter()
        .map(|frame| Ok::<_, Trouble>(Response::parse(frame, Dialect::Rom)?.value))
        .collect();
    let values = values?;
    check(values.len() == 3 && values[0] == values[2] && values[0] == bench.chip.magic, || {
        format!("answers to three requests in one write: {values:#010x?}")
    })?;
    Ok(Outcome::Passed)
}

pub(super) fn noise(bench: &mut Bench) -> Result<Outcome, Trouble> {
    let mut wire = b"noise \x00\x55\xaa\xff before".to_vec();
    slip::encode(&Request::ReadReg { address: 0x4000_1000 }.emit(), &mut wire);
    let frames = bench.raw(&wire, 1, Duration::from_secs(3))?;
    let frame = frames.first().ok_or("no answer to a request behind noise")?;
    let value = Response::parse(frame, Dialect::Rom)?.value;
    check(value == bench.chip.magic, || format!("behind noise it reads {value:#010x}"))?;
    Ok(Outcome::Passed)
}

pub(super) fn rates(bench: &mut Bench) -> Result<Outcome, Trouble> {
    let range = bench.scratch.start..bench.scratch.start + 0x200;
    let expected = bench.read(&range)?;
    let mut now = CONNECT_BAUD;
    let mut refused = Vec::new();
    for rate in RATES.into_iter().chain([CONNECT_BAUD]) {
        if let Err(error) = bench.session.change_baud(now, rate) {
            if !matches!(error.cause, esp32_flasher::session::Cause::Port(_)) {
                return Err(error.into());
            }
            refused.push(rate);
            // The board is at a rate that this side does not do.
            bench.recover()?;
            now = bench.session.baud();
            continue;
        }
        now = rate;
        let found = bench.read(&range).map_err(|trouble| format!("at {rate} baud: {trouble}"))?;
        check(found == expected, || format!("at {rate} baud the flash reads otherwise"))?;
    }
    if refused.is_empty() {
        Ok(Outcome::Passed)
    } else {
        Ok(Outcome::Skipped(format!("this port does not do {refused:?} baud; the others work")))
    }
}
