//! What the environment says.

use std::{
    env,
    ops::Range,
    path::{Path, PathBuf},
};

use esp32_flasher::{flash::SECTOR_BYTES, input::parse_number};

/// Scratch range when none is given: a block and what the ROM's inflater writes behind an image.
const SCRATCH_BYTES: u32 = 0x1_0000;

/// What three address bytes reach.
const ADDRESSED_BYTES: u32 = 16 << 20;

/// How the suite runs.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// `ESP_PORT`.
    pub(crate) port: String,
    /// `ESP_SCRATCH`: address, and bytes if they are given.
    pub(crate) scratch: Option<(u32, u32)>,
    /// `ESP_ALLOW_STATUS_WRITES=1`.
    pub(crate) allow_status_writes: bool,
    /// `ESP_ALLOW_DIFFERENCES=1`: differences to the emulator are told and do not fail the run.
    pub(crate) allow_differences: bool,
    /// `ESP_PART`: the part of the catalogue to compare with.
    pub(crate) part: Option<String>,
    /// `ESP_RECORDS`: where transcripts and journals are kept.
    pub(crate) folder: PathBuf,
}

/// A variable that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("{name}={value}: {problem}")]
pub(crate) struct BadSetting {
    name: &'static str,
    value: String,
    problem: &'static str,
}

impl Settings {
    /// A port, all else as it is by default; files go to `folder`.
    pub(crate) fn of(port: &str, folder: &Path) -> Self {
        Self {
            port: port.to_owned(),
            scratch: None,
            allow_status_writes: false,
            allow_differences: false,
            part: None,
            folder: folder.to_owned(),
        }
    }

    /// `None` without a port.
    pub(crate) fn from_environment() -> Result<Option<Self>, BadSetting> {
        let Ok(port) = env::var("ESP_PORT") else { return Ok(None) };
        if port.is_empty() {
            let problem = "it names no port";
            return Err(BadSetting { name: "ESP_PORT", value: port, problem });
        }
        let folder = env::var("ESP_RECORDS").map_or_else(
            |_| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/hardware"),
            PathBuf::from,
        );
        let mut settings = Self::of(&port, &folder);
        settings.scratch = match env::var("ESP_SCRATCH") {
            Ok(text) => Some(parse_range(&text)?),
            Err(_) => None,
        };
        let is_on = |name| env::var(name).is_ok_and(|value| value == "1");
        settings.allow_status_writes = is_on("ESP_ALLOW_STATUS_WRITES");
        settings.allow_differences = is_on("ESP_ALLOW_DIFFERENCES");
        settings.part = env::var("ESP_PART").ok();
        Ok(Some(settings))
    }

    /// The scratch range on a flash of so many bytes: behind 16 MiB the loader's three address bytes
    /// would mean another place.
    pub(crate) fn scratch_of(&self, flash_bytes: u32) -> Result<Range<u32>, BadSetting> {
        let flash_bytes = flash_bytes.min(ADDRESSED_BYTES);
        let (start, bytes) =
            self.scratch.unwrap_or((flash_bytes.saturating_sub(SCRATCH_BYTES), SCRATCH_BYTES));
        let end = start.checked_add(bytes).filter(|end| *end <= flash_bytes);
        let bad = |problem| BadSetting {
            name: "ESP_SCRATCH",
            value: format!("{start:#x}+{bytes:#x}"),
            problem,
        };
        end.map(|end| start..end).ok_or_else(|| bad("it ends behind the flash, or behind 16 MiB"))
    }
}

/// `ADDRESS` or `ADDRESS+BYTES`, whole sectors, at least two.
fn parse_range(text: &str) -> Result<(u32, u32), BadSetting> {
    let bad = |problem| BadSetting { name: "ESP_SCRATCH", value: text.to_owned(), problem };
    let (start, bytes) = text.split_once('+').map_or((text, None), |(at, len)| (at, Some(len)));
    let number = |text| parse_number(text).map_err(|_| bad("not ADDRESS or ADDRESS+BYTES"));
    let start = number(start)?;
    let bytes = bytes.map(number).transpose()?.unwrap_or(SCRATCH_BYTES);
    if !start.is_multiple_of(SECTOR_BYTES) || !bytes.is_multiple_of(SECTOR_BYTES) {
        return Err(bad("not whole sectors of 0x1000 bytes"));
    }
    if !(2 * SECTOR_BYTES..=16 * SCRATCH_BYTES).contains(&bytes) {
        return Err(bad("at least two sectors and at most 1 MiB are needed"));
    }
    Ok((start, bytes))
}

#[test]
fn scratch_ranges() {
    assert_eq!(parse_range("0x3f0000").expect("an address"), (0x3f_0000, 0x1_0000));
    assert_eq!(parse_range("0x3f0000+0x2000").expect("a range"), (0x3f_0000, 0x2000));
    for wrong in ["", "x", "0x1001", "0x1000+0x1000", "0x1000+", "0x0+0x10000000"] {
        let error = parse_range(wrong).expect_err("it is wrong");
        assert!(error.to_string().starts_with("ESP_SCRATCH="), "{error}");
    }
    let settings = Settings::of("x", Path::new("."));
    assert_eq!(settings.scratch_of(4 << 20).expect("it fits"), 0x3f_0000..0x40_0000);
    let large = settings.scratch_of(32 << 20).expect("it fits");
    assert_eq!(large, 0xff_0000..0x100_0000, "what three address bytes reach");
    let far = Settings { scratch: Some((4 << 20, 0x2000)), ..settings };
    assert!(far.scratch_of(4 << 20).is_err());
}
