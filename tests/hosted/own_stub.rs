//! The flasher through a stub of esptool, on boards in process: batches, and lines that damage
//! bytes and reset the chip, which ends a stub.

use std::{
    fs,
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Duration,
};

use esp_protocol::response::Dialect;
use esp32_emulator::{fault::link::LinkNoise, time};
use esp32_flasher::{
    batch::{self, Plan},
    port::{
        self,
        noisy::NoisyPort,
        virtual_board::{VirtualPort, board},
    },
    reset::ResetStrategy,
    session::{Session, SessionError},
    stub::Stub,
    write::{Image, WriteError, WriteOptions},
};

use crate::clients::ESPTOOL_4_12_0;

const BYTES: usize = 20_000;

fn image() -> Image {
    let mut random = fastrand::Rng::with_seed(5);
    let data = (0..BYTES).map(|_| random.u8(..)).collect();
    Image { name: "image".into(), offset: 0x1_0000, data }
}

#[test]
fn a_stub_that_a_reset_ended_is_uploaded_again() {
    let Some(stubs) = ESPTOOL_4_12_0.stubs() else { return };
    let image = image();
    for (generation, path) in stubs {
        let stub = Stub::read(&path).expect("esptool's own form");
        let (mut verified, mut resets) = (0, 0);
        for seed in 0..12 {
            let board = Arc::new(Mutex::new(board("W25Q32JV").expect("a part")));
            let rate = 15;
            let noise = LinkNoise {
                flips_per_million: rate,
                drops_per_million: rate,
                doubles_per_million: rate,
                delays_per_million: rate,
                delay_max: time::Duration::from_millis(20),
                ..LinkNoise::default()
            };
            let port = VirtualPort::new("virtual", Arc::clone(&board));
            let port = NoisyPort::new(port, noise, 15_000, seed);
            let counted = port.report();
            let mut session = Session::new(Box::new(port));
            session.set_deadline(Some(Duration::from_mins(5)));
            let result = (|| -> Result<(), WriteError> {
                session.connect(&[ResetStrategy::unix_tight()], 7)?;
                session.start_stub(&stub, &mut |_| {})?;
                session.look_twice::<_, SessionError>(Session::attach_flash)?;
                session.write_image(&image, WriteOptions::default(), &mut |_| {})?;
                assert_eq!(session.dialect(), Dialect::Stub, "it came back");
                Ok(())
            })();
            resets += counted.lock().expect("nobody panicked").resets;
            if result.is_ok() {
                verified += 1;
                let mut held = vec![0; BYTES];
                let board = board.lock().expect("nobody panicked");
                board.flash().nor().read_cells(image.offset, &mut held);
                assert!(held == image.data, "stub {generation}, seed {seed}: a false success");
            }
        }
        assert!(
            verified >= 6 && resets > 0,
            "stub {generation}: {verified} of 12, {resets} resets"
        );
    }
}

#[test]
fn a_batch_through_a_stub() {
    let Some(stubs) = ESPTOOL_4_12_0.stubs() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("app.bin"), image().data).expect("a file");
    for (generation, path) in stubs {
        let plan = format!(
            "ports = [\"virtual:W25Q32JV#1\", \"virtual:GD25Q32C#2\", \"virtual:sr1-bp#3\"]\n\
             stub = {path:?}\nbaud = 460800\n[[image]]\naddress = 0x10000\nfile = \"app.bin\"\n"
        );
        let plan = Plan::parse(&plan, folder.path()).expect("a plan");
        let stop = AtomicBool::new(false);
        let summary = batch::run(&plan, &port::open, &stop, &mut |_| {}).expect("it runs");
        // Whether a stub unlocks is not known beforehand, so a protected board is left alone.
        assert_eq!((summary.done, summary.failed), (2, 1), "stub {generation}");
    }
}
