//! A board in process: the same sessions as over a line, in virtual time.
//!
//! Waiting costs nothing: the clock jumps to what the board does next, or to the deadline.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use esp32_emulator::{
    board::{Board, BoardSetup, ControlLines},
    case::{self, CaseBoard, CaseError, LoadedBoard, MacAddress},
    flash::{FlashState, ModelError, NorFlash},
    time::Instant,
    transport::device::SerialDevice,
};
use spi_nor::catalog;

use super::{Lines, Port, PortError};

/// A port over a board. The board is shared, so that its owner can look at its trace and flash.
pub struct VirtualPort<D> {
    name: String,
    board: Arc<Mutex<D>>,
    now: Instant,
}

/// A board that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// There is no such case and no such part in the catalogue.
    #[error(
        "there is no case and no flash part {name:?}; `emulator list cases` and `emulator list \
         parts` show them"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// The part cannot be modelled.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The case has no such hypothesis, or its files are wrong.
    #[error(transparent)]
    Case(Box<CaseError>),
}

impl From<CaseError> for BoardError {
    fn from(error: CaseError) -> Self {
        Self::Case(Box::new(error))
    }
}

/// The board of `CASE`, `CASE/HYPOTHESIS` or `PART`, in download mode. `#N` behind it gives the chip
/// a MAC of its own, for several boards at once.
///
/// # Errors
///
/// [`BoardError`] if neither a case nor a part has that name.
pub fn board(name: &str) -> Result<CaseBoard, BoardError> {
    let (name, number) = match name.split_once('#') {
        Some((front, number)) => match number.parse::<u16>() {
            Ok(number) => (front, Some(number)),
            Err(_) => return Err(BoardError::Name { name: name.to_owned() }),
        },
        None => (name, None),
    };
    let (case, hypothesis) =
        name.split_once('/').map_or((name, None), |(case, other)| (case, Some(other)));
    let loaded = match case::load(case) {
        Ok(loaded) => loaded,
        Err(_) if hypothesis.is_none() && catalog::part(case).is_some() => {
            LoadedBoard::with_part(case)
        }
        Err(_) => return Err(BoardError::Name { name: name.to_owned() }),
    };
    let mut loaded = match hypothesis {
        Some(other) => loaded.assume(other)?,
        None => loaded,
    };
    if let Some(number) = number {
        let MacAddress(mac) = &mut loaded.file.chip.mac;
        [mac[4], mac[5]] = number.to_be_bytes();
    }
    Ok(loaded.into_board()?)
}

/// A board with a factory-new flash `part` of the catalogue, in download mode.
///
/// # Errors
///
/// [`BoardError`] if there is no such part.
pub fn factory_board(part: &str) -> Result<Board<NorFlash>, BoardError> {
    let part = catalog::part(part).ok_or_else(|| BoardError::Name { name: part.to_owned() })?;
    let state = FlashState::factory(&part);
    Ok(Board::power_on(BoardSetup::default(), NorFlash::new(part, state)?))
}

impl<D: SerialDevice> VirtualPort<D> {
    /// A port over `board`, from the board's present time on.
    #[must_use]
    pub fn new(name: &str, board: Arc<Mutex<D>>) -> Self {
        let now = lock(&board).now();
        Self { name: name.to_owned(), board, now }
    }
}

/// A panic elsewhere does not make the board's state wrong for this port.
fn lock<D>(board: &Mutex<D>) -> MutexGuard<'_, D> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

fn instant(span: Duration) -> Instant {
    Instant::from_nanos(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))
}

impl<D: SerialDevice + Send> Port for VirtualPort<D> {
    fn name(&self) -> &str {
        &self.name
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PortError> {
        lock(&self.board).receive(self.now, bytes);
        Ok(())
    }

    fn read(&mut self, out: &mut Vec<u8>, deadline: Duration) -> Result<usize, PortError> {
        let deadline = instant(deadline);
        let before = out.len();
        let mut board = lock(&self.board);
        loop {
            board.transmit(self.now, out);
            if out.len() > before {
                return Ok(out.len() - before);
            }
            match board.next_event() {
                // What the transmitter holds leaves without a gap: it comes in one go.
                Some(due) if due <= deadline => {
                    self.now = self.now.max(due).max(board.sent_at().min(deadline));
                }
                _ if self.now >= deadline => return Ok(0),
                _ => self.now = deadline,
            }
        }
    }

    fn set_lines(&mut self, lines: Lines) -> Result<(), PortError> {
        let Lines { dtr, rts } = lines;
        lock(&self.board).set_lines(self.now, ControlLines { dtr, rts });
        Ok(())
    }

    fn set_baud(&mut self, baud: u32) -> Result<(), PortError> {
        lock(&self.board).set_host_baud(self.now, Some(baud));
        Ok(())
    }

    fn flush_input(&mut self) -> Result<(), PortError> {
        lock(&self.board).transmit(self.now, &mut Vec::new());
        Ok(())
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.now.as_nanos())
    }

    fn wait(&mut self, span: Duration) {
        self.now = instant(self.now().saturating_add(span));
        lock(&self.board).advance(self.now);
    }
}
