//! Short checks without the interpreter: a number against a threshold, which is nearly all that a million checks do.
//!
//! A check function is read once into a tree of the steps that need nothing of Rhai: what its parameters hold, numbers
//! and comparisons, `if`, `let` and `return`, and answers whose message is there already. All else is [`Node::Leave`].
//! A call walks that tree, and where it comes upon something that it does not know, it gives up, and the interpreter
//! runs the script from its beginning. Scripts have no effects, so that cannot be told apart from a call of the
//! interpreter alone: here only has to be right what is answered, and everything else, errors with their places and
//! budgets above all, stays Rhai's.

use crate::arguments::CHECK_FIELDS;
use crate::declaration::entry_point;
use crate::host::STRING_BYTES;
use crate::reads::function;
use crate::values::order;
use crate::{CheckCall, FunctionKind, Parameter, Seen};
use model::definition::{Downsampling, Limits};
use model::{Point, Reading, Span, State, Time, Value};
use rhai::{AST, ASTFlags, ASTNode, Expr, FnCallExpr, Stmt, StmtBlock};
use std::cmp::Ordering;
use std::sync::Arc;

/// More operations than Rhai counts for any one step. Each step is taken at most once, for there are no loops.
const OPERATIONS_A_STEP: u64 = 16;
/// More bytes than the steps of a script can hold while Rhai takes them.
const BYTES: usize = 256 * 1024;
/// Variables of one script.
const VARIABLES: usize = 16;

/// A check function as far as it needs no interpreter.
#[derive(Debug)]
pub(crate) struct Straight {
    body: Vec<Node>,
}

