//! `emulator proxy`: between any client and any port, recording and, if asked for, damaging.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use serde_json::{Value, json};

use crate::{
    case::CaseBoard,
    fault::{
        link::{LinkCounters, LinkNoise},
        plan::LinkPlan,
    },
    time::Duration,
    transcript::{BoardHint, ClockKind, Header, Recorder},
    transport::{
        device::SerialDevice,
        group,
        noisy::NoisyDevice,
        pace::Pace,
        remote::Remote,
        server::{Options, Server},
        tap::{Out, Tap},
    },
};

use super::{BoardArgs, CliError, FaultArgs, exec::Exec, stop_on_signals};

pub(super) const HELP: &str = "\
The client opens the PTY that is printed (or the TCP port of --rfc2217 or --tcp); behind it is the
port of --to, or a virtual board. With a client behind `--` the client is run, {port} in its arguments
becomes the PTY, which then has modem lines, and the proxy ends with the client's exit status.

--record writes what the board gets and gives, as JSON lines: `emulator replay` grades them,
`emulator diff` compares them. The faults are on the wire between the client and the recording.

Examples:
  emulator proxy --to /dev/ttyUSB0 --record session.jsonl -- esptool.py --port {port} flash_id
  emulator proxy --to /dev/ttyUSB0 --link /tmp/board --flips 20 --seed 7
  emulator proxy --to /dev/ttyUSB0 --link /tmp/board --faults fixtures/faults/pulled-plug.toml
  emulator proxy --to rfc2217://192.168.1.7:4000 --link /tmp/board
  emulator proxy --case esptool-915 --record s.jsonl -- esptool.py --port {port} write_flash 0 app.bin

Exit status: 0 done (or the client's status), 1 the port or the system failed, 2 wrong usage, 3 wrong
board or case.";

/// Put a recorder and a bad line between a client and a port.
#[derive(Debug, Args)]
pub(super) struct Proxy {
    /// The real port: a serial device, a PTY, rfc2217://HOST:PORT, or socket://HOST:PORT (bare
    /// bytes).
    #[arg(long, value_name = "PORT", conflicts_with_all = ["case", "board", "part", "part_file",
        "hypothesis", "flash", "flash2", "rom", "pace", "serprog"])]
    to: Option<String>,
    #[command(flatten)]
    board: BoardArgs,
    /// Write the conversation to this file.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Make this symbolic link to the PTY, and remove it at the end.
    #[arg(long, conflicts_with = "client")]
    link: Option<PathBuf>,
    #[command(flatten)]
    noise: NoiseArgs,
    #[command(flatten)]
    faults: FaultArgs,
    /// JSON lines instead of text.
    #[arg(long)]
    json: bool,
    /// A PTY without modem lines: nothing is preloaded into the client.
    #[arg(long, requires = "client")]
    no_lines: bool,
    /// A client to run, and its arguments; `{port}` stands for the port.
    #[arg(last = true)]
    client: Vec<String>,
}

/// What the line does to bytes, both ways.
#[derive(Debug, Args)]
#[command(next_help_heading = "Faults on the wire, in a million bytes")]
struct NoiseArgs {
    /// Bytes with one bit the other way.
    #[arg(long, value_name = "RATE", conflicts_with = "faults", default_value_t = 0, value_parser = rate())]
    flips: u32,
    /// Bytes lost.
    #[arg(long, conflicts_with = "faults", value_name = "RATE", default_value_t = 0, value_parser = rate())]
    drops: u32,
    /// Bytes that come twice.
    #[arg(long, conflicts_with = "faults", value_name = "RATE", default_value_t = 0, value_parser = rate())]
    doubles: u32,
    /// Bytes that are late, and all behind them.
    #[arg(long, conflicts_with = "faults", value_name = "RATE", default_value_t = 0, value_parser = rate())]
    delays: u32,
    /// So late, at most.
    #[arg(long, conflicts_with = "faults", value_name = "MS", default_value_t = 20, value_parser = rate())]
    delay_max_ms: u32,
    /// Decides which bytes.
    #[arg(long, conflicts_with = "faults", default_value_t = 1)]
    seed: u64,
}

fn rate() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(0..=1_000_000)
}

impl NoiseArgs {
    #[allow(clippy::needless_update, reason = "what has no option here does not happen")]
    fn noise(&self) -> LinkNoise {
        LinkNoise {
            flips_per_million: self.flips,
            drops_per_million: self.drops,
            doubles_per_million: self.doubles,
            delays_per_million: self.delays,
            // What cannot happen has no measure: a quiet line is the default one.
            delay_max: if self.delays > 0 {
                Duration::from_millis(self.delay_max_ms.into())
            } else {
                Duration::ZERO
            },
            ..LinkNoise::default()
        }
    }
}

/// What the line does, whichever way it was asked for.
#[derive(Debug, Clone, Copy)]
struct Disturbance {
    link: LinkPlan,
    seed: u64,
}

type Wire<D> = NoisyDevice<Tap<D>>;

impl Proxy {
    fn disturbance(&self) -> Result<Disturbance, CliError> {
        if let Some((link, seed)) = self.faults.link_plan()? {
            return Ok(Disturbance { link, seed });
        }
        let noise = self.noise.noise();
        let link = LinkPlan { to_chip: noise, from_chip: noise };
        Ok(Disturbance { link, seed: self.noise.seed })
    }

