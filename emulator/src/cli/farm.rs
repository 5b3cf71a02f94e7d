//! `emulator farm`: many boards in one process, from one file.

use std::{
    fs,
    io::{self, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Deserialize;
use serde_json::{Value, json};

use super::CliError;
use crate::{
    case::{self, CaseError, LoadedBoard, MacAddress},
    control::{Control, answer_text},
    fault::board::ServedBoard,
    persist::{BoardFiles, BoardStore},
    transport::{
        client_watch::ClientWatch,
        control::ControlSocket,
        group::{self, Controlled},
        pace::Pace,
        server::{Options, Server},
        tcp::listen_address,
    },
};

/// The schema, for `--help`.
pub const HELP: &str = r#"FARM.toml:
  control = "/tmp/farm.sock"       # optional, see `emulator serve --help`
  [[board]]
  name = "shelf"                   # with count > 1: shelf-0, shelf-1, ...
  count = 8                        # 1 if left out
  case = "esptool-915"             # or board = "FILE.toml", or part = "NAME"
  hypothesis = "h2"                # optional
  mac = "24:0a:c4:10:00:00"        # of the first; the others count up
  link = "/tmp/{name}"             # optional, as flash = "{name}.bin", flash2
  wiring = "strict-rc"             # optional, as for `emulator serve`
  rfc2217 = "0"                    # optional, as tcp and serprog: PORT or ADDRESS:PORT"#;

/// A farm file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Farm {
    /// Path of the control socket.
    control: Option<PathBuf>,
    /// The boards.
    board: Vec<Entry>,
}

/// Boards of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    name: String,
    #[serde(default = "one")]
    count: u16,
    case: Option<String>,
    board: Option<PathBuf>,
    part: Option<String>,
    hypothesis: Option<String>,
    mac: Option<MacAddress>,
    wiring: Option<String>,
    link: Option<String>,
    flash: Option<String>,
    flash2: Option<String>,
    rfc2217: Option<String>,
    tcp: Option<String>,
    serprog: Option<String>,
}

const fn one() -> u16 {
    1
}

/// The boards of a farm with their names, on one event loop.
#[derive(Debug)]
pub struct Shelf {
    names: Vec<String>,
    servers: Vec<Server<ServedBoard>>,
    socket: Option<ControlSocket>,
    watch: Option<ClientWatch>,
}

impl Shelf {
    /// Opens every board of the farm file at `path`; gives a line of JSON for each to `ready`.
    ///
    /// # Errors
    ///
    /// The file, one of its boards, or the system.
    pub fn open(path: &Path, ready: &mut dyn Write) -> Result<Self, CliError> {
        let text = fs::read_to_string(path)
            .map_err(|cause| CaseError::Read { path: path.to_owned(), cause })?;
        let farm: Farm = toml::from_str(&text).map_err(|cause| CaseError::Schema {
            file: path.display().to_string(),
            cause: Box::new(cause),
        })?;
        let socket = farm.control.as_deref().map(ControlSocket::bind).transpose()?;
        raise_file_limit();
        let watch = ClientWatch::new().ok();
        let mut shelf = Self { names: Vec::new(), servers: Vec::new(), socket, watch };
        for entry in &farm.board {
            for index in 0..entry.count {
                shelf.add(entry, index, path, ready)?;
            }
        }
        ready.flush()?;
        Ok(shelf)
    }

    fn add(
        &mut self,
        entry: &Entry,
        index: u16,
        farm: &Path,
        ready: &mut dyn Write,
    ) -> Result<(), CliError> {
        let name = match entry.count {
            1 => entry.name.clone(),
            _ => format!("{}-{index}", entry.name),
        };
        if self.names.contains(&name) {
            return Err(CliError::Unknown(format!("{name} (twice in the farm)")));
        }
        let mut loaded = entry.load(farm)?;
        let ordinal = entry.mac.map_or(self.names.len(), |_| index.into());
        loaded.file.chip.mac = counted(entry.mac.unwrap_or(loaded.file.chip.mac), ordinal);
        if let Some(name) = &entry.wiring {
            loaded.file.wiring = name.parse()?;
        }
        let (origin, mac) = (loaded.origin.clone(), loaded.file.chip.mac);
        let mut board = loaded.into_board()?;
        let named = |text: &String| PathBuf::from(text.replace("{name}", &name));
        let images = [&entry.flash, &entry.flash2].map(|text| text.as_ref().map(named));
        let [flash, second_flash] = images.each_ref().map(Option::as_deref);
        let files = BoardFiles { flash, second_flash, raw_efuses: None };
        let is_kept = flash.or(second_flash).is_some();
        let store = is_kept.then(|| BoardStore::open_files(files, &mut board)).transpose()?;
        let options = Options { pace: Pace::Max, link: entry.link.as_ref().map(named) };
        let mut server =
            Server::open_watched(ServedBoard::new(board), &options, self.watch.as_ref())?;
        if let Some(store) = store {
            server.on_change(move |board: &mut ServedBoard| {
                store.store(board).map_err(io::Error::other)
            });
        }
        let mut line = json!({
            "name": name, "port": server.path(), "board": origin, "mac": mac.to_string(),
        });
        if let Some(text) = &entry.rfc2217 {
            let address = server.fronts().listen_rfc2217(listen_address(text)?)?;
            line["rfc2217"] = address.to_string().into();
        }
        if let Some(text) = &entry.tcp {
            line["tcp"] = server.fronts().listen_raw(listen_address(text)?)?.to_string().into();
        }
        if let Some(text) = &entry.serprog {
            let address = server.fronts().listen_serprog(listen_address(text)?)?;
            line["serprog"] = address.to_string().into();
        }
        writeln!(ready, "{line}")?;
        self.names.push(name);
        self.servers.push(server);
        Ok(())
    }

