//! Byte literals from RFC 2217 section 3, then properties.

use proptest::{collection::vec, prelude::*};

use super::*;

fn client(command: &Command) -> Vec<u8> {
    let mut out = Vec::new();
    command.emit(Speaker::Client, &mut out);
    out
}

fn server(command: &Command) -> Vec<u8> {
    let mut out = Vec::new();
    command.emit(Speaker::Server, &mut out);
    out
}

#[test]
fn baud_rate_is_four_bytes_in_network_order() {
    // The RFC's own example: 9600 = 00 00 25 80h.
    let wire = client(&Command::SetBaudRate(9600));
    assert_eq!(wire, [255, 250, 44, 1, 0x00, 0x00, 0x25, 0x80, 255, 240]);
    assert_eq!(server(&Command::SetBaudRate(9600))[3], 101);
}

#[test]
fn baud_rate_with_iac_is_doubled() {
    let wire = client(&Command::SetBaudRate(65_535));
    assert_eq!(wire, [255, 250, 44, 1, 0, 0, 255, 255, 255, 255, 255, 240]);
}

#[test]
fn line_control() {
    assert_eq!(client(&Command::SetControl(Control::DtrOn)), [255, 250, 44, 5, 8, 255, 240]);
    assert_eq!(client(&Command::SetControl(Control::DtrOff)), [255, 250, 44, 5, 9, 255, 240]);
    assert_eq!(client(&Command::SetControl(Control::RtsOn)), [255, 250, 44, 5, 11, 255, 240]);
    assert_eq!(client(&Command::SetControl(Control::RtsOff)), [255, 250, 44, 5, 12, 255, 240]);
    assert_eq!(client(&Command::SetControl(Control::BreakOn)), [255, 250, 44, 5, 5, 255, 240]);
}

#[test]
fn server_codes_are_a_hundred_more() {
    assert_eq!(server(&Command::SetDataSize(8)), [255, 250, 44, 102, 8, 255, 240]);
    assert_eq!(server(&Command::SetParity(1)), [255, 250, 44, 103, 1, 255, 240]);
    assert_eq!(server(&Command::SetStopSize(1)), [255, 250, 44, 104, 1, 255, 240]);
    assert_eq!(server(&Command::NotifyModemState(0xB0)), [255, 250, 44, 107, 0xB0, 255, 240]);
    assert_eq!(server(&Command::PurgeData(3)), [255, 250, 44, 112, 3, 255, 240]);
    assert_eq!(server(&Command::FlowControlSuspend), [255, 250, 44, 108, 255, 240]);
}

#[test]
fn what_is_wrong_is_said() {
    assert_eq!(Command::parse(&[]), Err(ComPortError::Empty));
    assert_eq!(Command::parse(&[13, 0]), Err(ComPortError::UnknownCommand { code: 13 }));
    assert_eq!(Command::parse(&[113]), Err(ComPortError::UnknownCommand { code: 113 }));
    assert_eq!(Command::parse(&[1, 0, 0]), Err(ComPortError::ValueLength { code: 1, got: 2 }));
    assert_eq!(Command::parse(&[5]), Err(ComPortError::ValueLength { code: 5, got: 0 }));
    assert_eq!(Command::parse(&[8, 1]), Err(ComPortError::ValueLength { code: 8, got: 1 }));
    assert_eq!(Command::parse(&[5, 20]), Err(ComPortError::UnknownControl { value: 20 }));
}

#[test]
fn every_control_has_its_own_code() {
    for (code, control) in (0_u8..).zip(Control::ALL) {
        assert_eq!(control.code(), code);
    }
}

proptest! {
    #[test]
    fn any_payload_is_parsed_or_refused_and_comes_back(
        payload in vec(any::<u8>(), 0..12),
        code in prop_oneof![0_u8..13, 100_u8..113],
        ruly in any::<bool>(),
    ) {
        let mut payload = payload;
        if ruly && let Some(first) = payload.first_mut() {
            *first = code;
        }
        if let Ok((speaker, command)) = Command::parse(&payload) {
            prop_assert_eq!(command.payload(speaker), payload);
        }
    }

    #[test]
    fn baud_rates_survive(rate in any::<u32>(), from_server in any::<bool>()) {
        let speaker = if from_server { Speaker::Server } else { Speaker::Client };
        let mut wire = Vec::new();
        Command::SetBaudRate(rate).emit(speaker, &mut wire);
        let mut input = &wire[..];
        let event = crate::telnet::Decoder::default().next(&mut input);
        let Some(Event::Subnegotiation { option, payload }) = event else {
            return Err(TestCaseError::fail("no subnegotiation"));
        };
        prop_assert_eq!(option, OPTION_COM_PORT);
        prop_assert_eq!(Command::parse(&payload), Ok((speaker, Command::SetBaudRate(rate))));
        prop_assert!(input.is_empty());
    }
}
