//! Messages for SQLite's error log, which cuts lines without a word.

/// What SQLite keeps of a line: printf.c, `renderLogMsg`, SQLITE_PRINT_BUF_SIZE * 3 with its NUL.
const LINE: usize = 70 * 3 - 1;
/// What every line begins with.
const FIRST: &str = "lumocrypt: ";
/// What the second line of a message begins with, and further ones.
const NEXT: &str = "lumocrypt: ... ";

/// The lines of a message, each short enough, cut between words where there are some.
pub fn lines(message: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = message;
    loop {
        let head = if found.is_empty() { FIRST } else { NEXT };
        let room = LINE - head.len();
        if rest.len() <= room {
            found.push(format!("{head}{rest}"));
            return found;
        }
        let mut most = room;
        while !rest.is_char_boundary(most) {
            most -= 1;
        }
        // A word longer than a line, as a path may be, is cut; the space at the end of a line is left out.
        let space = if rest[most..].starts_with(' ') { Some(most) } else { rest[..most].rfind(' ') };
        let (end, next) = match space {
            Some(space) if space > 0 => (space, space + 1),
            _ => (most, most),
        };
        found.push(format!("{head}{}", &rest[..end]));
        rest = &rest[next..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_message_is_cut_off() {
        let words: Vec<String> = (0..500).map(|i| format!("wörd{i}")).collect();
        for message in [String::new(), "short".to_owned(), words.join(" "), words.concat(), "é".repeat(1000)]
        {
            let lines = lines(&message);
            assert!(lines.iter().all(|line| line.len() <= LINE && line.starts_with(FIRST)));
            let (first, rest) = lines.split_first().expect("a line");
            let pieces: Vec<&str> = std::iter::once(&first[FIRST.len()..])
                .chain(rest.iter().map(|line| line.strip_prefix(NEXT).expect("marked as going on")))
                .collect();
            // Put together again, with or without the spaces that line ends took.
            assert_eq!(pieces.concat().replace(' ', ""), message.replace(' ', ""));
            if message.contains(' ') {
                assert_eq!(pieces.join(" "), message);
            }
        }
    }
}