/// What a step has in hand.
#[derive(Clone, Copy, Debug)]
enum Held<'a> {
    Nothing,
    Boolean(bool),
    Whole(i64),
    Number(f64),
    Text(&'a str),
    State(State),
    Span(Span),
    Time(Time),
    Point(&'a Point),
    Reading(&'a Reading),
    Answer(State, &'a str),
}

/// Why the steps end early.
enum Stop<'a> {
    /// By `return`.
    Returned(Held<'a>),
    /// Something came up that is Rhai's.
    Left,
}

type Step<'a> = Result<Held<'a>, Stop<'a>>;

#[derive(Debug)]
enum Node {
    Nothing,
    Boolean(bool),
    Whole(i64),
    Number(f64),
    Text(String),
    State(State),
    /// What a parameter holds: its place, and its name.
    Parameter(usize, Arc<str>),
    Own(Own),
    Variable(usize),
    Let(usize, Box<Node>),
    Field(Box<Node>, Field),
    Absolute(Box<Node>),
    Not(Box<Node>),
    Negative(Box<Node>),
    Compare(Comparison, Box<[Node; 2]>),
    Reckon(Operator, Box<[Node; 2]>),
    And(Vec<Node>),
    Or(Vec<Node>),
    If(Box<[Node; 3]>),
    Block(Vec<Node>),
    Return(Box<Node>),
    Answer(Box<[Node; 2]>),
    Leave,
}

/// What every check sees beside its parameters.
#[derive(Clone, Copy, Debug)]
enum Own {
    State,
    Since,
    Time,
}

/// A field of a point, of its baseline, or of a state.
#[derive(Clone, Copy, Debug)]
enum Field {
    Value,
    Start,
    End,
    Count,
    Incomplete,
    Baseline,
    Deviation,
    Score,
    Lower,
    Higher,
    Stale,
    /// Of a baseline that is the average.
    Downsampled(Downsampling),
    Is(State),
}

#[derive(Clone, Copy, Debug)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

#[derive(Clone, Copy, Debug)]
enum Operator {
    Plus,
    Minus,
    Times,
    By,
}

impl Straight {
    /// Reads a check function; none where the budgets are so tight that Rhai has to look after them.
    pub(crate) fn new(ast: &AST, parameters: &[Parameter], limits: &Limits) -> Option<Straight> {
        let only = function(ast, entry_point(FunctionKind::Check), 1);
        let argument = only.iter_fn_def().next()?.params.first()?.to_string();
        let mut reader = Reader { ast, parameters, names: vec![(argument, Meaning::Argument)], steps: 0, variables: 0 };
        let mut body = Vec::new();
        only.walk(&mut |path: &[ASTNode<'_>]| {
            if let [ASTNode::Stmt(statement)] = path {
                body.push(reader.statement(statement));
            }
            true
        });
        let roomy = reader.steps * OPERATIONS_A_STEP <= limits.script_operations && limits.script_bytes >= BYTES;
        roomy.then_some(Straight { body })
    }

    /// What the function says, if that can be told without the interpreter; with its message.
    #[allow(clippy::option_option)] // As `Function::check` has it: an answer may be that there is none.
    pub(crate) fn run<'a>(&'a self, call: &CheckCall<'a>) -> Option<Option<(State, &'a str)>> {
        let said = match (Walk { call: *call, variables: [Held::Nothing; VARIABLES] }).block(&self.body) {
            Ok(said) | Err(Stop::Returned(said)) => said,
            Err(Stop::Left) => return None,
        };
        match said {
            Held::Nothing => Some(None),
            Held::Answer(state, message) => Some(Some((state, message))),
            _ => None,
        }
    }
}

/// What a name stands for.
#[derive(Clone, Copy)]
enum Meaning {
    /// `p`.
    Argument,
    Variable(usize),
    Constant(usize),
}

/// Makes steps of Rhai's syntax.
struct Reader<'s> {
    ast: &'s AST,
    parameters: &'s [Parameter],
    /// The innermost last.
    names: Vec<(String, Meaning)>,
    steps: u64,
    variables: usize,
}

impl Reader<'_> {
    fn statements(&mut self, block: &StmtBlock) -> Node {
        let outside = self.names.len();
        let steps = block.iter().map(|statement| self.statement(statement)).collect();
        self.names.truncate(outside);
        Node::Block(steps)
    }

    fn statement(&mut self, statement: &Stmt) -> Node {
        self.steps += 1;
        match statement {
            Stmt::Noop(_) => Node::Nothing,
            Stmt::Expr(expression) => self.expression(expression),
            Stmt::FnCall(call, _) => self.call(call),
            Stmt::Block(block) => self.statements(block),
            Stmt::If(flow, _) => {
                let test = self.expression(&flow.expr);
                Node::If(Box::new([test, self.statements(&flow.body), self.statements(&flow.branch)]))
            }
            Stmt::Var(variable, flags, _) if !flags.contains(ASTFlags::EXPORTED) => {
                let value = self.expression(&variable.1);
                let place = self.variables;
                self.variables += 1;
                let constant = flags.contains(ASTFlags::CONSTANT);
                let meaning = if constant { Meaning::Constant(place) } else { Meaning::Variable(place) };
                self.names.push((variable.0.name.to_string(), meaning));
                if place < VARIABLES { Node::Let(place, Box::new(value)) } else { Node::Leave }
            }
            Stmt::Assignment(assignment) if !assignment.0.is_op_assignment() => {
                let value = self.expression(&assignment.1.rhs);
                match &assignment.1.lhs {
                    Expr::Variable(name, ..) => match self.meaning(&name.1) {
                        Some(Meaning::Variable(place)) if place < VARIABLES => Node::Let(place, Box::new(value)),
                        _ => Node::Leave,
                    },
                    _ => Node::Leave,
                }
            }
            Stmt::Return(value, flags, _) if !flags.contains(ASTFlags::BREAK) => {
                let value = value.as_ref().map_or(Node::Nothing, |value| self.expression(value));
                Node::Return(Box::new(value))
            }
            _ => Node::Leave,
        }
    }

    fn expression(&mut self, expression: &Expr) -> Node {
        self.steps += 1;
        match expression {
            Expr::Unit(_) => Node::Nothing,
            Expr::BoolConstant(boolean, _) => Node::Boolean(*boolean),
            Expr::IntegerConstant(whole, _) => Node::Whole(*whole),
            Expr::FloatConstant(number, _) => Node::Number(**number),
            Expr::StringConstant(text, _) => Node::Text(text.to_string()),
            Expr::Variable(name, ..) => match self.meaning(&name.1) {
                Some(Meaning::Variable(place) | Meaning::Constant(place)) if place < VARIABLES => Node::Variable(place),
                Some(_) => Node::Leave,
                None => State::ALL
                    .into_iter()
                    .find(|state| state.name() == name.1.as_str())
                    .map_or(Node::Leave, Node::State),
            },
            Expr::Stmt(block) => self.statements(block),
            Expr::And(operands, _) => Node::And(operands.iter().map(|operand| self.expression(operand)).collect()),
            Expr::Or(operands, _) => Node::Or(operands.iter().map(|operand| self.expression(operand)).collect()),
            Expr::FnCall(call, _) => self.call(call),
            Expr::Dot(..) => self.chain(expression),
            _ => Node::Leave,
        }
    }

    /// `p.metric.value`, and whatever else is read step by step.
    fn chain(&mut self, expression: &Expr) -> Node {
        let mut steps = Vec::new();
        if !flat(expression, &mut steps) {
            return Node::Leave;
        }
        self.steps += steps.len() as u64;
        let of_argument =
            matches!(steps[0], Expr::Variable(name, ..) if matches!(self.meaning(&name.1), Some(Meaning::Argument)));
        let (mut read, rest) = match steps.get(1) {
            Some(Expr::Property(name, _)) if of_argument => (self.of_argument(&name.2), &steps[2..]),
            _ => (self.expression(steps[0]), &steps[1..]),
        };
        for step in rest {
            read = match step {
                Expr::Property(name, _) => match field(&name.2) {
                    Some(field) => Node::Field(Box::new(read), field),
                    None => return Node::Leave,
                },
                Expr::MethodCall(call, _) if call.name == "abs" && call.args.is_empty() && !self.defines("abs") => {
                    Node::Absolute(Box::new(read))
                }
                _ => return Node::Leave,
            };
        }
        read
    }

    fn of_argument(&self, name: &str) -> Node {
        match name {
            "state" => Node::Own(Own::State),
            "since" => Node::Own(Own::Since),
            "time" => Node::Own(Own::Time),
            _ if CHECK_FIELDS.contains(&name) => Node::Leave,
            _ => match self.parameters.iter().position(|parameter| &*parameter.name == name) {
                Some(place) => Node::Parameter(place, self.parameters[place].name.clone()),
                None => Node::Leave,
            },
        }
    }

    /// An operator, or one of the functions that make an answer.
    fn call(&mut self, call: &FnCallExpr) -> Node {
        self.steps += 1;
        let name = call.name.as_str();
        if call.op_token.is_none() && (call.capture_parent_scope || self.defines(name)) {
            return Node::Leave;
        }
        let state = match name {
            "clear" => Some(State::Clear),
            "deviating" => Some(State::Deviating),
            "critical" => Some(State::Critical),
            "unknown" => Some(State::Unknown),
            _ => None,
        };
        let mut read: Vec<Node> = call.args.iter().map(|argument| self.expression(argument)).collect();
        let two = |read: Vec<Node>| <[Node; 2]>::try_from(read).ok().map(Box::new);
        let node = match (call.op_token.is_some(), name, read.len()) {
            (true, "!", 1) => read.pop().map(|of| Node::Not(Box::new(of))),
            (true, "-", 1) => read.pop().map(|of| Node::Negative(Box::new(of))),
            (true, _, 2) => match (comparison(name), operator(name)) {
                (Some(comparison), _) => two(read).map(|both| Node::Compare(comparison, both)),
                (_, Some(operator)) => two(read).map(|both| Node::Reckon(operator, both)),
                _ => None,
            },
            (false, "clear", 0) => two(vec![Node::State(State::Clear), Node::Text(String::new())]).map(Node::Answer),
            (false, "health", 2) => two(read).map(Node::Answer),
            (false, _, 1) => state.and_then(|state| {
                read.insert(0, Node::State(state));
                two(read).map(Node::Answer)
            }),
            _ => None,
        };
        node.unwrap_or(Node::Leave)
    }

    fn meaning(&self, name: &str) -> Option<Meaning> {
        self.names.iter().rev().find(|(known, _)| known == name).map(|(_, meaning)| *meaning)
    }

    /// Whether the script has a function of this name, which goes before ours.
    fn defines(&self, name: &str) -> bool {
        self.ast.iter_fn_def().any(|function| function.name == name)
    }
}

