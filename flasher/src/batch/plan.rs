//! The plan of a batch, a TOML file.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{
    chip::Mac,
    input::{self, InputError},
    stub::{Stub, StubError},
    write::{Digest, Image},
};

const PARALLEL_DEFAULT: usize = 16;

/// A plan that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlanFileError {
    /// It cannot be read.
    #[error("cannot read {}: {cause}", .path.display())]
    File {
        /// The plan.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// It is no plan.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// Its stub cannot be used.
    #[error(transparent)]
    Stub(#[from] StubError),
    /// Its images cannot be used.
    #[error(transparent)]
    Input(#[from] InputError),
    /// It has no ports, or one twice.
    #[error("{}", match .port { Some(port) => format!("the port {port} comes twice"), None => "the plan has no ports".to_owned() })]
    Ports {
        /// The port that comes twice.
        port: Option<String>,
    },
    /// A text for a board is longer than its room.
    #[error("the data for {mac} at {address:#x} has {len} bytes, and there is room for {size}")]
    DataTooLong {
        /// The board.
        mac: Mac,
        /// Where the data belongs.
        address: u32,
        /// Its length in bytes.
        len: usize,
        /// Room in bytes.
        size: u32,
    },
}

/// What to do about protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unprotect {
    /// The board fails, unchanged.
    #[default]
    Never,
    /// It is lifted, with a journal of the old values, as `--unprotect` does.
    Lift,
}

/// Data that differs from board to board.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoardData {
    /// Where it belongs, on a sector.
    pub address: u32,
    /// Text, in which `{mac}` (12 hex digits), `{mac:}` (with colons) and `{serial}` are replaced.
    pub text: String,
    /// Room in bytes; the rest is filled with 0xFF.
    pub size: u32,
}

/// Serial numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Serials {
    /// The first, unless the records hold one as high.
    pub first: u64,
    /// Shown with at least so many digits.
    #[serde(default)]
    pub digits: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanFile {
    ports: Vec<String>,
    parallel: Option<usize>,
    #[serde(default)]
    unprotect: Unprotect,
    baud: Option<u32>,
    timeout_s: Option<u64>,
    #[serde(default)]
    read_back: bool,
    #[serde(default)]
    diff: bool,
    record: Option<PathBuf>,
    stub: Option<PathBuf>,
    serial: Option<Serials>,
    #[serde(default)]
    image: Vec<ImageFile>,
    #[serde(default)]
    board_data: Vec<BoardData>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageFile {
    address: u32,
    file: PathBuf,
}

/// A plan, read and checked.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Names of the ports, as for `--port`.
    pub ports: Vec<String>,
    /// Boards at the same time, at most.
    pub parallel: usize,
    /// What to do about protection.
    pub unprotect: Unprotect,
    /// Rate after connecting, in baud.
    pub baud: u32,
    /// Seconds for each board, by its port's clock.
    pub timeout_s: u64,
    /// Read everything back after the digests.
    pub read_back: bool,
    /// Write only what differs.
    pub diff: bool,
    /// Folder of the records; none are kept without it.
    pub record: Option<PathBuf>,
    /// Upload this stub and write through it; else through the ROM.
    pub stub: Option<Stub>,
    /// Leave boards alone whose record says that they are done.
    pub resume: bool,
    /// Serial numbers, if boards get some.
    pub serial: Option<Serials>,
    /// What all boards get.
    pub images: Vec<Image>,
    /// What each board gets of its own.
    pub board_data: Vec<BoardData>,
}