    pub(super) fn run(self, out: &mut dyn Write) -> Result<ExitCode, CliError> {
        // A plan that cannot be played is told before any port is touched.
        self.disturbance()?;
        // Before anything that must be cleaned up.
        let stop = if self.client.is_empty() { Some(stop_on_signals()?) } else { None };
        if let Some(name) = &self.to {
            let remote = Remote::open(name)?;
            let mut header = header(ClockKind::Wall);
            header.port = Some(name.clone());
            return self.serve(remote, Pace::Real, &header, Remote::check, stop, out);
        }
        let (board, store) = self.board.build()?;
        let mut header = header(ClockKind::Virtual);
        header.board = self.hint();
        let stored = move |board: &mut CaseBoard| match &store {
            Some(store) => store.store(board).map_err(io::Error::other),
            None => Ok(()),
        };
        self.serve(board, self.board.pace(), &header, stored, stop, out)
    }

    /// The virtual board as a transcript names it, if it can be named.
    fn hint(&self) -> Option<BoardHint> {
        let which = &self.board.which;
        if self.board.flash.is_some() || which.board.is_some() || which.part_file.is_some() {
            return None;
        }
        let case = which.part.is_none().then(|| which.case.as_deref().unwrap_or("esptool-915"));
        Some(BoardHint {
            case: case.map(str::to_owned),
            hypothesis: self.board.hypothesis.clone(),
            part: which.part.clone(),
            file: None,
        })
    }

    fn serve<D: SerialDevice + Send + 'static>(
        &self,
        device: D,
        pace: Pace,
        header: &Header,
        mut check: impl FnMut(&mut D) -> io::Result<()> + Send + 'static,
        stop: Option<UnixStream>,
        out: &mut dyn Write,
    ) -> Result<ExitCode, CliError> {
        let recorder = self.record.as_ref().map(|path| {
            let file: Box<dyn Out> = Box::new(File::create(path)?);
            Recorder::new(file, header)
        });
        let named = cannot_record(self.record.clone().unwrap_or_default());
        let tap = Tap::new(device, recorder.transpose().map_err(&named)?);
        let Disturbance { link, seed } = self.disturbance()?;
        let wire = NoisyDevice::new(tap, &link, seed);
        let mut server = Server::open(wire, &Options { pace, link: self.link.clone() })?;
        server.on_change(move |wire: &mut Wire<D>| {
            wire.inner_mut().check().map_err(&named)?;
            check(wire.inner_mut().inner_mut())
        });
        let opened = self.board.net.open(server.fronts())?;
        let Some(stop) = stop else {
            let exec =
                Exec { client: self.client.clone(), no_lines: self.no_lines, ..Exec::default() };
            let (code, mut wire) = exec.run_on(server)?;
            self.tell_end(&mut wire)?;
            return Ok(ExitCode::from(code));
        };
        self.tell_ready(&server.path().display().to_string(), opened, out)?;
        group::run(std::slice::from_mut(&mut server), None, &stop)?;
        self.tell_end(server.device())?;
        Ok(ExitCode::SUCCESS)
    }

    fn tell_ready(
        &self,
        port: &str,
        opened: Vec<(&'static str, String)>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let json = self.json.then(|| json!({ "port": port, "to": self.to }));
        super::tell_ready(port, json, opened, out)
    }

    /// What the line did, on standard error: standard output may be the client's.
    fn tell_end<D: SerialDevice>(&self, wire: &mut Wire<D>) -> io::Result<()> {
        wire.inner_mut().check().map_err(cannot_record(self.record.clone().unwrap_or_default()))?;
        let counters = wire.counters();
        let entries = wire.inner_mut().entry_count();
        let mut out = io::stderr().lock();
        if self.json {
            let [to_board, from_board] = counters.map(counts);
            let end =
                json!({ "recorded": entries, "to_board": to_board, "from_board": from_board });
            return writeln!(out, "{end}");
        }
        if let Some(path) = &self.record {
            writeln!(out, "emulator: {entries} entries in {}", path.display())?;
        }
        if self.disturbance().is_ok_and(|it| it.link != LinkPlan::default()) {
            for (name, count) in ["to the board", "from the board"].iter().zip(counters) {
                writeln!(out, "emulator: {}", sentence(name, count))?;
            }
        }
        Ok(())
    }
}

/// The error of the recording, with its file.
fn cannot_record(path: PathBuf) -> impl Fn(io::Error) -> io::Error {
    move |error| {
        io::Error::new(error.kind(), format!("cannot record to {}: {error}", path.display()))
    }
}

/// What one direction did, in words.
fn sentence(name: &str, counters: LinkCounters) -> String {
    let LinkCounters { bytes, flips, drops, doubles, delays, splits, disconnects, wrong_rates } =
        counters;
    let mut text = format!(
        "{bytes} bytes {name}: {flips} flipped, {drops} lost, {doubles} doubled, {delays} late"
    );
    // Only a plan asks for these.
    for (count, what) in [
        (splits, "cut apart"),
        (disconnects, "times unplugged"),
        (wrong_rates, "times at another rate"),
    ] {
        if count > 0 {
            // A string takes everything.
            let _ = write!(text, ", {count} {what}");
        }
    }
    text
}

fn counts(counters: LinkCounters) -> Value {
    let LinkCounters { bytes, flips, drops, doubles, delays, splits, disconnects, wrong_rates } =
        counters;
    json!({
        "bytes": bytes, "flips": flips, "drops": drops, "doubles": doubles, "delays": delays,
        "splits": splits, "disconnects": disconnects, "wrong_rates": wrong_rates,
    })
}

fn header(clock: ClockKind) -> Header {
    Header::new(concat!("emulator proxy ", env!("CARGO_PKG_VERSION")), clock)
}
