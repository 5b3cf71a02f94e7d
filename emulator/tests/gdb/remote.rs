//! A small client of GDB's remote protocol.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

pub(crate) struct Remote {
    stream: TcpStream,
}

impl Remote {
    pub(crate) fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        Self { stream }
    }

    /// What a second client reads.
    pub(crate) fn refusal(mut self) -> String {
        let mut text = String::new();
        self.stream.read_to_string(&mut text).expect("text");
        text
    }

    /// Sends a packet whose answer comes later.
    pub(crate) fn send(&mut self, data: &str) {
        let sum = data.bytes().fold(0_u8, u8::wrapping_add);
        self.stream.write_all(format!("${data}#{sum:02x}").as_bytes()).expect("written");
        assert_eq!(self.byte(), b'+', "{data}");
    }

    pub(crate) fn interrupt(&mut self) {
        self.stream.write_all(&[3]).expect("written");
    }

    fn byte(&mut self) -> u8 {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).expect("an answer");
        byte[0]
    }

    /// The next answer, whose checksum is right.
    pub(crate) fn answer(&mut self) -> String {
        assert_eq!(self.byte(), b'$');
        let mut data = Vec::new();
        loop {
            match self.byte() {
                b'#' => break,
                byte => data.push(byte),
            }
        }
        let sum = data.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        let digits = [self.byte(), self.byte()];
        assert_eq!(format!("{sum:02x}").as_bytes(), digits);
        self.stream.write_all(b"+").expect("written");
        String::from_utf8(data).expect("text")
    }

    pub(crate) fn ask(&mut self, data: &str) -> String {
        self.send(data);
        self.answer()
    }

    pub(crate) fn register(&mut self, number: u32) -> u32 {
        let digits = self.ask(&format!("p{number:x}"));
        u32::from_str_radix(&digits, 16).expect("digits").swap_bytes()
    }

    /// `a0` to `a15`.
    pub(crate) fn window(&mut self, number: u32) -> u32 {
        self.register(157 + number)
    }
}
