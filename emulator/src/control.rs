//! What the control socket says: one JSON object a line, one JSON object in answer.
//!
//! `{"do": "status"}` and the like, see [`Request`]; a farm wants `"board": "NAME"` besides. The
//! answer has `"ok": true` and what was asked for, or `"ok": false` and `"error"`. A request that
//! is not understood changes nothing.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    board::ControlLines,
    case::{Faults, Level, StrapValue, SupplyMillivolts},
    fault::{
        board::{ServedBoard, ServedSnapshot},
        plan::{FaultPlan, PlanError},
    },
    flash::Pins,
    time::Instant,
    trace::Entry,
};

/// Entries of the trace in one answer.
const TRACE_MAX: usize = 5_000;
/// Longest name of a snapshot.
const NAME_BYTES_MAX: usize = 256;
/// Snapshots that a board may have at a time.
const SNAPSHOTS_MAX: usize = 64;

/// The requests, for `--help`.
pub const HELP: &str = r#"Control socket: one JSON object a line, one in answer ("ok", "error"):
  {"do":"status"}                       mode, rate, lines, registers, protected range, MAC
  {"do":"reset"}                        pulse on EN
  {"do":"power"}                        supply off and on
  {"do":"strap","value":19}             straps of the next reset (3 download, 19 flash boot)
  {"do":"lines","dtr":true,"rts":false} control lines
  {"do":"pins","wp":"low","hold":"high"}
  {"do":"supply","mv":1800}
  {"do":"faults","set":{"program-lost":true}}   keys of [faults] in a board file; {} for none
  {"do":"plan","set":{"seed":1,"board":[{"fault":"reset","after":{"transactions":9}}]}}   a fault plan
  {"do":"fault-counts"}                 what the plan's faults did
  {"do":"snapshot","name":"a"}          the whole board at this instant, in memory: flash, RAM,
                                        processor, UART, SPI, eFuses, pins, virtual time
  {"do":"restore","name":"a"}           back to it, bit for bit; with "only":"flash" what the flash
                                        keeps without power, while RAM and processor go on
  {"do":"snapshots"}                    their names; {"do":"forget","name":"a"} drops one
  {"do":"trace","last":20}              newest entries, 5000 at most
  {"do":"boards"}                       names (farm); a farm wants "board":"NAME" elsewhere"#;

/// A request.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// How the board is.
    Status {},
    /// A pulse on EN.
    Reset {},
    /// The supply goes and comes back.
    Power {},
    /// Straps that the next reset samples.
    Strap {
        /// The six bits.
        value: StrapValue,
    },
    /// Control lines, as an adapter drives them.
    Lines {
        /// DTR is asserted.
        dtr: bool,
        /// RTS is asserted.
        rts: bool,
    },
    /// Levels on pins of the flash.
    Pins {
        /// WP#.
        #[serde(default)]
        wp: Level,
        /// HOLD#.
        #[serde(default)]
        hold: Level,
    },
    /// Supply of the flash.
    Supply {
        /// In millivolts.
        mv: SupplyMillivolts,
    },
    /// Replaces the injected faults.
    Faults {
        /// As `[faults]` of a board file.
        set: Faults,
    },
    /// Puts a fault plan to work, in the place of an earlier one.
    Plan {
        /// As a plan file, in JSON.
        set: Box<FaultPlan>,
    },
    /// What the faults of the plan did.
    FaultCounts {},
    /// Keeps the whole board as it is under a name, in memory.
    Snapshot {
        /// The name.
        name: String,
    },
    /// Puts the board back to what it was.
    Restore {
        /// The name.
        name: String,
        /// Not all of it.
        #[serde(default)]
        only: Scope,
    },
    /// Names the snapshots.
    Snapshots {},
    /// Drops a snapshot.
    Forget {
        /// The name.
        name: String,
    },
    /// The newest entries of the trace.
    Trace {
        /// How many.
        #[serde(default = "some_entries")]
        last: usize,
    },
}

/// What a snapshot gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// The whole board, its time included.
    #[default]
    Board,
    /// What the flash keeps without power, with a power cycle of it; the rest goes on.
    Flash,
}

