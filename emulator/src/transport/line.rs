//! The board's serial side as every front end sees it, and the session of a bare byte stream.

pub use esp_protocol::rfc2217::Format;

use super::tcp::{Outbox, StreamSession};

/// Bytes of the board that may wait for the client; more are lost, as on a line without a reader.
const FROM_BOARD_MAX: usize = 0x10_0000;

/// The serial port of a board, seen from the client's end of the cable.
pub trait SerialLine {
    /// Bytes arrive at the board's receiver.
    fn receive(&mut self, bytes: &[u8]);

    /// Whether the board takes bytes now; a front end leaves them with its client otherwise.
    fn has_room(&self) -> bool {
        true
    }

    /// The client drives its modem lines so; `true` is asserted, as a driver's `TIOCM_DTR`.
    fn set_lines(&mut self, dtr: bool, rts: bool);

    /// The client's UART runs at `rate` baud.
    fn set_baud(&mut self, rate: u32);

    /// The client's UART uses this format.
    fn set_format(&mut self, _format: Format) {}

    /// A BREAK begins or ends.
    fn set_break(&mut self, _on: bool) {}

    /// Drop what was given and has not reached the board yet.
    fn discard_received(&mut self) {}
}

/// A client that speaks no protocol (pyserial's `socket://`): bytes are bytes, and there are no
/// lines to drive.
#[derive(Debug, Clone, Default)]
pub struct RawSession {
    from_board: Vec<u8>,
}

impl RawSession {
    /// How many bytes of the board [`Self::transmit`] takes now.
    #[must_use]
    pub fn room(&self) -> usize {
        FROM_BOARD_MAX.saturating_sub(self.from_board.len())
    }

    /// Takes bytes that the board sent; what exceeds [`Self::room`] is lost.
    pub fn transmit(&mut self, bytes: &[u8]) {
        let count = self.room().min(bytes.len());
        self.from_board.extend(bytes.iter().take(count));
    }
}

impl Outbox for RawSession {
    fn pending(&mut self) -> &[u8] {
        &self.from_board
    }

    fn sent(&mut self, count: usize) {
        self.from_board.drain(..count.min(self.from_board.len()));
    }
}

impl<Line: SerialLine + ?Sized> StreamSession<Line> for RawSession {
    fn receive(&mut self, bytes: &[u8], line: &mut Line) -> usize {
        if !line.has_room() {
            return 0;
        }
        line.receive(bytes);
        bytes.len()
    }

    fn close(&mut self, _line: &mut Line) {}
}
