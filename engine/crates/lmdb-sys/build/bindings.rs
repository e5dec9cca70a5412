//! Names: which functions there are, and the declarations of them under a prefix.

/// The functions that the Rust declarations name.
pub fn functions(rust: &str) -> Vec<String> {
    rust.lines()
        .filter_map(|line| line.trim_start().strip_prefix("pub fn "))
        .filter_map(|rest| rest.split('(').next())
        .map(str::to_owned)
        .collect()
}

/// The functions that C text declares or defines, by the look of them: a name of LMDB's before a parenthesis.
pub fn c_functions(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in text.match_indices("mdb_mid") {
        let name: String =
            text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        if text[at + name.len()..].starts_with('(') && !text[..at].ends_with("#define ") {
            names.push(name);
        }
    }
    names
}

/// A header that gives each function its prefix.
pub fn prefix_header(names: &[String], prefix: &str) -> String {
    names.iter().map(|name| format!("#define {name} {prefix}{name}\n")).collect()
}

/// The declarations, linked to the functions with the prefix.
pub fn declarations(rust: &str, prefix: &str) -> String {
    let mut out = String::new();
    for line in rust.lines() {
        if line.trim_start().starts_with("#[doc") {
            continue;
        }
        if let Some(rest) = line.trim_start().strip_prefix("pub fn ") {
            let name = rest.split('(').next().unwrap_or_default();
            out.push_str(&format!("    #[link_name = \"{prefix}{name}\"]\n"));
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}