/// The steps of `a.b.c`; false where there are others than these.
fn flat<'e>(expression: &'e Expr, steps: &mut Vec<&'e Expr>) -> bool {
    match expression {
        Expr::Dot(_, flags, _) if flags.contains(ASTFlags::NEGATED) => false,
        Expr::Dot(both, ..) => flat(&both.lhs, steps) && flat(&both.rhs, steps),
        Expr::Index(..) => false,
        other => {
            steps.push(other);
            true
        }
    }
}

fn field(name: &str) -> Option<Field> {
    Some(match name {
        "value" => Field::Value,
        "start" => Field::Start,
        "end" => Field::End,
        "count" => Field::Count,
        "incomplete" => Field::Incomplete,
        "baseline" => Field::Baseline,
        "deviation" => Field::Deviation,
        "score" => Field::Score,
        "lower" => Field::Lower,
        "higher" => Field::Higher,
        "stale" => Field::Stale,
        "is_clear" => Field::Is(State::Clear),
        "is_deviating" => Field::Is(State::Deviating),
        "is_critical" => Field::Is(State::Critical),
        "is_unknown" => Field::Is(State::Unknown),
        "average" => Field::Downsampled(Downsampling::Average),
        "minimum" => Field::Downsampled(Downsampling::Minimum),
        "maximum" => Field::Downsampled(Downsampling::Maximum),
        "sum" => Field::Downsampled(Downsampling::Sum),
        "last" => Field::Downsampled(Downsampling::Last),
        "rate" => Field::Downsampled(Downsampling::Rate),
        _ => {
            let wanted = name.replace('_', ".");
            let percent = wanted.strip_prefix('p')?.parse::<f64>().ok()?;
            let percentile = Downsampling::Percentile((percent * 1000.0).round() as u32);
            (percentile.to_string() == wanted).then_some(Field::Downsampled(percentile))?
        }
    })
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        "==" => Comparison::Equal,
        "!=" => Comparison::Unequal,
        "<" => Comparison::Less,
        "<=" => Comparison::AtMost,
        ">" => Comparison::Greater,
        ">=" => Comparison::AtLeast,
        _ => return None,
    })
}

