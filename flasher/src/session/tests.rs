use esp_protocol::response::ErrorCode;

use super::{
    fake::{FakePort, answer, ok},
    *,
};

fn session(script: impl FnMut(&[u8]) -> Vec<u8> + Send + 'static) -> Session {
    Session::new(Box::new(FakePort::new(Box::new(script)).0))
}

/// Eight equal answers to SYNC, as the ROM gives them.
fn sync_answers() -> Vec<u8> {
    ok(0x08, 0x2012_0707).repeat(8)
}

#[test]
fn the_first_sync_may_be_lost() {
    let mut tries = 0;
    let mut session = session(move |_| {
        tries += 1;
        if tries < 3 { Vec::new() } else { sync_answers() }
    });
    session.connect(&[ResetStrategy::classic()], 1).unwrap();
    assert_eq!(session.dialect(), Dialect::Rom);
    assert!(session.port().now() >= Duration::from_millis(350), "reset and two timeouts");
}

#[test]
fn stale_sync_answers_do_not_answer_the_next_command() {
    let mut session = session(|request| match request[1] {
        0x08 => sync_answers(),
        _ => ok(request[1], 0x00f0_1d83),
    });
    session.connect(&[ResetStrategy::none()], 1).unwrap();
    assert_eq!(session.read_register(0x4000_1000).unwrap(), 0x00f0_1d83);
}

#[test]
fn a_port_without_lines_is_a_warning_given_once() {
    let (port, _) = FakePort::new(Box::new(|_| sync_answers()));
    let mut session = Session::new(Box::new(port.without_lines()));
    session.connect(&[ResetStrategy::classic(), ResetStrategy::unix_tight()], 4).unwrap();
    session.reset(&ResetStrategy::run()).unwrap();
    assert_eq!(session.warnings(), [Warning::NoModemLines]);
}

#[test]
fn the_boot_log_explains_a_missing_answer() {
    let boot = |strap: u8| {
        move |_: &[u8]| format!("rst:0x1 (POWERON_RESET),boot:{strap:#x} (X)\r\n").into_bytes()
    };
    let error = session(boot(0x13)).connect(&[ResetStrategy::classic()], 2).unwrap_err();
    assert!(matches!(error.cause, Cause::WrongBootMode { boot: 0x13 }), "{error}");
    let error = session(boot(0x03)).connect(&[ResetStrategy::classic()], 2).unwrap_err();
    assert!(matches!(error.cause, Cause::Deaf), "{error}");
    let error = session(|_| Vec::new()).connect(&[ResetStrategy::none()], 2).unwrap_err();
    assert!(matches!(error.cause, Cause::NoAnswer { .. }), "{error}");
}

#[test]
fn a_refusal_carries_the_loaders_reason() {
    let mut session = session(|request| answer(request[1], 0, &[], 1, 8));
    let error = session.read_register(0).unwrap_err();
    assert_eq!(error.step, Step::Command(Opcode::ReadReg));
    assert!(matches!(error.cause, Cause::Refused { code: ErrorCode::FlashWriteFailed }));
}

#[test]
fn damaged_and_foreign_frames_are_dropped_and_counted() {
    let mut session = session(|request| {
        let mut wire = b"\xc0\x01\xdb\x00\xc0\xc0\x01\xc0".to_vec();
        wire.extend(ok(0x08, 1));
        wire.extend(ok(request[1], 7));
        wire
    });
    assert_eq!(session.read_register(0).unwrap(), 7);
    assert_eq!(session.damaged_count(), 2);
}

#[test]
fn a_restart_in_the_middle_is_named() {
    let mut session = session(|_| b"ets Jul 29 2019\r\nrst:0x1,boot:0x13 (SPI)\r\n".to_vec());
    let error = session.read_register(0).unwrap_err();
    assert!(matches!(error.cause, Cause::Restarted { boot: 0x13 }), "{error}");
}

#[test]
fn an_interrupt_ends_a_wait() {
    let mut session = session(|_| Vec::new());
    session.interrupt_flag().store(true, Ordering::Relaxed);
    let error = session.read_register(0).unwrap_err();
    assert!(matches!(error.cause, Cause::Interrupted));
}

