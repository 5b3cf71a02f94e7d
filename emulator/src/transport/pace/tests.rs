use std::time;

use super::*;
use crate::transport::fake::Echo;

#[expect(clippy::disallowed_methods, reason = "any moment will do; the tests only add to it")]
fn wall() -> time::Instant {
    time::Instant::now()
}

fn echo(delay_ms: u64) -> Echo {
    Echo { delay: Duration::from_millis(delay_ms), ..Echo::default() }
}

#[test]
fn at_full_speed_a_reply_of_a_chip_erase_comes_at_once() {
    let (mut device, start, mut out) = (echo(50_000), wall(), Vec::new());
    let mut clock = Clock::start(Pace::Max, start, device.now());
    clock.input(&mut device, start, Some(115_200), b"x");
    assert_eq!(clock.run(&mut device, start, &mut out), Next::Nothing);
    assert_eq!(out, b"x");
    assert_eq!(device.now(), Instant::from_nanos(50_000_000_000));
    assert_eq!(clock.idle(&device, start), None);
}

#[test]
fn at_real_speed_a_reply_comes_when_it_is_due() {
    let (mut device, start, mut out) = (echo(500), wall(), Vec::new());
    let mut clock = Clock::start(Pace::Real, start, device.now());
    clock.input(&mut device, start, None, b"x");
    let almost = start + time::Duration::from_millis(499);
    clock.run(&mut device, almost, &mut out);
    assert_eq!(out, b"");
    assert_eq!(clock.idle(&device, almost), Some(time::Duration::from_millis(1)));
    clock.run(&mut device, start + time::Duration::from_millis(500), &mut out);
    assert_eq!(out, b"x");
}

#[test]
fn a_device_that_talks_for_ever_is_bounded_and_then_paced_by_the_wall() {
    let (mut device, start) = (echo(0), wall());
    device.chatter = Some(Duration::from_millis(10));
    let mut clock = Clock::start(Pace::Max, start, device.now());
    clock.input(&mut device, start, None, b"x");
    let mut out = Vec::new();
    while clock.run(&mut device, start, &mut out) != Next::Nothing {
        assert!(out.len() <= OUTPUT_MAX);
        out.clear();
    }
    assert_eq!(device.now(), Instant::ZERO + device.jump_max());
    assert_eq!(clock.idle(&device, start), Some(time::Duration::from_millis(10)));
}

#[test]
fn at_full_speed_a_pause_of_the_client_counts_and_a_hiccup_does_not() {
    let (mut device, start, mut out) = (echo(0), wall(), Vec::new());
    let mut clock = Clock::start(Pace::Max, start, device.now());
    clock.input(&mut device, start + time::Duration::from_millis(19), None, b"x");
    clock.run(&mut device, start, &mut out);
    assert_eq!(device.now(), Instant::ZERO);
    clock.input(&mut device, start + time::Duration::from_secs(1), None, b"x");
    assert_eq!(device.now(), Instant::from_nanos(1_000_000_000));
}

#[test]
fn the_device_learns_the_speed_of_the_client() {
    let (mut device, start) = (echo(0), wall());
    Clock::start(Pace::Max, start, device.now()).input(&mut device, start, Some(921_600), b"x");
    assert_eq!(device.baud, Some(921_600));
}
