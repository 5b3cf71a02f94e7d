//! The opcodes.

macro_rules! opcodes {
    ($($(#[$meta:meta])* $name:ident = $code:literal, $wire:literal;)*) => {
        /// Opcode of a command (ROM-FACTS 4.4, 7.1).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Opcode {
            $($(#[$meta])* $name = $code,)*
        }

        impl Opcode {
            /// All opcodes in numeric order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The opcode with this number.
            #[must_use]
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The protocol documentation's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $wire,)*
                }
            }
        }
    };
}

opcodes! {
    /// Begins a raw flash write; erases.
    FlashBegin = 0x02, "FLASH_BEGIN";
    /// One raw block.
    FlashData = 0x03, "FLASH_DATA";
    /// Ends a raw write and leaves the loader; the ROM then protects the chip (ROM-FACTS 5.4).
    FlashEnd = 0x04, "FLASH_END";
    /// Begins a download to RAM.
    MemBegin = 0x05, "MEM_BEGIN";
    /// Ends a download to RAM, perhaps with a jump.
    MemEnd = 0x06, "MEM_END";
    /// One block for RAM.
    MemData = 0x07, "MEM_DATA";
    /// Synchronisation.
    Sync = 0x08, "SYNC";
    /// Writes registers.
    WriteReg = 0x09, "WRITE_REG";
    /// Reads a register.
    ReadReg = 0x0a, "READ_REG";
    /// Tells the chip size.
    SpiSetParams = 0x0b, "SPI_SET_PARAMS";
    /// Connects the flash.
    SpiAttach = 0x0d, "SPI_ATTACH";
    /// Reads up to 64 bytes of flash (ROM only).
    ReadFlashSlow = 0x0e, "READ_FLASH_SLOW";
    /// Changes the rate.
    ChangeBaudrate = 0x0f, "CHANGE_BAUDRATE";
    /// Begins a compressed flash write; erases.
    FlashDeflBegin = 0x10, "FLASH_DEFL_BEGIN";
    /// One compressed block.
    FlashDeflData = 0x11, "FLASH_DEFL_DATA";
    /// Ends a compressed write; the ROM then protects the chip (ROM-FACTS 5.5).
    FlashDeflEnd = 0x12, "FLASH_DEFL_END";
    /// Digest of a range of flash.
    SpiFlashMd5 = 0x13, "SPI_FLASH_MD5";
    /// Security information of newer chips; unknown to the ESP32.
    GetSecurityInfo = 0x14, "GET_SECURITY_INFO";
    /// Chip erase (stub only).
    EraseFlash = 0xd0, "ERASE_FLASH";
    /// Erase of a range (stub only).
    EraseRegion = 0xd1, "ERASE_REGION";
    /// Reads flash as a stream of packets (stub only).
    ReadFlash = 0xd2, "READ_FLASH";
    /// Leaves the loader for the flashed program (stub only).
    RunUserCode = 0xd3, "RUN_USER_CODE";
}

impl From<Opcode> for u8 {
    fn from(opcode: Opcode) -> Self {
        opcode as Self
    }
}
