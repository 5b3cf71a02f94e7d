//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use esp32_flasher::input::parse_number;

/// Flash ESP32 boards; detect, explain and cure flash write protection.
///
/// Exit codes: 0 done, 1 other failure, 2 usage, 3 port trouble, 4 no answer, 5 wrong chip or flash,
/// 6 verify failed, 7 protected, 8 protected for good, 9 interrupted, 10 a flash that this program
/// cannot write. `flasher help COMMAND` says which of them a command can end with.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// Serial device or PTY; `rfc2217://HOST:PORT` is one of another machine, with its modem lines,
    /// `socket://HOST:PORT` the bare bytes of one; `virtual:CASE`, `virtual:CASE/HYPOTHESIS` or
    /// `virtual:PART` is a board in process, to rehearse without hardware; `#N` behind it gives it a
    /// MAC of its own
    #[arg(short, long, global = true, env = "FLASHER_PORT")]
    pub(crate) port: Option<String>,
    /// Rate after connecting, in baud; the connection begins at 115200
    #[arg(short, long, global = true, default_value_t = 115_200, env = "FLASHER_BAUD")]
    pub(crate) baud: u32,
    /// How to get the chip into download mode: `default`, `classic`, `unix-tight`, `none`, or steps
    /// such as `D0|R1|W0.1|D1|R0|W0.05|D0`
    #[arg(long, global = true, default_value = "default")]
    pub(crate) before: String,
    /// What to do with the chip at the end
    #[arg(long, global = true, value_enum, default_value_t = After::Run)]
    pub(crate) after: After,
    /// Upload this flasher stub (esptool's JSON form) and use it
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) stub: Option<PathBuf>,
    /// Write all that passes the port to this file, as `emulator replay` and `emulator diff` read
    /// it; for commands on one board
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Print one JSON object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print no progress
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
}

/// What to do with the chip at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum After {
    /// Reset it so that it starts its program
    Run,
    /// Leave it in the loader
    None,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show chip, revision, crystal and MAC
    Chip,
    /// Show the flash's id, size, and the parts that it can be
    FlashId,
    /// Read or write the flash's status registers
    #[command(subcommand)]
    Status(StatusCommand),
    /// Write files to flash
    ///
    /// What is protected is looked at first, and nothing is erased if protection is in the way. A
    /// bad line is mended: damaged blocks are sent again, in smaller pieces and at a lower rate if
    /// need be.
    #[command(
        after_help = "Examples:\n  flasher -p /dev/ttyUSB0 write 0x1000 bootloader.bin 0x10000 app.bin\n  flasher -p /dev/ttyUSB0 write --unprotect --flasher-args build/flasher_args.json\n  flasher -p virtual:sr1-bp write 0x10000 app.bin"
    )]
    Write(WriteArgs),
    /// Compare files with flash
    Verify(Files),
    /// Read flash into a file
    Read {
        /// First address
        #[arg(value_parser = parse_number)]
        address: u32,
        /// Bytes
        #[arg(value_parser = parse_number)]
        size: u32,
        /// File to write
        file: PathBuf,
    },
    /// Erase flash
    #[command(subcommand)]
    Erase(EraseCommand),
    /// Show, lift, set or restore write protection
    #[command(subcommand)]
    Protect(ProtectCommand),
    /// Find out why flashing fails: cause, confidence, evidence, remedy
    Doctor(DoctorArgs),
    /// Play a public report on a virtual board and check everything that it reports
    ///
    /// `emulator list cases` shows the reports.
    #[command(
        after_help = "Examples:\n  flasher reproduce esptool-915\n  flasher reproduce esptool-915 --hypothesis h5\n  flasher reproduce rom-flash-end --json"
    )]
    Reproduce(ReproduceArgs),
    /// Flash many boards at once, as a plan says
    ///
    /// Each board gets a record under its MAC: what was written, or why not. The first Ctrl-C
    /// begins no more boards and finishes those in work; a second one ends at once, and --resume
    /// goes on from the records.
    ///
    /// Exit code: 0 if all boards are done, 100 + N if N failed (200 for a hundred and more), 9 if
    /// it was stopped and none failed, 2 if the plan is wrong, 1 if records cannot be kept.
    #[command(after_help = PLAN_HELP)]
    Batch(BatchArgs),
    /// Run every public case against every client installed, and tell who unlocks silently, who
    /// fails with which words, who leaves the chip protected
    ///
    /// Clients are looked for in PATH, in the active virtual environment, and in virtual
    /// environments below the folders of --clients-in. Nothing but virtual boards is touched.
    #[command(
        after_help = "Examples:\n  flasher matrix\n  flasher matrix --case sr1-bp --only flasher\n  flasher matrix --clients-in ~/venvs --client mine=./esptool.py --json"
    )]
    Matrix(MatrixArgs),
    /// Print the JSON Schema of what --json prints, of one command or of all
    #[command(after_help = "Examples:\n  flasher schema\n  flasher schema protect clear")]
    Schema(SchemaArgs),
    /// List the serial ports of this machine
    ListPorts,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// What to do with the status registers.
