//! The search: every mechanism on every group of parts, played until it contradicts.

use std::{collections::BTreeSet, rc::Rc};

use super::{
    ExplainError,
    mechanism::{self, Mechanism, Onset},
    observed::{Observed, Says, Step, Took},
    parts::{Group, Parts},
    stage::{Seen, Stage},
    vary::{self, Candidate},
};
use crate::{
    case::{BoardFlash, CaseError, Flavour, LoadedBoard},
    rom::personality::BootPersonality,
    time::Duration,
};

/// The WIP and WEL bits of SR1.
const LATCHES: u8 = 0x03;
/// Bits of SR2 and SR3 that are compared.
const ALL_BITS: u8 = 0xff;

/// How far the search is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Mechanisms that are done.
    pub done: usize,
    /// Mechanisms in all.
    pub all: usize,
    /// Boards that were played on so far.
    pub boards: usize,
}

/// A step that came out otherwise than it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contradiction {
    /// Number of the step, from 0.
    pub(super) step: usize,
    /// What came.
    pub(super) played: Seen,
}

/// A board that shows everything that was seen.
#[derive(Debug, Clone)]
pub(super) struct Survivor {
    /// Index of the group of parts.
    pub(super) group: usize,
    /// Its board.
    pub(super) candidate: Candidate,
    /// What its boots do, where the file leaves it open.
    pub(super) flavour: Option<Flavour>,
}

/// What became of one mechanism.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) mechanism: Mechanism,
    /// Boards that were played on.
    pub(super) boards: usize,
    pub(super) survivors: Vec<Survivor>,
    /// Where nothing survives: the board that came nearest, with what it contradicts.
    pub(super) nearest: Option<(Survivor, Vec<Contradiction>)>,
    /// Groups of parts that show everything without it.
    pub(super) not_needed: usize,
}

/// How far a play went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    BeforeTheBoot,
    AfterTheBoot,
}

/// The whole search.
#[derive(Debug)]
pub(super) struct Search<'a> {
    pub(super) observed: &'a Observed,
    pub(super) parts: Parts,
    /// One past the largest address of the steps.
    end: u32,
    /// Made with the first board.
    stage: Option<Stage>,
}

impl<'a> Search<'a> {
    pub(super) fn new(observed: &'a Observed) -> Result<Self, ExplainError> {
        let parts = Parts::of(observed)?;
        let ends = observed.steps.iter().map(|step| match step {
            Step::Write(write) => write.at.saturating_add(write.bytes),
            Step::Erase(erase) => erase.at.saturating_add(erase.bytes),
            _ => 0,
        });
        let end = ends.max().unwrap_or(0);
        Ok(Self { observed, parts, end, stage: None })
    }

    /// Plays everything.
    pub(super) fn run(
        &mut self,
        observer: &mut dyn FnMut(Progress),
    ) -> Result<Vec<Outcome>, ExplainError> {
        // Parts as they are come first: what they show needs no mechanism.
        let mut mechanisms = mechanism::all();
        mechanisms.sort_by_key(|mechanism| !mechanism.is_plain());
        let mut shown = BTreeSet::new();
        let all = mechanisms.len();
        let mut boards = 0;
        let mut outcomes = Vec::new();
        for (done, mechanism) in mechanisms.into_iter().enumerate() {
            observer(Progress { done, all, boards });
            let outcome = self.try_mechanism(mechanism, &shown)?;
            boards += outcome.boards;
            if outcome.mechanism.is_plain() {
                shown.extend(outcome.survivors.iter().map(|survivor| survivor.group));
            }
            outcomes.push(outcome);
        }
        observer(Progress { done: all, all, boards });
        Ok(outcomes)
    }

