//! `emulator explain` on what public threads report: the mechanism that is known stands among those
//! that are left, and what contradicts it is excluded by the observation that contradicts.

#![expect(clippy::expect_used, reason = "a test says what went wrong")]

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use esp32_emulator::explain::{Explanation, Observed, explain};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("observations").join(format!("{name}.toml"))
}

fn explained(name: &str) -> Explanation {
    let observed = Observed::load(&file(name)).expect("a file of the tree is right");
    explain(&observed, &mut |_| {}).expect("its parts exist")
}

fn fits(explanation: &Explanation) -> Vec<&str> {
    explanation.fits.iter().map(|fit| fit.name.as_str()).collect()
}

/// Steps that exclude a mechanism; empty if it is not among the excluded ones.
fn excluded_by(explanation: &Explanation, name: &str) -> Vec<usize> {
    let excluded = explanation.excluded.iter().find(|excluded| excluded.name == name);
    excluded.map_or_else(Vec::new, |excluded| {
        excluded.contradicts.iter().map(|contradicts| contradicts.step).collect()
    })
}

/// What is known of a case: mechanisms that must be left, the likeliest first, and mechanisms that
/// must be excluded with a step that does it.
fn check(name: &str, left: &[&str], excluded: &[(&str, usize)]) -> Explanation {
    let explanation = explained(name);
    let found = fits(&explanation);
    assert_eq!(found.first(), left.first(), "{name}:\n{explanation}");
    for mechanism in left {
        assert!(found.contains(mechanism), "{name}: {mechanism} is missing:\n{explanation}");
    }
    for (mechanism, step) in excluded {
        let by = excluded_by(&explanation, mechanism);
        assert!(by.contains(step), "{name}: {mechanism} by {by:?}, not by {step}:\n{explanation}");
    }
    explanation
}

/// QUIRKS part 3: H1 and H2 satisfy all, H3 and H4 with a side effect that no datasheet has; H5
/// contradicts the reading, H6 to H9 the cure or what comes before it.
#[test]
fn issue_915_comes_out_as_its_analysis_says() {
    let explanation = explained("esptool-915");
    assert_eq!(
        fits(&explanation),
        [
            "s9-protects",
            "status-row-damaged-at-boot",
            "wps-cleared-by-side-effect",
            "third-register-bit"
        ]
    );
    let [h1, h2, h3, _] = explanation.fits.as_slice() else { panic!("four") };
    // Bit 9 and no other, set by a boot in a quad mode.
    assert!(h1.states.iter().all(|state| state.starts_with("bit 1 of ")), "{:?}", h1.states);
    assert_eq!(h1.boots.len(), 1, "{:?}", h1.boots);
    // QE is fixed at 1 there, so that the cure's 0x0000 cannot be read back.
    let fixed_qe = "W25Q128JV".to_owned();
    assert!(explanation.fits.iter().all(|fit| !fit.parts.contains(&fixed_qe)));
    // The side effect needs one of the writes by which the cure differs from the stub's unlock.
    let writes = ["cleared by 01h with 1 byte", "cleared by 31h with 1 byte"];
    assert!(h3.states.iter().all(|state| writes.iter().any(|write| state.ends_with(write))));
    assert!(h2.weight < h3.weight);
    // H5: nothing but the readings of 0x0200 speaks against it.
    let h5 = explanation.excluded.iter().find(|it| it.name == "register-bits-at-boot");
    let h5 = h5.expect("excluded");
    assert!(h5.only_readings, "{h5:?}");
    assert_eq!(excluded_by(&explanation, &h5.name), [4, 6]);
    // H7: below the write-inhibit level the cure's write is ignored as well.
    assert_eq!(excluded_by(&explanation, "supply-low-at-boot"), [8, 9]);
    // H8, H9, and locks of the registers.
    assert!(excluded_by(&explanation, "qpi-left-on").contains(&4));
    assert!(excluded_by(&explanation, "suspend-pending").contains(&8));
    for lock in ["registers-locked-until-power-cycle", "registers-locked-for-ever"] {
        assert!(excluded_by(&explanation, lock).contains(&8), "{lock}");
    }
    // Writing 0x0200 back: H1 locks again, H2 does not.
    let back = explanation.next.iter().find(|next| next.name == "write-0200-back");
    let back = back.expect("among the most telling");
    let alone = |name: &str| back.outcomes.iter().find(|it| it.mechanisms == [name.to_owned()]);
    let h2 = alone("status-row-damaged-at-boot");
    assert!(back.outcomes.iter().any(|it| {
        it.seen.ends_with("no time") && it.mechanisms.contains(&"s9-protects".to_owned())
    }));
    assert!(h2.is_none_or(|it| it.seen.ends_with("its time")));
    insta::assert_snapshot!("issue_915", explanation.to_string());
}