const fn some_entries() -> usize {
    100
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Not a request.
    #[error("not a request: {0}")]
    Request(#[from] serde_json::Error),
    /// No snapshot of that name.
    #[error("no snapshot is named {0:?}")]
    NoSnapshot(String),
    /// A fault plan that cannot be used.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A name that is a text.
    #[error("the name of a snapshot has at most {NAME_BYTES_MAX} bytes")]
    LongName,
    /// Too many snapshots.
    #[error("a board keeps at most {SNAPSHOTS_MAX} snapshots")]
    TooMany,
    /// The flash does not take it.
    #[error(transparent)]
    Model(#[from] crate::flash::ModelError),
}

/// What control keeps for one board.
#[derive(Debug, Default)]
pub struct Control {
    snapshots: BTreeMap<String, ServedSnapshot>,
}

impl Control {
    /// Answers one line at `now`.
    pub fn answer(&mut self, board: &mut ServedBoard, now: Instant, line: &str) -> String {
        let request = serde_json::from_str(line).map_err(ControlError::from);
        answer_text(&request.and_then(|request| self.run(board, now, request)))
    }

    /// Does what `request` says; gives what the answer has besides `ok`.
    ///
    /// # Errors
    ///
    /// See [`ControlError`]; nothing has changed then.
    pub fn run(
        &mut self,
        board: &mut ServedBoard,
        now: Instant,
        request: Request,
    ) -> Result<Value, ControlError> {
        match request {
            Request::Status {} => return Ok(status(board)),
            Request::Trace { last } => {
                let entries = board.trace().entries();
                let skip = entries.len().saturating_sub(last.min(TRACE_MAX));
                let entries: Vec<_> = entries.skip(skip).map(entry_value).collect();
                return Ok(json!({ "trace": entries, "dropped": board.trace().dropped_count() }));
            }
            Request::FaultCounts {} => {
                let counts = board.counts();
                let counts: BTreeMap<_, _> =
                    counts.happened().map(|(kind, count)| (kind.name(), count)).collect();
                return Ok(json!({ "counts": counts }));
            }
            Request::Plan { set } => {
                set.check("set")?;
                board.set_plan(&set)?;
            }
            Request::Reset {} => board.host_reset(now),
            Request::Power {} => board.power_cycle(now),
            Request::Strap { value } => board.set_strap(value.get()),
            Request::Lines { dtr, rts } => board.set_lines(now, ControlLines { dtr, rts }),
            Request::Pins { wp, hold } => {
                let pins = Pins { wp_high: wp == Level::High, hold_high: hold == Level::High };
                board.flash_mut().nor_mut().set_pins(pins);
            }
            Request::Supply { mv } => board.flash_mut().nor_mut().set_supply_mv(mv.get()),
            Request::Faults { set } => board.flash_mut().set_faults(set),
            Request::Snapshot { name } => {
                if self.snapshots.len() >= SNAPSHOTS_MAX && !self.snapshots.contains_key(&name) {
                    return Err(ControlError::TooMany);
                }
                if name.len() > NAME_BYTES_MAX {
                    return Err(ControlError::LongName);
                }
                self.snapshots.insert(name, board.snapshot());
            }
            Request::Restore { name, only } => {
                let snapshot = self.snapshots.get(&name).ok_or(ControlError::NoSnapshot(name))?;
                match only {
                    Scope::Board => board.restore(snapshot),
                    Scope::Flash => {
                        board.flash_mut().nor_mut().restore(snapshot.flash_state(), now)?;
                    }
                }
            }
            Request::Snapshots {} => {
                return Ok(json!({ "snapshots": self.snapshots.keys().collect::<Vec<_>>() }));
            }
            Request::Forget { name } => {
                self.snapshots.remove(&name).ok_or(ControlError::NoSnapshot(name))?;
            }
        }
        Ok(json!({}))
    }
}

/// One answer as a line without its end.
pub(crate) fn answer_text<E: std::fmt::Display>(result: &Result<Value, E>) -> String {
    let mut value = match result {
        Ok(value) => value.clone(),
        Err(error) => json!({ "error": error.to_string() }),
    };
    value["ok"] = result.is_ok().into();
    value.to_string()
}

fn status(board: &ServedBoard) -> Value {
    let nor = board.flash().nor();
    let registers: BTreeMap<String, u8> = nor
        .part()
        .registers
        .keys()
        .map(|name| (format!("{name:?}").to_lowercase(), nor.register(*name)))
        .collect();
    let protected = nor.protected();
    json!({
        "mode": format!("{:?}", board.mode()),
        "baud": board.baud(),
        "host-baud": board.host_baud(),
        "part": nor.part().name,
        "registers": registers,
        "protected": [protected.start, protected.end],
        "write-enable-latch": nor.write_enable_latch(),
        "now-us": board.now().as_nanos() / 1_000,
    })
}

/// An entry of the trace as JSON.
#[must_use]
pub fn entry_value(entry: &Entry) -> Value {
    let text = format!("{:?}", entry.event);
    let kind = text.split([' ', '{']).next().unwrap_or_default();
    json!({ "at-us": entry.at.as_nanos() / 1_000, "event": kind, "text": text })
}

/// An entry of the trace as a line of text without its end.
#[must_use]
pub fn entry_text(entry: &Entry) -> String {
    let micros = entry.at.as_nanos() / 1_000;
    format!("{:>6}.{:06} {:?}", micros / 1_000_000, micros % 1_000_000, entry.event)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{board::Mode, case::LoadedBoard};

    fn ask(board: &mut ServedBoard, control: &mut Control, line: &str) -> Value {
        let now = board.now();
        serde_json::from_str(&control.answer(board, now, line)).unwrap()
    }

    #[test]
    fn requests_do_what_they_say() {
        let mut board = ServedBoard::new(LoadedBoard::with_part("W25Q32JV").into_board().unwrap());
        let mut control = Control::default();
        let mut ask = |line: &str| ask(&mut board, &mut control, line);
        assert_eq!(ask(r#"{"do":"status"}"#)["mode"], "WaitingForSync");
        assert_eq!(ask(r#"{"do":"snapshot","name":"fresh"}"#)["ok"], true);
        assert_eq!(ask(r#"{"do":"restore","name":"fresh"}"#)["ok"], true);
        assert_eq!(ask(r#"{"do":"strap","value":19}"#)["ok"], true);
        assert_eq!(ask(r#"{"do":"reset"}"#)["ok"], true);
        assert_eq!(ask(r#"{"do":"faults","set":{"program-lost":true}}"#)["ok"], true);
        assert_eq!(ask(r#"{"do":"pins","wp":"low"}"#)["ok"], true);
        assert_eq!(ask(r#"{"do":"supply","mv":1800}"#)["ok"], true);
        let plan = r#"{"do":"plan","set":{"bus":[{"fault":"chip-select-lost"}]}}"#;
        assert_eq!(ask(plan)["ok"], true);
        assert_eq!(ask(r#"{"do":"fault-counts"}"#)["counts"], json!({}));
        let trace = ask(r#"{"do":"trace","last":1}"#);
        assert_eq!(trace["trace"][0]["event"], "HostReset");
        assert_eq!(board.mode(), Mode::BootRetry);
    }

    #[test]
    fn a_snapshot_is_the_whole_board_and_can_be_the_flash_alone() {
        let mut board = ServedBoard::new(LoadedBoard::with_part("W25Q32JV").into_board().unwrap());
        let mut control = Control::default();
        let mut ask = |board: &mut ServedBoard, line: &str| ask(board, &mut control, line);
        let start = board.now();
        assert_eq!(ask(&mut board, r#"{"do":"snapshot","name":"a"}"#)["ok"], true);
        board.flash_mut().nor_mut().load_image(0, &[0]);
        let later = start + crate::time::Duration::from_millis(700);
        board.set_lines(later, ControlLines { dtr: false, rts: true });
        assert_eq!(board.mode(), Mode::Held);
        let only = r#"{"do":"restore","name":"a","only":"flash"}"#;
        assert_eq!(ask(&mut board, only)["ok"], true);
        let mut cell = [0];
        board.flash().nor().read_cells(0, &mut cell);
        assert_eq!((cell, board.mode()), ([0xFF], Mode::Held), "the chip goes on");
        assert_eq!(ask(&mut board, r#"{"do":"restore","name":"a"}"#)["ok"], true);
        assert_eq!((board.mode(), board.now()), (Mode::WaitingForSync, start));
        assert_eq!(ask(&mut board, r#"{"do":"snapshots"}"#)["snapshots"], json!(["a"]));
        assert_eq!(ask(&mut board, r#"{"do":"forget","name":"a"}"#)["ok"], true);
        let gone = ask(&mut board, r#"{"do":"restore","name":"a"}"#);
        assert_eq!(gone["error"], "no snapshot is named \"a\"");
        for number in 0..SNAPSHOTS_MAX {
            let line = json!({ "do": "snapshot", "name": number.to_string() }).to_string();
            assert_eq!(ask(&mut board, &line)["ok"], true);
        }
        let many = ask(&mut board, r#"{"do":"snapshot","name":"one more"}"#);
        assert!(many["error"].as_str().is_some_and(|text| text.contains("at most 64")), "{many}");
        let long = json!({ "do": "snapshot", "name": "x".repeat(300) }).to_string();
        assert_eq!(ask(&mut board, &long)["ok"], false);
    }

    #[test]
    fn nonsense_is_refused_in_words_and_changes_nothing() {
        let mut board = ServedBoard::new(LoadedBoard::with_part("W25Q32JV").into_board().unwrap());
        let mut control = Control::default();
        for line in [
            "",
            "reset",
            "{}",
            r#"{"do":"explode"}"#,
            r#"{"do":"strap","value":64}"#,
            r#"{"do":"reset","hard":true}"#,
            r#"{"do":"restore","name":"none"}"#,
            r#"{"do":"faults","set":{"no-such":1}}"#,
            r#"{"do":"plan","set":{"link":{"to-chip":{"flips-per-million":2000000}}}}"#,
            r#"{"do":"plan","set":{"cells":[{"fault":"weak-sector","address":8388608,"percent":1}]}}"#,
        ] {
            let answer = ask(&mut board, &mut control, line);
            assert_eq!(answer["ok"], false, "{line}");
            assert!(answer["error"].as_str().is_some_and(|text| !text.is_empty()), "{line}");
        }
        assert_eq!(board.trace().entries().len(), 1, "power-on alone");
    }

    /// What the fuzzer puts together: keys and values that requests have, and any text.
    fn piece() -> impl Strategy<Value = String> {
        const KNOWN: [&str; 43] = [
            "snapshots",
            "forget",
            "only",
            "status",
            "reset",
            "power",
            "strap",
            "lines",
            "pins",
            "supply",
            "faults",
            "snapshot",
            "restore",
            "trace",
            "do",
            "value",
            "dtr",
            "rts",
            "wp",
            "hold",
            "mv",
            "set",
            "name",
            "last",
            "low",
            "high",
            "true",
            "false",
            "null",
            "0",
            "19",
            "1800",
            "-1",
            "1e99",
            "18446744073709551615",
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"",
            "program-lost",
        ];
        prop_oneof![proptest::sample::select(&KNOWN[..]).prop_map(str::to_owned), ".{0,8}"]
    }

    /// A request with arbitrary fields, well-formed as JSON.
    fn request() -> impl Strategy<Value = String> {
        let value = prop_oneof![
            any::<i64>().prop_map(|it| json!(it)),
            any::<bool>().prop_map(|it| json!(it)),
            piece().prop_map(|it| json!(it)),
            Just(json!({})),
            Just(json!([1])),
        ];
        (piece(), proptest::collection::vec((piece(), value), 0..4)).prop_map(|(what, fields)| {
            let mut object = json!({ "do": what });
            for (key, value) in fields {
                object[key] = value;
            }
            object.to_string()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Whatever is asked is answered by one line of JSON, and the board goes on.
        #[test]
        fn anything_may_be_asked(lines in proptest::collection::vec(
            prop_oneof![request(), proptest::collection::vec(piece(), 0..12).prop_map(|it| it.concat())],
            1..20,
        )) {
            let mut board = ServedBoard::new(LoadedBoard::with_part("W25Q32JV").into_board().unwrap());
            let mut control = Control::default();
            for line in lines {
                let now = board.now();
                let text = control.answer(&mut board, now, &line);
                let answer: Value = serde_json::from_str(&text).unwrap();
                prop_assert!(answer["ok"].is_boolean() && !text.contains('\n'), "{} to {}", text, line);
            }
            prop_assert_eq!(&ask(&mut board, &mut control, r#"{"do":"status"}"#)["ok"], true);
        }
    }
}
