//! `emulator qemu`: the options that suites give to Espressif's QEMU for download mode.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use super::CliError;
use crate::{
    case::{LoadedBoard, StrapValue},
    fault::board::ServedBoard,
    persist::{BoardFiles, BoardStore, PersistError},
    transport::{
        server::{Options, Server},
        tcp::listen_address,
    },
};

/// The name by which suites call Espressif's QEMU.
const LINK_NAME: &str = "qemu-system-xtensa";

/// What is taken, for `--help`.
pub const HELP: &str = "Taken as by qemu-system-xtensa, for -machine esp32 in download mode:
  -drive file=IMAGE,if=mtd,format=raw   flash of 2, 4, 8, 16 or 32 MiB, written through
  -global driver=esp32.gpio,property=strap_mode,value=0x0f
  -drive file=EFUSE,if=none,format=raw,id=efuse -global driver=nvram.esp32.efuse,property=drive,value=efuse
                                        all eFuses as 124 bytes, read and written through
  -serial tcp:[HOST]:PORT,server,nowait   or  -serial pty (also without -serial)
A link to this program that is named qemu-system-xtensa takes the same options by itself.
Accepted without effect: drives that nothing names, other -global, -nographic -display X -machine esp32 -M esp32 -m SIZE -nic X -net X
  -monitor X -icount X -d X -D X -no-reboot -S -s. ESP_EMULATOR_PART chooses the part; by default it follows from the
  size of the image.";

/// What the options ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Machine {
    image: Option<PathBuf>,
    efuses: Option<PathBuf>,
    strap: StrapValue,
    serial: Serial,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Serial {
    Pty,
    Tcp(String),
}

