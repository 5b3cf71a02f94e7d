//! Requests and answers in words: a name, and fields that can be compared one by one.

use std::fmt;

use esp_protocol::{
    command::{Begin, Data, HEADER_BYTES, Opcode, Request},
    response::{Dialect, Response},
};
use serde::Serialize;

use super::format::hex;
use crate::soc::address;

/// Bytes of a field shown in full.
const SHOWN_BYTES_MAX: usize = 32;

/// A frame in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Words {
    /// The command's name, or what the frame is.
    pub name: String,
    /// Fields in the order of the wire.
    pub fields: Vec<(&'static str, String)>,
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.fields.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

impl Words {
    fn new(name: &str, fields: Vec<(&'static str, String)>) -> Self {
        Self { name: name.to_owned(), fields }
    }

    /// The names of the fields that `other` has with another value, or not at all.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = Vec::new();
        for (ours, theirs) in [(self, other), (other, self)] {
            for (name, value) in &ours.fields {
                let same = theirs.fields.iter().any(|(known, it)| known == name && it == value);
                if !same && !names.contains(name) {
                    names.push(name);
                }
            }
        }
        if self.name != other.name {
            names.insert(0, "name");
        }
        names
    }
}

/// Name of a command, known or not.
#[must_use]
pub fn command_name(opcode: u8) -> String {
    Opcode::from_byte(opcode).map_or_else(|| format!("{opcode:02x}h"), |it| it.name().to_owned())
}

/// Name of a register that clients use (ROM-FACTS 9.3, 10), or its address.
#[must_use]
pub fn register_name(address: u32) -> String {
    const SPI: [(u32, &str); 12] = [
        (0x00, "CMD"),
        (0x04, "ADDR"),
        (0x08, "CTRL"),
        (0x10, "RD_STATUS"),
        (0x18, "CLOCK"),
        (0x1C, "USER"),
        (0x20, "USER1"),
        (0x24, "USER2"),
        (0x28, "MOSI_DLEN"),
        (0x2C, "MISO_DLEN"),
        (0x34, "PIN"),
        (0xF8, "EXT2"),
    ];
    let controllers = [(address::SPI1, "SPI1"), (address::SPI0, "SPI0")];
    for (base, name) in controllers {
        let Some(offset) = address.checked_sub(base).filter(|offset| *offset < 0x100) else {
            continue;
        };
        if let Some((_, register)) = SPI.iter().find(|(at, _)| *at == offset) {
            return format!("{name}_{register}");
        }
        if (0x80..0xC0).contains(&offset) && offset % 4 == 0 {
            return format!("{name}_W{}", (offset - 0x80) / 4);
        }
    }
    let word = address.wrapping_sub(address::EFUSE);
    match address {
        address::CHIP_MAGIC => "CHIP_MAGIC".to_owned(),
        address::GPIO_STRAP => "GPIO_STRAP".to_owned(),
        address::APB_CTRL_DATE => "APB_CTRL_DATE".to_owned(),
        address::RTC_SDIO_CONF => "RTC_SDIO_CONF".to_owned(),
        _ if address == address::UART0 + 0x14 => "UART0_CLKDIV".to_owned(),
        _ if word < 0x1C && word.is_multiple_of(4) => format!("EFUSE_BLK0_W{}", word / 4),
        _ => format!("{address:#010x}"),
    }
}

/// A request in words.
#[must_use]
pub fn request(frame: &[u8]) -> Words {
    match Request::parse(frame) {
        Ok(request) => Words { name: request.opcode().name().to_owned(), fields: fields(&request) },
        // An acknowledgement of the stubs' READ_FLASH: so many bytes have arrived.
        Err(_) if frame.len() == 4 => {
            let count = u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]);
            Words::new("read acknowledgement", vec![("received", number(count))])
        }
        Err(error) => {
            let opcode = frame.get(1).copied().filter(|_| frame.first() == Some(&0));
            let name = opcode.map_or_else(|| "not a request".to_owned(), command_name);
            let body = frame.get(HEADER_BYTES..).unwrap_or_default();
            Words { name, fields: vec![("odd", error.to_string()), ("body", bytes(body))] }
        }
    }
}

