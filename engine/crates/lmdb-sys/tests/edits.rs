//! The edits of the build: that one which does not fit is an error.

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[path = "../build/edits.rs"]
mod edits;

const SOURCE: &str = "int one(void)\n{\n\treturn 1;\n}\nint two(void)\n{\n\tstart();\n\treturn 1;\n}\n";

fn edit(text: &str) -> Result<String> {
    let mut source = SOURCE.to_owned();
    for step in edits::parse(text)? {
        source = step.apply(&source)?;
    }
    Ok(source)
}

#[test]
fn an_anchor_that_is_there_twice_is_refused() {
    let error = edit("@ a.c replace\n\treturn 1;\n@ with\n\treturn 2;\n@ end").unwrap_err();
    assert!(error.to_string().contains("more than once"), "{error}");
}

#[test]
fn an_anchor_that_is_not_there_is_refused() {
    let error = edit("@ a.c replace\n\treturn 3;\n@ with\n\treturn 2;\n@ end").unwrap_err();
    assert!(error.to_string().contains("not there"), "{error}");
}

#[test]
fn a_function_makes_an_anchor_unique() {
    let edited = edit("@ a.c replace within int two\n\treturn 1;\n@ with\n\treturn 2;\n@ end").unwrap();
    assert_eq!(edited, SOURCE.replacen("start();\n\treturn 1;", "start();\n\treturn 2;", 1));
}

#[test]
fn every_operation() {
    let edited = edit("@ a.c before\n\tstart();\n@ with\n\tfirst();\n@ end\n@ a.c after\n\tstart();\n@ with\n\tnext();\n@ end")
        .unwrap();
    assert!(edited.contains("\tfirst();\n\tstart();\n\tnext();\n"), "{edited}");
    let edited =
        edit("@ a.c cut within int two\n\tstart();\n@ upto\n\treturn\n@ with\n\tx();\n@ end").unwrap();
    assert!(edited.ends_with("{\n\tx();\n\treturn 1;\n}\n"), "{edited}");
    let edited = edit("@ a.c body\nint two(void)\n@ with\n\treturn 5;\n@ end").unwrap();
    assert!(edited.ends_with("int two(void)\n{\n\treturn 5;\n}\n"), "{edited}");
}

#[test]
fn what_is_not_understood_is_refused() {
    for text in
        ["@ a.c mend\nx\n@ with\ny\n@ end", "@ a.c replace\nx\n@ with\ny", "@ a.c replace x\n@ with\n@ end"]
    {
        edit(text).unwrap_err();
    }
}

#[test]
fn files_are_applied_in_the_order_of_their_names() {
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("edits");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("02.edit"), "@ a.c replace\n\tfirst();\n@ with\n\tsecond();\n@ end\n")
        .unwrap();
    std::fs::write(folder.join("01.edit"), "@ a.c replace\n\tstart();\n@ with\n\tfirst();\n@ end\n").unwrap();
    let edited = edits::apply(&folder, "a.c", SOURCE.to_owned()).unwrap();
    assert_eq!(edited, SOURCE.replace("start", "second"));
    assert_eq!(edits::apply(&folder, "b.c", SOURCE.to_owned()).unwrap(), SOURCE, "another file's edits");
}
