//! Flash encryption: the cipher, and the block at `0x3FF5B000` that encrypts 32 bytes at a time
//! (ESP32 TRM, "External Memory Encryption and Decryption"; witness: espsecure).

use aes::{
    Aes256, Block,
    cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit},
};

use super::Efuse;

/// Bytes that one key is for, and that the block encrypts at once.
pub const UNIT_BYTES: usize = 32;
/// The same as an address step.
pub const UNIT_STEP: u32 = 32;
const CIPHER_BYTES: usize = 16;
/// Key bits of each part that a bit of `FLASH_CRYPT_CONFIG` switches on.
const PART_BITS: [usize; 4] = [67, 65, 63, 61];
/// Address bits that go into the key: 5 to 23, highest first, three times in each part. What is
/// left of a part takes the lowest ones.
const TWEAK_BITS: usize = 19;
const HIGHEST_TWEAK: usize = 23;

/// Register offsets.
pub mod offset {
    /// End of the eight data words, which start at 0.
    pub const BUFFER_END: u32 = 0x20;
    /// Any write encrypts.
    pub const START: u32 = 0x20;
    /// Flash address.
    pub const ADDRESS: u32 = 0x24;
    /// Bit 0: done.
    pub const DONE: u32 = 0x28;
}

/// Key and configuration, as the eFuses have them.
#[derive(Debug, Clone)]
pub struct FlashCipher {
    key: [u8; 32],
    config: u8,
}

impl FlashCipher {
    /// The cipher of a chip; a blank key is all zeros.
    #[must_use]
    pub fn of(efuse: &Efuse) -> Self {
        Self { key: efuse.flash_encryption_key(), config: efuse.flash_crypt_config() }
    }

    /// The cipher with a key as key files have it, and the low four bits of `FLASH_CRYPT_CONFIG`.
    #[must_use]
    pub const fn new(key: [u8; 32], config: u8) -> Self {
        Self { key, config }
    }

    /// Encrypts whole blocks of 16 bytes in place, which are for `address`, a multiple of 16.
    pub fn encrypt(&self, address: u32, data: &mut [u8]) {
        // The chip uses AES the other way round: writes decrypt.
        self.each_block(address, data, Aes256::decrypt_block);
    }

    /// Decrypts whole blocks of 16 bytes in place.
    pub fn decrypt(&self, address: u32, data: &mut [u8]) {
        self.each_block(address, data, Aes256::encrypt_block);
    }

    fn each_block(&self, address: u32, data: &mut [u8], run: impl Fn(&Aes256, &mut Block)) {
        let mut unit = None;
        for (at, bytes) in (address..).step_by(CIPHER_BYTES).zip(data.chunks_mut(CIPHER_BYTES)) {
            let number = at / UNIT_STEP;
            let aes = match unit.take() {
                Some((same, aes)) if same == number => aes,
                _ => Aes256::new(&self.key_for(at).into()),
            };
            let mut block = Block::default();
            for (place, byte) in block.iter_mut().rev().zip(&*bytes) {
                *place = *byte;
            }
            run(&aes, &mut block);
            for (place, byte) in bytes.iter_mut().zip(block.iter().rev()) {
                *place = *byte;
            }
            unit = Some((number, aes));
        }
    }

    /// The key with the bits flipped that the address says.
    fn key_for(&self, address: u32) -> [u8; 32] {
        let mut key = self.key;
        let mut bit = 0;
        for (part, bits) in PART_BITS.into_iter().enumerate() {
            for index in 0..bits {
                let tweak = if index < 3 * TWEAK_BITS {
                    HIGHEST_TWEAK - index % TWEAK_BITS
                } else {
                    HIGHEST_TWEAK + 1 - TWEAK_BITS + (bits - 1 - index)
                };
                if self.config >> part & 1 == 1 && address >> tweak & 1 == 1 {
                    key[bit / 8] ^= 0x80 >> (bit % 8);
                }
                bit += 1;
            }
        }
        key
    }
}

/// The block's registers.
#[derive(Debug, Clone, Default)]
pub struct FlashEncryption {
    buffer: [u8; UNIT_BYTES],
    address: u32,
    result: [u8; UNIT_BYTES],
    done: bool,
}

impl FlashEncryption {
    /// Reads a register; the data cannot be read back.
    #[must_use]
    pub fn get(&self, offset: u32) -> u32 {
        match offset {
            offset::ADDRESS => self.address,
            offset::DONE => u32::from(self.done),
            _ => 0,
        }
    }

    /// Writes a register; encrypting is done at once.
    pub fn set(&mut self, offset: u32, value: u32, efuse: &Efuse) {
        match offset {
            0..offset::BUFFER_END => {
                let first = (offset & !3) as usize;
                self.buffer[first..first + 4].copy_from_slice(&value.to_le_bytes());
            }
            offset::START => self.encrypt(efuse),
            offset::ADDRESS => self.address = value,
            _ => {}
        }
    }

    /// What the ROM does with the registers for 32 bytes at `address`; gives the result.
    pub fn run(&mut self, address: u32, data: [u8; UNIT_BYTES], efuse: &Efuse) -> [u8; UNIT_BYTES] {
        self.buffer = data;
        self.address = address;
        self.encrypt(efuse);
        self.result
    }

    /// The last result, which the flash controller programs.
    #[must_use]
    pub fn result(&self) -> [u8; UNIT_BYTES] {
        self.result
    }

    fn encrypt(&mut self, efuse: &Efuse) {
        self.result = self.buffer;
        FlashCipher::of(efuse).encrypt(self.address, &mut self.result);
        self.done = true;
    }
}

#[cfg(test)]
mod tests;