/// Why QEMU's options are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QemuError {
    /// Not an option that is known here.
    #[error("qemu: {0} is not taken here; `emulator help qemu` says what is")]
    Option(String),
    /// A value that makes no sense here.
    #[error("qemu: {option} {value}: {problem}")]
    Value {
        /// The option.
        option: String,
        /// Its value.
        value: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// The arguments of `emulator` where it is called by the name of Espressif's QEMU.
#[must_use]
pub fn translated(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let name = arguments.first().and_then(|path| Path::new(path).file_name());
    if name.is_some_and(|name| name == LINK_NAME) {
        let asks_version = arguments.get(1).is_some_and(|it| it == "--version" || it == "-version");
        let command = if asks_version { "--version" } else { "qemu" };
        arguments.truncate(if asks_version { 1 } else { usize::MAX });
        arguments.insert(1, command.into());
    }
    arguments
}

/// Serves the machine that `options` describe until `stop` can be read.
///
/// # Errors
///
/// The options, the image or the system.
pub fn run(options: &[String], stop: &UnixStream, out: &mut dyn Write) -> Result<(), CliError> {
    let machine = parse(options)?;
    let mut server = machine.open()?;
    match &machine.serial {
        Serial::Pty => {
            let port = server.path().display().to_string();
            writeln!(out, "char device redirected to {port} (label serial0)")?;
        }
        Serial::Tcp(address) => {
            server.fronts().listen_raw(listen_address(address)?)?;
        }
    }
    out.flush()?;
    Ok(server.run(stop)?)
}

impl Machine {
    fn open(&self) -> Result<Server<ServedBoard>, CliError> {
        let bytes = match &self.image {
            Some(path) => {
                let fail = |cause| PersistError::Io { path: path.clone(), cause };
                fs::metadata(path).map_err(fail)?.len()
            }
            None => 4 << 20,
        };
        let mut loaded = LoadedBoard::with_part(&part_of(bytes, self.image.as_deref())?);
        loaded.file.chip.strap = self.strap;
        let mut board = loaded.into_board()?;
        board.flash_mut().attach_always();
        let files = BoardFiles {
            flash: self.image.as_deref(),
            second_flash: None,
            raw_efuses: self.efuses.as_deref(),
        };
        let is_kept = files.flash.or(files.raw_efuses).is_some();
        let store = is_kept.then(|| BoardStore::open_files(files, &mut board)).transpose()?;
        let mut server = Server::open(ServedBoard::new(board), &Options::default())?;
        if let Some(store) = store {
            server.on_change(move |board: &mut ServedBoard| {
                store.store(board).map_err(io::Error::other)
            });
        }
        Ok(server)
    }
}

/// A part of the catalogue with `bytes`: the user's, or one of the maker that QEMU has.
fn part_of(bytes: u64, image: Option<&Path>) -> Result<String, QemuError> {
    if let Ok(name) = env::var("ESP_EMULATOR_PART") {
        return Ok(name);
    }
    let fits = |part: &spi_nor::part::Part| u64::from(part.capacity_bytes) == bytes;
    let parts: Vec<_> =
        spi_nor::catalog::names().filter_map(spi_nor::catalog::part).filter(fits).collect();
    let chosen = parts.iter().find(|part| part.jedec_id.0[0] == 0xC8).or(parts.first());
    chosen.map(|part| part.name.clone()).ok_or_else(|| QemuError::Value {
        option: "-drive".to_owned(),
        value: image.unwrap_or(Path::new("")).display().to_string(),
        problem: "no part has the size of the image",
    })
}

fn parse(options: &[String]) -> Result<Machine, QemuError> {
    let mut machine =
        Machine { image: None, efuses: None, strap: StrapValue::FLASH_BOOT, serial: Serial::Pty };
    // Drives of no interface by id, and the id that the eFuses name: the order is free.
    let mut drives: Vec<(String, PathBuf)> = Vec::new();
    let mut efuse_drive = None;
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        let name = option.trim_start_matches('-');
        if matches!(name, "nographic" | "no-reboot" | "S" | "s") {
            continue;
        }
        let wrong = |value: &str, problem| QemuError::Value {
            option: option.clone(),
            value: value.to_owned(),
            problem,
        };
        let value = rest.next().ok_or_else(|| wrong("", "a value is missing"))?;
        match name {
            "display" | "m" | "nic" | "net" | "monitor" | "icount" | "d" | "D" => {}
            "machine" | "M" if value.split(',').next() == Some("esp32") => {}
            "machine" | "M" => return Err(wrong(value, "only esp32 is there")),
            "drive" => {
                let file = field(value, "file").ok_or_else(|| wrong(value, "no file"))?;
                match field(value, "if") {
                    Some("mtd") => machine.image = Some(PathBuf::from(file)),
                    Some("none") => {
                        let id = field(value, "id").unwrap_or_default();
                        drives.push((id.to_owned(), PathBuf::from(file)));
                    }
                    _ => return Err(wrong(value, "only if=mtd is there")),
                }
            }
            "global" => {
                if let Some(id) = efuse_drive_of(value) {
                    efuse_drive = Some((option.clone(), value.clone(), id.to_owned()));
                }
                if let Some(text) = strap_text(value) {
                    machine.strap = strap(text).ok_or_else(|| wrong(value, "no strap value"))?;
                }
            }
            "serial" => {
                machine.serial = serial(value)
                    .ok_or_else(|| wrong(value, "neither pty nor tcp:HOST:PORT,server"))?;
            }
            _ => return Err(QemuError::Option(option.clone())),
        }
    }
    if let Some((option, value, id)) = efuse_drive {
        let named = drives.into_iter().find(|(known, _)| *known == id);
        let problem = "no -drive if=none has this id";
        let (_, path) = named.ok_or(QemuError::Value { option, value, problem })?;
        machine.efuses = Some(path);
    }
    Ok(machine)
}

/// Value of `key` in `key=value,key=value`.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split(',').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}

/// The strap of `-global`, long form or short; `None` for other properties.
fn strap_text(text: &str) -> Option<&str> {
    let short = text.strip_prefix("esp32.gpio.strap_mode=");
    let is_long = field(text, "property") == Some("strap_mode");
    short.or_else(|| field(text, "value").filter(|_| is_long))
}

