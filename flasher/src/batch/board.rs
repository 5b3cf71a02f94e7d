//! One board of a batch.

use std::{ops::Range, time::Duration};

use super::{BatchEvent, Outcome, Plan, PlanFileError, Unprotect, record::Keeper};
use crate::{
    chip::{Chip, ChipError, Mac},
    diagnose::{Diagnosis, Remedy, decide},
    flash::{ReadError, SECTOR_BYTES},
    identity::Identity,
    input::{self, InputError},
    port::{Port, PortError},
    preflight::{Changer, Preflight},
    protect::{ChangeError, Guard, PlanError, Protected, Trial},
    reset::ResetStrategy,
    session::{CONNECT_BAUD, Cause, LineTrouble, Session, SessionError},
    write::{Check, Compression, Image, Skip, Transfer, WriteError, WriteOptions},
};

const CONNECT_ATTEMPTS: u32 = 7;

/// Why a board was not flashed.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// Its port cannot be opened.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The session failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// It is no ESP32.
    #[error(transparent)]
    Chip(#[from] ChipError),
    /// No flash answers.
    #[error("no flash answers (id {0:02x?})")]
    NoFlash([u8; 3]),
    /// Its data does not fit.
    #[error(transparent)]
    Plan(#[from] PlanFileError),
    /// An image does not fit its flash.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The flash does not set its write enable latch.
    #[error("the flash does not set its write enable latch, so it would ignore every write")]
    NoWriteEnable,
    /// The part needs commands that this program does not give.
    #[error(
        "{part} programs one byte an instruction, which neither this program nor the loader does"
    )]
    UnsupportedPart {
        /// The part.
        part: String,
    },
    /// Protection is in the way; nothing was changed.
    #[error("{part}: write protected ({protected}), and the plan does not say to lift it")]
    Protected {
        /// The part.
        part: String,
        /// What is protected.
        protected: Protected,
        /// The same at length, if somebody still answers.
        diagnosis: Option<Box<Diagnosis>>,
    },
    /// The protection could not be lifted.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The write failed.
    #[error("{error}{}", match .diagnosis { Some(diagnosis) => format!(" ({})", diagnosis.cause), None => String::new() })]
    Write {
        /// How.
        error: WriteError,
        /// Why, if the flash did not take the data and somebody still answers.
        diagnosis: Option<Box<Diagnosis>>,
    },
}

impl BoardError {
    /// The class that the record shows.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Port(_) => Outcome::Port,
            Self::Session(error) | Self::Chip(ChipError::Session(error)) => of_cause(&error.cause),
            Self::Chip(ChipError::Family { .. }) | Self::NoFlash(_) => Outcome::WrongChip,
            Self::Protected { .. } => Outcome::Protected,
            Self::Change(error) => of_change(error),
            Self::Write { diagnosis: Some(diagnosis), .. } if diagnosis.is_protection() => {
                match diagnosis.remedy {
                    Remedy::ReplaceFlash => Outcome::Incurable,
                    _ => Outcome::Protected,
                }
            }
            Self::Write { error, .. } => match error {
                WriteError::Mismatch(_) | WriteError::NotTaken { .. } => Outcome::VerifyFailed,
                WriteError::Session(error)
                | WriteError::TooManyRestarts { last: error, .. }
                | WriteError::Read(ReadError::Session(error)) => of_cause(&error.cause),
                WriteError::Read(_) => Outcome::Failed,
            },
            Self::UnsupportedPart { .. } => Outcome::Unsupported,
            Self::Plan(_) | Self::Input(_) | Self::NoWriteEnable => Outcome::Failed,
        }
    }
}

fn of_cause(cause: &Cause) -> Outcome {
    match cause {
        Cause::Port(_) => Outcome::Port,
        Cause::NoAnswer { .. }
        | Cause::Restarted { .. }
        | Cause::WrongBootMode { .. }
        | Cause::DeadlinePassed
        | Cause::Deaf => Outcome::NoAnswer,
        _ => Outcome::Failed,
    }
}

