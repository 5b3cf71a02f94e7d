//! Registers of the chip.

use esp_protocol::{
    command::{Opcode, RegisterWrite, Request},
    response::{Dialect, Response},
};

use super::{COMMAND_TIMEOUT, Cause, Session, SessionError, Step, Wire};

/// Bytes of requests that the ROM gets at once: eight `READ_REG`s, which it was seen to execute in
/// order (ROM-FACTS 2). They fit the UART's FIFO of 128 bytes, however late the ROM looks.
const AT_ONCE_BYTES_MAX: usize = 8 * 14;

impl Session {
    /// Reads a register.
    ///
    /// # Errors
    ///
    /// As [`Self::command`].
    pub fn read_register(&mut self, address: u32) -> Result<u32, SessionError> {
        Ok(self.command(&Request::ReadReg { address }, COMMAND_TIMEOUT)?.value)
    }

    /// Writes registers in order, all in one request.
    ///
    /// # Errors
    ///
    /// As [`Self::command`].
    pub fn write_registers(&mut self, writes: &[(u32, u32)]) -> Result<(), SessionError> {
        let entries = writes
            .iter()
            .map(|&(address, value)| RegisterWrite { address, value, mask: u32::MAX, delay_us: 0 })
            .collect();
        self.command(&Request::WriteReg(entries), COMMAND_TIMEOUT).map(drop)
    }

    /// Reads registers in order. The ROM gets several requests at once as long as the line is good:
    /// each that waits for the answer to the one before costs a turn of the line.
    ///
    /// # Errors
    ///
    /// As [`Self::command`]. One answer that is missing fails all: which one it was is not known.
    pub fn read_words(&mut self, addresses: &[u32]) -> Result<Vec<u32>, SessionError> {
        let mut values = Vec::with_capacity(addresses.len());
        while let Some(rest) = addresses.get(values.len()..).filter(|rest| !rest.is_empty()) {
            if self.dialect() == Dialect::Rom && !self.line_was_bad() {
                values.extend(self.read_at_once(rest)?);
            } else {
                values.push(self.read_register(rest[0])?);
            }
        }
        Ok(values)
    }

    /// Reads as many of the registers as the ROM can be asked for at once.
    fn read_at_once(&mut self, addresses: &[u32]) -> Result<Vec<u32>, SessionError> {
        let step = Step::Command(Opcode::ReadReg);
        let mut requests = Wire { opcode: Opcode::ReadReg, bytes: Vec::new() };
        let mut count = 0;
        for address in addresses {
            let next = Wire::of(&Request::ReadReg { address: *address });
            if count > 0 && requests.bytes.len() + next.bytes.len() > AT_ONCE_BYTES_MAX {
                break;
            }
            requests.bytes.extend(next.bytes);
            count += 1;
        }
        let start = self.port.now();
        self.send(&requests, step)?;
        let mut bytes = requests.bytes.len();
        let mut answers: Vec<Response> = Vec::with_capacity(count);
        for _ in 0..count {
            let (response, received_bytes) = self.answer(Opcode::ReadReg, COMMAND_TIMEOUT)?;
            bytes += received_bytes;
            answers.push(response);
        }
        self.note_exchange(bytes, start);
        // All have been taken, so that none is left for a later request.
        match answers.iter().find_map(|response| response.failure(self.dialect())) {
            None => Ok(answers.iter().map(|response| response.value).collect()),
            Some(code) => Err(SessionError { step, cause: Cause::Refused { code } }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::fake::{FakePort, ok};

    /// The register of a `READ_REG`.
    fn address(request: &[u8]) -> u32 {
        u32::from_le_bytes(request[8..12].try_into().unwrap())
    }

    #[test]
    fn registers_are_asked_for_at_once_as_far_as_the_uart_holds_them() {
        let (port, log) = FakePort::new(Box::new(|it| ok(it[1], !address(it))));
        let mut session = Session::new(Box::new(port));
        let addresses: Vec<u32> = (0x3ff5_a000..).step_by(4).take(10).collect();
        let expected: Vec<u32> = addresses.iter().map(|address| !address).collect();
        assert_eq!(session.read_words(&addresses).unwrap(), expected);
        assert_eq!(log.lock().unwrap().writes, [8 * 14, 2 * 14]);
        // Escapes take room.
        let escaped = [0xc0db_c0db; 9];
        assert_eq!(session.read_words(&escaped).unwrap(), [!0xc0db_c0db; 9]);
        assert_eq!(log.lock().unwrap().writes[2..], [6 * 18, 3 * 18]);
        assert!(session.read_words(&[]).unwrap().is_empty());
    }

    #[test]
    fn one_by_one_on_a_line_that_was_bad() {
        let mut is_first = true;
        let (port, log) = FakePort::new(Box::new(move |it| {
            let damage: &[u8] = if std::mem::take(&mut is_first) { b"\xc0\x01\xc0" } else { b"" };
            [damage, &ok(it[1], address(it))].concat()
        }));
        let mut session = Session::new(Box::new(port));
        assert_eq!(session.read_words(&[1, 2, 3]).unwrap(), [1, 2, 3], "none is missing");
        assert!(session.line_was_bad());
        assert_eq!(session.read_words(&[4, 5, 6]).unwrap(), [4, 5, 6]);
        assert_eq!(log.lock().unwrap().writes, [3 * 14, 14, 14, 14]);
    }

    #[test]
    fn a_missing_answer_fails_all_and_spoils_none_that_follows() {
        let mut count = 0;
        let (port, _) = FakePort::new(Box::new(move |it| {
            count += 1;
            if count == 2 { Vec::new() } else { ok(it[1], address(it)) }
        }));
        let mut session = Session::new(Box::new(port));
        let error = session.read_words(&[1, 2, 3]).unwrap_err();
        assert!(matches!(error.cause, Cause::NoAnswer { .. }), "{error}");
        assert_eq!(session.read_register(4).unwrap(), 4);
    }
}