#[test]
fn the_rom_gets_no_old_rate() {
    let (port, log) = FakePort::new(Box::new(|request| ok(request[1], 0)));
    let mut session = Session::new(Box::new(port));
    session.change_baud(115_200, 921_600).unwrap();
    let log = log.lock().unwrap();
    assert_eq!(log.baud, [921_600]);
    assert_eq!(log.requests[0][8..], [0x00, 0x10, 0x0e, 0x00, 0, 0, 0, 0]);
}

/// A session that is connected and has told the size of the flash, and then hears nothing for
/// `silent` requests.
fn session_that_goes_silent(silent: usize) -> (Session, Arc<std::sync::Mutex<fake::Log>>) {
    let mut count = 0;
    let (port, log) = FakePort::new(Box::new(move |request| {
        count += 1;
        // SYNC and SPI_SET_PARAMS came before.
        match request[1] {
            _ if (3..3 + silent).contains(&count) => Vec::new(),
            0x08 => sync_answers(),
            opcode => ok(opcode, 0),
        }
    }));
    let mut session = Session::new(Box::new(port));
    session.connect(&[ResetStrategy::classic()], 1).unwrap();
    session.set_flash_bytes(4 << 20).unwrap();
    (session, log)
}

/// SYNCs of a recovery that finds nobody: five, and five resets with theirs.
fn syncs_of_a_recovery() -> usize {
    let (mut session, log) = session_that_goes_silent(usize::MAX - 3);
    session.recover(false).unwrap_err();
    let syncs = log.lock().unwrap().requests.len() - 2;
    assert!(syncs.is_multiple_of(3), "{syncs}");
    syncs / 3
}

#[test]
fn a_loader_that_is_back_at_the_second_try_gets_its_flash_back() {
    let silent = syncs_of_a_recovery();
    let (mut session, log) = session_that_goes_silent(silent);
    session.recover(false).unwrap();
    let log = log.lock().unwrap();
    let after: Vec<u8> = log.requests[2 + silent..].iter().map(|request| request[1]).collect();
    assert_eq!(after, [0x08, 0x0d, 0x0b], "SYNC, SPI_ATTACH, SPI_SET_PARAMS");
    assert_eq!(session.flash_bytes(), 4 << 20);
}

#[test]
fn a_stub_that_is_lost_at_the_second_try_is_told_and_no_rom_takes_its_place() {
    let (mut session, _) = session_that_goes_silent(syncs_of_a_recovery());
    session.dialect = Dialect::Stub;
    let error = session.recover(false).unwrap_err();
    assert!(matches!(error.cause, Cause::StubLost), "{error}");
}

#[test]
fn a_line_is_bad_once_a_frame_was_damaged_or_the_loader_brought_back() {
    let mut good = session(|request| ok(request[1], 7));
    good.read_register(0).unwrap();
    assert!(!good.line_was_bad());
    let mut damaged = session(|request| [b"\xc0\x01\xdb\x00\xc0", &*ok(request[1], 7)].concat());
    damaged.read_register(0).unwrap();
    assert!(damaged.line_was_bad() && damaged.recovery_count() == 0);
    let mut recovered = session(|_| sync_answers());
    recovered.recover(false).unwrap();
    assert!(recovered.line_was_bad() && recovered.damaged_count() == 0);
}

#[test]
fn what_is_repeated_ends_after_seven_times_and_at_once_if_the_line_is_not_the_trouble() {
    let lost = || Cause::NoAnswer { after: Duration::ZERO, damaged: 0 };
    let busy = || Cause::FlashBusy(Duration::ZERO);
    let cases: [(&dyn Fn() -> Cause, u32, u32); 3] =
        [(&lost, u32::MAX, 7), (&lost, 2, 3), (&busy, 9, 1)];
    for (cause, failures, expected) in cases {
        let mut session = session(|_| sync_answers());
        let mut count = 0;
        let result = session.repeat(|_| {
            count += 1;
            assert!(count < 20, "it does not end");
            let error = SessionError { step: Step::Connect, cause: cause() };
            if count > failures { Ok(count) } else { Err(error) }
        });
        assert_eq!((count, result.is_ok()), (expected, expected == 3));
    }
}
