//! One board on the bench.

use std::{ops::Range, time::Duration};

use esp_protocol::slip::{self, Decoder};
use esp32_flasher::{
    chip::Chip,
    flash::SECTOR_BYTES,
    identity::Identity,
    reset::ResetStrategy,
    session::{CONNECT_BAUD, Session, SessionError, Warning},
    status::{Persistence, StatusRegisters},
    write::Digest,
};

/// Whatever went wrong.
pub(crate) type Trouble = Box<dyn std::error::Error>;

/// Resets tried until the board answers.
pub(crate) const CONNECT_ATTEMPTS: u32 = 7;
/// Tries until what was read agrees with the board's own digest.
const READS_MAX: usize = 3;

/// A connected board and what is known about it.
pub(crate) struct Bench {
    pub(crate) session: Session,
    pub(crate) chip: Chip,
    pub(crate) identity: Identity,
    /// The range that may be changed.
    pub(crate) scratch: Range<u32>,
    /// Registers before anything was done.
    pub(crate) status: StatusRegisters,
    pub(crate) allow_status_writes: bool,
}

/// The strategies of a connection.
pub(crate) fn strategies() -> [ResetStrategy; 2] {
    [ResetStrategy::unix_tight(), ResetStrategy::classic()]
}

impl Bench {
    /// Whether the port drives EN and GPIO0.
    pub(crate) fn has_lines(&self) -> bool {
        !self.session.warnings().contains(&Warning::NoModemLines)
    }

    /// Sends bytes as they are and gives the frames that come within `wait`, up to `enough`.
    pub(crate) fn raw(
        &mut self,
        wire: &[u8],
        enough: usize,
        wait: Duration,
    ) -> Result<Vec<Vec<u8>>, Trouble> {
        let port = self.session.port();
        port.write(wire)?;
        let deadline = port.now() + wait;
        let mut decoder = Decoder::new(0x1000);
        let mut frames = Vec::new();
        while frames.len() < enough && port.now() < deadline {
            let mut bytes = Vec::new();
            port.read(&mut bytes, deadline)?;
            let mut rest = bytes.as_slice();
            while let Some(frame) = decoder.next_frame(&mut rest) {
                frames.push(frame?);
            }
        }
        Ok(frames)
    }

    /// Sends one request that may be malformed and gives its answer.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>, Trouble> {
        let mut wire = Vec::new();
        slip::encode(request, &mut wire);
        let frames = self.raw(&wire, 1, Duration::from_secs(3))?;
        frames.into_iter().next().ok_or_else(|| "no answer".into())
    }

    /// The content of a range, which the board's own digest confirms.
    pub(crate) fn read(&mut self, range: &Range<u32>) -> Result<Vec<u8>, Trouble> {
        let len = range.end - range.start;
        for _ in 0..READS_MAX {
            let data = self.session.read_flash(range.start, len, &mut |_| {})?;
            if Digest(self.session.flash_md5(range.start, len)?) == Digest::of(&data) {
                return Ok(data);
            }
        }
        Err(format!("{range:#x?} reads otherwise each time").into())
    }

    /// Brings a range to `content`, sector by sector, those alone that differ.
    pub(crate) fn put_back(&mut self, start: u32, content: &[u8]) -> Result<u32, Trouble> {
        let mut changed = 0;
        for (at, sector) in
            (start..).step_by(SECTOR_BYTES as usize).zip(content.chunks(SECTOR_BYTES as usize))
        {
            let len = u32::try_from(sector.len())?;
            if Digest(self.session.flash_md5(at, len)?) == Digest::of(sector) {
                continue;
            }
            changed += 1;
            self.session.erase_region(at, SECTOR_BYTES, &mut |_| {})?;
            self.session.program_bytes(at, sector)?;
            let found = Digest(self.session.flash_md5(at, len)?);
            if found != Digest::of(sector) {
                return Err(format!("the sector at {at:#x} does not take its old content").into());
            }
        }
        Ok(changed)
    }

    /// Brings the registers to what they were; says whether that was needed.
    pub(crate) fn put_back_status(&mut self, before: StatusRegisters) -> Result<bool, Trouble> {
        // WIP and WEL are no state.
        let meaning = |registers: StatusRegisters| {
            let [first, second, third] = registers.values;
            [first.map(|value| value & 0xfc), second, third]
        };
        if meaning(self.session.read_known_status(&self.identity)?) == meaning(before) {
            return Ok(false);
        }
        let values: Vec<u8> = before.values.into_iter().map_while(|value| value).collect();
        self.session.write_status_of(&self.identity, &values, Persistence::NonVolatile)?;
        Ok(true)
    }

    /// Gets the loader back from whatever a step left behind.
    pub(crate) fn recover(&mut self) -> Result<(), SessionError> {
        if self.session.recover(false).is_ok() {
            return Ok(());
        }
        let step = esp32_flasher::session::Step::Connect;
        let port = self.session.port();
        port.set_baud(CONNECT_BAUD).map_err(|error| SessionError { step, cause: error.into() })?;
        self.session.connect(&strategies(), CONNECT_ATTEMPTS)?;
        self.session.attach_flash().map(drop)
    }
}
