//! A port that writes down what passes: for `flasher --record`.

use std::{fs::File, io, path::Path, time::Duration};

use esp32_emulator::{
    board::ControlLines,
    time::Instant,
    transcript::{BoardHint, ClockKind, Event, Header, Recorder},
};

use super::{Lines, Port, PortError, VIRTUAL_PREFIX};

/// A port and a file with its conversation.
pub struct RecordingPort {
    inner: Box<dyn Port>,
    recorder: Recorder<File>,
    begun: Duration,
    path: std::path::PathBuf,
}

impl RecordingPort {
    /// Records what passes `inner`, which runs at `baud`, to a new file at `path`.
    ///
    /// # Errors
    ///
    /// [`PortError::Record`].
    pub fn create(inner: Box<dyn Port>, baud: u32, path: &Path) -> Result<Self, PortError> {
        let fail = |cause| PortError::Record { path: path.to_owned(), cause };
        let name = inner.name().to_owned();
        let board = name.strip_prefix(VIRTUAL_PREFIX);
        let clock = if board.is_some() { ClockKind::Virtual } else { ClockKind::Wall };
        let mut header = Header::new(concat!("flasher ", env!("CARGO_PKG_VERSION")), clock);
        header.board = board.and_then(BoardHint::named);
        header.port = Some(name);
        let recorder = File::create(path).and_then(|file| Recorder::new(file, &header));
        let recorder = recorder.map_err(fail)?;
        let begun = inner.now();
        let mut port = Self { inner, recorder, begun, path: path.to_owned() };
        // A board in process samples nothing until it is told a rate.
        if clock == ClockKind::Wall {
            port.record(&Event::Baud(baud))?;
        }
        Ok(port)
    }

    fn record(&mut self, event: &Event) -> Result<(), PortError> {
        let at = self.inner.now().saturating_sub(self.begun);
        let at = Instant::from_nanos(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX));
        self.recorder
            .push(at, event)
            .map_err(|cause: io::Error| PortError::Record { path: self.path.clone(), cause })
    }
}

impl Port for RecordingPort {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PortError> {
        self.record(&Event::ToBoard(bytes.to_vec()))?;
        self.inner.write(bytes)
    }

    fn read(&mut self, out: &mut Vec<u8>, deadline: Duration) -> Result<usize, PortError> {
        let before = out.len();
        let count = self.inner.read(out, deadline)?;
        if let Some(bytes) = out.get(before..).filter(|bytes| !bytes.is_empty()) {
            let event = Event::FromBoard(bytes.to_vec());
            self.record(&event)?;
        }
        Ok(count)
    }

    fn set_lines(&mut self, lines: Lines) -> Result<(), PortError> {
        let Lines { dtr, rts } = lines;
        match self.inner.set_lines(lines) {
            Ok(()) => self.record(&Event::Lines(ControlLines { dtr, rts })),
            Err(error) => Err(error),
        }
    }

    fn has_served_lines(&self) -> bool {
        self.inner.has_served_lines()
    }

    fn has_rate(&self) -> bool {
        self.inner.has_rate()
    }

    fn set_baud(&mut self, baud: u32) -> Result<(), PortError> {
        self.inner.set_baud(baud)?;
        self.record(&Event::Baud(baud))
    }

    fn flush_input(&mut self) -> Result<(), PortError> {
        self.inner.flush_input()?;
        self.record(&Event::Flush)
    }

    fn now(&self) -> Duration {
        self.inner.now()
    }

    fn wait(&mut self, span: Duration) {
        self.inner.wait(span);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use esp32_emulator::transcript::{
        Transcript,
        replay::{Options, replay},
    };

    use super::*;
    use crate::{chip::Chip, port::open, reset::ResetStrategy, session::Session};

    #[test]
    fn a_recorded_session_replays_on_the_board_that_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("session.jsonl");
        let port = open("virtual:sr1-bp", 115_200).unwrap();
        let port = RecordingPort::create(port, 115_200, &path).unwrap();
        let mut session = Session::new(Box::new(port));
        session.connect(&[ResetStrategy::unix_tight()], 2).unwrap();
        Chip::read(&mut session).unwrap();
        session.attach_flash().unwrap();
        session.change_baud(115_200, 460_800).unwrap();
        session.read_flash(0x1000, 0x200, &mut |_| {}).unwrap();
        drop(session);
        let transcript = Transcript::parse(&fs::read(&path).unwrap()).unwrap();
        let mut board =
            transcript.header.board.clone().unwrap().load().unwrap().into_board().unwrap();
        let report = replay(&transcript, &mut board, Options::default(), &mut |_, _| {});
        assert_eq!(report.difference_count, 0, "{:?}", report.differences.first());
        assert!(report.compared > 20 && report.compared < 1_000, "{}", report.compared);
    }

    #[test]
    fn a_file_that_cannot_be_made_is_an_error() {
        let port = open("virtual:sr1-bp", 115_200).unwrap();
        let error = RecordingPort::create(port, 115_200, Path::new("/nowhere/at/all")).err();
        let text = error.unwrap().to_string();
        assert!(text.contains("/nowhere/at/all"), "{text}");
    }
}