/// The drive of `-global` for the eFuses, long form or short; `None` for other properties.
fn efuse_drive_of(text: &str) -> Option<&str> {
    let short = text.strip_prefix("nvram.esp32.efuse.drive=");
    let is_long = field(text, "driver") == Some("nvram.esp32.efuse")
        && field(text, "property") == Some("drive");
    short.or_else(|| field(text, "value").filter(|_| is_long))
}

fn strap(text: &str) -> Option<StrapValue> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok()?,
        None => text.parse().ok()?,
    };
    StrapValue::try_from(number).ok()
}

fn serial(text: &str) -> Option<Serial> {
    if text == "pty" {
        return Some(Serial::Pty);
    }
    let mut fields = text.strip_prefix("tcp:")?.split(',');
    let address = fields.next()?;
    // Without it QEMU would be the client.
    fields.find(|field| matches!(*field, "server" | "server=on"))?;
    let (host, port) = address.rsplit_once(':')?;
    // QEMU listens everywhere where no host is given; here that is loopback.
    Some(Serial::Tcp(match host {
        "" | "localhost" => port.to_owned(),
        host => format!("{host}:{port}"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn what_suites_pass_is_taken() {
        let machine = parse(&options(
            "-display none -machine esp32 -drive file=F.bin,if=mtd,format=raw -global \
             driver=esp32.gpio,property=strap_mode,value=0x0f -serial tcp::5555,server,nowait",
        ))
        .unwrap();
        assert_eq!(machine.image, Some(PathBuf::from("F.bin")));
        assert_eq!(machine.strap.get(), 0x0F);
        assert_eq!(machine.serial, Serial::Tcp("5555".to_owned()));
        let machine = parse(&options("-nographic -M esp32 -serial pty")).unwrap();
        assert_eq!(machine.serial, Serial::Pty);
        assert_eq!(machine.strap, StrapValue::FLASH_BOOT);
    }

    #[test]
    fn the_efuse_drive_is_found_by_its_id_in_either_order() {
        let drive = "-drive file=E.bin,if=none,format=raw,id=efuse";
        for global in [
            "-global driver=nvram.esp32.efuse,property=drive,value=efuse",
            "-global nvram.esp32.efuse.drive=efuse",
        ] {
            for text in [format!("{drive} {global}"), format!("{global} {drive}")] {
                let machine = parse(&options(&text)).unwrap();
                assert_eq!(machine.efuses, Some(PathBuf::from("E.bin")), "{text}");
            }
            let error = parse(&options(global)).unwrap_err().to_string();
            assert!(error.contains("no -drive if=none has this id"), "{error}");
        }
        assert_eq!(parse(&options(drive)).unwrap().efuses, None);
    }

    #[test]
    fn the_name_of_the_link_chooses_the_command() {
        let translated = |text: &str| {
            let words = translated(text.split(' ').map(OsString::from).collect());
            words.join(std::ffi::OsStr::new(" ")).into_string().unwrap()
        };
        let called = translated("/usr/bin/qemu-system-xtensa -M esp32");
        assert_eq!(called, "/usr/bin/qemu-system-xtensa qemu -M esp32");
        assert_eq!(translated("qemu-system-xtensa --version"), "qemu-system-xtensa --version");
        assert_eq!(translated("emulator qemu -M esp32"), "emulator qemu -M esp32");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for wrong in [
            "-machine esp32c3",
            "-drive file=F,if=ide",
            "-serial stdio",
            "-serial tcp:localhost:5555",
            "-serial",
            "-kernel x",
            "-global driver=esp32.gpio,property=strap_mode,value=zz",
        ] {
            assert!(parse(&options(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_usual_size_has_a_part() {
        for mib in [2, 4, 8, 16, 32] {
            let name = part_of(mib << 20, None).unwrap_or_default();
            let part = spi_nor::catalog::part(&name);
            assert_eq!(part.map(|part| u64::from(part.capacity_bytes)), Some(mib << 20), "{mib}");
        }
    }
}
