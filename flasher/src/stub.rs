//! Uploading a flasher stub that the user has, in esptool's JSON form.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use esp_protocol::{
    base64,
    command::{Begin, Data, ROM_BLOCK_BYTES_MAX, Request},
    response::Dialect,
};
use serde::Deserialize;

use crate::{
    progress::{Observer, Phase, Progress},
    session::{COMMAND_TIMEOUT, Cause, Session, SessionError, Step},
};

/// What a stub sends when it runs.
const GREETING: &[u8] = b"OHAI";
const GREETING_TIMEOUT: Duration = Duration::from_secs(3);
/// Uploads over a bad line: a damaged block makes the whole transfer unusable (ROM-FACTS 5.2).
const UPLOADS_MAX: u32 = 4;

/// A stub: code, data, entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stub {
    /// Address to start at.
    pub entry: u32,
    /// Segments: load address and bytes.
    pub segments: Vec<(u32, Vec<u8>)>,
}

/// The JSON as it is in the file.
#[derive(Debug, Deserialize)]
struct StubFile {
    entry: u32,
    text: String,
    text_start: u32,
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    data_start: Option<u32>,
}

/// A stub file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StubError {
    /// It cannot be read.
    #[error("cannot read {}: {cause}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// No JSON of the expected form.
    #[error("the stub file is no JSON with entry, text and text_start: {0}")]
    Json(#[from] serde_json::Error),
    /// A segment is no base64.
    #[error("the stub's {segment} is no base64 (character {at})")]
    Base64 {
        /// `text` or `data`.
        segment: &'static str,
        /// Position of the first bad character.
        at: usize,
    },
}

impl Stub {
    /// Reads a file of esptool's JSON form.
    ///
    /// # Errors
    ///
    /// [`StubError`].
    pub fn read(path: &Path) -> Result<Self, StubError> {
        let json = std::fs::read_to_string(path)
            .map_err(|cause| StubError::File { path: path.to_owned(), cause })?;
        Self::from_json(&json)
    }

    /// Reads esptool's JSON form: `entry`, `text`, `text_start`, `data`, `data_start`.
    ///
    /// # Errors
    ///
    /// [`StubError`].
    pub fn from_json(json: &str) -> Result<Self, StubError> {
        let file: StubFile = serde_json::from_str(json)?;
        let decode = |segment, text: &str| {
            base64::decode(text).map_err(|at| StubError::Base64 { segment, at })
        };
        let mut segments = vec![(file.text_start, decode("text", &file.text)?)];
        if let (Some(start), Some(data)) = (file.data_start, &file.data) {
            segments.push((start, decode("data", data)?));
        }
        Ok(Self { entry: file.entry, segments })
    }
}

impl Session {
    /// Uploads `stub`, starts it and speaks its dialect from then on. After a reset that becomes
    /// necessary later it is uploaded again.
    ///
    /// # Errors
    ///
    /// As [`Session::command`]; [`Cause::NoAnswer`] in [`Step::StubStart`] if it does not greet.
    pub fn start_stub(&mut self, stub: &Stub, observer: Observer<'_>) -> Result<(), SessionError> {
        for _ in 1..UPLOADS_MAX {
            match self.start_stub_once(stub, observer) {
                Err(error) if error.cause.is_line_trouble() && self.can_reconnect() => {
                    self.connect_again()?;
                    // A chip that cannot be reset may run it all the same.
                    if self.dialect() == Dialect::Stub {
                        break;
                    }
                }
                other => {
                    other?;
                    self.stub = Some(Arc::new(stub.clone()));
                    return Ok(());
                }
            }
        }
        if self.dialect() == Dialect::Rom {
            self.start_stub_once(stub, observer)?;
        }
        self.stub = Some(Arc::new(stub.clone()));
        Ok(())
    }

    fn start_stub_once(
        &mut self,
        stub: &Stub,
        observer: &mut dyn FnMut(Progress),
    ) -> Result<(), SessionError> {
        for (address, bytes) in &stub.segments {
            self.upload(*address, bytes, observer)?;
        }
        self.command(&Request::MemEnd { stay: 0, entry: stub.entry }, COMMAND_TIMEOUT)?;
        let step = Step::StubStart;
        let deadline = self.port().now() + GREETING_TIMEOUT;
        while let Some(frame) = self.receive(deadline, step)? {
            if frame == GREETING {
                self.set_dialect(Dialect::Stub);
                self.spi_idle = None;
                return Ok(());
            }
        }
        Err(SessionError { step, cause: Cause::NoAnswer { after: GREETING_TIMEOUT, damaged: 0 } })
    }

    fn upload(
        &mut self,
        address: u32,
        bytes: &[u8],
        observer: &mut dyn FnMut(Progress),
    ) -> Result<(), SessionError> {
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let begin = Begin {
            size,
            blocks: size.div_ceil(ROM_BLOCK_BYTES_MAX),
            block_size: ROM_BLOCK_BYTES_MAX,
            offset: address,
            encrypted: None,
        };
        self.command(&Request::MemBegin(begin), COMMAND_TIMEOUT)?;
        let mut done = 0;
        for (sequence, block) in (0..).zip(bytes.chunks(ROM_BLOCK_BYTES_MAX as usize)) {
            let data = Data { sequence, bytes: block.into() };
            self.command(&Request::MemData(data), COMMAND_TIMEOUT)?;
            done += block.len() as u64;
            let total = u64::from(size);
            observer(Progress { phase: Phase::Upload, offset: address, done, total });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::fake::{FakePort, ok};

    const JSON: &str = r#"{"entry": 1074521560, "text": "AQIDBA==", "text_start": 1074520064,
        "data": "BQY=", "data_start": 1073605544, "bss_start": 1}"#;

    #[test]
    fn the_json_form() {
        let stub = Stub::from_json(JSON).unwrap();
        assert_eq!(stub.entry, 1_074_521_560);
        let expected = [(1_074_520_064, vec![1, 2, 3, 4]), (1_073_605_544, vec![5, 6])];
        assert_eq!(stub.segments, expected);
    }

    #[test]
    fn what_is_no_stub_is_named() {
        assert!(matches!(Stub::from_json("{}"), Err(StubError::Json(_))));
        let bad = JSON.replace("AQIDBA==", "AQ!D");
        let error = Stub::from_json(&bad).unwrap_err();
        assert!(matches!(error, StubError::Base64 { segment: "text", at: 2 }), "{error}");
    }

    #[test]
    fn the_dialect_changes_with_the_greeting() {
        let (port, _) = FakePort::new(Box::new(|request| {
            let mut wire = ok(request[1], 0);
            if request[1] == 0x06 {
                wire.extend(b"\xc0OHAI\xc0");
            }
            wire
        }));
        let mut session = Session::new(Box::new(port));
        session.start_stub(&Stub::from_json(JSON).unwrap(), &mut |_| {}).unwrap();
        assert_eq!(session.dialect(), Dialect::Stub);
    }

    #[test]
    fn a_stub_that_stays_silent_is_an_error() {
        let (port, _) = FakePort::new(Box::new(|request| ok(request[1], 0)));
        let mut session = Session::new(Box::new(port));
        let stub = Stub::from_json(JSON).unwrap();
        let error = session.start_stub(&stub, &mut |_| {}).unwrap_err();
        assert_eq!(error.step, Step::StubStart);
        assert_eq!(session.dialect(), Dialect::Rom);
    }
}