#[test]
fn plain_block_protection_is_found() {
    check(
        "sr1-bp",
        &["register-bits"],
        &[("in-order", 1), ("s9-protects", 5), ("supply-low", 5), ("registers-locked-by-pin", 1)],
    );
}

#[test]
fn a_sound_part_under_the_rom_protects_itself() {
    check("rom-flash-end", &["in-order"], &[("s9-protects", 3), ("program-data-lost", 1)]);
}

#[test]
fn individual_locks_are_found_by_the_global_unlock_and_the_power_cycle() {
    let explanation = check(
        "wps-locked",
        &["individual-locks"],
        &[("register-bits", 6), ("supply-low", 6), ("in-order", 2)],
    );
    let parts = &explanation.fits[0].parts;
    assert!(parts.contains(&"W25Q128FV".to_owned()), "{parts:?}");
    // WPS is in the second register there, and shows.
    assert!(!parts.contains(&"FM25W128".to_owned()), "{parts:?}");
}

#[test]
fn a_low_supply_is_found_by_its_cure() {
    check(
        "vdd-sdio",
        &["supply-low"],
        &[("status-row-damaged", 6), ("register-bits", 1), ("in-order", 2)],
    );
}

#[test]
fn wiring_and_noise_are_no_protection() {
    check("reads-ff", &["program-data-lost"], &[("register-bits", 1), ("supply-low", 1)]);
    check("supply", &["reads-unstable"], &[("register-bits", 1), ("supply-low", 1)]);
}

#[test]
fn cmp_alone_protects_everything() {
    let explanation =
        check("by25q64as-cmp", &["register-bits"], &[("in-order", 2), ("supply-low", 1)]);
    assert_eq!(explanation.fits[0].states, ["SR2 = 0x42"]);
}

/// The case is open in public: what the thread tells leaves several mechanisms.
#[test]
fn an_open_case_stays_open_and_the_next_measurement_is_named() {
    let explanation = check(
        "kincony-2535",
        &["individual-locks", "supply-low"],
        &[("register-bits", 3), ("in-order", 4), ("registers-locked-by-pin", 1)],
    );
    let next = explanation.next.first().expect("something splits it");
    assert_eq!(next.name, "status-3");
    assert!(next.millibits > 500);
}

#[test]
fn locked_registers_are_told_from_a_protected_array() {
    check("xmc-7994", &["registers-locked-for-ever"], &[("register-bits", 3)]);
    check("srp-locked", &["registers-locked-for-ever"], &[("in-order", 1), ("supply-low", 1)]);
}

#[test]
fn parts_that_take_one_byte_only_are_found() {
    let explanation =
        check("gd-16bit-wrsr", &["register-bits"], &[("s9-protects", 1), ("supply-low", 1)]);
    assert!(explanation.fits[0].parts.iter().all(|part| part.starts_with("GD25")));
}

#[test]
fn the_loaders_do_not_know_every_family() {
    let explanation = check("sst-a25bf", &["power-up-locks"], &[]);
    assert_eq!(explanation.fits[0].parts, ["SST25VF032B"]);
}