    fn try_mechanism(
        &mut self,
        mechanism: Mechanism,
        shown: &BTreeSet<usize>,
    ) -> Result<Outcome, ExplainError> {
        let mut outcome =
            Outcome { mechanism, boards: 0, survivors: Vec::new(), nearest: None, not_needed: 0 };
        let boots = self.observed.steps.iter().any(|step| matches!(step, Step::Boot(_)));
        if outcome.mechanism.onset == Onset::Boot && !boots {
            return Ok(outcome);
        }
        for number in 0..self.parts.groups.len() {
            let group = &self.parts.groups[number];
            if !outcome.mechanism.needs.fits(&group.part, self.end) {
                continue;
            }
            if shown.contains(&number) && !outcome.mechanism.is_plain() {
                outcome.not_needed += 1;
                continue;
            }
            let flavours = vary::flavours(&group.part, self.observed);
            let candidates = vary::candidates(&outcome.mechanism, &group.part, self.observed);
            for candidate in candidates {
                for &flavour in &flavours {
                    let candidate = candidate.clone();
                    let survivor = Survivor { group: number, candidate, flavour };
                    if self.try_board(survivor, &mut outcome)? == Ended::BeforeTheBoot {
                        // What the boot would do makes no difference.
                        break;
                    }
                }
            }
        }
        Ok(outcome)
    }

    fn try_board(&mut self, board: Survivor, outcome: &mut Outcome) -> Result<Ended, ExplainError> {
        outcome.boards += 1;
        let limit = match &outcome.nearest {
            _ if !outcome.survivors.is_empty() => 0,
            Some((_, found)) => self.cost(found),
            None => usize::MAX,
        };
        let (found, ended) = self.play(&board, limit)?;
        if found.is_empty() {
            outcome.nearest = None;
            outcome.survivors.push(board);
        } else if outcome.survivors.is_empty() {
            // Of boards with as many contradictions one that only readings contradict is nearest,
            // else the one that goes along furthest.
            let rank = |found: &[Contradiction]| {
                let furthest = found.first().map(|first| usize::MAX - first.step);
                (self.cost(found), !self.only_readings(found), furthest)
            };
            let nearest = outcome.nearest.as_ref();
            if nearest.is_none_or(|(_, other)| rank(&found) < rank(other)) {
                outcome.nearest = Some((board, found));
            }
        }
        Ok(ended)
    }

    /// Plays the steps on a board, until it contradicts more than `limit` of them.
    fn play(
        &mut self,
        board: &Survivor,
        limit: usize,
    ) -> Result<(Vec<Contradiction>, Ended), ExplainError> {
        self.enter(board)?;
        let mut found = Vec::new();
        let Some(stage) = &mut self.stage else { return Ok((found, Ended::AfterTheBoot)) };
        let mut ended = Ended::BeforeTheBoot;
        for (number, step) in self.observed.steps.iter().enumerate() {
            if matches!(step, Step::Boot(_)) {
                ended = Ended::AfterTheBoot;
            }
            let seen = stage.play(step);
            if !agrees(step, &seen) {
                // Whatever follows a hang was seen on a loader that answers.
                let hangs = matches!(seen, Seen::Hangs(_));
                found.push(Contradiction { step: number, played: seen });
                if hangs || found.len() > limit {
                    break;
                }
            }
        }
        Ok((found, ended))
    }

    /// Whether nothing but readings of the status registers contradicts.
    pub(super) fn only_readings(&self, found: &[Contradiction]) -> bool {
        found.iter().all(|found| {
            matches!(self.observed.steps.get(found.step), Some(Step::Status(_)))
                && matches!(found.played, Seen::Status(_))
        })
    }

    /// Steps that these contradict: with a loader that hangs all that follow.
    fn cost(&self, found: &[Contradiction]) -> usize {
        let hang = found.last().filter(|last| matches!(last.played, Seen::Hangs(_)));
        let lost = hang.map_or(0, |last| self.observed.steps.len() - last.step - 1);
        found.len() + lost
    }

