//! The edits: small files that say what to look for and what to put there.
//!
//!     Any text: what the edit is for.
//!     @ FILE OPERATION [within FUNCTION]
//!     anchor
//!     @ upto          (only for `cut`)
//!     second anchor
//!     @ with
//!     text
//!     @ end
//!
//! Operations: `replace` the anchor; put text `before` or `after` it; `cut` from it up to the second anchor; give the
//! function whose head it is another `body`. An anchor must be there exactly once: in the file, or within the function
//! whose head's last line begins with FUNCTION. Anything else is an error, so that no edit is lost without a word.

use std::fs;
use std::ops::Range;
use std::path::Path;

use super::Result;

/// What to do with the anchor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    Replace,
    Before,
    After,
    Cut(String),
    Body,
}

/// One step of an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub file: String,
    pub within: Option<String>,
    pub operation: Operation,
    pub anchor: String,
    pub text: String,
}

/// Applies every step for `file` in the folder to `source`.
pub fn apply(folder: &Path, file: &str, mut source: String) -> Result<String> {
    let mut paths: Vec<_> =
        fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<std::io::Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "edit"));
    paths.sort();
    for path in paths {
        for (number, step) in parse(&fs::read_to_string(&path)?)?.into_iter().enumerate() {
            if step.file == file {
                source = step
                    .apply(&source)
                    .map_err(|e| format!("{}, step {}: {e}", path.display(), number + 1))?;
            }
        }
    }
    Ok(source)
}

/// The steps in the text of an edit.
pub fn parse(text: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(head) = line.strip_prefix("@ ") else { continue };
        let mut words = head.splitn(4, ' ');
        let file = words.next().unwrap_or_default().to_owned();
        let operation = words.next().unwrap_or_default().to_owned();
        let within = match (words.next(), words.next()) {
            (None, _) => None,
            (Some("within"), Some(function)) => Some(function.to_owned()),
            _ => return Err(format!("not understood: {line}").into()),
        };
        let mut block = |last: &str| -> Result<String> {
            let mut taken = Vec::new();
            for line in lines.by_ref() {
                if line == last {
                    return Ok(taken.join("\n"));
                }
                taken.push(line);
            }
            Err(format!("no line {last:?} after {head:?}").into())
        };
        let (operation, anchor) = match operation.as_str() {
            "replace" => (Operation::Replace, block("@ with")?),
            "before" => (Operation::Before, block("@ with")?),
            "after" => (Operation::After, block("@ with")?),
            "body" => (Operation::Body, block("@ with")?),
            "cut" => {
                let anchor = block("@ upto")?;
                (Operation::Cut(block("@ with")?), anchor)
            }
            _ => return Err(format!("no such operation: {line}").into()),
        };
        let text = block("@ end")?;
        steps.push(Step { file, within, operation, anchor, text });
    }
    Ok(steps)
}

/// The end of the function that begins before `start`: behind the next line that is a closing brace.
fn end_of_function(source: &str, start: usize) -> Result<usize> {
    source[start..].find("\n}\n").map(|at| start + at + 1).ok_or_else(|| "a function without an end".into())
}

/// Where `text` is, which must be in one place of `range`.
fn only(source: &str, range: Range<usize>, text: &str) -> Result<usize> {
    let mut places = source[range.clone()].match_indices(text).map(|(at, _)| range.start + at);
    match (text.is_empty(), places.next(), places.next()) {
        (false, Some(at), None) => Ok(at),
        (false, None, _) => Err(format!("not there: {text:?}").into()),
        (false, ..) => Err(format!("there more than once: {text:?}").into()),
        (true, ..) => Err("an empty anchor".into()),
    }
}

impl Step {
    /// The source with this step applied.
    pub fn apply(&self, source: &str) -> Result<String> {
        let range = match &self.within {
            None => 0..source.len(),
            Some(function) => {
                let start = only(source, 0..source.len(), &format!("\n{function}"))?;
                start..end_of_function(source, start)?
            }
        };
        let start = only(source, range.clone(), &self.anchor)?;
        let end = start + self.anchor.len();
        let (cut, text) = match &self.operation {
            Operation::Replace => (start..end, self.text.clone()),
            Operation::Before => (start..start, format!("{}\n", self.text)),
            Operation::After => (end..end, format!("\n{}", self.text)),
            Operation::Cut(last) => (start..only(source, end..range.end, last)?, format!("{}\n", self.text)),
            Operation::Body => (end..end_of_function(source, end)?, format!("\n{{\n{}\n", self.text)),
        };
        Ok([&source[..cut.start], &text, &source[cut.end..]].concat())
    }
}