fn of_change(error: &ChangeError) -> Outcome {
    match error {
        ChangeError::Session(error) => of_cause(&error.cause),
        ChangeError::LocksFrozen
        | ChangeError::Plan(PlanError::OneTime { .. } | PlanError::Locked { for_ever: true }) => {
            Outcome::Incurable
        }
        ChangeError::NotTaken { .. }
        | ChangeError::TrialRefused { .. }
        | ChangeError::Plan(PlanError::Locked { for_ever: false }) => Outcome::Protected,
        _ => Outcome::Failed,
    }
}

impl LineTrouble for ChipError {
    /// Another magic value may be a damaged one.
    fn is_line_trouble(&self) -> bool {
        match self {
            Self::Session(error) => error.is_line_trouble(),
            Self::Family { .. } => true,
        }
    }
}

/// What became known of a board, also if it failed.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) mac: Option<Mac>,
    pub(super) serial: Option<u64>,
    pub(super) content: Option<String>,
    pub(super) elapsed: Duration,
}

/// The work on one board.
pub(super) struct Job<'a> {
    pub(super) plan: &'a Plan,
    pub(super) keeper: &'a Keeper,
    pub(super) port: &'a str,
    pub(super) tell: &'a dyn Fn(BatchEvent),
}

impl Job<'_> {
    /// Flashes the board; true if its record says that it was done before.
    pub(super) fn run(&self, port: Box<dyn Port>, known: &mut Known) -> Result<bool, BoardError> {
        let mut session = Session::new(port);
        let start = session.port().now();
        session.set_deadline(Some(start + Duration::from_secs(self.plan.timeout_s)));
        let result = self.work(&mut session, known);
        known.elapsed = session.port().now().saturating_sub(start);
        // A board that failed is left as it is, in the loader.
        if result.is_ok() {
            session.set_deadline(None);
            session.reset(&ResetStrategy::run())?;
        }
        result
    }

    fn work(&self, session: &mut Session, known: &mut Known) -> Result<bool, BoardError> {
        let strategies = ResetStrategy::usual(session.port());
        session.connect(&strategies, CONNECT_ATTEMPTS)?;
        let chip = session.look_twice(Chip::read)?;
        known.mac = Some(chip.mac);
        if let Some(stub) = &self.plan.stub {
            session.start_stub(stub, &mut |_| {})?;
        }
        if self.plan.baud != CONNECT_BAUD {
            session.try_baud(self.plan.baud)?;
        }
        let id = session.look_twice(Session::attach_flash)?;
        if id.is_absent() {
            return Err(BoardError::NoFlash(id.jedec));
        }
        let identity = Identity::of(id);
        let old = self.keeper.find(chip.mac);
        // A board keeps its number, however often it comes back.
        let old_serial = old.as_ref().and_then(|record| record.serial);
        known.serial = match self.plan.serial {
            Some(_) => old_serial.or_else(|| self.keeper.take_serial()),
            None => None,
        };
        (self.tell)(BatchEvent::BoardIdentified {
            port: self.port.to_owned(),
            mac: chip.mac,
            parts: identity.candidates.iter().map(|part| part.name.clone()).collect(),
            serial: known.serial,
        });
        let images = self.plan.images_of(chip.mac, known.serial)?;
        let content = Plan::digest_of(&images);
        known.content = Some(content.clone());
        let is_done =
            |old: &super::Record| old.outcome.is_good() && old.content.as_ref() == Some(&content);
        if self.plan.resume && old.as_ref().is_some_and(is_done) {
            return Ok(true);
        }
        input::check_fit(&images, session.flash_bytes())?;
        if let Some(part) = identity.byte_program() {
            return Err(BoardError::UnsupportedPart { part: part.name.clone() });
        }
        self.open_up(session, &identity, &images, &chip)?;
        self.write(session, &chip, &identity, &images)?;
        Ok(false)
    }

    /// The pre-flight, and what the plan says about protection.
    fn open_up(
        &self,
        session: &mut Session,
        identity: &Identity,
        images: &[Image],
        chip: &Chip,
    ) -> Result<(), BoardError> {
        let ranges: Vec<Range<u32>> = images.iter().map(sectors).collect();
        let dialect = session.dialect();
        let changer = Transfer::for_flash(identity, dialect).changer(dialect);
        let look = |session: &mut Session| -> Result<Preflight, SessionError> {
            session.look_twice(|session| session.preflight(identity, &ranges, changer))
        };
        let found = look(session)?;
        if !found.write_enable {
            return Err(BoardError::NoWriteEnable);
        }
        if found.obstacle().is_none() {
            return Ok(());
        }
        if self.plan.unprotect == Unprotect::Lift {
            let done = session.clear_protection(identity, Trial::Auto, &mut |journal| {
                self.keeper.keep_journal(chip.mac, journal)
            })?;
            if let Some(done) = done {
                (self.tell)(BatchEvent::BoardUnprotected {
                    port: self.port.to_owned(),
                    part: done.part.unwrap_or_default(),
                });
            }
        }
        let found = look(session)?;
        match found.obstacle() {
            None => Ok(()),
            Some(state) => Err(BoardError::Protected {
                part: state.part.clone(),
                protected: state.then.clone(),
                diagnosis: session
                    .examine(chip, identity, None, None)
                    .ok()
                    .map(|evidence| Box::new(decide(&evidence))),
            }),
        }
    }

    fn write(
        &self,
        session: &mut Session,
        chip: &Chip,
        identity: &Identity,
        images: &[Image],
    ) -> Result<(), BoardError> {
        let dialect = session.dialect();
        let transfer = Transfer::for_flash(identity, dialect);
        let guard = match transfer.changer(dialect) {
            Changer::RomLoader => Some(session.repeat(|session| Guard::before(session, identity))?),
            Changer::AsItIs => None,
        };
        let result = self.write_images(session, images, transfer);
        // The registers are mended even after a failure, as long as somebody answers.
        let guarded = guard.map(|guard| session.repeat(|session| guard.after(session)));
        if let Err((image, error)) = result {
            let diagnosis = match error {
                WriteError::Mismatch(_) | WriteError::NotTaken { .. } => {
                    explain(session, chip, identity, image).ok().map(Box::new)
                }
                _ => None,
            };
            return Err(BoardError::Write { error, diagnosis });
        }
        guarded.transpose()?;
        Ok(())
    }

    fn write_images<'i>(
        &self,
        session: &mut Session,
        images: &'i [Image],
        transfer: Transfer,
    ) -> Result<(), (&'i Image, WriteError)> {
        let options = WriteOptions {
            compression: Compression::WhereItPays,
            skip: if self.plan.diff { Skip::Unchanged } else { Skip::Nothing },
            check: if self.plan.read_back { Check::ReadBack } else { Check::Digest },
            transfer,
        };
        let total = images.iter().map(|image| image.data.len() as u64).sum();
        let mut before = 0;
        for image in images {
            let len = image.data.len() as u64;
            session
                .write_image(image, options, &mut |progress| {
                    (self.tell)(BatchEvent::BoardProgress {
                        port: self.port.to_owned(),
                        phase: progress.phase,
                        done: before + progress.done.min(len),
                        total,
                    });
                })
                .map_err(|error| (image, error))?;
            before += len;
        }
        Ok(())
    }
}

fn explain(
    session: &mut Session,
    chip: &Chip,
    identity: &Identity,
    image: &Image,
) -> Result<Diagnosis, ReadError> {
    let mut evidence = session.examine(chip, identity, Some(sectors(image)), None)?;
    evidence.differences = session.compare(image)?;
    Ok(decide(&evidence))
}

/// The sectors that an image touches.
fn sectors(image: &Image) -> Range<u32> {
    let len = u32::try_from(image.data.len()).unwrap_or(u32::MAX);
    let end = image.offset.saturating_add(len).div_ceil(SECTOR_BYTES).saturating_mul(SECTOR_BYTES);
    image.offset..end
}
