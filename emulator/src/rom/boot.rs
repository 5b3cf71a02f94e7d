//! Flash boot: header, segments, checksum (ROM-FACTS 1.3).
//!
//! The ROM reads the image through the cache, whose chip selects are not among those that code
//! asks for; what it does on SPI1 is the wake-up, two status reads, and for the quad modes the
//! QE bit.

use super::flash_driver::{self, FlashError};
use crate::{
    soc::Machine,
    spi::{SpiConnection, SpiDevice},
    trace::Hang,
};

/// Where the ROM looks for an image.
const IMAGE_ADDRESS: u32 = 0x1000;
const HEADER_BYTES: u32 = 24;
const SEGMENT_HEADER_BYTES: u32 = 8;
const MAGIC: u8 = 0xE9;
/// Flash mode of the header without a dummy phase.
const SLOW_READ: u8 = 5;
const CHECKSUM_SEED: u8 = 0xEF;
/// Bytes read at a time.
const PIECE_BYTES: usize = 64;

/// How flash boot ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlashBoot {
    /// The image is loaded and runs from `entry`.
    Run {
        /// Entry point.
        entry: u32,
    },
    /// No image: the ROM prints this line again and again.
    Retry {
        /// With its line end.
        line: String,
    },
    /// It waits for ever.
    Hang(Hang),
}

impl From<FlashError> for FlashBoot {
    fn from(error: FlashError) -> Self {
        match error {
            FlashError::Range => Self::Hang(Hang::LoaderLeft),
            FlashError::Hang(why) => Self::Hang(why),
        }
    }
}

/// The image header, as far as the ROM looks at it.
struct Header {
    bytes: [u8; HEADER_BYTES as usize],
}

impl Header {
    fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes(std::array::from_fn(|index| self.bytes[at + index]))
    }

    fn check(&self) -> Result<(), FlashBoot> {
        let chip_id = u16::from_le_bytes([self.bytes[12], self.bytes[13]]);
        let line = if self.bytes[0] != MAGIC {
            format!("invalid header: {:#010x}\r\n", self.word(0))
        } else if chip_id != 0 {
            format!("wrong chip id {chip_id:#06x}\r\n")
        } else {
            return Ok(());
        };
        Err(FlashBoot::Retry { line })
    }

    /// Every mode but SLOW READ reads with a dummy phase. The lines do not matter to the part's
    /// model, the dummy phase does (QUIRKS Q22).
    fn is_fast(&self) -> bool {
        self.bytes[2] < SLOW_READ
    }

    fn is_quad(&self) -> bool {
        self.bytes[2] <= 1
    }

    fn describe(&self) -> String {
        let mode = ["QIO", "QOUT", "DIO", "DOUT", "FAST READ", "SLOW READ"]
            .get(usize::from(self.bytes[2]))
            .copied()
            .unwrap_or("DIO");
        let divider = match self.bytes[3] & 0xF {
            0xF => 1,
            1 => 3,
            2 => 4,
            _ => 2,
        };
        let [_, _, _, _, _, _, _, _, write_protect, clock_q, d_cs, hd_wp, ..] = self.bytes;
        format!(
            "configsip: 0, SPIWP:{write_protect:#04x}\r\n\
             clk_drv:{:#04x},q_drv:{:#04x},d_drv:{:#04x},cs0_drv:{:#04x},hd_drv:{:#04x},\
             wp_drv:{:#04x}\r\nmode:{mode}, clock div:{divider}\r\n",
            clock_q & 0xF,
            clock_q >> 4,
            d_cs & 0xF,
            d_cs >> 4,
            hd_wp & 0xF,
            hd_wp >> 4,
        )
    }
}

/// Boots from the flash on `connection`. `print` is off in the silent modes of ROM-FACTS 1.2.
pub fn boot<F: SpiDevice>(
    machine: &mut Machine<F>,
    print: bool,
    connection: SpiConnection,
) -> FlashBoot {
    match load(machine, print, connection) {
        Ok(entry) => FlashBoot::Run { entry },
        Err(end) => end,
    }
}

fn say<F: SpiDevice>(machine: &mut Machine<F>, print: bool, text: &str) {
    if print {
        machine.send(text.as_bytes());
    }
}

fn load<F: SpiDevice>(
    machine: &mut Machine<F>,
    print: bool,
    connection: SpiConnection,
) -> Result<u32, FlashBoot> {
    flash_driver::attach(machine, connection, false)?;
    let mut header = Header { bytes: [0; HEADER_BYTES as usize] };
    // Before the mode is known.
    machine.read_cached(IMAGE_ADDRESS, &mut header.bytes, false);
    header.check()?;
    say(machine, print, &header.describe());
    flash_driver::wait_idle(machine)?;
    flash_driver::wait_idle(machine)?;
    if header.is_quad() {
        flash_driver::enter_quad_mode(machine)?;
    }
    let fast = header.is_fast();
    let (end, sum) = load_segments(machine, print, header.bytes[1], fast)?;
    // The checksum is the last byte of the 16-byte row in which the segments end.
    let mut stored = [0];
    machine.read_cached(end | 0xF, &mut stored, fast);
    if sum != stored[0] {
        let text = format!("csum err:{sum:#04x}!={:#04x}\r\nets_main.c 384 \r\n", stored[0]);
        say(machine, print, &text);
        return Err(FlashBoot::Hang(Hang::LoaderLeft));
    }
    let entry = header.word(4);
    say(machine, print, &format!("entry {entry:#010x}\r\n"));
    Ok(entry)
}

/// Loads all segments; gives the address behind the last and the checksum.
fn load_segments<F: SpiDevice>(
    machine: &mut Machine<F>,
    print: bool,
    count: u8,
    fast: bool,
) -> Result<(u32, u8), FlashBoot> {
    let mut at = IMAGE_ADDRESS + HEADER_BYTES;
    let mut sum = CHECKSUM_SEED;
    for _ in 0..count {
        let mut header = [0; SEGMENT_HEADER_BYTES as usize];
        machine.read_cached(at, &mut header, fast);
        at = at.wrapping_add(SEGMENT_HEADER_BYTES);
        let [a, b, c, d, len @ ..] = header;
        let (target, len) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes(len));
        say(machine, print, &format!("load:{target:#010x},len:{len}\r\n"));
        load_segment(machine, at, target, len, fast, &mut sum)?;
        at = at.wrapping_add(len);
    }
    Ok((at, sum))
}

fn load_segment<F: SpiDevice>(
    machine: &mut Machine<F>,
    at: u32,
    target: u32,
    len: u32,
    fast: bool,
    sum: &mut u8,
) -> Result<(), FlashBoot> {
    let mut done = 0;
    let mut piece = [0; PIECE_BYTES];
    while done < len {
        let take = (len - done).min(64);
        let piece = &mut piece[..take as usize];
        machine.read_cached(at.wrapping_add(done), piece, fast);
        *sum = piece.iter().fold(*sum, |sum, byte| sum ^ byte);
        machine
            .write_bytes(target.wrapping_add(done), piece)
            .map_err(|error| FlashBoot::Hang(Hang::Exception { address: error.address }))?;
        done += take;
    }
    Ok(())
}
