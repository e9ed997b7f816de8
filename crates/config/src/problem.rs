//! What is wrong with a configuration: every problem with its place, printed as a compiler prints them,
//! so that one run shows all there is to mend.

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, SourceCode};
use miette::{SourceSpan, SpanContents};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path, as messages name it.
    pub path: String,
    /// What stands in it.
    pub text: String,
}

/// One thing that is wrong, or that looks wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file's path.
    pub file: String,
    /// The line; from 1.
    pub line: usize,
    /// The column, in characters; from 1.
    pub column: usize,
    /// The setting, what was found and what is wanted.
    pub message: String,
    /// How to mend it, where that is known.
    pub help: Option<String>,
    /// The bytes of the file that it is about.
    pub span: Range<usize>,
}

/// Something that is legal and probably not meant, such as a check that is bound to nothing.
pub type Warning = Problem;

/// Everything that is wrong with a configuration. Never empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Errors {
    pub(crate) files: Arc<[File]>,
    pub(crate) problems: Vec<Problem>,
}

impl Errors {
    /// The problems, by file and place.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// All of them, each with its source line and a caret below; with terminal colours where wanted.
    pub fn render(&self, colour: bool) -> String {
        render(&self.files, &self.problems, miette::Severity::Error, colour)
    }
}

/// As `render` prints them, without colours.
impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// As they are displayed: that is what a test or a panic wants to show.
impl fmt::Debug for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Errors {}

/// Prints problems of these files one after the other.
pub(crate) fn render(files: &[File], problems: &[Problem], severity: miette::Severity, colour: bool) -> String {
    let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(120).with_links(false).with_context_lines(1);
    let mut text = String::new();
    for problem in problems {
        let source = files.iter().find(|file| file.path == problem.file).map(Source);
        let report = Report { problem, source, severity };
        // Writing into a string does not fail; a report that cannot be drawn is still told in one line.
        if handler.render_report(&mut text, &report).is_err() {
            text.push_str(&format!("{}:{}:{}: {problem}\n", problem.file, problem.line, problem.column));
        }
    }
    text
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A problem as miette draws it.
#[derive(Debug)]
struct Report<'a> {
    problem: &'a Problem,
    source: Option<Source<'a>>,
    severity: miette::Severity,
}

/// A file as miette reads it: asked for surroundings, it gives the lines themselves and no others.
#[derive(Debug)]
struct Source<'a>(&'a File);

impl SourceCode for Source<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        _after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let text = &self.0.text;
        let (mut start, mut end) = (span.offset(), span.offset() + span.len());
        if before > 0 {
            start = text[..start].rfind('\n').map_or(0, |at| at + 1);
            end = text[end..].find('\n').map_or(text.len(), |length| end + length);
        }
        let inner = text.read_span(&(start..end).into(), 0, 0)?;
        let (line, column, lines) = (inner.line(), inner.column(), inner.line_count());
        let name = self.0.path.clone();
        Ok(Box::new(miette::MietteSpanContents::new_named(name, inner.data(), *inner.span(), line, column, lines)))
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Report<'_> {}

impl Diagnostic for Report<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(LabeledSpan::new_primary_with_span(None, self.problem.span.clone()))))
    }
}

/// Where something stands: a file by its index, and the bytes in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: usize,
    pub(crate) span: Range<usize>,
}

/// Collects problems while a configuration is read, so that reading goes on after each.
pub(crate) struct Problems {
    pub(crate) files: Vec<File>,
    pub(crate) errors: Vec<(usize, Problem)>,
    pub(crate) warnings: Vec<Warning>,
    /// Where secrets are written out.
    secrets: Vec<Place>,
}

impl Problems {
    pub(crate) fn new(files: &[File]) -> Problems {
        Problems { files: files.to_vec(), errors: Vec::new(), warnings: Vec::new(), secrets: Vec::new() }
    }

    /// An error at a place; the answer may be given help.
    pub(crate) fn error(&mut self, place: &Place, message: impl Into<String>) -> &mut Problem {
        let problem = self.problem(place, message.into());
        self.errors.push((place.file, problem));
        let last = self.errors.len() - 1;
        &mut self.errors[last].1
    }

    /// Has what is written at this place never shown, though a problem may stand on the same line.
    pub(crate) fn hide(&mut self, place: &Place) {
        self.secrets.push(place.clone());
    }

    /// Whether there is an error at this very place.
    pub(crate) fn any_at(&self, place: &Place) -> bool {
        self.errors.iter().any(|(file, problem)| *file == place.file && problem.span.start == place.span.start)
    }

    /// A warning at a place.
    pub(crate) fn warn(&mut self, place: &Place, message: impl Into<String>, help: impl Into<String>) {
        let problem = self.problem(place, message.into()).helped(help);
        self.warnings.push(problem);
    }

    /// Something defined at `place` that is defined at `first` already.
    pub(crate) fn twice(&mut self, place: &Place, first: &Place, message: String) {
        let known = self.problem(first, String::new());
        self.error(place, message).help(format!("it stands at {}:{}:{} already", known.file, known.line, known.column));
    }

    fn problem(&self, place: &Place, message: String) -> Problem {
        let file = &self.files[place.file];
        let start = floor_boundary(&file.text, place.span.start);
        let end = floor_boundary(&file.text, place.span.end.max(start));
        // A caret under a whole block says nothing: the first line of it is enough.
        let line_end = file.text[start..end].find('\n').map_or(end, |length| start + length);
        let before = &file.text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Problem {
            file: file.path.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message,
            help: None,
            span: start..line_end,
        }
    }

    /// What was collected, in the order of files and places: errors where there is one, warnings, and the files to
    /// show them in, without secrets.
    pub(crate) fn finish(mut self) -> (Option<Errors>, Vec<Warning>, Arc<[File]>) {
        for Place { file, span } in self.secrets {
            let text = &mut self.files[file].text;
            if let Some(secret) = text.get(span.clone()) {
                // As many bytes as there were, so that every other place stays what it is.
                let stars: String = secret.bytes().map(|byte| if byte == b'\n' { '\n' } else { '*' }).collect();
                text.replace_range(span, &stars);
            }
        }
        let files: Arc<[File]> = self.files.into();
        self.errors.sort_by_key(|(file, problem)| (*file, problem.span.start));
        self.errors.dedup();
        let problems: Vec<Problem> = self.errors.into_iter().map(|(_, problem)| problem).collect();
        let errors = (!problems.is_empty()).then(|| Errors { files: files.clone(), problems });
        (errors, self.warnings, files)
    }
}

impl Problem {
    pub(crate) fn helped(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn help(&mut self, help: impl Into<String>) {
        self.help = Some(help.into());
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The name that was probably meant: near enough that it is a slip of the finger.
pub(crate) fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = found.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&folded, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= name.chars().count().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `did you mean `x`?`, or the names that there are.
pub(crate) fn suggest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(name) = nearest(found, known.iter().copied()) {
        return format!("did you mean `{name}`?");
    }
    let shown: Vec<String> = known.iter().take(12).map(|name| format!("`{name}`")).collect();
    match shown.len() {
        0 => "there is none".into(),
        1 => format!("there is only {}", shown[0]),
        _ if known.len() > shown.len() => format!("there are {} and {} more", shown.join(", "), known.len() - 12),
        _ => format!("there are {}", shown.join(", ")),
    }
}