#[derive(Debug, Subcommand)]
pub(crate) enum StatusCommand {
    /// Read them
    Read {
        /// How many registers; by default those that are known to be readable on this part
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3))]
        bytes: Option<u8>,
    },
    /// Write them; nothing is written if they hold the value already
    Write {
        /// New value, register 1 in the low byte
        #[arg(value_parser = parse_number)]
        value: u32,
        /// How many registers
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=3))]
        bytes: u8,
        /// Until the next power cycle only
        #[arg(long)]
        volatile: bool,
        /// Send what esptool's `write_flash_status` sends, right or wrong for this part, without
        /// waiting between the writes
        #[arg(long)]
        burst: bool,
        /// Keep the old values in this file, for `protect restore`
        #[arg(long, value_name = "FILE")]
        journal: Option<PathBuf>,
    },
}

/// What to do with the write protection.
#[derive(Debug, Subcommand)]
pub(crate) enum ProtectCommand {
    /// Show what is protected, and by which bits
    Status,
    /// Show every range that the registers of this part can protect
    List,
    /// Lift the protection and keep everything else
    Clear {
        #[command(flatten)]
        change: ChangeArgs,
        /// If the registers show no protection and the sector at this address refuses writes all the
        /// same: find the bit that protects it, by clearing the set bits one by one, in the volatile
        /// registers first. The sector is erased and programmed at each try and its content put back
        #[arg(long, value_name = "ADDRESS", value_parser = parse_number)]
        search: Option<u32>,
    },
    /// Protect exactly the range from START to END (exclusive)
    Set {
        /// First protected address
        #[arg(value_parser = parse_number)]
        start: u32,
        /// One past the last
        #[arg(value_parser = parse_number)]
        end: u32,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Put the registers back as they were before a change
    Restore {
        /// The journal that the change wrote
        file: PathBuf,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// How to change the protection.
#[derive(Debug, Clone, Args)]
pub(crate) struct ChangeArgs {
    /// Where to keep the old values; by default protect-MAC.json in this folder
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
    /// Try the change in the volatile registers on this sector first; its content is put back. By
    /// default a blank sector of the protected range is used, if there is one
    #[arg(long, value_name = "ADDRESS", value_parser = parse_number)]
    pub(crate) trial: Option<u32>,
    /// Make no volatile trial
    #[arg(long, conflicts_with = "trial")]
    pub(crate) no_trial: bool,
}

/// What the doctor may do.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Try a write: erase and program the sector at this address and put its content back; and
    /// change a bit of the volatile status register and change it back
    #[arg(long, value_name = "ADDRESS", value_parser = parse_number)]
    pub(crate) probe: Option<u32>,
}

/// What to do about protection before cells are changed.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Gate {
    /// Lift a protection that is in the way, then go on
    #[arg(long)]
    pub(crate) unprotect: bool,
    /// Do not look for protection first
    #[arg(long, conflicts_with = "unprotect")]
    pub(crate) no_preflight: bool,
}

/// What to erase.
#[derive(Debug, Subcommand)]
pub(crate) enum EraseCommand {
    /// The whole chip
    Chip {
        #[command(flatten)]
        gate: Gate,
    },
    /// Whole sectors of 0x1000 bytes
    Region {
        /// First address
        #[arg(value_parser = parse_number)]
        address: u32,
        /// Bytes
        #[arg(value_parser = parse_number)]
        size: u32,
        #[command(flatten)]
        gate: Gate,
    },
}

/// Files and their addresses.
#[derive(Debug, Args)]
pub(crate) struct Files {
    /// Pairs of ADDRESS FILE, or @FILE with such pairs in it
    #[arg(value_name = "ADDRESS FILE")]
    pub(crate) pairs: Vec<String>,
    /// IDF's `flasher_args.json`
    #[arg(long, value_name = "FILE")]
    pub(crate) flasher_args: Option<PathBuf>,
}

const PLAN_HELP: &str = r#"A plan:
  ports = ["/dev/ttyUSB0", "/dev/ttyUSB1", "virtual:W25Q32JV#1"]
  parallel = 16            # boards at the same time, at most
  baud = 460800
  timeout_s = 600          # for each board
  unprotect = "lift"       # or "never" (default): a protected board fails
  diff = false             # write only sectors that differ
  stub = "esp32.json"      # write through this stub; else through the ROM
  read_back = false        # read every byte back, on top of the digests
  record = "records"       # folder; default PLAN.records