    /// Puts the board of a candidate on the stage.
    fn enter(&mut self, board: &Survivor) -> Result<(), ExplainError> {
        let Group { part, .. } = &self.parts.groups[board.group];
        let (flash, boots) = build(part, board, self.observed)?;
        let size = self.observed.flash.size_setting_bytes;
        let stage = match &mut self.stage {
            Some(stage) => stage,
            none => none.insert(Stage::new(flash.clone(), size)),
        };
        stage.enter(flash, boots);
        if self.observed.flash.before == super::observed::Content::Data {
            stage.fill(&self.observed.steps);
        }
        Ok(())
    }

    /// Plays the first `steps` steps on a survivor and gives the stage with it.
    pub(super) fn replay(
        &mut self,
        board: &Survivor,
        steps: usize,
    ) -> Result<Option<&mut Stage>, ExplainError> {
        self.enter(board)?;
        let Some(stage) = &mut self.stage else { return Ok(None) };
        for step in self.observed.steps.iter().take(steps) {
            stage.play(step);
        }
        Ok(Some(stage))
    }
}

/// The flash and the boots of a candidate.
fn build(
    part: &spi_nor::Part,
    board: &Survivor,
    observed: &Observed,
) -> Result<(BoardFlash, Rc<[BootPersonality]>), CaseError> {
    let mut loaded = LoadedBoard::with_part(&part.name);
    loaded.file = board.candidate.board.clone();
    loaded.file.flash.part = Some(part.name.clone());
    let mut part = part.clone();
    loaded.adapt(&mut part)?;
    let flash = loaded.flash_of(part)?;
    let own = loaded.file.boot.flavour;
    let boots = observed.steps.iter().filter_map(|step| match step {
        Step::Boot(boot) => Some(boot.flavour.or(board.flavour).unwrap_or(own)),
        _ => None,
    });
    let mut personalities: Vec<_> = boots
        .collect::<Vec<_>>()
        .into_iter()
        .map(|flavour| {
            loaded.file.boot.flavour = flavour;
            loaded.personality()
        })
        .collect();
    if personalities.is_empty() {
        personalities.push(loaded.personality());
    }
    Ok((flash, personalities.into()))
}

/// Whether a step came out as it was seen. What was not looked at agrees with everything.
fn agrees(step: &Step, played: &Seen) -> bool {
    match (step, played) {
        (Step::Write(write), Seen::Hangs(_)) => write.says == Some(Says::Hangs),
        (_, Seen::Hangs(_)) => false,
        (Step::Write(write), Seen::Written { relations, error }) => {
            let says = match write.says {
                None => true,
                Some(Says::Nothing) => !error,
                Some(Says::Error) => *error,
                Some(Says::Hangs) => false,
            };
            let md5 = write.md5.as_ref();
            says && md5.is_none_or(|md5| md5.0.iter().any(|one| relations.contains(one)))
        }
        (Step::Erase(erase), Seen::Erased { took, no_time }) => {
            erase.took.is_none_or(|seen| took_agrees(seen, *took, *no_time))
        }
        (Step::EraseChip(erase), Seen::Erased { took, no_time }) => {
            erase.took.is_none_or(|seen| took_agrees(seen, *took, *no_time))
        }
        (Step::Status(status), Seen::Status(registers)) => {
            let first = if status.latches { ALL_BITS } else { !LATCHES };
            let seen = [(status.sr1, first), (status.sr2, ALL_BITS), (status.sr3, ALL_BITS)];
            seen.iter()
                .zip(registers)
                .all(|((seen, mask), played)| seen.is_none_or(|seen| seen & mask == played & mask))
        }
        (Step::Select(select), Seen::Answer(answer)) => {
            select.answer.as_ref().is_none_or(|seen| &seen.0 == answer)
        }
        _ => true,
    }
}

/// A measured time agrees with the part's typical one within a factor of four: lots, temperature
/// and age make at least that.
fn took_agrees(seen: Took, played: Duration, no_time: bool) -> bool {
    match seen {
        Took::NoTime => no_time,
        Took::Time => !no_time,
        Took::About(seen) => {
            let played: std::time::Duration = played.into();
            !no_time && seen <= played * 4 && played <= seen * 4
        }
    }
}
