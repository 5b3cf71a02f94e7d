//! The command line with each command's exit codes in its help.

use clap::CommandFactory;
use esp32_flasher::exit::Exit;

use crate::args::Cli;

/// What every command that talks to a board can end with.
const BOARD: [Exit; 7] = [
    Exit::Done,
    Exit::Failed,
    Exit::Usage,
    Exit::Port,
    Exit::NoAnswer,
    Exit::WrongChip,
    Exit::Interrupted,
];

/// The command line.
pub(crate) fn command() -> clap::Command {
    let mut command = with_exits(Cli::command(), "");
    // A manual or a completion script shows the finished commands.
    command.build();
    command
}

fn with_exits(mut command: clap::Command, path: &str) -> clap::Command {
    let names: Vec<String> =
        command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in &names {
        let path = if path.is_empty() { name.clone() } else { format!("{path} {name}") };
        command = command.mut_subcommand(name, |sub| with_exits(sub, &path));
    }
    let Some(exits) = exits(path).filter(|_| names.is_empty()) else { return command };
    let list: Vec<String> =
        exits.iter().map(|exit| format!("{} {}", *exit as u8, exit.meaning())).collect();
    let list = format!("Exit codes: {}.", list.join(", "));
    let help = match command.get_after_help() {
        Some(help) => format!("{list}\n\n{help}"),
        None => list,
    };
    command.after_help(help)
}

/// The codes that a command can end with; none if it says so itself.
fn exits(path: &str) -> Option<Vec<Exit>> {
    let more: &[Exit] = match path {
        "write" => &[Exit::VerifyFailed, Exit::Protected, Exit::Incurable, Exit::Unsupported],
        "verify" => &[Exit::VerifyFailed],
        "erase chip" | "erase region" => &[Exit::VerifyFailed, Exit::Protected, Exit::Incurable],
        "status write" | "protect clear" | "protect set" | "protect restore" => {
            &[Exit::Protected, Exit::Incurable]
        }
        "chip" | "flash-id" | "status read" | "read" | "protect status" | "protect list"
        | "doctor" => &[],
        "reproduce" => return Some(without(&[Exit::WrongChip])),
        "matrix" => return Some(without(&[Exit::Port, Exit::NoAnswer, Exit::WrongChip])),
        "list-ports" => return Some(vec![Exit::Done, Exit::Port]),
        "schema" => return Some(vec![Exit::Done, Exit::Failed, Exit::Usage]),
        "completions" => return Some(vec![Exit::Done, Exit::Usage]),
        _ => return None,
    };
    let mut all: Vec<Exit> = BOARD.iter().chain(more).copied().collect();
    all.sort_by_key(|exit| *exit as u8);
    Some(all)
}

fn without(left_out: &[Exit]) -> Vec<Exit> {
    BOARD.into_iter().filter(|exit| !left_out.contains(exit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &clap::Command) {
        if command.get_subcommands().next().is_none() {
            let mut command = command.clone();
            let help = command.render_long_help().to_string();
            assert!(help.contains("Exit code"), "{}: {help}", command.get_name());
            return;
        }
        command.get_subcommands().filter(|sub| sub.get_name() != "help").for_each(check);
    }

    #[test]
    fn every_command_tells_its_exit_codes() {
        check(&with_exits(Cli::command(), ""));
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }
}
