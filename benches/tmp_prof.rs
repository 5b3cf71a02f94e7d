#![allow(missing_docs, clippy::all, clippy::pedantic)]
use esp32_flasher::{
    port::virtual_board::{VirtualPort, factory_board},
    reset::ResetStrategy,
    session::Session,
    stub::Stub,
    write::{Image, Prepared},
};
use std::{
    fs,
    sync::{Arc, Mutex},
};
fn main() {
    let text = fs::read_to_string(glob()).unwrap();
    let stub = Stub::from_json(&text).unwrap();
    let data = esp32_emulator::case::bootable(1, 1_611_488);
    let image = Image { offset: 0x1000, data, name: "x".to_owned() };
    let rounds: u32 = std::env::var("ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(5);
    for round in 0..rounds {
        let board = Arc::new(Mutex::new(factory_board("GD25Q128C").unwrap()));
        let port = VirtualPort::new("bench", board.clone());
        let mut session = Session::new(Box::new(port));
        session.connect(&[ResetStrategy::none()], 3).unwrap();
        session.start_stub(&stub, &mut |_| {}).unwrap();
        session.attach_flash().unwrap();
        let prepared = Prepared::new(&image, session.dialect(), true);
        let before = board.lock().unwrap().program_instructions();
        let start = std::time::Instant::now();
        session.write(&prepared, &mut |_| {}).unwrap();
        session.verify(&prepared).unwrap();
        let took = start.elapsed();
        let n = board.lock().unwrap().program_instructions() - before;
        eprintln!("round {round}: {took:.1?} for {n} instructions");
    }
}
fn glob() -> std::path::PathBuf {
    let root =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/esptool-4.5.1/lib");
    let python = fs::read_dir(root).unwrap().next().unwrap().unwrap().path();
    python.join("site-packages/esptool/targets/stub_flasher/stub_flasher_32.json")
}