  [[image]]
  address = 0x1000
  file = "bootloader.bin"

  [serial]                 # optional: a number for each board
  first = 1000
  digits = 6

  [[board_data]]           # optional: {mac}, {mac:}, {serial} are replaced
  address = 0x3f0000
  size = 64
  text = "SN={serial} MAC={mac:}""#;

/// What to flash.
#[derive(Debug, Args)]
pub(crate) struct BatchArgs {
    /// The plan, a TOML file
    pub(crate) plan: PathBuf,
    /// Leave boards alone whose record says that they hold what the plan asks for
    #[arg(long)]
    pub(crate) resume: bool,
}

/// What to play.
#[derive(Debug, Args)]
pub(crate) struct ReproduceArgs {
    /// Name of a built-in case, or a case file
    pub(crate) case: String,
    /// Play this mechanism instead of the default one, where the report does not name it
    #[arg(long, value_name = "NAME")]
    pub(crate) hypothesis: Option<String>,
}

/// Whose lines.
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// A command, such as `write` or `protect clear`; all of them without it
    pub(crate) command: Vec<String>,
}

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct MatrixArgs {
    /// Only these cases; the endings of sessions are left out then
    #[arg(long = "case", value_name = "NAME")]
    pub(crate) cases: Vec<String>,
    /// One client more: a script or interpreter of esptool, a virtual environment, espflash, or
    /// another build of this flasher
    #[arg(long = "client", value_name = "NAME=PATH")]
    pub(crate) clients: Vec<String>,
    /// Look below this folder for virtual environments; by default below `target/clients`
    #[arg(long, value_name = "FOLDER")]
    pub(crate) clients_in: Vec<PathBuf>,
    /// Only clients with this text in their name
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Vec<String>,
    /// Clients at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) jobs: u8,
}

/// Who erases and programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Via {
    /// Whichever is safe for this flash
    Auto,
    /// The loader
    Loader,
    /// Plain flash instructions
    Instructions,
}

/// What to write, and how.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line")]
pub(crate) struct WriteArgs {
    #[command(flatten)]
    pub(crate) files: Files,
    /// Send compressed data even where the line is faster than the compressor (a PTY, a socket)
    #[arg(long, conflicts_with = "no_compress")]
    pub(crate) compress: bool,
    /// Send the bytes as they are
    #[arg(long)]
    pub(crate) no_compress: bool,
    /// Go on with an interrupted write: sectors that hold the file already are left alone
    #[arg(long)]
    pub(crate) resume: bool,
    /// Write only sectors that differ, and keep what lies behind the end of a file in its last
    /// sector
    #[arg(long, conflicts_with = "resume")]
    pub(crate) diff: bool,
    /// Read everything back and compare it byte by byte, on top of the digests
    #[arg(long, conflicts_with = "no_verify")]
    pub(crate) read_back: bool,
    /// Who erases and programs: the loader, or plain flash instructions, which are slower and send
    /// nothing that a part could take for something else; `auto` takes these where the ROM
    /// loader's own probe would hang the flash
    #[arg(long, value_enum, default_value_t = Via::Auto)]
    pub(crate) via: Via,
    /// Do not compare digests afterwards
    #[arg(long)]
    pub(crate) no_verify: bool,
    #[command(flatten)]
    pub(crate) gate: Gate,
}