    /// Serves all boards until `stop` can be read.
    ///
    /// # Errors
    ///
    /// A PTY or an image file failed.
    pub fn run(self, stop: &UnixStream) -> io::Result<()> {
        let Self { names, mut servers, socket, watch: _watch } = self;
        let control = socket.map(|socket| control(socket, names));
        group::run(&mut servers, control, stop)
    }
}

/// A board takes five descriptors or more, and the usual soft limit is 1024.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Where this fails, the limit is as low as somebody wants it.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

impl Entry {
    fn load(&self, farm: &Path) -> Result<LoadedBoard, CaseError> {
        let folder = farm.parent().unwrap_or(Path::new("."));
        let board = match (&self.case, &self.board, &self.part) {
            (_, Some(path), _) => case::load_file(&folder.join(path))?,
            (_, _, Some(part)) => LoadedBoard::with_part(part),
            (Some(name), ..) => case::load(name)?,
            (None, None, None) => case::load("esptool-915")?,
        };
        match &self.hypothesis {
            Some(name) => board.assume(name),
            None => Ok(board),
        }
    }
}

/// The address `count` behind `mac`, as addresses of a batch are numbered.
fn counted(mac: MacAddress, count: usize) -> MacAddress {
    let number = mac.0.iter().fold(0_u64, |number, octet| number << 8 | u64::from(*octet));
    let number = number.wrapping_add(count as u64);
    let [_, _, octets @ ..] = number.to_be_bytes();
    MacAddress(octets)
}

/// Control of the boards called `names`; a single one needs no name.
pub(super) fn control(
    socket: ControlSocket,
    names: Vec<String>,
) -> Controlled<'static, ServedBoard> {
    let mut controls: Vec<_> = names.iter().map(|_| Control::default()).collect();
    let answer = move |servers: &mut [Server<ServedBoard>], line: &str| {
        let mut request = serde_json::from_str::<Value>(line).unwrap_or_default();
        if request["do"] == "boards" {
            return answer_text::<CliError>(&Ok(json!({ "boards": names })));
        }
        let name = request.as_object_mut().and_then(|fields| fields.remove("board"));
        let index = match &name {
            Some(name) => names.iter().position(|known| name == known),
            None => (names.len() == 1).then_some(0),
        };
        let found =
            index.and_then(|index| Some((servers.get_mut(index)?, controls.get_mut(index)?)));
        match found {
            // What is no object is not named either, and refused by the parser as it came.
            Some((server, control)) if name.is_some() => {
                server.touch(|board, now| control.answer(board, now, &request.to_string()))
            }
            Some((server, control)) => server.touch(|board, now| control.answer(board, now, line)),
            None => {
                let name = name.unwrap_or_default();
                answer_text::<String>(&Err(format!("no board is named {name}")))
            }
        }
    };
    Controlled { socket, answer: Box::new(answer) }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;

    #[test]
    fn addresses_count_up() {
        let first = MacAddress([0x24, 0x0A, 0xC4, 0, 0, 0xFF]);
        assert_eq!(counted(first, 1).to_string(), "24:0a:c4:00:01:00");
        assert_eq!(counted(MacAddress([0xFF; 6]), 1), MacAddress([0; 6]));
    }

    #[test]
    fn a_shelf_of_boards_is_served_and_controlled() {
        let folder = tempfile::tempdir().unwrap();
        let control = folder.path().join("control");
        let file = folder.path().join("farm.toml");
        let text = format!(
            "control = {control:?}\n[[board]]\nname = \"a\"\ncount = 3\npart = \"W25Q32JV\"\n\
             [[board]]\nname = \"b\"\ncase = \"esptool-915\"\n"
        );
        fs::write(&file, text).unwrap();
        let mut ready = Vec::new();
        let shelf = Shelf::open(&file, &mut ready).unwrap();
        let lines: Vec<Value> =
            ready.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        let names: Vec<_> = lines.iter().map(|line| line["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["a-0", "a-1", "a-2", "b"]);
        assert_ne!(lines[0]["mac"], lines[1]["mac"]);
        let (stop, stopped) = UnixStream::pair().unwrap();
        let thread = std::thread::spawn(move || shelf.run(&stopped));
        let mut socket = UnixStream::connect(&control).unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        let mut answers = BufReader::new(socket.try_clone().unwrap()).lines();
        let mut ask = |line: &str| {
            socket.write_all(format!("{line}\n").as_bytes()).unwrap();
            serde_json::from_str::<Value>(&answers.next().unwrap().unwrap()).unwrap()
        };
        assert_eq!(ask(r#"{"do":"boards"}"#)["boards"].as_array().unwrap().len(), 4);
        assert_eq!(ask(r#"{"do":"status","board":"a-1"}"#)["part"], "W25Q32JV");
        assert_eq!(ask(r#"{"do":"reset","board":"b"}"#)["ok"], true);
        for wrong in [r#"{"do":"reset","board":"c"}"#, r#"{"do":"reset"}"#, "nonsense", "[1]"] {
            assert_eq!(ask(wrong)["ok"], false, "{wrong}");
        }
        drop(stop);
        thread.join().unwrap().unwrap();
        assert!(!control.exists());
    }
}
