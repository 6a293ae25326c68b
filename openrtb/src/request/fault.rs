//! Why reading stopped, and where.

use super::error::RequestError;

/// What is wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Flaw {
    /// No JSON.
    Syntax(&'static str),
    /// Nested too deeply.
    TooDeep,
    /// A member that is read comes twice.
    Duplicate,
    /// A member that is read is a number that no `f64` holds.
    NumberOutOfRange,
}

/// A flaw and its place. Behind a pointer, so that results stay small.
#[derive(Debug)]
pub(super) struct Fault(Box<Details>);

#[derive(Debug)]
struct Details {
    flaw: Flaw,
    at: usize,
    /// From the innermost step to the outermost.
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Member(String),
    Element(usize),
}

impl Fault {
    #[cold]
    pub(super) fn new(flaw: Flaw, at: usize) -> Self {
        Self(Box::new(Details { flaw, at, steps: Vec::new() }))
    }

    /// It happened within this member.
    #[cold]
    pub(super) fn within(mut self, member: &str) -> Self {
        // Other flaws may lie in members that nobody reads, whose names can be anything.
        if matches!(self.0.flaw, Flaw::Duplicate | Flaw::NumberOutOfRange) {
            self.0.steps.push(Step::Member(member.to_owned()));
        }
        self
    }

    /// It happened within this element of a list.
    #[cold]
    pub(super) fn at_element(mut self, index: usize) -> Self {
        self.0.steps.push(Step::Element(index));
        self
    }

    /// As an error of the call whose body is `text`.
    pub(super) fn in_body(self, text: &str) -> RequestError {
        let Details { flaw, at, .. } = *self.0;
        let before = text.as_bytes().get(..at).unwrap_or_default();
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|&&byte| byte != b'\n').count();
        match flaw {
            Flaw::Syntax(problem) => RequestError::InvalidJson { problem, line, column },
            Flaw::TooDeep => RequestError::TooDeep { line, column },
            Flaw::Duplicate => RequestError::Duplicate { member: self.path(), line, column },
            Flaw::NumberOutOfRange => RequestError::NumberOutOfRange { member: self.path(), line, column },
        }
    }

    /// `imp[3].banner.w`.
    fn path(&self) -> String {
        let mut path = String::new();
        for step in self.0.steps.iter().rev() {
            match step {
                Step::Member(name) if path.is_empty() => path.push_str(name),
                Step::Member(name) => path.extend([".", name]),
                Step::Element(index) => path.push_str(&format!("[{index}]")),
            }
        }
        path
    }
}
