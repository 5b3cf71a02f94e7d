//! Two conversations compared: which commands does one send that the other does not.

use std::collections::BTreeMap;

use esp_protocol::command::{Opcode, Request};
use serde::Serialize;

use super::{
    Transcript,
    conversation::{Exchange, Instructions, Step, steps},
    words::{self, Words},
};
use crate::trace::SpiRecord;

/// Cells of the table that aligns two conversations; longer ones are not aligned.
const TABLE_MAX: usize = 16 << 20;

/// How often something occurs in each conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    /// What.
    pub name: String,
    /// In the first.
    pub a: u64,
    /// In the second.
    pub b: u64,
}

/// A place where the conversations part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hunk {
    /// The last step before it that both have.
    pub after: Option<String>,
    /// Steps of the first alone.
    pub a: Vec<String>,
    /// Steps of the second alone.
    pub b: Vec<String>,
}

/// Two conversations compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Every command, by name.
    pub commands: Vec<Count>,
    /// Flash instructions that the clients sent through the SPI registers, by opcode. What code on
    /// the chip sends is not among them.
    pub instructions: Vec<Count>,
    /// Where the conversations part, in order.
    pub hunks: Vec<Hunk>,
    /// False: the conversations are too long, and there are counts only.
    pub aligned: bool,
}

impl Comparison {
    /// Both say the same.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        let same = |counts: &[Count]| counts.iter().all(|count| count.a == count.b);
        self.aligned && self.hunks.is_empty() && same(&self.commands) && same(&self.instructions)
    }
}

/// Compares two conversations.
#[must_use]
pub fn compare(a: &Transcript, b: &Transcript) -> Comparison {
    let (a, b) = (Summary::of(&steps(a)), Summary::of(&steps(b)));
    let (hunks, aligned) = match align(&a.lines, &b.lines) {
        Some(hunks) => (hunks, true),
        None => (Vec::new(), false),
    };
    Comparison {
        commands: counts(&a.commands, &b.commands),
        instructions: counts(&a.instructions, &b.instructions),
        hunks,
        aligned,
    }
}

/// What two clients did to a flash, when each was played to a board of its own.
#[must_use]
pub fn compare_buses(a: &[SpiRecord], b: &[SpiRecord]) -> Vec<Count> {
    let tally = |records: &[SpiRecord]| {
        let mut counts = BTreeMap::new();
        for record in records {
            *counts.entry(bus_name(record)).or_default() += 1;
        }
        counts
    };
    counts(&tally(a), &tally(b))
}

/// Register writes with their data, all else by opcode.
fn bus_name(record: &SpiRecord) -> String {
    let Some((opcode, data)) = record.mosi.split_first() else { return "nothing".to_owned() };
    let refused = if record.denied { " (refused)" } else { "" };
    match opcode {
        0x01 | 0x11 | 0x31 if data.len() <= 3 => {
            let data: Vec<_> = data.iter().map(|byte| format!(" {byte:02x}")).collect();
            format!("{opcode:02x}h{}{refused}", data.concat())
        }
        _ => format!("{opcode:02x}h{refused}"),
    }
}

fn counts(a: &BTreeMap<String, u64>, b: &BTreeMap<String, u64>) -> Vec<Count> {
    let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
    names.sort();
    names.dedup();
    let count = |side: &BTreeMap<String, u64>, name: &String| side.get(name).copied().unwrap_or(0);
    names
        .into_iter()
        .map(|name| Count { name: name.clone(), a: count(a, name), b: count(b, name) })
        .collect()
}

/// A conversation, runs of the same command in one line.
#[derive(Default)]
struct Summary {
    lines: Vec<String>,
    commands: BTreeMap<String, u64>,
    instructions: BTreeMap<String, u64>,
    run: Option<Run>,
    sent: Instructions,
}

/// Data blocks, or the same request over and over.
struct Run {
    key: String,
    text: String,
    count: u64,
    digest: Option<(md5::Context, u64)>,
}

impl Summary {
    fn of(steps: &[Step]) -> Self {
        let mut summary = Self::default();
        for step in steps {
            match step {
                Step::Exchange(exchange) => summary.exchange(exchange),
                Step::Lines(lines) => {
                    let text =
                        format!("lines DTR={} RTS={}", u8::from(lines.dtr), u8::from(lines.rts));
                    summary.add(&text.clone(), text, None);
                }
                Step::Baud(rate) => {
                    let text = format!("rate {rate} baud");
                    summary.add(&text.clone(), text, None);
                }
            }
        }
        summary.end_run();
        summary
    }

