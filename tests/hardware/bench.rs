//! One board on the bench.

use std::{ops::Range, time::Duration};

use esp_protocol::slip::{self, Decoder};
use esp32_flasher::{
    chip::Chip,
    flash::SECTOR_BYTES,
    identity::Identity,
    reset::ResetStrategy,
    session::{CONNECT_BAUD, Session, Warning},
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
    /// Why the scratch range takes no change: it is write-protected.
    pub(crate) protected: Option<String>,
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

    /// Brings registers and range to what they were; says how many sectors, and whether registers,
    /// needed it.
    pub(crate) fn put_everything_back(
        &mut self,
        before: StatusRegisters,
        start: u32,
        content: &[u8],
    ) -> Result<(u32, bool), Trouble> {
        // First, because they may protect the range, which gets its turn whatever comes of it.
        let status = self.put_back_status(before);
        match (status, self.put_back(start, content)) {
            (Err(first), Err(second)) => Err(format!("{first}; {second}").into()),
            (status, sectors) => Ok((sectors?, status?)),
        }
    }

    /// Brings the registers to what they were; says whether that was needed.
    pub(crate) fn put_back_status(&mut self, before: StatusRegisters) -> Result<bool, Trouble> {
        // WIP and WEL are no state.
        let meaning = |registers: StatusRegisters| {
            let [first, second, third] = registers.values;
            [first.map(|value| value & 0xfc), second, third]
        };
        let now = self.session.read_known_status(&self.identity)?;
        if meaning(now) == meaning(before) {
            return Ok(false);
        }
        if !self.allow_status_writes {
            let what = format!("the status registers read {now} and not {before} as before");
            return Err(format!("{what} (ESP_ALLOW_STATUS_WRITES=1 lets them be put back)").into());
        }
        let values: Vec<u8> = before.values.into_iter().map_while(|value| value).collect();
        self.session.write_status_of(&self.identity, &values, Persistence::NonVolatile)?;
        Ok(true)
    }

    /// Gets the loader back from whatever a step left behind, and the flash with it.
    pub(crate) fn recover(&mut self) -> Result<(), Trouble> {
        if self.session.recover(false).is_err() {
            self.session.port().set_baud(CONNECT_BAUD)?;
            self.session.connect(&strategies(), CONNECT_ATTEMPTS)?;
        }
        // Behind a reset that was not followed by this, everything reads as FFh, registers too.
        let found = self.session.attach_flash()?;
        if found != self.identity.id {
            let (found, known) = (found.jedec, self.identity.id.jedec);
            return Err(format!("the flash id is {found:02x?} and not {known:02x?}").into());
        }
        Ok(())
    }
}
