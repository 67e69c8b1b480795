//! `docs/command-line.md`, written from what the program takes.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};

use super::CommandLine;
use super::manual::verbs;

/// The reference page, as Markdown.
pub fn reference() -> String {
    let mut command = CommandLine::command();
    command.build();
    let mut page = String::from(HEAD);
    section(&mut page, &command, command.get_name(), &BTreeSet::new());
    page
}

/// A command and all behind it. What holds for a whole family is `known` to its members, and not said again.
fn section(page: &mut String, command: &Command, path: &str, known: &BTreeSet<&str>) {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage);
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    write(page, format_args!("\n## `{path}`\n\n{}\n\n```text\n{usage}\n```\n", sentence(&about)));
    let is_told = |argument: &&Arg| {
        let id = argument.get_id().as_str();
        let is_everywhere = ["help", "version"].contains(&id) || (argument.is_global_set() && known.contains(id));
        !argument.is_hide_set() && !is_everywhere
    };
    let arguments: Vec<&Arg> = command.get_arguments().filter(is_told).collect();
    if !arguments.is_empty() {
        page.push_str("\n| argument | environment variable | default | meaning |\n|---|---|---|---|\n");
    }
    for argument in arguments {
        row(page, argument);
    }
    let mut members = verbs(command).peekable();
    if members.peek().is_some() {
        page.push_str("\n| verb | what it does |\n|---|---|\n");
    }
    for member in members {
        let path = format!("{path} {}", member.get_name());
        let about = member.get_about().map(ToString::to_string).unwrap_or_default();
        write(page, format_args!("| [`{path}`](#{}) | {} |\n", path.replace(' ', "-"), sentence(&about)));
    }
    let shared: BTreeSet<&str> = command
        .get_arguments()
        .filter(|argument| argument.is_global_set())
        .map(|argument| argument.get_id().as_str())
        .collect();
    for member in verbs(command) {
        section(page, member, &format!("{path} {}", member.get_name()), &shared);
    }
}

fn row(page: &mut String, argument: &Arg) {
    let takes_value = argument.get_action().takes_values();
    let short = argument.get_short().filter(|_| argument.get_long().is_some());
    let short = short.map(|letter| format!("-{letter}, ")).unwrap_or_default();
    let variable = argument.get_env().map(|name| format!("`{}`", name.display())).unwrap_or_default();
    let defaults: Vec<_> = argument.get_default_values().iter().map(|value| format!("`{}`", value.display())).collect();
    let default = match (takes_value, argument.is_required_set()) {
        (true, true) => "must be given".to_owned(),
        (true, false) => defaults.join(", "),
        (false, _) => String::new(),
    };
    let meaning = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut meaning = sentence(&meaning);
    let values = argument.get_possible_values();
    if takes_value && !values.is_empty() {
        let values: Vec<_> = values
            .iter()
            .map(|value| match value.get_help() {
                Some(help) => format!("`{}` ({})", value.get_name(), help.to_string().trim_end_matches('.')),
                None => format!("`{}`", value.get_name()),
            })
            .collect();
        write(&mut meaning, format_args!(" One of {}.", values.join(", ")));
    }
    write(page, format_args!("| `{short}{argument}` | {variable} | {default} | {} |\n", meaning.replace('|', "\\|")));
}

/// A text of several lines, or one that lost its full stop in the help, as it stands in a table.
fn sentence(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() || text.ends_with('.') { text } else { format!("{text}.") }
}

fn write(page: &mut String, arguments: std::fmt::Arguments<'_>) {
    page.write_fmt(arguments).expect("writing to a String cannot fail");
}

const HEAD: &str = "\
# Command line

<!-- Written from src/command; `UPDATE_DOCS=1 cargo test documentation` writes it anew. -->

The service and the tools that talk to it are one program. Options of a family of verbs hold for each verb in it, and stand
in its own table only. An option that has an environment variable is taken from there when it is not given. What the service
itself can be set to is in [configuration.md](configuration.md).

Exit codes: 0 it went well, 1 it failed, 2 the call or the configuration was wrong. What went wrong stands on standard error.
";