fn fields(request: &Request<'_>) -> Vec<(&'static str, String)> {
    match request {
        Request::FlashBegin(it) | Request::MemBegin(it) | Request::FlashDeflBegin(it) => begin(it),
        Request::FlashData(it) | Request::MemData(it) | Request::FlashDeflData(it) => data(it),
        Request::FlashEnd { action } | Request::FlashDeflEnd { action } => {
            vec![("action", number(*action))]
        }
        Request::MemEnd { stay, entry } => vec![("stay", number(*stay)), ("entry", number(*entry))],
        Request::Sync | Request::GetSecurityInfo | Request::EraseFlash | Request::RunUserCode => {
            Vec::new()
        }
        Request::WriteReg(writes) => {
            let writes = writes.iter().map(|it| {
                let mask =
                    if it.mask == u32::MAX { String::new() } else { format!("&{:#x}", it.mask) };
                let delay =
                    if it.delay_us == 0 { String::new() } else { format!("+{}us", it.delay_us) };
                format!("{}={:#x}{mask}{delay}", register_name(it.address), it.value)
            });
            vec![("writes", writes.collect::<Vec<_>>().join(","))]
        }
        Request::ReadReg { address } => vec![("register", register_name(*address))],
        Request::SpiSetParams(it) => vec![
            ("id", number(it.id)),
            ("size", number(it.size)),
            ("block_size", number(it.block_size)),
            ("sector_size", number(it.sector_size)),
            ("page_size", number(it.page_size)),
            ("status_mask", number(it.status_mask)),
        ],
        Request::SpiAttach { pins, legacy } => {
            let legacy = legacy.map(|word| ("legacy", number(word)));
            [Some(("pins", number(*pins))), legacy].into_iter().flatten().collect()
        }
        Request::ReadFlashSlow { offset, len }
        | Request::EraseRegion { offset, len }
        | Request::SpiFlashMd5 { offset, len } => {
            vec![("offset", number(*offset)), ("len", number(*len))]
        }
        Request::ChangeBaudrate { new, old } => {
            vec![("new", new.to_string()), ("old", old.to_string())]
        }
        Request::ReadFlash(it) => vec![
            ("offset", number(it.offset)),
            ("len", number(it.len)),
            ("packet_size", number(it.packet_size)),
            ("in_flight_max", number(it.in_flight_max)),
        ],
    }
}

fn begin(it: &Begin) -> Vec<(&'static str, String)> {
    let encrypted = it.encrypted.map(|word| ("encrypted", number(word)));
    let fields = [
        Some(("size", number(it.size))),
        Some(("blocks", number(it.blocks))),
        Some(("block_size", number(it.block_size))),
        Some(("offset", number(it.offset))),
        encrypted,
    ];
    fields.into_iter().flatten().collect()
}

fn data(it: &Data<'_>) -> Vec<(&'static str, String)> {
    vec![("sequence", it.sequence.to_string()), ("data", bytes(&it.bytes))]
}

/// An answer in words.
#[must_use]
pub fn answer(frame: &[u8], dialect: Dialect) -> Words {
    let Ok(response) = Response::parse(frame, dialect) else {
        let name = match std::str::from_utf8(frame) {
            Ok(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                text
            }
            _ => "packet",
        };
        return Words::new(name, vec![("data", bytes(frame))]);
    };
    let name = command_name(response.opcode);
    let status = response.failure(dialect).map_or_else(
        || "ok".to_owned(),
        |code| format!("{:02x}{:02x} ({code})", response.status, response.error),
    );
    let text = std::str::from_utf8(&response.payload).ok();
    let is_text = |it: &&str| it.len() == 32 && it.bytes().all(|byte| byte.is_ascii_hexdigit());
    let payload = text.filter(is_text).map_or_else(|| bytes(&response.payload), str::to_owned);
    let mut fields = vec![("status", status), ("value", format!("{:#010x}", response.value))];
    if !response.payload.is_empty() {
        fields.push(("payload", payload));
    }
    if dialect == Dialect::Rom && response.reserved != [0, 0] {
        fields.push(("leftovers", hex(&response.reserved)));
    }
    Words { name, fields }
}

/// Whether `frame` answers a SYNC.
#[must_use]
pub fn is_sync_answer(frame: &[u8]) -> bool {
    frame.first() == Some(&1) && frame.get(1) == Some(&u8::from(Opcode::Sync))
}

fn number(value: u32) -> String {
    if value < 10 { value.to_string() } else { format!("{value:#x}") }
}

/// Bytes in full if they are few, else their count, their first and their digest.
fn bytes(bytes: &[u8]) -> String {
    match bytes.get(..8) {
        Some(first) if bytes.len() > SHOWN_BYTES_MAX => {
            let digest = format!("{:x}", md5::compute(bytes));
            let short = digest.get(..8).unwrap_or_default();
            format!("{}B:{}..md5:{short}", bytes.len(), hex(first))
        }
        _ if bytes.is_empty() => "none".to_owned(),
        _ => hex(bytes),
    }
}
