//! What a script reads of its `p`, seen in its syntax: fields that no parameter has, and parameters whose points it
//! asks for their baseline. What cannot be followed, such as a value that went through an array, is not seen.

use crate::arguments::unknown_field;
use crate::declaration::{Complaint, entry_point};
use crate::{FunctionKind, Parameter};
use rhai::{AST, ASTFlags, ASTNode, Expr, Stmt};
use std::collections::{BTreeMap, BTreeSet};

/// The fields of a point that come from its input's baseline.
const OF_BASELINE: [&str; 3] = ["baseline", "deviation", "score"];

/// How many different calls between functions of one script are followed.
const CALLS: usize = 256;

/// What a name in a script stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Meaning {
    /// The argument of the entry point, `p`.
    Argument,
    /// The value of a parameter, or a part of it.
    Parameter(String),
}

type Names = BTreeMap<String, Meaning>;

/// Reads of `p.something` that no parameter has, where `p` can mean nothing else.
pub(crate) fn unknown_fields<'a>(
    ast: &AST,
    kind: FunctionKind,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Vec<Complaint> {
    let only = function(ast, entry_point(kind), 1);
    let argument = only.iter_fn_def().next().and_then(|function| function.params.first().cloned());
    let Some(argument) = argument else { return Vec::new() };
    let (mut complaints, mut shadowed) = (Vec::new(), false);
    only.walk(&mut |path: &[ASTNode<'_>]| {
        match path.last() {
            Some(ASTNode::Stmt(Stmt::Var(variable, _, _))) => shadowed |= variable.0.name == argument,
            Some(ASTNode::Stmt(Stmt::For(variable, _))) => shadowed |= variable.0.name == argument,
            Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => {
                shadowed |= matches!(&assignment.1.lhs, Expr::Variable(variable, ..) if variable.1 == argument);
            }
            Some(ASTNode::Expr(expression @ Expr::Dot(..))) => {
                let chain = chain(expression);
                let of_argument = matches!(chain[0], Expr::Variable(variable, ..) if variable.1 == argument);
                if let Some(Expr::Property(field, position)) = chain.get(1)
                    && of_argument
                    && !known.clone().any(|known| known == field.2.as_str())
                {
                    complaints.push((*position, unknown_field(&field.2, known.clone())));
                }
            }
            _ => {}
        }
        true
    });
    if shadowed { Vec::new() } else { complaints }
}

/// Marks the parameters whose points the script asks for their baseline, deviation or score: as `p.metric.baseline`,
/// by a variable or a loop over them, or in a function that is given `p` or one of them.
pub(crate) fn mark_baselines(ast: &AST, kind: FunctionKind, parameters: &mut [Parameter]) {
    let mut read = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![(entry_point(kind).to_owned(), vec![Some(Meaning::Argument)])];
    while let Some(call) = open.pop() {
        if seen.len() == CALLS || !seen.insert(call.clone()) {
            continue;
        }
        let (name, given) = call;
        let only = function(ast, &name, given.len());
        let parameters = only.iter_fn_def().next().map(|function| function.params.clone()).unwrap_or_default();
        let names = parameters.iter().map(ToString::to_string).zip(given);
        follow(&only, names.filter_map(|(name, meaning)| Some((name, meaning?))).collect(), &mut read, &mut open);
    }
    for parameter in parameters {
        parameter.reads_baseline = parameter.kind.reads_points() && read.contains(&*parameter.name);
    }
}

/// The one function of this name with so many parameters.
pub(crate) fn function(ast: &AST, wanted: &str, parameters: usize) -> AST {
    let mut only = ast.clone_functions_only();
    only.retain_functions(|_, _, name, count| name == wanted && count == parameters);
    only
}

/// Collects what one function reads, and the calls in it that hand on something that is known.
fn follow(only: &AST, mut names: Names, read: &mut BTreeSet<String>, open: &mut Vec<(String, Vec<Option<Meaning>>)>) {
    only.walk(&mut |path: &[ASTNode<'_>]| {
        let named = match path.last() {
            Some(ASTNode::Stmt(Stmt::Var(variable, _, _))) => Some((&variable.0.name, &variable.1)),
            Some(ASTNode::Stmt(Stmt::For(variable, _))) => Some((&variable.0.name, &variable.2.expr)),
            Some(ASTNode::Stmt(Stmt::FnCall(call, _)) | ASTNode::Expr(Expr::FnCall(call, _))) => {
                let given: Vec<_> = call.args.iter().map(|argument| meaning(argument, &names).0).collect();
                if given.iter().any(Option::is_some) {
                    open.push((call.name.to_string(), given));
                }
                None
            }
            Some(ASTNode::Expr(expression @ (Expr::Dot(..) | Expr::Index(..)))) => {
                if let (Some(Meaning::Parameter(parameter)), true) = meaning(expression, &names) {
                    read.insert(parameter);
                }
                None
            }
            _ => None,
        };
        if let Some((name, value)) = named {
            match meaning(value, &names).0 {
                Some(meaning) => names.insert(name.to_string(), meaning),
                None => names.remove(name.as_str()),
            };
        }
        true
    });
}

/// What an expression stands for, and whether it asks that for something of its baseline.
fn meaning(expression: &Expr, names: &Names) -> (Option<Meaning>, bool) {
    let chain = chain(expression);
    let name = match chain[0] {
        Expr::Variable(variable, ..) => names.get(variable.1.as_str()),
        _ => None,
    };
    let (parameter, rest) = match (name, chain.get(1)) {
        (Some(Meaning::Parameter(parameter)), _) => (parameter.clone(), &chain[1..]),
        (Some(Meaning::Argument), Some(Expr::Property(field, _))) => (field.2.to_string(), &chain[2..]),
        (Some(Meaning::Argument), Some(Expr::StringConstant(field, _))) => (field.to_string(), &chain[2..]),
        (Some(Meaning::Argument), None) => return (Some(Meaning::Argument), false),
        _ => return (None, false),
    };
    let reads = |step: &&Expr| matches!(step, Expr::Property(field, _) if OF_BASELINE.contains(&field.2.as_str()));
    (Some(Meaning::Parameter(parameter)), rest.iter().any(reads))
}

/// The steps of `a.b[c].d`, in their order; of anything else, itself.
fn chain(expression: &Expr) -> Vec<&Expr> {
    match expression {
        Expr::Dot(both, ..) => [chain(&both.lhs), chain(&both.rhs)].concat(),
        // Where the chain ends with the index, that is an expression of its own.
        Expr::Index(both, flags, _) if flags.contains(ASTFlags::BREAK) => {
            let mut steps = chain(&both.lhs);
            steps.push(&both.rhs);
            steps
        }
        Expr::Index(both, ..) => [chain(&both.lhs), chain(&both.rhs)].concat(),
        other => vec![other],
    }
}