impl Plan {
    /// Reads a plan and its images. Paths in it are relative to its folder.
    ///
    /// # Errors
    ///
    /// [`PlanFileError`].
    pub fn read(path: &Path) -> Result<Self, PlanFileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| PlanFileError::File { path: path.to_owned(), cause })?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("")))
    }

    /// Reads a plan from its text; paths in it are relative to `folder`.
    ///
    /// # Errors
    ///
    /// [`PlanFileError`].
    pub fn parse(text: &str, folder: &Path) -> Result<Self, PlanFileError> {
        let file: PlanFile = toml::from_str(text)?;
        let images: Result<Vec<Image>, InputError> = file
            .image
            .iter()
            .map(|image| input::read_image(image.address, folder.join(&image.file)))
            .collect();
        let plan = Self {
            parallel: file.parallel.unwrap_or(PARALLEL_DEFAULT).max(1),
            unprotect: file.unprotect,
            baud: file.baud.unwrap_or(crate::session::CONNECT_BAUD),
            timeout_s: file.timeout_s.unwrap_or(1800),
            read_back: file.read_back,
            diff: file.diff,
            record: file.record.map(|record| folder.join(record)),
            stub: file.stub.map(|stub| Stub::read(&folder.join(stub))).transpose()?,
            resume: false,
            serial: file.serial,
            images: images?,
            board_data: file.board_data,
            ports: file.ports,
        };
        plan.check()?;
        Ok(plan)
    }

    fn check(&self) -> Result<(), PlanFileError> {
        let mut names: Vec<&String> = self.ports.iter().collect();
        names.sort();
        let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
        if names.is_empty() || twice.is_some() {
            return Err(PlanFileError::Ports { port: twice.map(|pair| pair[0].clone()) });
        }
        // Overlaps show with any board: the room of its data does not depend on it.
        let blank = |data: &BoardData| Image {
            name: "board_data".to_owned(),
            offset: data.address,
            data: vec![0xff; data.size as usize],
        };
        let mut all: Vec<Image> =
            self.images.iter().cloned().chain(self.board_data.iter().map(blank)).collect();
        Ok(input::check_images(&mut all)?)
    }

    /// All images of one board, sorted by address.
    ///
    /// # Errors
    ///
    /// [`PlanFileError::DataTooLong`].
    pub fn images_of(&self, mac: Mac, serial: Option<u64>) -> Result<Vec<Image>, PlanFileError> {
        let mut images = self.images.clone();
        let digits = self.serial.map_or(0, |serials| serials.digits);
        for board_data in &self.board_data {
            let BoardData { address, text, size } = board_data;
            let number = serial.map(|serial| format!("{serial:0digits$}")).unwrap_or_default();
            let mut data = text
                .replace("{mac:}", &mac.to_string())
                .replace("{mac}", &mac.to_string().replace(':', ""))
                .replace("{serial}", &number)
                .into_bytes();
            if data.len() > *size as usize {
                let (address, size) = (*address, *size);
                return Err(PlanFileError::DataTooLong { mac, address, len: data.len(), size });
            }
            data.resize(*size as usize, 0xff);
            images.push(Image { name: "board_data".to_owned(), offset: *address, data });
        }
        images.sort_by_key(|image| image.offset);
        Ok(images)
    }

    /// Tells one content of the flash from another.
    #[must_use]
    pub fn digest_of(images: &[Image]) -> String {
        let mut all = Vec::new();
        for image in images {
            all.extend(image.offset.to_le_bytes());
            all.extend(Digest::of(&image.data).0);
        }
        Digest::of(&all).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"
        ports = ["a", "b"]
        serial = { first = 7, digits = 5 }
        [[board_data]]
        address = 0x9000
        text = "SN{serial} {mac} {mac:}"
        size = 64
    "#;

    #[test]
    fn data_of_a_board() {
        let plan = Plan::parse(PLAN, Path::new("")).unwrap();
        let images = plan.images_of(Mac([0x24, 0x0a, 0xc4, 0, 0, 1]), Some(7)).unwrap();
        assert!(images[0].data.starts_with(b"SN00007 240ac4000001 24:0a:c4:00:00:01\xff"));
        assert_eq!(images[0].data.len(), 64);
    }

    #[test]
    fn wrong_plans() {
        let parse = |text: &str| Plan::parse(text, Path::new("")).unwrap_err();
        let twice = parse(&PLAN.replace("\"b\"", "\"a\""));
        assert!(matches!(twice, PlanFileError::Ports { port: Some(_) }), "{twice}");
        assert!(matches!(parse("ports = []"), PlanFileError::Ports { port: None }));
        assert!(matches!(parse("port = 1"), PlanFileError::Toml(_)));
        assert!(matches!(parse("ports = [\"a\"]"), PlanFileError::Input(InputError::Nothing)));
        let crooked = parse(&PLAN.replace("0x9000", "0x9001"));
        assert!(matches!(crooked, PlanFileError::Input(InputError::Unaligned { .. })));
        let plan = Plan::parse(&PLAN.replace("64", "8"), Path::new("")).unwrap();
        let long = plan.images_of(Mac([0; 6]), None).unwrap_err();
        assert!(matches!(long, PlanFileError::DataTooLong { size: 8, .. }));
    }
}