fn operator(name: &str) -> Option<Operator> {
    Some(match name {
        "+" => Operator::Plus,
        "-" => Operator::Minus,
        "*" => Operator::Times,
        "/" => Operator::By,
        _ => return None,
    })
}

/// One call.
struct Walk<'a> {
    call: CheckCall<'a>,
    variables: [Held<'a>; VARIABLES],
}

impl<'a> Walk<'a> {
    fn block(&mut self, steps: &'a [Node]) -> Step<'a> {
        steps.iter().try_fold(Held::Nothing, |_, step| self.take(step))
    }

    fn take(&mut self, node: &'a Node) -> Step<'a> {
        Ok(match node {
            Node::Nothing => Held::Nothing,
            Node::Boolean(boolean) => Held::Boolean(*boolean),
            Node::Whole(whole) => Held::Whole(*whole),
            Node::Number(number) => Held::Number(*number),
            Node::Text(text) => Held::Text(text),
            Node::State(state) => Held::State(*state),
            Node::Parameter(place, name) => return self.parameter(*place, name),
            Node::Own(Own::State) => Held::State(self.call.state),
            Node::Own(Own::Since) => self.call.since.map_or(Held::Nothing, Held::Time),
            Node::Own(Own::Time) => Held::Time(self.call.time),
            Node::Variable(place) => self.variables[*place],
            Node::Let(place, value) => {
                self.variables[*place] = self.take(value)?;
                Held::Nothing
            }
            Node::Field(of, field) => return read(self.take(of)?, *field),
            Node::Absolute(of) => Held::Number(self.number(of)?.abs()),
            Node::Negative(of) => Held::Number(-self.number(of)?),
            Node::Not(of) => Held::Boolean(!self.test(of)?),
            Node::Compare(comparison, both) => {
                return compare(*comparison, self.take(&both[0])?, self.take(&both[1])?);
            }
            Node::Reckon(operator, both) => return reckon(*operator, self.take(&both[0])?, self.take(&both[1])?),
            Node::And(operands) => {
                let mut all = true;
                for operand in operands {
                    all = self.test(operand)?;
                    if !all {
                        break;
                    }
                }
                Held::Boolean(all)
            }
            Node::Or(operands) => {
                let mut any = false;
                for operand in operands {
                    any = self.test(operand)?;
                    if any {
                        break;
                    }
                }
                Held::Boolean(any)
            }
            Node::If(parts) => match self.test(&parts[0])? {
                true => self.take(&parts[1])?,
                false => self.take(&parts[2])?,
            },
            Node::Block(steps) => self.block(steps)?,
            Node::Return(value) => return Err(Stop::Returned(self.take(value)?)),
            Node::Answer(both) => match (self.take(&both[0])?, self.take(&both[1])?) {
                (Held::State(state), Held::Text(message)) => Held::Answer(state, message),
                _ => return Err(Stop::Left),
            },
            Node::Leave => return Err(Stop::Left),
        })
    }

    fn test(&mut self, node: &'a Node) -> Result<bool, Stop<'a>> {
        match self.take(node)? {
            Held::Boolean(boolean) => Ok(boolean),
            _ => Err(Stop::Left),
        }
    }

    fn number(&mut self, node: &'a Node) -> Result<f64, Stop<'a>> {
        match self.take(node)? {
            Held::Number(number) => Ok(number),
            _ => Err(Stop::Left),
        }
    }

    fn parameter(&self, place: usize, name: &Arc<str>) -> Step<'a> {
        let there = self.call.arguments.get(place).filter(|(known, _)| known == name);
        let (_, seen) =
            there.or_else(|| self.call.arguments.iter().find(|(known, _)| known == name)).ok_or(Stop::Left)?;
        Ok(match seen {
            Seen::Point(point) if !point.values.is_empty() => Held::Point(point),
            Seen::Value(Value::Nothing) => Held::Nothing,
            Seen::Value(Value::Boolean(boolean)) => Held::Boolean(*boolean),
            Seen::Value(Value::Number(number)) => Held::Number(*number),
            Seen::Value(Value::Duration(span)) => Held::Span(*span),
            Seen::Value(Value::State(state)) => Held::State(*state),
            Seen::Value(Value::Text(text)) if text.len() <= STRING_BYTES => Held::Text(text),
            _ => return Err(Stop::Left),
        })
    }
}

fn read<'a>(of: Held<'a>, field: Field) -> Step<'a> {
    Ok(match (of, field) {
        (Held::Point(point), Field::Value) => Held::Number(point.value()),
        (Held::Point(point), Field::Start) => Held::Time(point.start),
        (Held::Point(point), Field::End) => Held::Time(point.end),
        (Held::Point(point), Field::Count) => Held::Whole(point.count as i64),
        (Held::Point(point), Field::Incomplete) => Held::Boolean(point.incomplete),
        (Held::Point(point), Field::Baseline) => point.baseline.as_ref().map_or(Held::Nothing, Held::Reading),
        (Held::Point(point), Field::Deviation) => match &point.baseline {
            Some(reading) => Held::Number(reading.band.deviation(point.value())),
            None => Held::Nothing,
        },
        (Held::Point(point), Field::Score) => {
            point.baseline.and_then(|reading| reading.score).map_or(Held::Nothing, Held::Number)
        }
        (Held::Point(point), Field::Downsampled(wanted)) => {
            let column = point.downsample.iter().position(|known| *known == wanted).ok_or(Stop::Left)?;
            Held::Number(*point.values.get(column).ok_or(Stop::Left)?)
        }
        (Held::Reading(reading), Field::Downsampled(Downsampling::Average)) => Held::Number(reading.band.average),
        (Held::Reading(reading), Field::Lower) => Held::Number(reading.band.lower),
        (Held::Reading(reading), Field::Higher) => Held::Number(reading.band.higher),
        (Held::Reading(reading), Field::Stale) => Held::Boolean(reading.stale),
        (Held::State(state), Field::Is(wanted)) => Held::Boolean(state == wanted),
        _ => return Err(Stop::Left),
    })
}

fn compare<'a>(comparison: Comparison, a: Held<'a>, b: Held<'a>) -> Step<'a> {
    let found = match (a, b) {
        (Held::Number(a), Held::Number(b)) => order(a, b),
        (Held::Number(a), Held::Whole(b)) => order(a, b as f64),
        (Held::Whole(a), Held::Number(b)) => order(a as f64, b),
        (Held::Whole(a), Held::Whole(b)) => Some(a.cmp(&b)),
        (Held::State(a), Held::State(b)) => Some(a.cmp(&b)),
        (Held::Span(a), Held::Span(b)) => Some(a.cmp(&b)),
        (Held::Time(a), Held::Time(b)) => Some(a.cmp(&b)),
        // Of these only whether they are the same is asked here.
        _ => {
            let same = match (a, b) {
                (Held::Text(a), Held::Text(b)) => a == b,
                (Held::Boolean(a), Held::Boolean(b)) => a == b,
                (Held::Nothing, Held::Nothing) => true,
                (Held::Nothing, Held::Answer(..)) | (Held::Answer(..), Held::Nothing) => return Err(Stop::Left),
                (Held::Nothing, _) | (_, Held::Nothing) => false,
                _ => return Err(Stop::Left),
            };
            return match comparison {
                Comparison::Equal => Ok(Held::Boolean(same)),
                Comparison::Unequal => Ok(Held::Boolean(!same)),
                _ => Err(Stop::Left),
            };
        }
    };
    Ok(Held::Boolean(match comparison {
        Comparison::Equal => found == Some(Ordering::Equal),
        Comparison::Unequal => found != Some(Ordering::Equal),
        Comparison::Less => found == Some(Ordering::Less),
        Comparison::AtMost => matches!(found, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => found == Some(Ordering::Greater),
        Comparison::AtLeast => matches!(found, Some(Ordering::Greater | Ordering::Equal)),
    }))
}

/// Between whole numbers Rhai reckons, which tells when they overflow.
fn reckon<'a>(operator: Operator, a: Held<'a>, b: Held<'a>) -> Step<'a> {
    let (a, b) = match (a, b) {
        (Held::Number(a), Held::Number(b)) => (a, b),
        (Held::Number(a), Held::Whole(b)) => (a, b as f64),
        (Held::Whole(a), Held::Number(b)) => (a as f64, b),
        _ => return Err(Stop::Left),
    };
    Ok(Held::Number(match operator {
        Operator::Plus => a + b,
        Operator::Minus => a - b,
        Operator::Times => a * b,
        Operator::By => a / b,
    }))
}

#[cfg(test)]
mod tests;