    fn exchange(&mut self, exchange: &Exchange) {
        let words = words::request(&exchange.request);
        *self.commands.entry(words.name.clone()).or_default() += 1;
        let request = Request::parse(&exchange.request).ok();
        for opcode in request.iter().flat_map(|it| self.sent.take(it)) {
            *self.instructions.entry(format!("{opcode:02x}h")).or_default() += 1;
        }
        let failure = failure(exchange).map(|text| format!(" -> {text}")).unwrap_or_default();
        let data = match &request {
            Some(Request::FlashData(it) | Request::FlashDeflData(it) | Request::MemData(it)) => {
                Some(it.bytes.as_ref())
            }
            _ => None,
        };
        // Blocks that differ in their number alone are one run; also those that a trace damaged.
        let opcode = exchange.request.get(1).copied().and_then(Opcode::from_byte);
        let is_run = exchange.request.len() == 4 || opcode.is_some_and(is_block);
        let text = format!("{words}{failure}");
        let key = if is_run { format!("{}{failure}", words.name) } else { text.clone() };
        self.add(&key, text, data);
    }

    fn add(&mut self, key: &str, text: String, data: Option<&[u8]>) {
        let same = self.run.as_ref().is_some_and(|run| run.key == key);
        if !same {
            self.end_run();
            let digest = data.map(|_| (md5::Context::new(), 0));
            self.run = Some(Run { key: key.to_owned(), text, count: 0, digest });
        }
        if let Some(run) = &mut self.run {
            run.count += 1;
            if let (Some((context, total)), Some(data)) = (&mut run.digest, data) {
                context.consume(data);
                *total += data.len() as u64;
            }
        }
    }

    fn end_run(&mut self) {
        let Some(run) = self.run.take() else { return };
        self.lines.push(match (run.count, run.digest) {
            (1, _) => run.text,
            (count, Some((context, total))) => {
                let digest = format!("{:x}", context.finalize());
                let short = digest.get(..8).unwrap_or_default();
                format!("{} x{count}, {total} bytes, md5:{short}", run.key)
            }
            // How often a register is polled says nothing.
            (_, None) if run.key == run.text => format!("{} repeated", run.key),
            (count, None) => format!("{} x{count}, from {}", run.key, run.text),
        });
    }
}

const fn is_block(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::FlashData | Opcode::FlashDeflData | Opcode::MemData | Opcode::ReadFlashSlow
    )
}

/// What a refused or unanswered request came to.
fn failure(exchange: &Exchange) -> Option<String> {
    let Some((frame, dialect)) = exchange.answers.first() else {
        return (exchange.request.len() > 4).then(|| "no answer".to_owned());
    };
    let Words { fields, .. } = words::answer(frame, *dialect);
    let status = fields.into_iter().find(|(name, _)| *name == "status");
    status.map(|(_, text)| text).filter(|text| text != "ok")
}

/// The places where two sequences part; `None` if they are too long.
fn align(a: &[String], b: &[String]) -> Option<Vec<Hunk>> {
    let front = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let back = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    let back = back.min(a.len() - front).min(b.len() - front);
    let (middle_a, middle_b) = (&a[front..a.len() - back], &b[front..b.len() - back]);
    let width = middle_b.len() + 1;
    let cells = (middle_a.len() + 1).checked_mul(width).filter(|cells| *cells <= TABLE_MAX)?;
    // Length of the longest common subsequence of the two tails.
    let mut table = vec![0_u32; cells];
    for (i, line_a) in middle_a.iter().enumerate().rev() {
        for (j, line_b) in middle_b.iter().enumerate().rev() {
            table[i * width + j] = if line_a == line_b {
                table[(i + 1) * width + j + 1] + 1
            } else {
                table[(i + 1) * width + j].max(table[i * width + j + 1])
            };
        }
    }
    let mut hunks: Vec<Hunk> = Vec::new();
    let mut after = front.checked_sub(1).and_then(|index| a.get(index)).cloned();
    let mut open = false;
    let (mut i, mut j) = (0, 0);
    while i < middle_a.len() || j < middle_b.len() {
        let both = middle_a.get(i).zip(middle_b.get(j));
        if let Some((line, _)) = both.filter(|(line_a, line_b)| line_a == line_b) {
            after = Some(line.clone());
            open = false;
            (i, j) = (i + 1, j + 1);
            continue;
        }
        if !open {
            hunks.push(Hunk { after: after.clone(), a: Vec::new(), b: Vec::new() });
            open = true;
        }
        let Some(hunk) = hunks.last_mut() else { break };
        let take_a = both.is_none_or(|_| table[(i + 1) * width + j] >= table[i * width + j + 1]);
        match (middle_a.get(i).filter(|_| take_a || j >= middle_b.len()), middle_b.get(j)) {
            (Some(line), _) => {
                hunk.a.push(line.clone());
                i += 1;
            }
            (None, Some(line)) => {
                hunk.b.push(line.clone());
                j += 1;
            }
            (None, None) => break,
        }
    }
    Some(hunks)
}