#[test]
fn what_the_thread_does_not_tell_stays_open() {
    let explanation = explained("status-clean");
    for name in ["individual-locks", "reads-unstable", "program-data-lost", "supply-low"] {
        assert!(fits(&explanation).contains(&name), "{name}");
    }
    assert!(!fits(&explanation).contains(&"in-order"));
    let explanation = explained("arduino-1890");
    assert!(fits(&explanation).contains(&"register-bits-at-boot"));
    assert!(!excluded_by(&explanation, "supply-low-at-boot").is_empty());
}

fn emulator(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_emulator")).args(arguments).output().expect("runs")
}

fn explain_text(text: &str) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("seen.toml");
    std::fs::write(&path, text).expect("written");
    emulator(&["explain", "--observed", path.to_str().expect("text")])
}

#[test]
fn the_exit_status_says_whether_anything_fits() {
    let found = emulator(&["explain", "--observed", file("vdd-sdio").to_str().expect("text")]);
    assert_eq!(found.status.code(), Some(0));
    assert!(found.stderr.is_empty(), "progress is for terminals");
    let nothing = explain_text(
        "title = \"a\"\nsteps = [{ select = { out = \"9f\", answer = \"c84017\" } }, \
         { select = { out = \"9f\", answer = \"ef4017\" } }]\n[flash]\nid = \"c84017\"\n",
    );
    assert_eq!(nothing.status.code(), Some(4));
    assert_eq!(emulator(&["explain"]).status.code(), Some(2));
    assert_eq!(emulator(&["explain", "--observed", "/nonexistent"]).status.code(), Some(3));
}

#[test]
fn json_says_the_same() {
    let path = file("vdd-sdio");
    let output = emulator(&["explain", "--json", "--observed", path.to_str().expect("text")]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(value["fits"][0]["name"], "supply-low");
    assert_eq!(value["fits"][0]["class"], "supply");
    assert_eq!(value["excluded"][0]["contradicts"][0]["step"], 6);
}

#[test]
fn wrong_files_are_answered_with_file_line_key_and_what_is_allowed() {
    let texts = [
        "",
        "title = \"a\"\nsteps = []\n",
        "title = \"a\"\nsteps = [{ wrote = {} }]\n",
        "title = \"a\"\nsteps = [{ write = { md5 = \"new\" } }]\n",
        "title = \"a\"\nsteps = [{ write = { at = 0x1001 } }]\n",
        "title = \"a\"\nsteps = [{ write = { at = 0xfff000, bytes = 0x10000 } }]\n",
        "title = \"a\"\nsteps = [{ erase-chip = { took = \"soon\" } }]\n",
        "title = \"a\"\nsteps = [{ status = { sr1 = 256 } }]\n",
        "title = \"a\"\nsteps = [{ write-flash-status = { value = 0, bytes = 4 } }]\n",
        "title = \"a\"\nsteps = [{ boot = {} }]\n[flash]\nid = \"c840\"\n",
        "title = \"a\"\nsteps = [{ boot = {} }]\n[flash]\npart = \"W25Q\"\n",
        "title = \"a\"\nsteps = [{ write = { loader = \"stub\", says = \"error\" } }]\n",
    ];
    let mut told = String::new();
    for text in texts {
        let output = explain_text(text);
        assert_eq!(output.status.code(), Some(3), "{text}");
        told.push_str(&String::from_utf8_lossy(&output.stderr));
        told.push('\n');
    }
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"/\S*/seen\.toml", "seen.toml");
    settings.bind(|| insta::assert_snapshot!(told));
}

#[test]
fn a_part_that_the_catalogue_lacks_is_tried_as_any() {
    let output = explain_text(
        "title = \"a\"\nsteps = [{ status = { sr1 = 0xfc, sr2 = 0x7b } }]\n[flash]\nid = \"852015\"\n",
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("No part of the catalogue is as the file says"), "{text}");
    assert_eq!(output.status.code(), Some(0));
}
