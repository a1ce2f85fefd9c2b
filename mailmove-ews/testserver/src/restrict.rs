//! Restrictions of searches.

use crate::dates;
use crate::soap::Failure;
use crate::xml::Element;

/// The values of the property that a path names; none if it has none.
pub(crate) type Lookup<'a> = dyn Fn(&Element) -> Option<Vec<String>> + 'a;

/// Whether a restriction holds.
pub(crate) fn holds(restriction: &Element, lookup: &Lookup<'_>) -> Result<bool, Failure> {
    match restriction.children.first() {
        Some(expression) => expression_holds(expression, lookup),
        None => Ok(true),
    }
}

fn expression_holds(expression: &Element, lookup: &Lookup<'_>) -> Result<bool, Failure> {
    let invalid = || Failure::new("ErrorInvalidRestriction");
    match expression.local() {
        "And" => {
            for part in &expression.children {
                if !expression_holds(part, lookup)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        "Or" => {
            for part in &expression.children {
                if expression_holds(part, lookup)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        "Not" => holds(expression, lookup).map(|held| !held),
        name => {
            let path = expression.children.first().ok_or_else(invalid)?;
            let values = lookup(path);
            if name == "Exists" {
                return Ok(values.is_some());
            }
            if name == "Contains" {
                let constant = expression.child("t:Constant").ok_or_else(invalid)?;
                let wanted = constant.get("Value").unwrap_or_default();
                return Ok(values.is_some_and(|all| contains(expression, &all, wanted)));
            }
            let constant = expression.child("t:FieldURIOrConstant");
            let constant = constant
                .and_then(|c| c.child("t:Constant"))
                .ok_or_else(invalid)?;
            let wanted = constant.get("Value").unwrap_or_default();
            let order = |value: &String| compare(value, wanted);
            let any =
                |test: fn(std::cmp::Ordering) -> bool| values.iter().flatten().map(order).any(test);
            Ok(match name {
                "IsEqualTo" => any(std::cmp::Ordering::is_eq),
                "IsNotEqualTo" => !any(std::cmp::Ordering::is_eq),
                "IsGreaterThan" => any(std::cmp::Ordering::is_gt),
                "IsGreaterThanOrEqualTo" => any(std::cmp::Ordering::is_ge),
                "IsLessThan" => any(std::cmp::Ordering::is_lt),
                "IsLessThanOrEqualTo" => any(std::cmp::Ordering::is_le),
                _ => return Err(invalid()),
            })
        }
    }
}

fn contains(expression: &Element, values: &[String], wanted: &str) -> bool {
    let loose = expression
        .get("ContainmentComparison")
        .is_some_and(|how| how != "Exact");
    let fold = |text: &str| match loose {
        true => text.to_lowercase(),
        false => text.to_owned(),
    };
    let wanted = fold(wanted);
    values
        .iter()
        .map(|value| fold(value))
        .any(|value| match expression.get("ContainmentMode") {
            Some("FullString") => value == wanted,
            Some("Prefixed" | "PrefixOnWords") => value.starts_with(&wanted),
            _ => value.contains(&wanted),
        })
}

/// As dates, as numbers, or as texts without regard to case.
fn compare(left: &str, right: &str) -> std::cmp::Ordering {
    if let (Some(left), Some(right)) = (dates::parse(left), dates::parse(right)) {
        return left.cmp(&right);
    }
    if let (Ok(left), Ok(right)) = (left.parse::<i64>(), right.parse::<i64>()) {
        return left.cmp(&right);
    }
    left.to_lowercase().cmp(&right.to_lowercase())
}
