//! Connecting to a board, and letting it go.

use std::sync::{Arc, atomic::AtomicBool};

use esp32_flasher::{
    chip::Chip,
    exit::Exit,
    identity::Identity,
    port::{self, Port, record::RecordingPort},
    reset::ResetStrategy,
    session::{CONNECT_BAUD, Session},
    stub::Stub,
};

use crate::{
    args::{After, Global},
    failure::Failure,
    report::{Event, Report},
};

const CONNECT_ATTEMPTS: u32 = 7;

/// A connected board.
pub(crate) struct Board {
    pub(crate) session: Session,
    pub(crate) chip: Chip,
    /// Name of the port, as it was given.
    pub(crate) port: String,
}

impl Board {
    /// Opens the port, connects, and makes sure that an ESP32 answers.
    pub(crate) fn connect(
        global: &Global,
        interrupt: Arc<AtomicBool>,
        report: &mut Report,
    ) -> Result<Self, Failure> {
        let stub = global.stub.as_deref().map(Stub::read).transpose()?;
        let name = global.port.as_deref().ok_or(Failure::NoPort)?;
        let mut port = port::open(name, CONNECT_BAUD)?;
        if let Some(path) = &global.record {
            port = Box::new(RecordingPort::create(port, CONNECT_BAUD, path)?);
        }
        let mut session = Session::new(port);
        let strategies = strategies(&global.before, session.port())?;
        session.set_interrupt_flag(interrupt);
        session.connect(&strategies, CONNECT_ATTEMPTS)?;
        let chip = session.look(Chip::read)?;
        for warning in session.warnings() {
            report.say(&Event::Warning { warning: *warning })?;
        }
        report.say(&Event::Connected { port: name, chip: &chip })?;
        if let Some(stub) = stub {
            session.start_stub(&stub, &mut |progress| report.progress(progress))?;
        }
        if global.baud != CONNECT_BAUD {
            session.try_baud(global.baud)?;
        }
        Ok(Self { session, chip, port: name.to_owned() })
    }

    /// Connects the flash and finds out what it is.
    pub(crate) fn attach(&mut self) -> Result<Identity, Failure> {
        let id = self.session.look(Session::attach_flash)?;
        if id.is_absent() {
            return Err(Failure::NoFlash(id.jedec));
        }
        Ok(Identity::of(id))
    }

    /// Ends the session as the user wants it.
    pub(crate) fn release(mut self, global: &Global) -> Result<Exit, Failure> {
        if global.after == After::Run {
            self.session.reset(&ResetStrategy::run())?;
        }
        Ok(Exit::Done)
    }
}

fn strategies(before: &str, port: &dyn Port) -> Result<Vec<ResetStrategy>, Failure> {
    Ok(match before {
        "default" => ResetStrategy::usual(port),
        "classic" => vec![ResetStrategy::classic()],
        "unix-tight" => vec![ResetStrategy::unix_tight()],
        "none" => vec![ResetStrategy::none()],
        steps => vec![steps.parse()?],
    })
}
