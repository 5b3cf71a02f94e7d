//! `emulator show`: maps of what is protected, and parts of the user's own.

#![expect(clippy::expect_used, reason = "helpers of tests")]

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
};

fn emulator(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_emulator")).args(arguments).output().expect("runs")
}

fn print(arguments: &[&str]) -> String {
    let output = emulator(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// One part of each rule family, and both kinds of individual locks.
const MAPS: [&[&str]; 10] = [
    // BP, TB, SEC, CMP.
    &["W25Q128FV", "--status", "0x04"],
    &["W25Q32JV", "--status", "0x404c"],
    &["GD25Q128E", "--status", "0x4000"],
    // The table upside down, and the symmetric one.
    &["EN25Q64", "--status", "0x08"],
    &["EN25QH64A", "--status", "0x28"],
    // TB in another register.
    &["IS25LP128", "--status", "0x08", "--register", "fr=0x02"],
    // The first levels lock nothing.
    &["FM25Q128A", "--status", "0x0c"],
    // Individual locks: selected by WPS, and a register that is locked at power-up.
    &["W25Q128FV", "--status", "0x640000", "--unlock", "0x10000", "--unlock", "0xfff000"],
    &["SST26VF032B"],
    // As shipped.
    &["MT25QL128"],
];

#[test]
fn maps_of_every_rule_family() {
    let mut all = String::new();
    for arguments in MAPS {
        let more = [&["show", "--map"], arguments].concat();
        let _ = write!(all, "$ {}\n{}\n", more.join(" "), print(&more));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn the_same_as_an_image() {
    let partly = print(&["show", "W25Q128FV", "--svg", "--status", "0x04"]);
    insta::assert_snapshot!("map_svg", partly);
    let locks =
        print(&["show", "W25Q128FV", "--svg", "--status", "0x640000", "--unlock", "0x10000"]);
    insta::assert_snapshot!("map_svg_locks", locks);
    for arguments in MAPS {
        let svg = print(&[&["show", "--svg"], arguments].concat());
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
        assert_eq!(
            svg.matches("<rect").count(),
            svg.matches("<title>p").count() + svg.matches("<title>free").count() + 2
        );
    }
}

#[test]
fn json_has_the_ranges() {
    let text = print(&["show", "W25Q128FV", "--map", "--json", "--status", "0x4004"]);
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(value["protected"], serde_json::json!([[0, 0xFC_0000]]));
    assert_eq!(value["chip-erase"], false);
}

#[test]
fn wrong_arguments_are_told_what_is_allowed() {
    let mut told = String::new();
    for arguments in [
        &["show"][..],
        &["show", "W25Q"],
        &["show", "W25Q128FV", "--status", "4"],
        &["show", "W25Q128FV", "--status", "0x1000000"],
        &["show", "W25Q128FV", "--register", "sr9=1"],
        &["show", "W25Q128FV", "--register", "sr1=256"],
        &["show", "W25Q128FV", "--register", "cr=1"],
        &["show", "W25Q128FV", "--unlock", "0x1000000"],
        &["show", "EN25QH64A", "--unlock", "0"],
        &["show", "MT25QL128", "--status", "0x4200"],
        &["show", "esptool-915", "--map"],
        &["show", "W25Q128FV", "--part-file", "x.toml"],
        &["show", "--part-file", "/nonexistent.toml"],
    ] {
        let output = emulator(arguments);
        let code = output.status.code().expect("an exit status");
        assert!(code == 2 || code == 3, "{arguments:?}: {code}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let first = text.lines().next().unwrap_or_default();
        let _ = write!(told, "{} -> {code}\n{first}\n\n", arguments.join(" "));
    }
    insta::assert_snapshot!(told);
}

/// A part file of the user's own: a sister of a built-in part with another name and size of BP.
fn own_part(folder: &Path, change: impl Fn(String) -> String) -> String {
    let text = spi_nor::catalog::text("W25Q32JV").expect("built in").to_owned();
    let path = folder.join("mine.toml");
    std::fs::write(&path, change(text.replace("name = \"W25Q32JV\"", "name = \"MINE32\"")))
        .expect("written");
    path.to_str().expect("text").to_owned()
}

#[test]
fn a_part_of_the_users_own_is_shown_and_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = own_part(folder.path(), |text| text);
    let text = print(&["show", "--part-file", &path]);
    assert!(text.starts_with("MINE32 (Winbond), JEDEC id ef4016"), "{text}");
    let map = print(&["show", "--part-file", &path, "--status", "0x1c"]);
    assert!(map.contains("protected  0x00000000..0x00400000  4 MiB"), "{map}");
    let mut child = Command::new(env!("CARGO_BIN_EXE_emulator"))
        .args(["serve", "--part-file", &path])
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut port = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut port).expect("a line");
    child.kill().expect("ends");
    child.wait().expect("ended");
    assert!(port.starts_with("/dev/"), "{port}");
}

#[test]
fn a_wrong_part_of_the_users_own_is_answered_with_file_line_key_and_what_is_allowed() {
    let changes: [(&str, &str); 5] = [
        ("page-bytes = 256", "page-bytes = 255"),
        ("rule = \"nothing-protected\"", "rule = \"never\""),
        ("wp-enable-bit = \"SRP0\"", "wp-enable-bit = \"SRP\""),
        ("vendor = ", "maker = "),
        ("[registers.sr1]", "[registers.sr1"),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let mut told = String::new();
    for (old, new) in changes {
        let path = own_part(folder.path(), |text| {
            assert!(text.contains(old), "{old}");
            text.replacen(old, new, 1)
        });
        for arguments in [["show", "--part-file", &path], ["serve", "--part-file", &path]] {
            let output = emulator(&arguments);
            assert_eq!(output.status.code(), Some(3), "{new}");
            let _ = writeln!(told, "{} {new}", arguments[0]);
            told.push_str(&String::from_utf8_lossy(&output.stderr));
            told.push('\n');
        }
    }
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"/\S*/mine\.toml", "mine.toml");
    settings.bind(|| insta::assert_snapshot!(told));
}
